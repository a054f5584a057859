"""Phone numbers and e-mail addresses of customers, taken out of whatever is read for somebody who may not see
them (THREATS 7: "team, without phone/e-mail if masked"; who that is, `crm.permissions.sees_addresses` says).

Every text and JSON column of our tables goes through `hide_addresses`, so a door cannot forget it: while
`hiding` is on, a value loses its addresses on its way from the database to the process, before any page,
answer or log has it. SEEN names what is left alone: colleagues' own data, and what holds no customer's word.
Whole texts are hidden by their form, so a long number may go with them; one spelt in words stays.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import orjson
from django.db import models

HIDDEN = "•••"
DIGITS = 7  # of a number that somebody could ring
SEEN = frozenset({"crm.user", "crm.team", "crm.teammember", "crm.apitoken", "crm.invitation"})
_hiding: ContextVar[bool] = ContextVar("hiding addresses", default=False)

_EMAIL = r"(?<![^\s<>\"'(),;:/])[^\s<>\"'(),;:/]*(?:@|%40)[^\s<>\"'(),;:/]*"
_KEPT = r"""
    (?<![\w-])(?:
        \d{4}-[01]\d-[0-3]\d(?:[T\ ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?(?!\d)       # a day, or a time
      | [0-3]?\d[./][01]?\d[./](?:19|20)\d\d(?!\d)
      | [0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?!\w)              # a public id
      | \A\d{1,12}\.\d\d\Z                                                   # an amount, by itself
    )"""
_NUMBER = r"(?<!\d)(?:\+|%2B)?\(?\d(?:[\d\s()./\u00a0\u2010-\u2015-]|%20){5,}\d"
_CUT = r"(?<!\d)\+?\(?\d[\d\s()./-]{2,}\Z"  # a number of which the end was cut off
_FORMS = re.compile(f"(?P<email>{_EMAIL})|(?P<kept>{_KEPT})|(?P<number>{_NUMBER})", re.VERBOSE)
LONG = 180  # characters from which on a text may have been cut


@contextmanager
def hiding(is_on: bool) -> Iterator[None]:
    """Take addresses out of everything that is read in this block, or do not; `hide` may change it within."""
    token = _hiding.set(is_on)
    try:
        yield
    finally:
        _hiding.reset(token)


def hide(is_on: bool) -> None:
    """From here to the end of the block of `hiding`."""
    _hiding.set(is_on)


def is_hiding() -> bool:
    return _hiding.get()


def without_addresses(text: str) -> str:
    """The text with HIDDEN for each e-mail address, and for each number of DIGITS digits and more."""
    clean = _FORMS.sub(_hidden, text)
    return re.sub(_CUT, HIDDEN, clean) if len(text) >= LONG else clean


def _hidden(found: re.Match[str]) -> str:
    word = found.group()
    if found["kept"] is not None or (found["number"] and sum(map(str.isdigit, word)) < DIGITS):
        return word
    return HIDDEN


def document_without_addresses(value: Any) -> Any:
    """The same for everything in a JSON value, keys included: what a stranger posted may be one."""
    if isinstance(value, str):
        return without_addresses(value)
    if isinstance(value, dict):
        return {without_addresses(str(key)): document_without_addresses(one) for key, one in value.items()}
    if isinstance(value, list):
        return [document_without_addresses(one) for one in value]
    return value


class WordsField(models.TextField):
    """The type of a text that a query puts together from columns: goes through the same."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return without_addresses(value) if value and _hiding.get() else value


class DocumentField(models.TextField):
    """The type of a text of JSON that a query writes from columns."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        if not value or not _hiding.get():
            return value
        return orjson.dumps(document_without_addresses(orjson.loads(value))).decode()


def hide_addresses(tables: Iterable[type[models.Model]]) -> None:
    """Let every text and JSON column of these models through `hiding`. Once, when they are loaded."""
    for model in tables:
        if model._meta.label_lower.removesuffix("history") in SEEN:
            continue
        for field in model._meta.concrete_fields:
            if field.choices or field.remote_field or field.name.endswith(("_sha256", "hash")):
                continue
            if isinstance(field, models.JSONField):
                setattr(field, "from_db_value", _of_json(field))  # noqa: B010 a converter of this one column
            elif isinstance(field, models.CharField | models.TextField):
                setattr(field, "from_db_value", _of_text)  # noqa: B010


def _of_text(value: Any, expression: Any, connection: Any) -> Any:
    return without_addresses(value) if value and _hiding.get() else value


def _of_json(field: models.JSONField) -> Any:
    read = field.from_db_value

    def read_json(value: Any, expression: Any, connection: Any) -> Any:
        found = read(value, expression, connection)
        return document_without_addresses(found) if found and _hiding.get() else found

    return read_json
