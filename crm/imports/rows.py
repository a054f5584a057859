"""One row of the file becomes one row of the stage: mapped, brought to normal form, checked."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson
from django.utils.translation import gettext as _

from crm.actions.custom_fields import MAX_TEXT
from crm.actions.identity import Identity, identify
from crm.actions.intake import LeadFields
from crm.errors import ImportRefused, InvalidValue
from crm.imports.columns import CUSTOM, FIELDS, Column
from crm.imports.countries import country_code
from crm.imports.reading import Row
from crm.imports.values import (
    DateStyle,
    NumberStyle,
    clean,
    looks_like_date,
    parse_boolean,
    parse_outcome,
    split_money,
)
from crm.models import FieldType, KeyKind, LeadSource, Verdict

MAX_OPTIONS = 200  # of a choice field; more different words are text
MAX_RAW_CHARS = 1_000  # of each cell that is kept of a row with an error
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_LONG_TEXTS = ("message", "mailing_address", "physical_address")


@dataclass(frozen=True, slots=True)
class Target:
    """Where one column goes. `type` counts for custom fields; `is_new` ones may still turn into text."""

    position: int
    column: Column
    field: str
    type: str = FieldType.TEXT
    is_new: bool = False

    @property
    def key(self) -> str:
        return self.field.removeprefix(CUSTOM)


@dataclass(slots=True)
class StagedRow:
    """What the stage holds of a row. A `verdict` here is final; the others are judged in the database."""

    row_no: int
    line_no: int
    raw: list[str] | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    custom: dict[str, Any] = field(default_factory=dict)
    outcome: str = ""
    identity: Identity | None = None
    row_hash: str = ""
    verdict: str = ""
    field: str = ""
    message: str = ""

    def key(self, kind: KeyKind) -> str:
        """The first key of a kind, or ""."""
        keys = self.identity.keys if self.identity else ()
        return next((value for known, value in keys if known == kind), "")


class RowConverter:
    """Turns rows of one file into rows of the stage, and notes what the sample could not show."""

    def __init__(
        self,
        columns: Iterable[Column],
        mapping: Mapping[str, str],
        *,
        source: LeadSource,
        field_types: Mapping[str, str],
        empty_words: Iterable[str] = (),
        required: Mapping[str, str] | None = None,
    ) -> None:
        """`field_types`: types of the custom fields that exist already, by key; `required`: labels of those
        that a person has to fill in.
        """
        self.required = required or {}
        self.source = source
        self.empty_words = frozenset(empty_words)
        self.targets = [
            Target(
                position,
                column,
                field=mapping[column.name],
                type=_type_of(column, field_types.get(mapping[column.name].removeprefix(CUSTOM), "")),
                is_new=mapping[column.name].removeprefix(CUSTOM) not in field_types,
            )
            for position, column in enumerate(columns)
            if mapping.get(column.name)
        ]
        self.column_of = {target.field: target.column.name for target in self.targets}
        self.misfits: set[str] = set()  # names of new columns whose type does not hold: they become text
        self.choices: dict[str, set[str]] = defaultdict(set)  # words by key of a choice field
        self.tags: dict[str, str] = {}  # names of tags, by their lower case

    @property
    def custom_types(self) -> dict[str, str]:
        """The type that each custom field's values have here, by key."""
        return {target.key: str(target.type) for target in self.targets if target.field.startswith(CUSTOM)}

    def convert(self, row: Row) -> StagedRow:
        """Never raises for what a cell holds: the row then has the verdict "error" and says why."""
        staged = StagedRow(row.number, row.line)
        if row.problem:
            return self._failed(staged, row, row.problem)
        if row.is_blank:
            staged.raw, staged.verdict, staged.message = [], Verdict.SKIP, _("The row is empty.")
            return staged
        current = ""
        try:
            texts: dict[str, str] = {}
            for target in self.targets:
                cell = clean(row.cells[target.position])
                if not cell or cell in self.empty_words:
                    continue
                current = target.field
                if "\0" in cell:
                    raise InvalidValue(_("The cell holds a NUL character."))
                if target.field.startswith(CUSTOM):
                    self._put_custom(staged, target, cell)
                else:
                    texts[target.field] = cell
            current = ""
            self._put_fields(staged, texts)
        except InvalidValue as wrong:
            return self._failed(staged, row, str(wrong), field=wrong.field or current)
        if missing := [label for key, label in self.required.items() if key not in staged.custom]:
            staged.message = staged.message or _("“%s” is needed and not in this row.") % missing[0]
        staged.row_hash = hashlib.sha256(
            orjson.dumps([staged.fields, staged.custom, staged.outcome], option=orjson.OPT_SORT_KEYS)
        ).hexdigest()[:40]
        if staged.identity and not staged.identity.name:
            self._name_by_hash(staged)
        return staged

    def _failed(self, staged: StagedRow, row: Row, message: str, *, field: str = "") -> StagedRow:
        staged.verdict, staged.message = Verdict.ERROR, message[:300]
        staged.field = self.column_of.get(field, field)[:120]
        staged.raw = [cell[:MAX_RAW_CHARS].replace("\0", "\ufffd") for cell in row.cells]
        staged.fields, staged.custom, staged.identity = {}, {}, None
        return staged

    # --- standard fields -----------------------------------------------------------------------------------
    def _put_fields(self, staged: StagedRow, texts: dict[str, str]) -> None:
        for name in texts.keys() - _LONG_TEXTS:
            texts[name] = _INVISIBLE.sub("", texts[name])
        if "outcome" in texts:
            staged.outcome = self._named("outcome", parse_outcome, texts.pop("outcome"))
        if "country" in texts:
            code = country_code(texts["country"])
            if not code:
                staged.message = (
                    _("“%s” is no country we know; the field stays empty.") % texts["country"][:60]
                )
            texts["country"] = code
        if "est_value" in texts:
            self._put_value(texts)
        first_and_last = (texts.pop("first_name", ""), texts.pop("last_name", ""))
        texts["name"] = texts.get("name") or " ".join(part for part in first_and_last if part)
        payload = {name: text for name, text in texts.items() if text}
        if not payload.get("name") and not payload.get("email") and not payload.get("phone"):
            payload["name"] = self._fallback_name(payload)
        fields = LeadFields.of(payload)
        for tag in fields.tags:
            self.tags.setdefault(tag.lower(), tag)
        staged.fields = {name: text for name in payload if (text := _plain(getattr(fields, name)))}
        staged.identity = identify(
            name=fields.name or fields.email.partition("@")[0] or fields.phone,
            company=fields.company,
            email=fields.email,
            phone=fields.phone,
            country=fields.country or self.source.default_country,
            external_id=fields.external_id,
            source_id=self.source.pk,
        )
        staged.fields["name"] = staged.identity.name

    def _named(self, name: str, parse: Callable[[str], Any], text: str) -> Any:
        try:
            return parse(text)
        except InvalidValue as wrong:
            raise InvalidValue(str(wrong), field=name) from None

    def _put_value(self, texts: dict[str, str]) -> None:
        number, currency = split_money(texts["est_value"])
        column = next(target.column for target in self.targets if target.field == "est_value")
        texts["est_value"] = str(self._named("est_value", NumberStyle(column.decimal).parse, number))
        if currency:
            texts.setdefault("currency", currency)

    def _fallback_name(self, payload: Mapping[str, str]) -> str:
        """Company, else "<source> <external id>". Only a file without any of these is named by its rows."""
        if payload.get("company"):
            return payload["company"]
        if payload.get("external_id"):
            return f"{self.source.name} {payload['external_id']}"[:200]
        if {"name", "first_name", "last_name", "company", "external_id"} & self.column_of.keys():
            raise InvalidValue(_("A name, a company, an e-mail address, a phone number or an id is needed."))
        return ""

    def _name_by_hash(self, staged: StagedRow) -> None:
        staged.fields["name"] = f"{self.source.name} {staged.row_hash[:8]}"[:200]
        staged.identity = identify(name=staged.fields["name"])

    # --- custom fields -------------------------------------------------------------------------------------
    def _put_custom(self, staged: StagedRow, target: Target, cell: str) -> None:
        try:
            value = self._custom_value(target, cell)
        except InvalidValue:
            may_widen = target.is_new or target.type == FieldType.CHOICE
            if not may_widen or looks_like_date(cell):
                raise
            self.misfits.add(target.column.name)  # the file is staged again with this column as text
            return
        staged.custom[target.key] = value

    def _custom_value(self, target: Target, cell: str) -> Any:
        match target.type:
            case FieldType.NUMBER:
                number = NumberStyle(target.column.decimal).parse(cell)
                if abs(number) > 10**15:
                    raise InvalidValue(_("“%s” is too large a number.") % cell[:60])
                return int(number) if number == number.to_integral_value() else float(number)
            case FieldType.BOOLEAN:
                return parse_boolean(cell)
            case FieldType.DATE:
                return DateStyle(target.column.is_day_first).parse(cell).isoformat()
            case FieldType.CHOICE:
                words = self.choices[target.key]
                words.add(cell)
                if len(words) > MAX_OPTIONS or len(cell) > 100:
                    words.discard(cell)
                    raise InvalidValue(_("“%s” is one choice too many.") % cell[:60])
        if len(cell) > MAX_TEXT:
            raise InvalidValue(_("Use at most %d characters.") % MAX_TEXT)
        return cell


def _type_of(column: Column, known: str) -> str:
    """The type of the field there is; a choice that must hold more words than a choice can becomes text."""
    if known == FieldType.CHOICE and column.is_free_text:
        return FieldType.TEXT
    return known or column.type


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value


def check_mapping(mapping: Mapping[str, str], columns: Iterable[Column]) -> None:
    """Raises ImportRefused for a column or field that does not exist, and for a field given twice."""
    names = {column.name for column in columns}
    used: dict[str, str] = {}
    for name, target in mapping.items():
        if name not in names:
            raise ImportRefused(_("The file has no column “%s”.") % name[:120], field=name[:120])
        if not target:
            continue
        if target not in FIELDS and not re.fullmatch(f"{CUSTOM}[-a-zA-Z0-9_]{{1,60}}", target):
            raise ImportRefused(_("There is no field “%s”.") % target[:80], field=name)
        if target in used:
            raise ImportRefused(
                _("“%(field)s” is filled from two columns: “%(one)s” and “%(other)s”.")
                % {"field": target.removeprefix(CUSTOM), "one": used[target], "other": name},
                field=name,
            )
        used[target] = name
    if not used:
        raise ImportRefused(_("Match at least one column to a field."))
