"""What is read of a certificate that nobody trusts yet."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from engine.hypervisors.esxi.certificate import Certificate, read_certificate


@pytest.fixture(scope="module")
def der(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a certificate as a host might make it."""
    folder = tmp_path_factory.mktemp("der")
    words = ["-subj", "/O=VMware \x1b[2J, Inc./CN=esx-01.example"]
    pem = openssl(folder, *words, "-days", "30")
    return ssl.PEM_cert_to_DER_cert(pem)


def openssl(folder: Path, *words: str) -> str:
    """Make a certificate that signs itself; return it as PEM."""
    out = folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", *words]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return out.read_text()


def test_names_and_dates_are_read_and_safe(der: bytes) -> None:
    """The oracle is the standard library, which reads files only."""
    told = read_certificate(der)
    assert told.sha256 == hashlib.sha256(der).hexdigest()
    assert told.subject.startswith("esx-01.example, VMware ")
    assert told.issuer == told.subject
    assert "\x1b" not in told.subject
    assert told.begins is not None
    assert told.ends is not None
    assert (told.ends - told.begins).days == 30
    assert told.begins.tzinfo is UTC


def test_a_date_after_2049_is_read(tmp_path: Path) -> None:
    """Such a date has four digits of a year, one before has two."""
    told = read_certificate(
        ssl.PEM_cert_to_DER_cert(openssl(tmp_path, "-subj", "/CN=x", "-days", "20000"))
    )
    assert told.ends is not None
    assert told.ends.year > 2050


def test_a_certificate_that_is_cut_or_damaged_is_a_fingerprint(der: bytes) -> None:
    """Whoever sends it is a stranger: no byte of it ends the program."""
    for at in range(200):
        assert read_certificate(der[:at]) == Certificate(hashlib.sha256(der[:at]).hexdigest())
    for at in range(len(der)):
        for value in (0x00, 0x80, 0xFF):
            read_certificate(der[:at] + bytes([value]) + der[at + 1 :])


@given(some.binary(max_size=200))
def test_bytes_that_are_no_certificate_are_a_fingerprint(data: bytes) -> None:
    """Anything may answer at a port."""
    assert read_certificate(data).sha256 == hashlib.sha256(data).hexdigest()
