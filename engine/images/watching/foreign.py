"""Images of other products: recognised by name, explained, never parsed.

Source of the names: the products' own documentation (not verified on real files).
"""

from __future__ import annotations

import re

_PRODUCTS = (
    ("ActiveImage Protector", r"\.(aiv|aii|afb)$"),
    ("ShadowProtect", r"\.(spf|spi|sp[1-9]\d*)$"),
    ("Acronis", r"\.tibx?$"),
    ("Arcserve UDP", r"(^|/)\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[a-z]+/[^/]+$"),
    ("Veeam", r"\.(vbk|vib|vrb|vbm)$"),
    ("Macrium Reflect", r"\.mrimgx?$"),
    ("Proxmox VE", r"\.vma(\.(zst|gz|lzo))?$"),
    ("XenServer", r"\.xva$"),
    ("Windows Server Backup", r"(^|/)windowsimagebackup/.*\.vhdx?$"),
    ("UrBackup", r"\.vhdz$"),
)
_FLAGS = re.IGNORECASE | re.DOTALL
_PATTERNS = tuple((product, re.compile(names, _FLAGS)) for product, names in _PRODUCTS)
_ANY = re.compile("|".join(f"(?:{names})" for _, names in _PRODUCTS), _FLAGS)
_SIDECAR = re.compile(r"\.(md5|sha1|sha256)$", re.IGNORECASE)


def product_of(path: str) -> str:
    """Return the product whose image a file of this path is; empty when none is known."""
    if not _ANY.search(path):
        return ""
    return next(product for product, names in _PATTERNS if names.search(path))


def is_sidecar(path: str) -> bool:
    """Tell whether a file is a checksum beside another file."""
    return _SIDECAR.search(path) is not None
