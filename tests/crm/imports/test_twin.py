"""The set-based import and `receive_inquiry` are twins: the same rows leave the same tables."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from crm import clock
from crm.actions.intake import default_source, receive_inquiry
from crm.actions.leads import disqualify_lead, snooze_lead
from crm.actions.persons import contact_of
from crm.imports.columns import Column
from crm.imports.reading import Row
from crm.imports.rows import RowConverter
from crm.models import Channel, CustomField, Lead, Tag
from tests.crm.imports.files import SYSTEM, csv_of, run
from tests.tables import TRACE_COLUMNS, compared_tables

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HEADER = (
    "Record ID",
    "Name",
    "Company",
    "E-mail",
    "Phone",
    "Country",
    "Value",
    "Message",
    "Words",
    "Garden",
    "Visits",
)
FIELDS = ("external_id", "name", "company", "email", "phone", "country", "est_value", "message", "tags")
MAPPING = dict(zip(HEADER, (*FIELDS, "custom:garden", "custom:visits"), strict=True))
IDS_INSIDE = (  # of crm_mergelog: ids and versions, which differ between the two ways
    *("loser", "winner_before", "winner_after", "moved", "removed", "altered", "created", "keys"),
    *("winner_version", "loser_version"),
)
PUBLIC_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
words = st.sampled_from(
    ["", "Ada", "Ada Grün", "Ada Gruen", "José Berg", "Jose Bergh", "O'Neill", "=1+1", "李", "Zoë  B", "🌿"]
)
rows = st.tuples(
    st.integers(0, 6),  # the id at the source
    st.integers(0, 4),  # whose address, and whose phone: rows may bring two of our records together
    st.integers(0, 4),
    words,  # name
    st.sampled_from(["", "Fern & Co", "Fern & Co Ltd", "Grün GmbH"]),
    st.sampled_from(["", "p{n}@x.example", "P{n}+a@Gärten.example", "p{n}@gmail.com"]),
    st.sampled_from(["", "+4930555{n:05d}", "+44 20 7946 00{n:02d}"]),
    st.sampled_from(["", "DE", "Germany", "gb"]),
    st.sampled_from(["", "1200", "1,234.50", "0"]),
    st.sampled_from(["", "Please quote\na pond, budget €5000.", "just looking", "call me"]),
    st.sampled_from(["", "VIP", "vip; Fair", "Fair,VIP,Fair"]),  # tags
    st.sampled_from(["", "roof", "patio"]),
    st.sampled_from(["", "3", "2.5"]),
)


def without_twins(content: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Of rows of one file that share a key the first goes in. A skipped row's keys count as well."""
    kept, seen = [], set()
    for row in content:
        if not seen & keys_of(row):
            kept.append(row)
        seen |= keys_of(row)
    return kept


def keys_of(row: tuple[Any, ...]) -> set[str]:
    person, mail, phone = row[0], row[1], row[2]
    keys = {f"id-{person}"}
    keys |= {f"mail-{mail}-{row[5].lower().replace('+a', '')}"} if row[5] else set()
    return keys | ({f"phone-{phone}-{row[6]}"} if row[6] else set())


files = st.lists(st.lists(rows, min_size=1, max_size=5), min_size=1, max_size=4)
# What was before the files came: people who are contacts, with or without a lead; closed leads.
pasts = st.lists(st.sampled_from(["nothing", "closed", "contact", "contact only", "asleep"]), max_size=5)


def cells_of(row: tuple[Any, ...]) -> list[str]:
    number, mail, ring, name, company, email, phone, *rest = row
    return [f"id-{number}", name, company, email.format(n=mail), phone.format(n=ring), *rest]


def happen(past: Sequence[str]) -> None:
    """What was before: the person `n` of the strategy's addresses and phones, in this state."""
    for n, state in enumerate(past):
        if state == "nothing":
            continue
        payload = {"name": f"Old Friend {n}", "email": f"p{n}@x.example", "phone": f"+4930555{n:05d}"}
        lead = receive_inquiry(channel=Channel.MANUAL, payload=payload, by=SYSTEM).lead
        if state.startswith("contact"):
            lead.contact = contact_of(lead)
            lead.save_changed("contact")
        if state == "asleep":
            snooze_lead(lead.pk, by=SYSTEM, until=NOON + timedelta(days=9))
        if state in {"closed", "contact"}:
            disqualify_lead(lead.pk, by=SYSTEM, reason="no budget")
        if state == "contact only":
            Lead.objects.filter(pk=lead.pk).update(deleted_at=NOON)


def as_csv(rows: Sequence[tuple[Any, ...]]) -> bytes:
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in cells_of(row)) for row in rows]
    return csv_of(",".join(HEADER), *quoted)


