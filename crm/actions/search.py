"""Finding records by what people type: parts of names, companies, addresses and phone numbers, mistyped too.

Four stages, each by an index, best hits first: the very e-mail address or phone number (match keys); words
that begin so; parts of words (trigrams); words that are one slip away. The third and the fourth run only
when those before gave fewer than ENOUGH, all in one statement. No stage hands on more than CANDIDATES rows.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import BooleanField, Expression, F, Func, Model, Q, QuerySet, Value
from django.db.models.expressions import RawSQL
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from crm.actions.identity import fold
from crm.errors import InvalidValue
from crm.models import Account, Actor, Contact, KeyKind, Lead, Opportunity
from crm.models.ownership import WORDS

CANDIDATES = 2_000  # taken before any ordering, so that a common fragment costs no more than a rare one
ENOUGH = 10  # hits of the stages before: then no guessing
SHORTEST = 2  # characters
LONGEST = 200
MOST_WORDS = 8
EXACT, WORD_START, PART, SLIP = range(1, 5)  # the stage that found a row, best first
REASONS: dict[int, Promise] = {
    EXACT: _("this very address or number"),
    WORD_START: _("a word begins like this"),
    PART: _("contains this"),
    SLIP: _("spelt almost like this"),
}
_VECTOR = WORDS.extra["template"] % {"expressions": "search_text"}
_PHONE = re.compile(r"\+?[\d\s()./-]{4,}")
_LATIN = "abcdefghijklmnopqrstuvwxyz"
_CYRILLIC = "абвгдежзиклмнопрстуфхцчшщъыьэюя"
_GREEK = "αβγδεζηθικλμνξοπρσςτυφχψω"
_GUESSED = range(4, 17)  # letters of a word that may hold a slip; shorter ones would mean anything
Rows = TypeVar("Rows", bound=QuerySet[Any])


class _Relates(Func):
    """Two expressions with an operator between them, as a condition."""

    output_field = BooleanField()

    def __init__(self, *expressions: Any, operator: str) -> None:
        super().__init__(*expressions, template="(%(expressions)s)", arg_joiner=f" {operator} ")


class _AnyOf(Expression):
    """The rows of a finished statement as an array."""

    output_field = BooleanField()

    def __init__(self, sql: str, parameters: Iterable[Any]) -> None:
        super().__init__()
        self.sql, self.parameters = f"(ARRAY({sql}))", tuple(parameters)

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return self.sql, self.parameters


@dataclass(frozen=True, slots=True)
class Hit:
    """One record that was found, and why."""

    record: Any
    rank: int

    @property
    def reason(self) -> str:
        return str(REASONS[self.rank])


@dataclass(frozen=True, slots=True)
class Group:
    """The hits of one kind (lead, contact, account, opportunity), best first."""

    kind: str
    label: str
    hits: list[Hit]


def search_words(text: str) -> list[str]:
    """What must all be found: folded words, or the digits of a phone number without its trunk zero."""
    text = _clean(text)
    if _PHONE.fullmatch(text):
        digits = re.sub(r"\D", "", text)
        digits = digits.lstrip("0") if len(digits) >= 7 else digits  # a shorter one is the end of a number
        return [digits] if digits else []
    return list(dict.fromkeys(fold(text).split()))[:MOST_WORDS]


def _clean(text: str) -> str:
    """Without what no column holds (NUL, lone surrogates), cut to LONGEST."""
    return text[:LONGEST].replace("\0", "").encode("utf-8", "ignore").decode().strip()


def matching(rows: Rows, text: str) -> Rows:
    """Those of `rows` that the stages find; leads, contacts, accounts or opportunities, kept in their order.

    Apply it last: the limits must count only rows that `rows` allows. It adds no statement.
    """
    try:
        statement, parameters = _stages(rows, text)
    except EmptyResultSet:  # nothing typed, or nothing that `rows` could hold
        return rows.none()
    some = _AnyOf(f"{statement} SELECT id FROM found", parameters)  # noqa: S608 constants and placeholders
    # by the primary key, always: for IN the planner may read the whole table, not knowing how few there are
    return rows.filter(_Relates(F("pk"), some, operator="= ANY"))


def best_of(rows: QuerySet[Any], text: str, limit: int) -> list[Hit]:
    """The best `limit` of `rows` for this text, with their ranks. Two statements, or none."""
    try:
        statement, parameters = _stages(rows, text)
    except EmptyResultSet:
        return []
    table, whole = rows.model._meta.db_table, " ".join(search_words(text))
    ranked = f"""{statement}
        SELECT found.id, min(found.stage) FROM found JOIN {table} AS shown USING (id) GROUP BY found.id
         ORDER BY min(found.stage),
                  min(CASE WHEN found.stage = {SLIP} THEN 1 - word_similarity(%s, shown.search_text)
                           WHEN starts_with(shown.search_text, %s) THEN 0 ELSE 1 END),
                  found.id DESC LIMIT %s"""  # noqa: S608 table names and constants
    with connection.cursor() as cursor:
        cursor.execute(ranked, [*parameters, whole, whole, limit])
        stages: dict[int, int] = dict(cursor.fetchall())
    records = rows.model._default_manager.filter(pk__in=stages)
    by_id = _with_names(records).in_bulk()
    return [Hit(by_id[pk], stage) for pk, stage in stages.items() if pk in by_id]


def _with_names(records: QuerySet[Any]) -> QuerySet[Any]:
    related = {Contact: ("account",), Opportunity: ("account", "stage")}.get(records.model, ())
    return records.select_related(*related) if related else records


def search_everything(text: str, *, by: Actor, limit: int = 6) -> list[Group]:
    """The best `limit` (1 to 50) of each kind that `by` may see, with reasons; kinds without hits left out.

    At most two statements a kind. Raises InvalidValue (`limit`).
    """
    if not 1 <= limit <= 50:
        raise InvalidValue(str(_("Ask for 1 to 50 of each kind.")), field="limit")
    kinds: tuple[tuple[type[Model], Any], ...] = (
        (Lead, _("Leads")),
        (Contact, _("Contacts")),
        (Account, _("Accounts")),
        (Opportunity, _("Opportunities")),
    )
    groups = []
    for model, label in kinds:
        visible: QuerySet[Any] = model._default_manager.visible_to(by)  # type: ignore[attr-defined]
        hits = best_of(visible, text, limit)
        if hits:
            groups.append(Group(str(model._meta.model_name), str(label), hits))
    return groups


def _stages(rows: QuerySet[Any], text: str) -> tuple[str, list[Any]]:
    """(`WITH ..., found (id, stage) AS (...)`, its parameters). Raises EmptyResultSet for too short a text.

    A stage is read from an unlimited CTE under a LIMIT: so the planner counts the cost of all its rows and
    takes the index, and the executor stops at the limit. A later one stands behind a condition on the counts
    of those before, and is not run at all when it fails.
    """
    words = search_words(text)
    if sum(map(len, words)) < SHORTEST:
        raise EmptyResultSet
    rows = rows.order_by()
    stages: list[tuple[int, Q | Expression]] = []
    if hasattr(rows.model, "match_keys") and (keys := _keys(text)):
        stages.append((EXACT, Q(match_keys__kind=keys[0], match_keys__value__in=keys[1])))
    stages.append((WORD_START, _begin(words)))
    if any(len(word) >= 3 for word in words):
        parts = [Q(search_text__contains=word) for word in words if len(word) >= 3]
        starts = [_begin([word]) for word in words if len(word) < 3]
        part: Any = parts[0]
        for other in [*parts[1:], *starts]:
            part &= other if isinstance(other, Q) else Q(other)
        stages.append((PART, part))
    if any(map(_is_guessed, words)):
        stages.append((SLIP, _Relates(WORDS, RawSQL("slip.form", ()), operator="@@")))
    clauses: list[str] = []
    parameters: list[Any] = []
    names: list[int] = []
    for stage, condition in stages:
        sql, values = rows.filter(condition).values("pk").query.sql_with_params()
        before = " UNION ".join(f"SELECT id FROM some_{name}" for name in names)  # noqa: S608
        few = f"WHERE (SELECT count(*) FROM ({before}) AS hit) < {ENOUGH}"  # noqa: S608
        gate = few if stage >= PART else ""
        some = f"SELECT id FROM all_{stage} {gate} LIMIT {CANDIDATES}"  # noqa: S608
        if stage == SLIP:
            forms, others = _slip_queries(words)
            sql = f"SELECT found.id FROM unnest(%s::tsquery[]) AS slip (form), LATERAL ({sql}) AS found (id)"  # noqa: S608
            # behind IS TRUE no index condition: a scan for all the other words' forms with each form of this
            some = (
                f"SELECT id FROM {rows.model._meta.db_table} WHERE id = ANY (ARRAY({some}))"  # noqa: S608
                f" AND ({_VECTOR} @@ %s::tsquery) IS TRUE"
            )
            values = (forms, *values, others)
        clauses += [f"all_{stage} (id) AS MATERIALIZED ({sql})", f"some_{stage} AS MATERIALIZED ({some})"]
        parameters += values
        names.append(stage)
    found = " UNION ALL ".join(f"SELECT id, {name} AS stage FROM some_{name}" for name in names)  # noqa: S608
    return f"WITH {', '.join(clauses)}, found AS ({found})", parameters


def _keys(text: str) -> tuple[str, list[str]] | None:
    """The kind and forms of the match key that the whole text is, if it is one."""
    text = _clean(text)
    if "@" in text:
        return (KeyKind.EMAIL, [text.lower()]) if " " not in text else None
    if _PHONE.fullmatch(text):
        digits = re.sub(r"\D", "", text)
        return KeyKind.PHONE, [f"+{digits.removeprefix('00')}"]
    return None


def _begin(words: list[str]) -> Expression:
    query = Func(Value(" & ".join(map(_begins, words))), template="(%(expressions)s)::tsquery")
    return _Relates(WORDS, query, operator="@@")


def _is_guessed(word: str) -> bool:
    return len(word) in _GUESSED and word.isalpha()


def _slip_queries(words: list[str]) -> tuple[list[str], str]:
    """(each form of the longest word that may hold a slip, all forms of every word). A form is the word with
    one letter wrong, missing, too many, or changed with its neighbour.

    Each form is asked for by itself, because the planner takes a query of hundreds of forms for one that
    matches every row, and reads the table. How many forms there are does not depend on the table.
    """
    forms = {word: [_begins(word), *(map(_quoted, _forms(word)))] for word in words}
    longest = max(filter(_is_guessed, words), key=len)
    return forms[longest], " & ".join(f"({' | '.join(some)})" for some in forms.values())


def _forms(word: str) -> list[str]:
    return sorted(set(_slips(word))) if _is_guessed(word) else []


def _slips(word: str) -> Iterable[str]:
    letters = next((other for other in (_CYRILLIC, _GREEK) if set(other) & set(word)), _LATIN)
    for at in range(len(word) + 1):
        head, tail = word[:at], word[at:]
        yield from (f"{head}{letter}{tail}" for letter in letters)
        if tail:
            yield head + tail[1:]
            yield from (f"{head}{letter}{tail[1:]}" for letter in letters)
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]


def _quoted(word: str) -> str:
    """A whole word, as a tsquery has it."""
    escaped = word.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _begins(word: str) -> str:
    """A word that begins so."""
    return f"{_quoted(word)}:*"
