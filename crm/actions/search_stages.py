"""How search looks: the statement behind `matching` and `best_of`, from what people type.

Four stages, each by an index, best hits first: the very e-mail address or phone number (match keys); words
that begin so; parts of words (trigrams); words that are one slip away. The third and the fourth run only
when those before gave fewer than ENOUGH, all in one statement. No stage hands on more than CANDIDATES rows.

An index is read whole for what is typed, before any limit. So what a sample of a big table often shows is
looked for in the newest rows instead, and the newest NEWEST that have it are handed on.

From whom addresses are hidden, the first stage is left out, and what the others find must be found in the
rest of the text as well: no address, number or part of one tells them whose it is.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import BooleanField, Func, QuerySet

from crm.actions.identity import fold
from crm.models import KeyKind
from crm.models.hidden import is_hiding
from crm.models.ownership import WORDS

CANDIDATES = 2_000  # taken before any ordering, so that a common fragment costs no more than a rare one
NEWEST = 500  # of those that share what is common
RECENT = 20_000  # rows at most that these are looked for in
BIG = CANDIDATES * RECENT // NEWEST  # rows of a table in which that hides nothing that the limit would show
SAMPLE = 100  # rows from all over the table
COMMON = 3  # of the sample
ENOUGH = 10  # hits of the stages before: then no guessing
SHORTEST = 2  # characters
LONGEST = 200
MOST_WORDS = 8
EXACT, WORD_START, PART, SLIP = range(1, 5)  # the stage that found a row, best first
_Sql = tuple[str, Sequence[Any]]  # a piece of a statement, and its parameters
# An address or a number in a folded text, as PostgreSQL reads it: more than one too many hides no person.
_ADDRESS = r"\S*@\S*|[+(]*\d[\d ()./+-]{5,}|\S*\d{5,}\S*"
_PHONE = re.compile(r"\+?[\d\s()./-]{4,}")
_LATIN = "abcdefghijklmnopqrstuvwxyz"
_CYRILLIC = "абвгдежзиклмнопрстуфхцчшщъыьэюя"
_GREEK = "αβγδεζηθικλμνξοπρσςτυφχψω"
_GUESSED = range(4, 17)  # letters of a word that may hold a slip; shorter ones would mean anything


class _Room(Func):
    """Stands for a condition that is put in later."""

    template = "@here@"
    output_field = BooleanField()


class _Rows:
    """The keys of these rows as SQL with room for a condition: compiled once, because that costs more than
    the database takes for a stage.
    """

    def __init__(self, rows: QuerySet[Any]) -> None:
        sql, self._values = rows.order_by().filter(_Room()).values("pk").query.sql_with_params()
        self._head, self._tail = sql.split(_Room.template)
        self._before = self._head.count("%s")

    def where(self, condition: str, values: Sequence[Any]) -> _Sql:
        sql = f"{self._head}{condition}{self._tail}"
        return sql, [*self._values[: self._before], *values, *self._values[self._before :]]


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


def stages_of(rows: QuerySet[Any], text: str) -> tuple[str, list[Any]]:
    """(`WITH ..., found (id, stage) AS (...)`, its parameters). Raises EmptyResultSet for too short a text.

    A stage is read from an unlimited CTE under a LIMIT: so the planner counts the cost of all its rows and
    takes the index, and the executor stops at the limit. A later one stands behind a condition on the counts
    of those before, and is not run at all when it fails.
    """
    words = search_words(text)
    if sum(map(len, words)) < SHORTEST:
        raise EmptyResultSet
    table, those = rows.model._meta.db_table, _Rows(rows)
    clauses: list[str] = [_big(table)]
    parameters: list[Any] = []
    names: list[int] = []
    for stage, (sql, values) in _asked(rows, those, text, words):
        before = " UNION ".join(f"SELECT id FROM some_{name}" for name in names)  # noqa: S608
        few = f"(SELECT count(*) FROM ({before}) AS hit) < {ENOUGH}"  # noqa: S608
        gate = few if stage >= PART else "true"
        some = f"SELECT id FROM all_{stage} WHERE {gate} LIMIT {CANDIDATES}"  # noqa: S608
        if stage in {WORD_START, PART}:
            recent, typed = _recent(table, those, words, stage, gate)
            clauses.append(recent)
            parameters += typed
            many = (
                f"(SELECT count(*) >= {ENOUGH} AND count(*) * (SELECT n FROM big) >= {CANDIDATES * RECENT}"  # noqa: S608
                f" FROM recent_{stage})"
            )
            some = (
                f"SELECT id FROM recent_{stage} WHERE {many} UNION ALL "  # noqa: S608
                f"(SELECT id FROM all_{stage} WHERE {gate} AND {many} IS NOT TRUE LIMIT {CANDIDATES})"
            )
        if stage == SLIP:
            forms, others = _slip_queries(words)
            sql = f"SELECT found.id FROM unnest(%s::tsquery[]) AS slip (form), LATERAL ({sql}) AS found (id)"  # noqa: S608
            # behind IS TRUE no index condition: a scan for all the other words' forms with each form of this
            some = (
                f"SELECT id FROM {table} WHERE id = ANY (ARRAY({some}))"  # noqa: S608
                f" AND ({_vector_of(shown_text(table))} @@ %s::tsquery) IS TRUE"
            )
            values = (forms, *values, others)
        clauses += [f"all_{stage} (id) AS MATERIALIZED ({sql})", f"some_{stage} AS MATERIALIZED ({some})"]
        parameters += values
        names.append(stage)
    found = " UNION ALL ".join(f"SELECT id, {name} AS stage FROM some_{name}" for name in names)  # noqa: S608
    return f"WITH {', '.join(clauses)}, found AS ({found})", parameters


def _asked(rows: QuerySet[Any], those: "_Rows", text: str, words: list[str]) -> Iterator[tuple[int, _Sql]]:
    """The stages that this text can have, each with the statement of its rows."""
    table = rows.model._meta.db_table
    if hasattr(rows.model, "match_keys") and not is_hiding() and (keys := keys_of_text(text)):
        owned = rows.order_by().filter(match_keys__kind=keys[0], match_keys__value__in=keys[1])
        yield EXACT, owned.values("pk").query.sql_with_params()
    yield WORD_START, those.where(*_also_shown(table, words, _begin(table, words)))
    if any(map(_has_parts, words)):
        yield PART, those.where(*_also_shown(table, words, _contain(table, words)))
    if any(map(_is_guessed, words)):
        yield SLIP, those.where(f"{_vector(table)} @@ slip.form", ())


def _vector(table: str) -> str:
    """The words of a row, as the index has them."""
    return _vector_of(f"{table}.search_text")


def _vector_of(text: str) -> str:
    return WORDS.extra["template"] % {"expressions": text}


def shown_text(table: str) -> str:
    """The text of a row that is searched, without what is hidden from who asks."""
    return (
        f"regexp_replace({table}.search_text, '{_ADDRESS}', '', 'g')"
        if is_hiding()
        else f"{table}.search_text"
    )


def _also_shown(table: str, words: list[str], found: _Sql) -> _Sql:
    """The condition, and that each word stands in what is shown, too."""
    if not is_hiding():
        return found
    condition, values = found
    shown = f" AND {shown_text(table)} LIKE %s" * len(words)
    return f"({condition}){shown}", [*values, *(f"%{_escaped(word)}%" for word in words)]


def _big(table: str) -> str:
    """The clause `big (first, last, n)`: the ends of a table of about n rows. No row for one below BIG."""
    return f"""big (first, last, n) AS MATERIALIZED (
        SELECT (SELECT min(id) FROM {table}), (SELECT max(id) FROM {table}), reltuples
          FROM pg_class WHERE oid = '{table}'::regclass AND reltuples >= {BIG})"""  # noqa: S608


def _recent(table: str, those: "_Rows", words: list[str], stage: int, gate: str) -> _Sql:
    """The clause `recent_<stage> (id)`, and its parameters: the newest NEWEST that this stage would find
    among the RECENT newest rows. Empty unless `gate` holds and COMMON of the SAMPLE are such rows.
    """
    patterns = [
        f"%{_escaped(word)}%" if stage == PART and _has_parts(word) else f"% {_escaped(word)}%"
        for word in words
    ]
    # every word follows a space now, and no index fits
    holds = " AND ".join([f"(' ' || {table}.search_text) LIKE %s"] * len(patterns))
    last = "(SELECT last FROM big)"
    near = f"{table}.id > {last} - {RECENT} AND {table}.id <= {last} AND {holds}"
    sql, values = those.where(*_also_shown(table, words, (near, patterns)))
    common = f"""(SELECT count(*) >= {COMMON} FROM big, generate_series(1, {SAMPLE}) AS step, LATERAL (
        SELECT search_text FROM {table} WHERE id >= first + (last - first) / {SAMPLE} * step - 1
         ORDER BY id LIMIT 1) AS {table} WHERE {holds})"""  # noqa: S608
    newest = f"{sql} ORDER BY {table}.id DESC LIMIT {NEWEST}"
    clause = f"SELECT * FROM ({newest}) AS newest WHERE {gate} AND {common}"  # noqa: S608
    return f"recent_{stage} (id) AS MATERIALIZED ({clause})", [*values, *patterns]


def keys_of_text(text: str) -> tuple[str, list[str]] | None:
    """The kind and forms of the match key that the whole text is, if it is one."""
    text = _clean(text)
    if "@" in text:
        return (KeyKind.EMAIL, [text.lower()]) if " " not in text else None
    if _PHONE.fullmatch(text):
        digits = re.sub(r"\D", "", text)
        return KeyKind.PHONE, [f"+{digits.removeprefix('00')}"]
    return None


def _begin(table: str, words: list[str]) -> _Sql:
    return f"{_vector(table)} @@ %s::tsquery", [" & ".join(map(_begins, words))]


def _contain(table: str, words: list[str]) -> _Sql:
    """Parts of words, and the beginnings of those that have none."""
    parts = [f"%{_escaped(word)}%" for word in words if _has_parts(word)]
    condition, values = " AND ".join([f"{table}.search_text LIKE %s"] * len(parts)), parts
    if starts := [word for word in words if not _has_parts(word)]:
        begin, begun = _begin(table, starts)
        return f"{condition} AND {begin}", [*values, *begun]
    return condition, values


def _has_parts(word: str) -> bool:
    """Whether it is looked for within words, too. Not an address from its beginning: all its trigrams are
    common, and who types so much of it begins where it begins.
    """
    return len(word) >= 3 and "@" not in word[1:]


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


def _escaped(word: str) -> str:
    """As a pattern of LIKE has it."""
    return re.sub(r"([\\%_])", r"\\\1", word)


def _quoted(word: str) -> str:
    """A whole word, as a tsquery has it."""
    escaped = word.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _begins(word: str) -> str:
    """A word that begins so."""
    return f"{_quoted(word)}:*"