def tables() -> dict[str, list[Any]]:
    """All rows without ids and trace columns, in a fixed order; leads and contacts are known by their words.

    Left out on purpose: an import tells of no single score, so its timeline has no line "lead.scored"; and it
    judges a lead once for all rows that it writes together, so scores that the next row ended are left out.
    """
    found = {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM crm_score WHERE is_current")
        current = {pk for (pk,) in cursor.fetchall()}
        names_of = {}
        words = {"crm_lead": "search_text", "crm_contact": "search_text", "crm_tag": "name"}
        for table, column in words.items():
            cursor.execute(f"SELECT id, {column} FROM {table}")
            names_of[table] = {None: None, **dict(cursor.fetchall())}
        for table in compared_tables():
            cursor.execute(f'SELECT * FROM "{table}"')
            names, content = [column.name for column in cursor.description], cursor.fetchall()
            of_score = {"crm_score": "id", "crm_scorefactor": "score_id"}.get(table)
            if of_score:
                content = [record for record in content if record[names.index(of_score)] in current]
            left_out = {
                *TRACE_COLUMNS,
                "score_id",
                *(["source_id"] if table == "crm_scorefactor" else []),
                *(IDS_INSIDE if table == "crm_mergelog" else []),
            }
            to = {
                column: other[1]
                for column, other in connection.introspection.get_relations(cursor, table).items()
                if other[1] in names_of
            }
            records = [
                [
                    names_of[to[name]][value] if name in to else _plain(value)
                    for name, value in zip(names, record, strict=True)
                    if name not in left_out
                ]
                for record in content
            ]
            found[table] = sorted((record for record in records if "lead.scored" not in record), key=repr)
    return found


def _plain(value: Any) -> Any:
    """Equal for equal meaning: numbers without trailing zeros, and no public ids inside of texts."""
    if isinstance(value, Decimal):
        return value.normalize()
    return PUBLIC_ID.sub("<id>", value) if isinstance(value, str) else value


def by_import(contents: list[list[tuple[Any, ...]]]) -> dict[str, list[Any]]:
    for content in contents:
        job = run(as_csv(content), mapping=MAPPING, policy="create", empty_words=[])
        assert job.rows_failed == 0, [row.message for row in job.rows.all()]
        named = job.rows.filter(message__contains="line ").count()
        assert named == len(content) - len(without_twins(content)), "each twin names the line of the first"
    return tables()


def by_intake(contents: list[list[tuple[Any, ...]]]) -> dict[str, list[Any]]:
    columns = [Column(name, name.lower()) for name in HEADER]
    types = dict(CustomField.objects.values_list("key", "type"))
    converter = RowConverter(columns, MAPPING, source=default_source(Channel.CSV), field_types=types)
    for content in contents:
        for number, row in enumerate(without_twins(content), start=1):
            staged = converter.convert(Row(number, number + 1, cells_of(row)))
            payload = {**staged.fields, **({"custom": staged.custom} if staged.custom else {})}
            key = f"row:{staged.row_hash}"
            receive_inquiry(channel=Channel.CSV, payload=payload, by=SYSTEM, idempotency_key=key)
    return tables()


BLANK = ("",) * 6  # country, value, message, words, garden, visits
TWINS = [  # the 2nd has the 1st one's address, the 3rd only the phone of the 2nd, the 4th the id of the 1st
    (0, 0, 0, "Ada", "", "p{n}@x.example", "", *BLANK),
    (1, 0, 1, "Ada Grün", "", "P{n}@x.example", "+4930555{n:05d}", *BLANK),
    (2, 1, 1, "José Berg", "", "", "+4930555{n:05d}", *BLANK),
    (0, 2, 2, "O'Neill", "", "", "", *BLANK),
    (3, 3, 3, "Zoë  B", "", "p{n}@gmail.com", "", *BLANK),
]
BRIDGE = [  # the first row of the second file makes a lead a known contact's; the second brings another to it
    [
        (5, 3, 0, "José Berg", "", "p{n}@gmail.com", "", *BLANK),
        (2, 3, 0, "José Berg", "", "", "+4930555{n:05d}", *BLANK),
    ],
    [
        (5, 1, 2, "José Berg", "", "p{n}@x.example", "", *BLANK),
        (2, 4, 1, "José Berg", "", "p{n}@gmail.com", "+4930555{n:05d}", *BLANK),
    ],
]


def how_often(most: int) -> settings:
    return settings(
        max_examples=most,
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes with a database
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


@pytest.mark.timeout(600)
@example(contents=[TWINS], past=["closed", "contact"])
@example(contents=BRIDGE, past=["asleep", "contact only"])
@how_often(10)
@given(contents=files, past=pasts)
def test_the_same_rows_leave_the_same_tables_by_either_way(
    contents: list[list[tuple[Any, ...]]], past: list[str]
):
    compare(contents, past)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@how_often(150)
@given(contents=files, past=pasts)
def test_the_same_rows_leave_the_same_tables_in_a_long_run(
    contents: list[list[tuple[Any, ...]]], past: list[str]
):
    compare(contents, past)


def compare(contents: list[list[tuple[Any, ...]]], past: list[str]) -> None:
    default_source(Channel.CSV)
    default_source(Channel.MANUAL)
    left = []
    for way in (by_import, by_intake):
        with transaction.atomic(), clock.frozen(NOON):
            happen(past)
            Tag.objects.bulk_create([Tag(name="VIP"), Tag(name="Fair")])
            CustomField.objects.create(key="garden", label="Garden", type="text")
            CustomField.objects.create(key="visits", label="Visits", type="number")
            left.append(way(contents))
            transaction.set_rollback(True)
    for table in compared_tables():
        ours, intake = left[0][table], left[1][table]
        if ours != intake:
            only = [f"import alone {row}" for row in ours if row not in intake]
            only += [f"intake alone {row}" for row in intake if row not in ours]
            pytest.fail("\n".join([f"{table}: {len(ours)} rows and {len(intake)}", *only]), pytrace=False)
