"""What the columns of a file seem to hold, judged by their names and a sample of their rows."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, Self

from django.utils.text import slugify
from django.utils.translation import gettext as _

from crm.actions.tags import MOST_TAGS
from crm.errors import InvalidValue
from crm.exports.columns import ROW_ID, known_headers
from crm.imports.countries import country_code
from crm.imports.reading import Header, Table
from crm.imports.values import (
    date_style,
    fold,
    looks_like_date,
    number_style,
    parse_boolean,
    split_money,
)
from crm.imports.words import (
    FIELD_WORDS,
    FIRST_NAME_BESIDE_LAST,
    LAST_NAME_BESIDE_FIRST,
    field_called,
    is_id_name,
    spoken,
)
from crm.models import FieldType

FIELDS = ("external_id", *FIELD_WORDS, "outcome")
IDENTIFYING = ("external_id", "email", "phone")
CUSTOM = "custom:"
# Of an export's columns, those that an import may write. Status, owner, score and the like have own actions.
BROUGHT_BACK = frozenset(
    "name company title email phone country mailing_address physical_address interest est_value"
    " currency tags".split()
)
SAMPLE_ROWS = 5_000
MAX_CHOICES = 40
MAX_CHOICE_CHARS = 100
# An untouched drop-down and a database's NULL say nothing. Compared folded, and only in whole cells.
EMPTY_WORDS = frozenset(
    ("select", "(select)", "please select", "-- select --", "n/a", "#n/a", "null", "(null)")
)
_SALUTATIONS = frozenset("mr mrs ms miss dr prof herr frau m mme mlle sr sra sig".split())


@dataclass(slots=True)
class Column:
    """One column of the file and the guess about it. Stored as JSON in ImportJob.columns."""

    name: str
    key: str  # of the custom field that it would become
    filled: int = 0  # rows of the sample with a value
    samples: list[str] = field(default_factory=list)  # up to three different values
    guess: str = ""  # a field of FIELDS, "custom:<key>", or "" to leave it out
    type: str = FieldType.TEXT
    decimal: str = "."
    is_day_first: bool = True
    unlike: str = ""  # the one value because of which a column of numbers or dates is a text
    is_free_text: bool = False  # seen to hold what the type cannot: staged again as text

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        return cls(**stored)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a sample of the file shows. `rows` is exact when the whole file was in the sample; `row_bytes` is
    the length of one, on average.
    """

    columns: list[Column]
    rows: int
    row_bytes: float
    is_whole_file: bool
    empty_words: list[str]
    warnings: list[str]

    def rows_in(self, size_bytes: int) -> int:
        """How many rows a file of this size holds: about, unless it was seen whole."""
        if self.is_whole_file:
            return self.rows
        return max(self.rows + 1, round(size_bytes / self.row_bytes))


def profile(table: Table) -> Profile:
    """Look at the first rows of an open table."""
    rows = list(islice(table, SAMPLE_ROWS + 1))
    is_whole_file = len(rows) <= SAMPLE_ROWS
    rows = rows[:SAMPLE_ROWS]
    width = len(table.header.names)
    cells = [
        [cell.strip() for cell in row.cells[:width]]
        for row in rows
        if not row.problem and not row.is_blank and len(row.cells) >= width
    ]
    empty_words = _empty_words(cells)
    columns = _columns(table.header, cells, set(empty_words), decimal=_decimal_of(table))
    _guess_fields(columns, cells)
    lengths = [len((",".join(row.cells) + "\n").encode(table.dialect.encoding, "replace")) for row in rows]
    return Profile(
        columns,
        len(rows),
        sum(lengths) / max(len(lengths), 1),
        is_whole_file,
        empty_words,
        list(table.header.warnings),
    )


def _decimal_of(table: Table) -> str:
    """In doubt: a spreadsheet that separates by semicolons writes decimals with a comma."""
    return "," if table.dialect.delimiter == ";" else "."


def _empty_words(cells: Iterable[list[str]]) -> list[str]:
    """The words of EMPTY_WORDS that this file uses, as they are written."""
    return sorted({cell for row in cells for cell in row if len(cell) <= 15 and cell.lower() in EMPTY_WORDS})


