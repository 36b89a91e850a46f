"""How a server on the network proves who it is: by a certificate authority."""

from __future__ import annotations

import ssl
from pathlib import Path


def by_authority(authority: Path | None) -> ssl.SSLContext:
    """Return a context that checks certificate and name, over TLS 1.2 or newer.

    Python 3.13 asks for the letter of RFC 5280 as well (`VERIFY_X509_STRICT`), which many a small
    site's own authority does not keep: OpenSSL's own `req -x509` names no key usage. What such an
    authority signs is as safe, and a site must not lose its alerts by an update of Python.

    Args:
        authority: PEM file with the certificates to trust; None: the system's.

    Raises:
        OSError: The file cannot be read, or holds no certificate.
    """
    context = ssl.create_default_context(cafile=str(authority) if authority else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
