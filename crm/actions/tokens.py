"""API tokens: how programs are let in, and shut out again.

A token reads `gos_<key>_<secret>`. The key finds the row; of the secret only an HMAC-SHA-256 with
TOKEN_PEPPER is stored, so a copy of the database opens nothing. 256 random bits need no slow hash.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from crm.errors import InvalidValue
from crm.models import ApiToken, User
from crm.permissions import SCOPES

LAST_USED_STEP = timedelta(minutes=5)  # how stale "last used" may be; saves a write on every request
_TOKEN = re.compile(r"gos_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
_KEY_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


@transaction.atomic
def create_token(
    user: User, *, name: str, scopes: Iterable[str], expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """A new token of `user`, and its text, which cannot be had again. Raises InvalidValue for a scope."""
    scopes = sorted(set(scopes))
    if unknown := set(scopes) - set(SCOPES):
        raise InvalidValue(_("There is no scope %s.") % ", ".join(sorted(unknown)), field="scopes")
    key = "".join(secrets.choice(_KEY_ALPHABET) for _index in range(12))
    secret = secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        user=user,
        name=name,
        key=key,
        secret_sha256=_hash(secret),
        scopes=scopes,
        expires_at=expires_at,
    )
    return token, f"gos_{key}_{secret}"


def revoke_token(token_id: int) -> None:
    """The token opens nothing from the next request on. Revoking twice keeps the first time."""
    ApiToken.objects.filter(pk=token_id, revoked_at=None).update(revoked_at=timezone.now())


def find_token(text: str) -> ApiToken | None:
    """The token of this text with its user, if it opens the door now; notes that it was used."""
    parts = _TOKEN.fullmatch(text)
    if parts is None:
        return None
    token = ApiToken.objects.select_related("user").filter(key=parts[1]).first()
    expected = token.secret_sha256 if token else ""
    if not hmac.compare_digest(expected, _hash(parts[2])) or token is None:
        return None
    now = timezone.now()
    is_over = token.revoked_at is not None or (token.expires_at is not None and token.expires_at <= now)
    if is_over or not token.user.is_active:
        return None
    if token.last_used_at is None or token.last_used_at < now - LAST_USED_STEP:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


def _hash(secret: str) -> str:
    return hmac.new(settings.TOKEN_PEPPER.encode(), secret.encode(), hashlib.sha256).hexdigest()
