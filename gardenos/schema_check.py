"""Does the live database look as the migrations left it? Compares PostgreSQL's catalogue with the models and
with what the migrations make by SQL, both ways: what is missing, and what somebody added by hand.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection, models

from gardenos.schema_by_sql import made_by_sql

COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           CASE WHEN a.attidentity = '' THEN pg_get_expr(d.adbin, d.adrelid) END
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
      AND a.attnum > 0 AND NOT a.attisdropped
"""
# name, kind (as pg_constraint.contype, or i for an index), table, its columns in order ('' for an expression)
RULES = """
    SELECT conname, contype::text, t.relname, convalidated,
           ARRAY(SELECT a.attname::text FROM unnest(conkey) WITH ORDINALITY AS k (n, at)
                 JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = k.n ORDER BY at)
    FROM pg_constraint JOIN pg_class t ON t.oid = conrelid
    WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'f', 'c', 'x')
    UNION ALL
    SELECT c.relname, CASE WHEN i.indisunique THEN 'u' ELSE 'i' END, t.relname, i.indisvalid,
           ARRAY(SELECT coalesce(a.attname::text, '') FROM unnest(i.indkey) WITH ORDINALITY AS k (n, at)
                 LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n ORDER BY at)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
    WHERE c.relnamespace = 'public'::regnamespace
      AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid AND contype IN ('p', 'u', 'x'))
"""
TRIGGERS = """
    SELECT tgname, c.relname, tgenabled IN ('O', 'A') FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = 'public'::regnamespace AND NOT t.tgisinternal
"""
FUNCTIONS = """
    SELECT proname FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
    AND NOT EXISTS (SELECT FROM pg_depend
                    WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')
"""
VIEWS = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')"
WORDS = {"p": "primary key", "u": "unique constraint", "f": "foreign key", "c": "check", "i": "index"}
_BY_DJANGO = re.compile(r"_[0-9a-f]{8}(_\w+)?$|_(key|pkey|check|uniq)$")
SPELLINGS = {
    "time": "time without time zone",
    "varchar": "character varying",
    "serial": "integer",
    "bigserial": "bigint",
}


@dataclass(frozen=True, slots=True)
class Column:
    kind: str
    may_be_null: bool
    default: str | None


Live = dict[str, dict[str, Column]]  # table -> column


def schema_differences() -> list[str]:
    """What the live schema lacks, has otherwise or has besides the code, one short sentence each. Five
    queries, and one for each default that is JSON, a moment or the like.
    """
    live: Live = {}
    for table, column, kind, is_required, default in _rows(COLUMNS):
        live.setdefault(table, {})[column] = Column(kind, not is_required, default)
    rules = _rows(RULES)
    known = _known_models()
    return [
        *_tables(known, live),
        *_missing_names(known, {name for name, _kind, _table, is_valid, _columns in rules if is_valid}),
        *_unknown_rules(known, rules),
        *_triggers(),
        *_unknown("function", (name for (name,) in _rows(FUNCTIONS))),
        *_unknown("view", (name for (name,) in _rows(VIEWS))),
    ]


