"""What one row of a file changed in all tables, and how that is taken back.

For the rows that bring records together: they may merge leads, make a contact and hang closed leads on it,
besides what they teach. Pictures of all that hangs on the persons whom the row meets, before and after, are
compared column by column. It is taken back whole, while nothing of it has changed since, or not at all.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db import connection

from crm.actions.merge_relations import relations
from crm.actions.persons import locked_proof
from crm.actions.scores import score_by_rules_batch
from crm.models import Contact, ImportStage, KeyKind, Lead, ScoreFactor

Picture = dict[str, dict[int, dict[str, Any]]]  # table -> id -> row
Change = dict[str, dict[str, Any]]  # "made", "changed", "gone" -> table -> rows
LEAD, CONTACT = Lead._meta.db_table, Contact._meta.db_table
STORY = ("crm.timelineevent", "crm.inquiry", "crm.contactpoint", "crm.leadstatuschange", "crm.tagging")
UNTIED = ("crm.importrow", "ai_agents.agenttask")  # rows that outlive the lead
BY_THEMSELVES = ("lead.scored", "lead.assigned")  # lines of the story that nobody wrote
JUDGED = ("crm_score", "crm_scorefactor")
SHOWN = ("score", "score_source")  # columns of the lead that follow from those


def met_by(row: ImportStage) -> tuple[set[int], set[int]]:
    """The leads and contacts of all persons who share a strong key with the row, by id."""
    keys = (
        (KeyKind.EXTERNAL, row.external_key),
        (KeyKind.EMAIL, row.email_key),
        (KeyKind.EMAIL, row.email_plain_key),
        (KeyKind.PHONE, row.phone_key),
    )
    proof = locked_proof(
        [(str(kind), value) for kind, value in keys if value], name=str(row.fields.get("name") or "")
    )
    persons = [person for person in (proof.person, *proof.same, *proof.others) if person]
    return (
        {lead.pk for person in persons for lead in person.leads},
        {person.contact.pk for person in persons if person.contact},
    )


def picture(leads: Iterable[int], contacts: Iterable[int]) -> Picture:
    """These records and every row that hangs on one of them. One query."""
    hangs_on: dict[str, list[str]] = defaultdict(list)
    for model, name in ((Lead, "leads"), (Contact, "contacts")):
        hangs_on[model._meta.db_table].append(f"id = ANY(%({name})s)")
        for relation in relations(model):
            if relation.label not in UNTIED:
                hangs_on[relation.model._meta.db_table].append(f"{relation.column} = ANY(%({name})s)")
    hangs_on[ScoreFactor._meta.db_table].append(
        "score_id IN (SELECT id FROM crm_score WHERE lead_id = ANY(%(leads)s))"
    )
    found: Picture = defaultdict(dict)
    with connection.cursor() as cursor:
        cursor.execute(
            " UNION ALL ".join(
                f"SELECT '{table}', id, to_jsonb(row)::text FROM {table} AS row"  # noqa: S608 our own names
                f" WHERE {' OR '.join(conditions)}"
                for table, conditions in hangs_on.items()
            ),
            {"leads": list(leads), "contacts": list(contacts)},
        )
        for table, pk, row in cursor:
            found[table][pk] = json.loads(row)
    return found


def difference(before: Picture, after: Picture) -> Change:
    """What came, what changed (column: [before, after]) and what went, as JSON."""
    change: Change = {"made": {}, "changed": {}, "gone": {}}
    for table in before.keys() | after.keys():
        was, now = before.get(table, {}), after.get(table, {})
        made = {str(pk): now[pk].get("version", 0) for pk in now.keys() - was.keys()}
        gone = [was[pk] for pk in sorted(was.keys() - now.keys())]
        changed = {str(pk): _columns(was[pk], now[pk]) for pk in was.keys() & now.keys()}
        for kind, rows in (
            ("made", made),
            ("gone", gone),
            ("changed", {k: v for k, v in changed.items() if v}),
        ):
            if rows:
                change[kind][table] = rows
    return change


def _columns(was: dict[str, Any], now: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: [was[name], now[name]] for name in was if was[name] != now[name] and name != "updated_at"}


def take_back(change: Change, *, lead_id: int, version: int) -> bool:
    """Undo it, if all is as it was left; False, and nothing done, if not. `version`: that of the row's own
    lead, which later rows of the file may have changed and given back. The caller holds the import lock and
    has declared maintenance. What has been judged anew since is judged again.
    """
    _hold(change)
    judged = _part(change, is_judged=True)
    rest = _part(change, is_judged=False)
    if not _is_as_left(rest, lead_id, version) or _is_in_use(change):
        return False
    is_exact = _is_as_left(judged, lead_id, version)
    for part in (judged, rest) if is_exact else (rest,):
        _delete(part)
        _restore(part)
        _insert(part)
    if not is_exact:
        score_by_rules_batch([int(pk) for pk in change["changed"].get(LEAD, {})])
    return True


def versions_before(change: Change) -> dict[int, int]:
    """Lead id -> the version that it had before the row, of the leads it changed."""
    changed = change["changed"].get(LEAD, {})
    return {int(pk): columns["version"][0] for pk, columns in changed.items() if "version" in columns}


def _part(change: Change, *, is_judged: bool) -> Change:
    """What scores make of it, or the rest."""
    part: Change = {
        kind: {table: rows for table, rows in tables.items() if (table in JUDGED) == is_judged}
        for kind, tables in change.items()
    }
    leads = {
        pk: {name: pair for name, pair in columns.items() if (name in SHOWN) == is_judged}
        for pk, columns in change["changed"].get(LEAD, {}).items()
    }
    part["changed"][LEAD] = {pk: columns for pk, columns in leads.items() if columns}
    return part


def _hold(change: Change) -> None:
    for model in (Lead, Contact):
        table = model._meta.db_table
        ids = {*change["made"].get(table, {}), *change["changed"].get(table, {})}
        list(model._default_manager.filter(pk__in=ids).order_by("pk").select_for_update(of=("self",)))


def _rows(table: str, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id::text, to_jsonb(row)::text FROM {table} AS row WHERE id = ANY(%s)",  # noqa: S608
            [[int(pk) for pk in ids]],
        )
        return {pk: json.loads(row) for pk, row in cursor.fetchall()}


def _is_as_left(change: Change, lead_id: int, version: int) -> bool:
    for table, made in change["made"].items():
        now = _rows(table, made)
        if table != LEAD and {pk: row.get("version", 0) for pk, row in now.items()} != made:
            return False
    for table, changed in change["changed"].items():
        now = _rows(table, changed)
        for pk, columns in changed.items():
            expected = {name: pair[1] for name, pair in columns.items()}
            if table == LEAD and int(pk) == lead_id and "version" in expected:
                expected["version"] = version
            if pk not in now or any(now[pk][name] != value for name, value in expected.items()):
                return False
    return True


def _is_in_use(change: Change) -> bool:
    """Whether somebody hung something on a contact that the row made, or told more of a lead that it made."""
    for model in (Lead, Contact):
        made = [int(pk) for pk in change["made"].get(model._meta.db_table, {})]
        for relation in relations(model) if made else ():
            if model is Lead and relation.label not in STORY:
                continue  # looked at for every row: undoing
            table = relation.model._meta.db_table
            ours = [*change["made"].get(table, {}), *change["changed"].get(table, {})]
            rows = relation.model._default_manager.filter(**{f"{relation.name}__in": made})
            if relation.label == "crm.timelineevent":
                rows = rows.exclude(kind__in=BY_THEMSELVES)
            if rows.exclude(pk__in=[int(pk) for pk in ours]).exists():
                return True
    return False


def _delete(change: Change) -> None:
    with connection.cursor() as cursor:
        for table, made in change["made"].items():
            if table != LEAD:  # that goes with all that came to hang on it: remove_leads
                ids = [int(pk) for pk in made]
                cursor.execute(f"DELETE FROM {table} WHERE id = ANY(%s)", [ids])  # noqa: S608


def _restore(change: Change) -> None:
    """The old values of the changed columns; a version goes on, so that nobody's old page passes for new."""
    for table, changed in change["changed"].items():
        alike: dict[frozenset[str], list[dict[str, Any]]] = defaultdict(list)
        for pk, columns in changed.items():
            old = {name: pair[0] for name, pair in columns.items()}
            alike[frozenset(columns)].append({"id": int(pk), **old})
        for names, rows in alike.items():
            sets = [
                "version = now.version + 1" if name == "version" else f'"{name}" = old."{name}"'
                for name in sorted(names)
            ]
            with connection.cursor() as cursor:
                cursor.execute(
                    f"UPDATE {table} AS now SET {', '.join(sets)}"  # noqa: S608
                    f" FROM jsonb_populate_recordset(NULL::{table}, %s::jsonb) AS old WHERE now.id = old.id",
                    [json.dumps(rows)],
                )


def _insert(change: Change) -> None:
    with connection.cursor() as cursor:
        for table, rows in change["gone"].items():
            cursor.execute(
                f"INSERT INTO {table} SELECT * FROM jsonb_populate_recordset(NULL::{table}, %s::jsonb)"  # noqa: S608
                " ON CONFLICT DO NOTHING",
                [json.dumps(rows)],
            )
