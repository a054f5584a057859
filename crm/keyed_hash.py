"""How an address is remembered without being kept: a hash that only this installation can compute."""

import hashlib
import hmac

from django.conf import settings


def keyed_hash(*parts: str) -> str:
    """HMAC-SHA-256 (hex) with AUDIT_KEY. The same parts give the same hash as long as the key stays."""
    text = "\0".join(parts).encode()
    return hmac.new(settings.AUDIT_KEY.encode(), text, hashlib.sha256).hexdigest()
