"""What the SQL of a RunSQL does to tables that have rows and are in use.

Read statement by statement, without a parser of the whole language. The body of a function is left out, since
it does not run now; that of a DO block does, and is read.
"""

import re
from collections.abc import Iterator
from typing import Any

from gardenos.migration_lint.model_changes import VALIDATES_LATE, Before

_CONTRACT = "what the release before may still use; do it in a contract migration, a release later"
_INDEX = "builds an index under lock; add CONCURRENTLY and atomic = False"
_UNIQUE = "builds an index under lock; CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT ... USING INDEX"
_READS = "reads a whole table under lock; ADD CONSTRAINT ... NOT VALID, validated later"
_REWRITES = "rewrites a table under lock; a new column, filled in batches"
_COLUMN = r"^ALTER (COLUMN )?\w+ "
_PLAIN = r"(now|statement_timestamp|transaction_timestamp)"  # the same for all rows of one statement
_STATEMENTS = (
    (r"^DROP (TABLE|(MATERIALIZED )?VIEW|SCHEMA|TYPE|DOMAIN|SEQUENCE|EXTENSION|OWNED)", f"drops {_CONTRACT}"),
    (r"^ALTER .*\bRENAME ", f"renames {_CONTRACT}"),
    (r"^(ALTER .*\bSET SCHEMA |TRUNCATE )", f"takes away {_CONTRACT}"),
    (r"^CREATE (UNIQUE )?INDEX (?!CONCURRENTLY)", _INDEX),
    (r"^REINDEX (?!.*\bCONCURRENTLY\b)", _INDEX),
    (r"^REFRESH MATERIALIZED VIEW (?!CONCURRENTLY)", "locks the readers of a view out; add CONCURRENTLY"),
    (r"^(VACUUM ?\(?.*\bFULL\b|CLUSTER)", _REWRITES),
    (r"^LOCK ", "locks a table until the migration ends"),
    (
        r"^(UPDATE|DELETE) (?!.*\bWHERE )",
        "writes every row in one go; RunPython, in batches, with atomic = False",
    ),
)
_CHANGES = (  # of one ALTER TABLE, between its commas
    (r"^SET (LOGGED|UNLOGGED|TABLESPACE|ACCESS)\b", _REWRITES),
    (r"^DROP (?!CONSTRAINT )", f"drops {_CONTRACT}"),
    (rf"{_COLUMN}(SET DATA )?TYPE ", _REWRITES),
    (rf"{_COLUMN}SET NOT NULL", "reads a whole table under lock; a check that is NOT VALID, validated later"),
    (rf"{_COLUMN}DROP (DEFAULT|IDENTITY|EXPRESSION)", f"takes away a value that is {_CONTRACT}"),
    (r"^ADD (CONSTRAINT \w+ )?(CHECK|FOREIGN KEY)\b(?!.* NOT VALID)", _READS),
    (r"^ADD (CONSTRAINT \w+ )?(UNIQUE|PRIMARY KEY|EXCLUDE)\b(?! USING INDEX)", _UNIQUE),
)
_NEW_COLUMN = re.compile(
    r"^ADD (COLUMN )?(?!(CONSTRAINT|CHECK|FOREIGN|UNIQUE|PRIMARY|EXCLUDE)\b)", re.IGNORECASE
)
_NEW_COLUMNS = (
    (r"^(?!.* DEFAULT ).* NOT NULL\b", "adds a column that is NOT NULL without a DEFAULT"),
    (r" (UNIQUE|PRIMARY KEY)\b", _UNIQUE),
    (r" CHECK ?\(| REFERENCES .*DEFAULT | DEFAULT .*REFERENCES ", _READS),
    (rf" GENERATED | (BIG|SMALL)?SERIAL\b| DEFAULT (?!{_PLAIN} ?\()[\w.]+ ?\(", _REWRITES),
)
_TABLE = re.compile(
    r"^(?:ALTER (?:MATERIALIZED )?(?:TABLE|VIEW)|CREATE (?:UNIQUE )?INDEX .*? ?\bON|REINDEX TABLE|UPDATE"
    r"|DELETE FROM|TRUNCATE(?: TABLE)?|LOCK(?: TABLE)?|CREATE (?:UNLOGGED )?TABLE|CLUSTER|DROP TABLE)"
    r" (?:IF (?:NOT )?EXISTS )?(?:ONLY )?(?:public\.)?(\w+)",
    re.IGNORECASE,
)
_FUNCTION = re.compile(
    r"^(CREATE|CREATE OR REPLACE|DROP) FUNCTION (?:IF EXISTS )?(?:public\.)?(\w+)", re.IGNORECASE
)


