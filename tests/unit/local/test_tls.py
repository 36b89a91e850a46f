"""What a site's own authority signs is trusted by every Python alike, and nothing else."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

from engine.local.tls import by_authority


def authority(folder: Path) -> Path:
    """Return the certificate of an authority as `openssl req -x509` makes it, without key usage."""
    call = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=site"
    made = folder / "site.pem"
    subprocess.run(
        [*call.split(), "-keyout", folder / "site.key", "-out", made],
        check=True,
        capture_output=True,
    )
    return made


def test_an_authority_without_key_usage_is_enough_and_names_are_checked(tmp_path: Path) -> None:
    """The letter of RFC 5280 would cost a site its alerts by an update of Python."""
    context = by_authority(authority(tmp_path))

    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) == 1
