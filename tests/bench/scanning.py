"""How long scans of a large site's watched folders take."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from engine.images.watching.scan import Scanner
from tests.arrivals import JsonFormat, chain, encode

FILES_OF_A_POINT = 2


def scans(files: int, machines: int) -> dict[str, float]:
    """Return how long the first scan and a rescan of watched folders take."""
    points = max(files // machines // FILES_OF_A_POINT, 1)
    parts = [
        part for shot in chain(points, set_id="s00000", machine="m00000") for part in shot.parts
    ]
    drafts = [(part.path, encode(part)) for part in parts]
    with tempfile.TemporaryDirectory(prefix="bench-scan-") as folder:
        scanners = []
        for number in range(machines):
            place = Path(folder) / f"m{number:05d}"
            place.mkdir()
            for name, content in drafts:
                own = content.replace(b'00000"', f'{number:05d}"'.encode())
                (place / name).write_bytes(own.replace(b"s00000-", f"s{number:05d}-".encode()))
            formats = (JsonFormat(0),)
            scanners.append(Scanner(str(place), formats, quiet_s=0, monotonic=time.monotonic))
        now = datetime(2026, 3, 1, tzinfo=UTC)
        taken = []
        for _ in range(3):
            began, cpu = time.perf_counter(), time.thread_time()
            views = [scanner.scan(now) for scanner in scanners]
            taken.append((time.perf_counter() - began, time.thread_time() - cpu))
        assert sum(view.files for view in views) == len(drafts) * machines
        assert all(len(view.sets) == 1 for view in views), views[0]
    (first_s, first_cpu_s), _, (again_s, again_cpu_s) = taken
    return {
        "scan_first_s": first_s,
        "scan_first_cpu_s": first_cpu_s,
        "scan_again_s": again_s,
        "scan_again_cpu_s": again_cpu_s,
    }