def sql_risks(sql: Any, before: Before) -> Iterator[str]:
    """Why it could stop the release before it: each continues the sentence "SQL that ...".

    `sql` as RunSQL takes it: text, or a list of texts and of (text, parameters).
    """
    parts = (
        [sql] if isinstance(sql, str) else [part if isinstance(part, str) else part[0] for part in sql or ()]
    )
    statements = [statement for part in parts for statement in _statements(part)]
    yield from _lost_functions(statements)
    for statement in statements:
        found = _TABLE.match(statement)
        table = found[1].lower() if found else ""
        if re.match(r"CREATE (UNLOGGED )?TABLE ", statement, re.IGNORECASE):
            before.new.add(table)
        elif table not in before.new:
            yield from _judged(statement, table, before)


def _statements(text: str) -> Iterator[str]:
    """Each on one line, without comments, texts, function bodies and the quotes of names."""
    text = re.sub(r"--[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)
    text = re.sub(
        r"(\bDO\s+(?:LANGUAGE\s+\w+\s+)?)?(\$\w*\$)(.*?)\2", _body, text, flags=re.DOTALL | re.IGNORECASE
    )
    text = re.sub(r"'(?:[^']|'')*'", "''", text)
    text = re.sub(r'"([^"]+)"', lambda name: re.sub(r"\W", "_", name[1]), text)
    for statement in text.split(";"):
        if line := " ".join(statement.split()):
            yield line


def _body(found: re.Match[str]) -> str:
    """A DO block's steps as statements, the texts that it executes included."""
    if not found[1]:
        return "''"
    return ";" + re.sub(r"'|\b(BEGIN|THEN|ELSE|LOOP|DECLARE)\b", ";", found[3], flags=re.IGNORECASE) + ";"


def _lost_functions(statements: list[str]) -> Iterator[str]:
    """A function that is made again, with other arguments perhaps, is not lost."""
    verbs = [(found[1].upper(), found[2].lower()) for found in map(_FUNCTION.match, statements) if found]
    kept = {name for verb, name in verbs if verb != "DROP"}
    if any(verb == "DROP" and name not in kept for verb, name in verbs):
        yield f"drops {_CONTRACT}"


def _judged(statement: str, table: str, before: Before) -> Iterator[str]:
    yield from _matching(_STATEMENTS, statement)
    if not re.match(r"ALTER TABLE ", statement, re.IGNORECASE):
        return
    for change in _between_commas(statement[_TABLE.match(statement).end() :]):  # type: ignore[union-attr]
        if _NEW_COLUMN.match(change):
            yield from _matching(_NEW_COLUMNS, change)
        elif re.match(r"VALIDATE CONSTRAINT ", change, re.IGNORECASE):
            yield from [VALIDATES_LATE] if table in before.locked else []
            continue  # locks nobody out
        else:
            yield from _matching(_CHANGES, change)
        before.note_lock(table)


def _matching(rules: tuple[tuple[str, str], ...], text: str) -> Iterator[str]:
    for pattern, why in rules:
        if re.search(pattern, text, re.IGNORECASE):
            yield why


def _between_commas(text: str) -> Iterator[str]:
    """The parts of a list, where commas inside of brackets part nothing."""
    depth, part = 0, ""
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            yield part.strip()
            part = ""
        else:
            part += letter
    yield part.strip(" *")
