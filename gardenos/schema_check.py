"""Does the live database look as the migrations left it? Compares PostgreSQL's catalogue with the models."""

from collections.abc import Iterator

import pgtrigger
from django.apps import apps
from django.db import connection, models

from crm.models import HISTORY

COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
      AND a.attnum > 0 AND NOT a.attisdropped
"""
NAMES = """
    SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND convalidated
    UNION SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE c.relnamespace = 'public'::regnamespace AND i.indisvalid
"""
TRIGGERS = """
    SELECT tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = 'public'::regnamespace AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
"""
# Made by the migrations' SQL, so that no model tells of them: what holds back a text nobody approved.
CONSTRAINTS_BY_SQL = ("crm_followup_hash_is_true", "crm_opportunity_state_follows_stage")
TRIGGERS_BY_SQL = (
    *(f"{model._meta.db_table}_append_only" for model in HISTORY.values()),
    *(trigger.get_pgid(model) for model, trigger in pgtrigger.registered()),
    *(
        f"crm_{noun}_count_{what}"
        for noun in ("lead", "opportunity")
        for what in ("insert", "update", "delete")
    ),
    "ai_agents_agentcall_append_only",
    "crm_auditlog_insert_only",
    "crm_auditseal_insert_only",
    "crm_followup_not_while_sending",
    "crm_leadstatuschange_append_only",
    "crm_message_is_approved",
    "crm_scoreoutcome_append_only",
    "crm_scoreoverride_append_only",
    "crm_stagechange_append_only",
    "crm_timelineevent_append_only",
)
SPELLINGS = {"varchar": "character varying", "serial": "integer", "bigserial": "bigint"}

Live = dict[str, dict[str, tuple[str, bool]]]  # table -> column -> (type, may it be null)


def schema_differences() -> list[str]:
    """What the live schema lacks or has otherwise than the models, one short sentence each. Three
    queries.
    """
    live: Live = {}
    with connection.cursor() as cursor:
        cursor.execute(COLUMNS)
        for table, column, kind, is_required in cursor.fetchall():
            live.setdefault(table, {})[column] = (kind, not is_required)
        cursor.execute(NAMES)
        names = {name for (name,) in cursor.fetchall()}
        cursor.execute(TRIGGERS)
        triggers = {name for (name,) in cursor.fetchall()}
    found = [f"constraint {name} is missing" for name in CONSTRAINTS_BY_SQL if name not in names]
    found += [
        f"trigger {name} is missing or switched off" for name in TRIGGERS_BY_SQL if name not in triggers
    ]
    for model in apps.get_models(include_auto_created=True):
        if model._meta.managed and not model._meta.proxy:
            found += _columns_of(model, live)
            found += _names_of(model, names)
    return found


def _columns_of(model: type[models.Model], live: Live) -> Iterator[str]:
    table = model._meta.db_table
    if table not in live:
        yield f"table {table} is missing"
        return
    wanted = {
        field.column: (_spelt(field.db_type(connection) or ""), field.null)
        for field in model._meta.local_concrete_fields
    }
    for column, (kind, may_be_null) in wanted.items():
        if column not in live[table]:
            yield f"column {table}.{column} is missing"
            continue
        live_kind, live_null = live[table][column]
        is_wider_key = (
            model._meta.auto_created and column == "id" and live_kind == "bigint"
        )  # of a through table
        if live_kind != kind and not is_wider_key:
            yield f"column {table}.{column} is {live_kind}, not {kind}"
        if live_null != may_be_null:
            yield f"column {table}.{column} {'may be' if live_null else 'may not be'} NULL"
    for column in live[table].keys() - wanted.keys():
        yield f"column {table}.{column} is unknown to the code"


def _names_of(model: type[models.Model], names: set[str]) -> Iterator[str]:
    for thing in (*model._meta.constraints, *model._meta.indexes):
        if thing.name not in names:
            kind = "index" if isinstance(thing, models.Index) else "constraint"
            yield f"{kind} {thing.name} is missing or not valid"


def _spelt(kind: str) -> str:
    """Django's name of a column type, as PostgreSQL writes it."""
    word, bracket, rest = kind.partition("(")
    return SPELLINGS.get(word, word) + bracket + rest.replace(", ", ",")
