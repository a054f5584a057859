"""Pages by keyset: whole, in order, both ways, at one cost."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import signing
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from crm.models import Lead, ScoreSource
from tests.crm.api.conftest import Caller, assert_problem, fields
from tests.factories import make_lead, make_source

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.crm.api.probe_urls")]
URL = "/api/v1/leads/"


def make_scored(scores: list[int | None]) -> None:
    source, start = make_source("web"), datetime(2026, 1, 1, tzinfo=UTC)
    for index, score in enumerate(scores):
        lead = make_lead(
            name=str(index),
            source=source,
            score=score,
            score_source="" if score is None else ScoreSource.RULES,
        )
        Lead.objects.filter(pk=lead.pk).update(created_at=start + timedelta(minutes=index // 2))


def walk(api: Caller, ordering: str, limit: int) -> tuple[list[list[str]], list[list[str]]]:
    """All pages forwards, and then all pages back from the last."""
    forwards, backwards = [], []
    page = api.get(f"{URL}?ordering={ordering}&limit={limit}").json()
    assert page["previous"] is None
    forwards.append(page["results"])
    while page["next"]:
        page = api.get(page["next"]).json()
        forwards.append(page["results"])
    while page["previous"]:
        page = api.get(page["previous"]).json()
        backwards.append(page["results"])
        assert page["next"]
    return forwards, backwards


@pytest.mark.parametrize("ordering", ["-created_at", "-score", "score"])
@hypothesis_settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(scores=st.lists(st.one_of(st.none(), st.integers(0, 3)), max_size=12), limit=st.integers(1, 5))
def test_pages_hold_every_row_once_in_order_and_lead_back(
    api: Caller, ordering: str, scores: list[int | None], limit: int
):
    Lead.objects.all().delete()
    make_scored(scores)
    rows = list(Lead.objects.values("name", "score", "created_at", "id"))
    down = ordering.startswith("-")
    field = ordering.removeprefix("-")
    rows.sort(
        key=lambda row: (
            (row[field] is not None, row[field] or 0, row["id"])
            if field == "score"
            else (row[field], row["id"])
        ),
        reverse=down,
    )
    expected = [row["name"] for row in rows]
    forwards, backwards = walk(api, ordering, limit)
    assert [name for page in forwards for name in page] == expected
    assert all(len(page) == limit for page in forwards[:-1])
    assert [name for page in reversed(backwards) for name in page] == expected[
        : len(expected) - len(forwards[-1])
    ]


def test_a_page_that_emptied_leads_back_to_the_row_it_started_from(api: Caller):
    make_scored([5, 4, 3])
    second = api.get(f"{URL}?ordering=-score&limit=2").json()["next"]
    Lead.objects.filter(score=3).delete()
    page = api.get(second).json()
    assert (page["results"], page["next"]) == ([], None)
    assert api.get(page["previous"]).json()["results"] == ["0", "1"]


def test_a_row_that_comes_in_meanwhile_shifts_nothing(api: Caller):
    make_scored([1, 2, 3, 4])
    first = api.get(f"{URL}?limit=2").json()
    late = make_lead(name="late")
    Lead.objects.filter(pk=late.pk).update(created_at=timezone.now())
    assert api.get(first["next"]).json()["results"] == ["1", "0"]
    assert first["results"] == ["3", "2"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=abc", "limit"),
        ("limit=1e2", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=", "limit"),
        ("ordering=name", "ordering"),
        ("ordering=owner__password", "ordering"),
        ("ordering=-id", "ordering"),
        ("ordering=a.b", "ordering"),
        ("ordering=", "ordering"),
        ("cursor=", "cursor"),
        ("cursor=abc", "cursor"),
        ("cursor=%00", "cursor"),
        ("offset=1", "offset"),
        ("page=2", "page"),
    ],
)
def test_bad_paging_is_400(api: Caller, query: str, name: str):
    assert fields(assert_problem(api.get(f"{URL}?{query}"), 400, "invalid")) == [name]


def test_a_cursor_is_only_what_we_wrote(api: Caller):
    make_scored([1, 2, 3])
    link = api.get(f"{URL}?limit=1").json()["next"]
    assert_problem(api.get(f"{link}&ordering=score"), 400, "invalid")
    body, signature = link.split("cursor=")[1].rsplit("%3A", 1)
    assert_problem(api.get(f"{URL}?cursor={body[:-1]}:{signature}"), 400, "invalid")
    foreign = signing.Signer(salt="other").sign_object(["-created_at", "2026-01-01", 1, 0, 0])
    assert_problem(api.get(f"{URL}?cursor={foreign}"), 400, "invalid")


@pytest.mark.parametrize("ordering", ["-created_at", "-score"])
def test_a_page_is_one_query_and_has_no_offset_and_no_count(
    api: Caller, django_assert_num_queries: Any, ordering: str
):
    make_scored([1, 2, 3, None, None])
    link = api.get(f"{URL}?ordering={ordering}&limit=1").json()["next"]
    with django_assert_num_queries(3) as captured:  # token, rate, page
        api.get(link)
    text = " ".join(query["sql"] for query in captured).upper()
    assert "OFFSET" not in text
    assert "COUNT(" not in text
    assert "DISTINCT" not in text