def _columns(header: Header, cells: list[list[str]], empty_words: set[str], *, decimal: str) -> list[Column]:
    columns, keys = [], Counter[str]()
    for position, name in enumerate(header.names):
        key = custom_key(name) or f"column_{position + 1}"
        keys[key] += 1
        if keys[key] > 1:
            key = f"{key[:56]}_{keys[key]}"
        values = [row[position] for row in cells if row[position] and row[position] not in empty_words]
        column = Column(name, key, filled=len(values), samples=_samples(values))
        _guess_type(column, values, decimal=decimal)
        columns.append(column)
    return columns


def _samples(values: list[str]) -> list[str]:
    return [value[:80].replace("\0", "\ufffd") for value in islice(dict.fromkeys(values), 3)]


def custom_key(name: str) -> str:
    """The key of the custom field that a column becomes: "Lead Source" -> "lead_source"."""
    return slugify(spoken(name)).replace("-", "_")[:60].strip("_")


def _guess_type(column: Column, values: list[str], *, decimal: str) -> None:
    """The narrowest type that holds every value; text when in doubt."""
    if not values:
        return
    distinct = list(dict.fromkeys(values))
    money, _in_doubt = number_style([split_money(value)[0] for value in distinct], fallback=decimal)
    column.decimal = money.decimal if money else decimal
    style, _in_doubt = number_style(distinct, fallback=decimal)
    if len(distinct) == len([v for v in distinct if _is_boolean(v)]) and {fold(v) for v in distinct} != {"x"}:
        column.type = FieldType.BOOLEAN
    elif style and not any(_is_code(value) for value in distinct):
        column.type = FieldType.NUMBER
    elif all(looks_like_date(value) for value in distinct):
        dates = date_style([value for value in distinct if date_style([value])])
        if dates and 10 * sum(not dates.reads(value) for value in distinct) <= len(distinct):
            column.type, column.is_day_first = FieldType.DATE, dates.is_day_first
    elif (
        len(distinct) <= MAX_CHOICES
        and len(distinct) * 5 <= len(values)
        and max(map(len, distinct)) <= MAX_CHOICE_CHARS
    ):
        column.type = FieldType.CHOICE
    if column.type in {FieldType.TEXT, FieldType.CHOICE}:
        column.unlike = _odd_one(distinct, decimal=decimal)


def _odd_one(distinct: list[str], *, decimal: str) -> str:
    """The value that keeps a column from being numbers or dates, if nine of ten are; else nothing."""
    if any(_is_code(value) for value in distinct):
        return ""
    for reads in (lambda v: number_style([v], fallback=decimal)[0] is not None, looks_like_date):
        others = [value for value in distinct if not reads(value)]
        if 0 < 10 * len(others) <= len(distinct):
            return others[0][:80]
    return ""


def _is_boolean(value: str) -> bool:
    try:
        parse_boolean(value)
    except InvalidValue:
        return False
    return True


def _is_code(value: str) -> bool:
    """Digits that are a name, not a quantity: with leading zeros, or more of them than a number keeps."""
    digits = value.lstrip("+-")
    return (
        (len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()) or len(digits) > 15 or value[0] == "+"
    )


def _guess_own(columns: list[Column]) -> None:
    """A file of ours: its headers say what they are, and what no import may change is left out."""
    known = known_headers()
    for column in columns:
        if column.name.startswith(CUSTOM):
            column.key = column.name.removeprefix(CUSTOM)[:60]
            column.guess = f"{CUSTOM}{column.key}"
        elif column.name in BROUGHT_BACK:
            column.guess = column.name
        elif column.name not in known and column.filled:
            column.guess = f"{CUSTOM}{column.key}"


def _guess_fields(columns: list[Column], cells: list[list[str]]) -> None:
    if any(column.name == ROW_ID for column in columns):
        _guess_own(columns)
        return
    taken: dict[str, Column] = {}

    def take(name: str, column: Column) -> None:
        if name not in taken:
            taken[name], column.guess = column, name

    for position, column in enumerate(columns):
        is_full = column.filled == len(cells) > 0
        if is_full and is_id_name(column.name) and len({row[position] for row in cells}) == len(cells):
            take("external_id", column)
    for position, column in enumerate(columns):
        called = field_called(column.name)
        if called and not column.guess and _content_agrees(called, [row[position] for row in cells]):
            take(called, column)
    for position, column in enumerate(columns):
        if not column.guess and column.filled and _share([r[position] for r in cells], _is_email_like) >= 0.8:
            take("email", column)
    _settle_names(taken)
    for column in columns:
        if not column.guess and column.filled:
            column.guess = f"{CUSTOM}{column.key}"


