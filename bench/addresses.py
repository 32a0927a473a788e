"""Addresses without the user names and passwords in them."""

from __future__ import annotations

import re

_USER = re.compile(r"(\b[a-z][a-z0-9+.-]*://)(?!/)(?:[^\s/?#@:]*:\S*|[^\s/?#]*)@", re.IGNORECASE)
"""Start of an address up to its host; a password may contain any character but a space."""
_SECRET = re.compile(
    r"([?&](?:\w*password|passwd|pwd|token|secret|api_?key)=)[^\s&'\"]+", re.IGNORECASE
)
_MASK = "***"


def mask_secrets(text: str) -> str:
    """Return a text with ``***`` in place of user names, passwords and tokens in addresses.

    Apply it to every text with the address of a server or database before the text is printed,
    logged or stored.
    """
    if "://" not in text:
        return text
    return _SECRET.sub(rf"\1{_MASK}", _USER.sub(rf"\1{_MASK}@", text))


def public_address(address: str) -> str:
    """Return the address of a server without user name and password, for links."""
    return mask_secrets(address).replace(f"{_MASK}@", "")
