"""The mapping file of import_legacy: which of another system's tables and columns are what, in TOML."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils.translation import gettext as _

from crm.errors import ImportRefused
from crm.models import LeadStatus, StageKind, TaskKind

CUSTOM = "custom:"
# In the order in which they are brought in: what refers to something comes after it.
FIELDS: dict[str, frozenset[str]] = {
    "pipelines": frozenset({"name"}),
    "stages": frozenset("name pipeline kind position probability".split()),
    "accounts": frozenset(
        "name domain industry size_band website address country owner created_at updated_at".split()
    ),
    "contacts": frozenset(
        "full_name title email phone country locale time_zone account owner created_at updated_at".split()
    ),
    "leads": frozenset(
        "name company title email phone country interest est_value currency message mailing_address"
        " physical_address owner status reason contact account snoozed_until"
        " created_at updated_at status_at closed_at".split()
    ),
    "opportunities": frozenset(
        "name amount currency expected_close stage state lead account contact owner lost_reason"
        " created_at updated_at closed_at won_at lost_at".split()
    ),
    "notes": frozenset("body lead account contact opportunity author at".split()),
    "activities": frozenset(
        "title body kind lead contact opportunity owner outcome due_at done_at created_at".split()
    ),
}
NEEDED = {
    "pipelines": {"name"},
    "stages": {"name", "pipeline"},
    "accounts": {"name"},
    "contacts": {"full_name"},
    "opportunities": {"name"},
    "notes": {"body"},
    "activities": {"title"},
}
ABOUT = {  # of these a record needs one
    "opportunities": ("lead", "account", "contact"),
    "notes": ("lead", "account", "contact", "opportunity"),
    "activities": ("lead", "opportunity", "contact"),
}
OWN_FIELDS = {"leads", "accounts", "contacts", "opportunities"}  # may fill custom:<key>
SET_UP = {"pipelines", "stages"}  # made in an admin's name
KINDS = tuple(StageKind.values)
WON, LOST = "(won)", "(lost)"
MAPPED = {
    "leads": {"status"},
    "opportunities": {"stage", "state"},
    "stages": {"kind"},
    "activities": {"kind"},
}
WORDS = {  # part, field -> ours; of others any
    ("leads", "status"): tuple(LeadStatus.values),
    ("opportunities", "state"): KINDS,
    ("stages", "kind"): KINDS,
    ("activities", "kind"): tuple(TaskKind.values),
}
_NAME = re.compile(r"[^\0]{1,63}")


@dataclass(frozen=True, slots=True)
class Join:
    """`column` of the main table holds the `key` of another."""

    table: str
    column: str
    key: str = "id"


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of record: its table, its id, our field -> their column (of a join: "status.name")."""

    kind: str
    table: str
    id: str
    fields: dict[str, str]
    joins: dict[str, Join] = field(default_factory=dict)
    values: dict[str, dict[str, str]] = field(default_factory=dict)  # our field -> their word -> ours


@dataclass(frozen=True, slots=True)
class Mapping:
    """`zone`: whose clock a time without a zone was read from."""

    source: str
    schema: str
    parts: list[Part]
    zone: ZoneInfo