def _rows(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall()


def _known_models() -> list[type[models.Model]]:
    return [
        model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy
    ]


def _tables(known: list[type[models.Model]], live: Live) -> Iterator[str]:
    names = {model._meta.db_table for model in known}
    cache = settings.CACHES["default"].get("LOCATION")
    for table in sorted(
        live.keys() - names - made_by_sql()["table"] - {"django_migrations", cache, "gardenos_cache"}
    ):
        yield f"table {table} is unknown to the code"
    for model in known:
        yield from _columns_of(model, live)


def _columns_of(model: type[models.Model], live: Live) -> Iterator[str]:
    table = model._meta.db_table
    if table not in live:
        yield f"table {table} is missing"
        return
    wanted = {field.column: field for field in model._meta.local_concrete_fields}
    for column, field in wanted.items():
        if column not in live[table]:
            yield f"column {table}.{column} is missing"
            continue
        found = live[table][column]
        kind = _spelt(field.db_type(connection) or "")
        is_wider_key = model._meta.auto_created and column == "id" and found.kind == "bigint"  # through table
        if found.kind != kind and not is_wider_key:
            yield f"column {table}.{column} is {found.kind}, not {kind}"
        if found.may_be_null != field.null:
            yield f"column {table}.{column} {'may be' if found.may_be_null else 'may not be'} NULL"
        default = default_of(field)
        if found.default != default and not field.generated and not _is_serial(field, found.default):
            yield f"column {table}.{column} has the default {found.default}, not {default}"
    for column in live[table].keys() - wanted.keys():
        yield f"column {table}.{column} is unknown to the code"


def default_of(field: models.Field) -> str | None:
    """The default that the database keeps; Django's own defaults are not among them."""
    if not field.has_db_default():
        return None
    with connection.schema_editor(collect_sql=True) as editor:
        sql, values = editor.db_default_sql(field)
    if values:
        return str(sql) % tuple(_literal(value, field) for value in values)
    return str(sql).lower().removeprefix("(").removesuffix(")") if str(sql).startswith("(") else str(sql)


def _literal(value: Any, field: models.Field) -> str:
    """A plain default as PostgreSQL shows it. What is neither number nor text it writes itself: JSON orders
    its keys, a moment has the session's time zone.
    """
    if isinstance(value, bool | int | float | Decimal):
        text = str(value).lower()
        kind = "numeric" if isinstance(value, float | Decimal) else "integer"
        return f"'{text}'::{kind}" if text.startswith("-") else text
    kind = _spelt(field.db_type(connection) or "")
    if not isinstance(value, str):
        ((value,),) = _rows(f"SELECT CAST(%s AS {kind})::text", value)
    quoted = value.replace("'", "''")
    return f"'{quoted}'::{kind.partition('(')[0]}"


def _is_serial(field: models.Field, default: str | None) -> bool:
    return isinstance(field, models.AutoField) and (default or "").startswith("nextval(")


def _missing_names(known: list[type[models.Model]], names: set[str]) -> Iterator[str]:
    for name in sorted(made_by_sql()["constraint"] - names):
        yield f"constraint {name} is missing or not valid"
    for name in sorted(made_by_sql()["index"] - names):
        yield f"index {name} is missing or not valid"
    for model in known:
        for thing in (*model._meta.constraints, *model._meta.indexes):
            if thing.name not in names:
                kind = "index" if isinstance(thing, models.Index) else "constraint"
                yield f"{kind} {thing.name} is missing or not valid"


def _unknown_rules(known: list[type[models.Model]], rules: list[tuple[Any, ...]]) -> Iterator[str]:
    """Constraints and indexes that have no name of ours and that no field asks for."""
    named = {thing.name for model in known for thing in (*model._meta.constraints, *model._meta.indexes)}
    named |= made_by_sql()["constraint"] | made_by_sql()["index"]
    wanted = Counter(slot for model in known for slot in _asked_for(model))
    known_tables = {model._meta.db_table for model in known} | made_by_sql()["table"]
    for name, kind, table, _is_valid, columns in sorted(rules, key=_django_names_first):
        if name in named or table not in known_tables:
            continue
        slot = (table, kind, tuple(columns))
        if wanted[slot]:
            wanted[slot] -= 1
        else:
            yield f"{WORDS.get(kind, 'constraint')} {name} on {table} is unknown to the code"


def _django_names_first(rule: tuple[Any, ...]) -> tuple[bool, str]:
    """Of two alike, the one with Django's way of naming is the one that the code made."""
    name = rule[0]
    return not _BY_DJANGO.search(name), name


def _asked_for(model: type[models.Model]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """The unnamed constraints and indexes that Django makes of the fields, as (table, kind, columns)."""
    table = model._meta.db_table
    for field in model._meta.local_concrete_fields:
        slot = (str(field.column),)
        if field.primary_key:
            yield table, "p", slot
        elif field.unique:
            yield table, "u", slot
        elif getattr(field, "db_index", False):
            yield table, "i", slot
        if isinstance(field, models.CharField | models.TextField) and (
            field.primary_key or field.unique or getattr(field, "db_index", False)
        ):
            yield table, "i", slot  # for LIKE
        if field.remote_field is not None and getattr(field, "db_constraint", False):
            yield table, "f", slot
        if field.db_check(connection):
            yield table, "c", slot
    for fields in model._meta.unique_together:
        yield table, "u", tuple(str(model._meta.get_field(name).column) for name in fields)  # type: ignore[union-attr]


def _triggers() -> Iterator[str]:
    live = {name: is_on for name, _table, is_on in _rows(TRIGGERS)}
    for name in sorted(made_by_sql()["trigger"]):
        if not live.get(name):
            yield f"trigger {name} is missing or switched off"
    yield from _unknown("trigger", live)


def _unknown(kind: str, names: Iterable[str]) -> Iterator[str]:
    for name in sorted(set(names) - made_by_sql()[kind]):
        yield f"{kind} {name} is unknown to the code"


def _spelt(kind: str) -> str:
    """Django's name of a column type, as PostgreSQL writes it."""
    word, bracket, rest = kind.partition("(")
    return SPELLINGS.get(word, word) + bracket + rest.replace(", ", ",")
