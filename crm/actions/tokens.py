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
from typing import Any, TypeVar

from django.conf import settings
from django.db import connection, models, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from crm.actions.audit import audit
from crm.errors import InvalidValue, PermissionRefused
from crm.models import Actor, ApiToken, User
from crm.permissions import SCOPES, Reach, Verb, reach, require

LAST_USED_STEP = timedelta(minutes=5)  # how stale "last used" may be; saves a write on every request
_TOKEN = re.compile(r"gos_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
Row = TypeVar("Row", bound=models.Model)
_KEY_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


@transaction.atomic
def create_token(
    user: User,
    *,
    name: str,
    scopes: Iterable[str],
    expires_at: datetime | None = None,
    by: Actor | None = None,
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
    audit("token.created", "Made an API token", by=by or Actor.of(user), target=token, scopes=scopes)
    return token, f"gos_{key}_{secret}"


@transaction.atomic
def revoke_token(token_id: int, *, by: Actor) -> None:
    """The token opens nothing from the next request on. Revoking twice keeps the first time.

    Raises ApiToken.DoesNotExist, PermissionRefused for somebody else's.
    """
    token = ApiToken.objects.select_for_update().get(pk=token_id)
    require(by, Verb.TOKENS)
    if reach(by, Verb.TOKENS) != Reach.ALL and (by.user is None or token.user_id != by.user.pk):
        raise PermissionRefused(_("Only an admin may do this with somebody else's tokens."))
    if token.revoked_at is None:
        ApiToken.objects.filter(pk=token_id).update(revoked_at=timezone.now())
        audit("token.revoked", "Revoked an API token", by=by, target=token)


def find_token(text: str) -> ApiToken | None:
    """The token of this text with its user, if it opens the door now; notes that it was used."""
    parts = _TOKEN.fullmatch(text)
    if parts is None:
        return None
    token = _with_user(parts[1])
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


def _with_user(key: str) -> ApiToken | None:
    """The token and its user in one constant statement: every request of a program asks this, and building
    the same query by the ORM each time would cost six times as much as running it."""
    columns = [
        f'{table}."{field.column}"'
        for table, model in (("token", ApiToken), ("person", User))
        for field in model._meta.concrete_fields
    ]
    statement = (
        f"SELECT {', '.join(columns)} FROM crm_apitoken AS token"  # noqa: S608 names of our own columns
        " JOIN crm_user AS person ON person.id = token.user_id WHERE token.key = %s"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [key])
        row = cursor.fetchone()
    if row is None:
        return None
    own = len(ApiToken._meta.concrete_fields)
    token = _instance(ApiToken, row[:own])
    token.user = _instance(User, row[own:])
    return token


def _instance(model: type[Row], values: tuple[Any, ...]) -> Row:
    fields = model._meta.concrete_fields
    read = [
        field.from_db_value(value, None, connection) if hasattr(field, "from_db_value") else value
        for field, value in zip(fields, values, strict=True)
    ]
    return model.from_db(connection.alias, [field.attname for field in fields], read)


def _hash(secret: str) -> str:
    return hmac.new(settings.TOKEN_PEPPER.encode(), secret.encode(), hashlib.sha256).hexdigest()