def read_mapping(path: Path) -> Mapping:
    """Raises ImportRefused with one line that names the line, the key or the word that is wrong."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ImportRefused(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ImportRefused(_("%s is no UTF-8 text.") % path) from None
    except tomllib.TOMLDecodeError as error:
        raise ImportRefused(f"{path}: {error}") from None
    _known(tree, {"source", "schema", "time_zone", *FIELDS}, "")
    parts = [_part(kind, tree[kind]) for kind in FIELDS if kind in tree]
    if not parts:
        raise ImportRefused(_("The mapping needs a table, such as [leads]."))
    if "stages" in tree and "pipelines" not in tree:
        raise ImportRefused(_("%s is needed.") % "pipelines")
    return Mapping(_text(tree, "source", ""), _text(tree, "schema", "", default="public"), parts, _zone(tree))


def _zone(tree: dict[str, Any]) -> ZoneInfo:
    name = _text(tree, "time_zone", "", default="UTC")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ImportRefused(
            _("time_zone: there is no zone “%s”; write one such as Europe/Berlin.") % name
        ) from None


def _part(kind: str, tree: Any) -> Part:
    if not isinstance(tree, dict):
        raise ImportRefused(_("%s must be a table.") % kind)
    _known(tree, {"table", "id", "fields", "joins", "values"}, f"{kind}.")
    joins = {}
    for alias, join in _dict(tree, "joins", kind).items():
        place = f"{kind}.joins.{alias}."
        if not isinstance(join, dict):
            raise ImportRefused(_("%s must be a table.") % place[:-1])
        _known(join, {"table", "column", "key"}, place)
        joins[alias] = Join(
            _text(join, "table", place), _text(join, "column", place), _text(join, "key", place, default="id")
        )
    fields = _dict(tree, "fields", kind)
    for name, column in fields.items():
        is_own = kind in OWN_FIELDS and name.startswith(CUSTOM)
        if name not in FIELDS[kind] and not is_own:
            raise ImportRefused(
                _("%(place)s: there is no such field; there are %(fields)s.")
                % {"place": f"{kind}.fields.{name}", "fields": ", ".join(sorted(FIELDS[kind]))}
            )
        alias = _text(fields, name, f"{kind}.fields.").partition(".")[0] if "." in str(column) else ""
        if alias and alias not in joins:
            raise ImportRefused(
                _("%(place)s: there is no join “%(alias)s”.")
                % {"place": f"{kind}.fields.{name}", "alias": alias}
            )
    missing = sorted(NEEDED.get(kind, set()) - set(fields))
    if not missing and kind in ABOUT and not set(ABOUT[kind]) & set(fields):
        missing = ["lead"]
    if missing:
        raise ImportRefused(_("%s is needed.") % f"{kind}.fields.{missing[0]}")
    return Part(
        kind,
        _text(tree, "table", f"{kind}."),
        _text(tree, "id", f"{kind}.", default="id"),
        fields,
        joins,
        _values(kind, _dict(tree, "values", kind)),
    )


def _values(kind: str, tree: dict[str, Any]) -> dict[str, dict[str, str]]:
    _known(tree, MAPPED.get(kind, set()), f"{kind}.values.")
    for name, words in tree.items():
        place = f"{kind}.values.{name}."
        if not isinstance(words, dict):
            raise ImportRefused(_("%s must be a table.") % place[:-1])
        for word in words:
            ours = _text(words, word, place)
            allowed = WORDS.get((kind, name), (ours,))
            if ours not in allowed:
                raise ImportRefused(
                    _("%(place)s cannot be “%(word)s”; choose among %(words)s.")
                    % {"place": f"{place}{word}", "word": ours[:40], "words": ", ".join(allowed)}
                )
    return tree


def _known(tree: dict[str, Any], names: set[str], place: str) -> None:
    for name in tree:
        if name not in names:
            raise ImportRefused(
                _("%(name)s: there is no such key; there are %(names)s.")
                % {"name": f"{place}{name}"[:100], "names": ", ".join(sorted(names)) or "–"}
            )


def _dict(tree: dict[str, Any], name: str, kind: str) -> dict[str, Any]:
    found = tree.get(name, {})
    if not isinstance(found, dict):
        raise ImportRefused(_("%s must be a table.") % f"{kind}.{name}")
    return found


def _text(tree: dict[str, Any], name: str, place: str, *, default: str | None = None) -> str:
    found = tree.get(name, default)
    if not isinstance(found, str) or not _NAME.fullmatch(found):
        raise ImportRefused(_("%s must be a text of 1 to 63 characters.") % f"{place}{name}")
    return found