def _settle_names(taken: dict[str, Column]) -> None:
    """In "Vorname; Name" the name is the last name, in "Nombre; Apellidos" the first."""
    name = taken.get("name")
    if name is None:
        return
    if "first_name" in taken and "last_name" not in taken and spoken(name.name) in LAST_NAME_BESIDE_FIRST:
        name.guess = "last_name"
    elif "last_name" in taken and "first_name" not in taken and spoken(name.name) in FIRST_NAME_BESIDE_LAST:
        name.guess = "first_name"


def _content_agrees(called: str, cells: list[str]) -> bool:
    """Whether the values are such as the name promises."""
    match called:
        case "email":
            return _share(cells, _is_email_like) >= 0.5
        case "phone":
            return _share(cells, lambda cell: sum(c.isdigit() for c in cell) >= 6) >= 0.5
        case "country":
            return _share(cells, lambda cell: bool(country_code(cell))) >= 0.5
        case "currency":
            return _share(cells, lambda cell: len(cell) == 3 and cell.isalpha()) >= 0.8
        case "est_value":
            return (
                _share(cells, lambda cell: number_style([split_money(cell)[0]], fallback=".")[0] is not None)
                >= 0.8
            )
        case "tags":
            words = {word.strip().lower() for cell in cells for word in re.split("[,;]", cell)}
            return len(words) <= MOST_TAGS and all(len(word) <= 60 for word in words)
        case "title":
            return _share(cells, lambda cell: fold(cell).rstrip(".") in _SALUTATIONS) <= 0.5
    return True


def _is_email_like(cell: str) -> bool:
    local, at, domain = cell.rpartition("@")
    return bool(at and local and "." in domain.strip(".") and " " not in cell)


def _share(cells: list[str], test: Any) -> float:
    """The share of filled cells that pass; 1 when none is filled, 0 for the title's test alike."""
    filled = [cell for cell in cells if cell]
    return sum(map(bool, map(test, filled))) / len(filled) if filled else 1.0


def warnings_for(
    mapping: Mapping[str, str],
    columns: Iterable[Column],
    empty_words: Iterable[str],
    required: Mapping[str, str],
) -> list[str]:
    """What people should know about this mapping before they go on. `required`: labels of the own fields that
    a person has to fill in, by key.
    """
    fields = set(mapping.values())
    found = []
    for key, label in required.items():
        if f"{CUSTOM}{key}" not in fields:
            words = _("No column holds “%s”, which is needed. Leads come in without it.")
            found.append(words % label)
    if not fields & set(IDENTIFYING):
        found.append(
            _(
                "No column holds an e-mail address, a phone number or an id. Rows are compared as a whole:"
                " the same row is never imported twice, but a changed row becomes a new lead."
            )
        )
    if not fields & {"name", "first_name", "last_name", "company"} and not fields & {"email", "phone"}:
        found.append(_("No column holds names. Leads are called by their source and id."))
    for column in columns:
        target = mapping.get(column.name, "")
        is_number = target == "est_value" or (target.startswith(CUSTOM) and column.type == FieldType.NUMBER)
        doubtful = [text for text in column.samples if _is_doubtful_number(text)] if is_number else []
        if doubtful:
            read_as = number_style([doubtful[0]], fallback=column.decimal)[0]
            if read_as:
                found.append(
                    _("“%(text)s” in column “%(column)s” is read as %(number)s.")
                    % {
                        "text": doubtful[0],
                        "column": column.name,
                        "number": read_as.parse(split_money(doubtful[0])[0]),
                    }
                )
        if column.unlike and target.startswith(CUSTOM):
            found.append(
                _(
                    "Column “%(column)s” becomes a text, because it also holds “%(text)s”: it cannot be"
                    " sorted or summed as numbers or days. To have that, mend the cell and upload it again."
                )
                % {"column": column.name, "text": column.unlike}
            )
    words = ", ".join(f"“{word}”" for word in empty_words)
    if words:
        found.append(_("Cells that hold only %s are read as not given.") % words)
    return found


def _is_doubtful_number(text: str) -> bool:
    """Written so that both conventions read it, as different numbers: 1.234 or 12,500."""
    style, in_doubt = number_style([split_money(text)[0]], fallback=".")
    return style is not None and in_doubt
