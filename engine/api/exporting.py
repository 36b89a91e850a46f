"""Measured values for others: a text file every minute, and a Unix socket that speaks HTTP."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import BaseServer

from engine.api.listening import listen
from engine.api.metrics import CONTENT_TYPE, Meter
from engine.daemon.service import Service
from engine.local.durable import durable_replace, open_folder

log = logging.getLogger(__name__)

EVERY_S = 60.0
STEP_S = 5.0
READABLE = 0o644


class Exporter:
    """Writes and serves the measured values of one engine."""

    def __init__(self, service: Service, textfile: Path | None, path: Path | None) -> None:
        """Write nothing yet.

        Args:
            service: The engine.
            textfile: File for node_exporter, whose folder exists; None: none.
            path: Of the socket; None: none.
        """
        self._meter, self._textfile, self._path = Meter(service), textfile, path
        self._stopping = threading.Event()
        self._listener: socket.socket | None = None
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to write and to serve."""
        if self._textfile is not None:
            self._thread("metrics", self._write_now_and_then)
        if self._path is not None:
            self._listener = listen(self._path)
            self._listener.settimeout(0.5)
            self._thread("metrics-socket", self._serve)

    def _thread(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """End; the file stays, the socket goes."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(STEP_S)
        if self._listener is not None and self._path is not None:
            self._listener.close()
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _write_now_and_then(self) -> None:
        while not self._stopping.is_set():
            try:
                self.write()
            except Exception:
                log.exception("metrics")
            self._stopping.wait(EVERY_S)

    def write(self) -> None:
        """Write the file, so that a reader sees the old values or the new ones, whole."""
        file = self._textfile
        if file is None:
            return
        text = self._meter.told().encode()
        with open_folder(file.parent.resolve()) as folder:
            durable_replace(folder, file.name, text)
        file.chmod(READABLE)

    def _serve(self) -> None:
        while not self._stopping.is_set() and self._listener is not None:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError as error:
                log.warning("metrics socket: %s", error)
                return
            with connection:
                connection.settimeout(STEP_S)
                try:
                    self._answer(connection)
                except Exception as error:  # noqa: BLE001 - a peer may do anything; the next one is served
                    log.info("metrics socket: %s", error)

    def _answer(self, connection: socket.socket) -> None:
        meter = self._meter

        class Handler(BaseHTTPRequestHandler):
            server_version = "bootpoint"
            timeout = STEP_S

            def do_GET(self) -> None:
                good = self.path.partition("?")[0] == "/metrics"
                body = meter.told().encode() if good else b"Only /metrics is here.\n"
                self.send_response(200 if good else 404)
                self.send_header("Content-Type", CONTENT_TYPE if good else "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self) -> str:
                return "local"

            def log_message(self, form: str, *words: object) -> None:
                log.debug(form, *words)

        Handler(connection, ("local", os.getpid()), BaseServer(("", 0), Handler))
