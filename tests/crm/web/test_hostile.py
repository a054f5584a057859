"""Forms and addresses that no honest browser sends: refused in words, never a broken page."""

import base64
from datetime import UTC, datetime
from unittest import mock

import pytest
from django.db import DataError

from crm.models import Lead, LeadStatus
from tests.crm.web.pages import HTMX, signed_in
from tests.factories import make_admin, make_follow_up, make_lead

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser():
    return signed_in(make_admin())


@pytest.mark.parametrize(
    "when",
    ["0001-01-01T00:00", "9999-12-31T23:59", "9999-12-31T23:59:59-23:59", "2070-01-01T09:00"],
)
def test_a_step_cannot_be_planned_where_no_page_could_show_it(browser, when):
    lead = make_lead(status=LeadStatus.WORKING)
    answer = browser.post(f"/leads/{lead.public_id}/fields/plan/", {"value": when, "extra": "call"}, **HTMX)
    assert "within ten years" in answer.content.decode()
    assert Lead.objects.get().next_action_at is None
    assert browser.get("/").status_code == 200


def test_a_time_with_an_offset_that_postgresql_does_not_know_is_stored_in_utc(browser):
    lead = make_lead(status=LeadStatus.WORKING)
    at = datetime.now(UTC).replace(microsecond=0)
    text = at.replace(year=at.year + 1, month=1, day=2, hour=23, minute=59, second=0)
    browser.post(f"/leads/{lead.public_id}/snooze/", {"until": f"{text:%Y-%m-%dT%H:%M}+23:59"})
    assert Lead.objects.get().snoozed_until == text.replace(hour=0, minute=0)


@pytest.mark.parametrize(
    ("path", "field"), [("disqualify", "reason"), ("disqualify", "own"), ("note", "body")]
)
def test_a_nul_character_is_refused_in_words(browser, path, field):
    lead = make_lead(status=LeadStatus.WORKING)
    answer = browser.post(f"/leads/{lead.public_id}/{path}/", {field: "a\0b"}, **HTMX)
    assert answer.status_code == 200
    lead.refresh_from_db()
    assert lead.status == LeadStatus.WORKING


def test_an_instruction_with_a_nul_character_is_refused_in_words(browser):
    follow_up = make_follow_up(make_lead())
    answer = browser.post(f"/follow-ups/{follow_up.public_id}/rewrite/", {"instruction": "a\0b"}, **HTMX)
    assert "cannot be stored" in answer.content.decode()


def test_a_value_that_only_the_database_refuses_is_a_bad_request(browser):
    with mock.patch("crm.web.lead_changes.start_work", side_effect=DataError("value: secret")):
        answer = browser.post(f"/leads/{make_lead().public_id}/status/", {"to": "work"})
    assert answer.status_code == 400
    assert b"secret" not in answer.content


@pytest.mark.parametrize("marker", ["[Infinity,1]", "[1,Infinity]", "[NaN,1]", "[[],1]", "7"])
@pytest.mark.parametrize("sort", ["score", "newest"])
def test_a_page_marker_of_somebody_else_is_a_bad_request(browser, marker, sort):
    after = base64.urlsafe_b64encode(marker.encode()).decode().rstrip("=")
    assert browser.get("/leads/", {"after": after, "sort": sort}).status_code == 400


@pytest.mark.parametrize(
    "target", ["//[", "//evil.example", "/\\evil.example", "https:evil", "\t//evil.example"]
)
def test_a_form_leads_back_to_this_site_only(browser, target):
    answer = browser.post("/me/theme/", {"theme": "dark", "next": target})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")


def test_an_interest_that_nobody_can_see_does_not_stop_a_lead(browser, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        answer = browser.post("/leads/new/", {"name": "Ida", "interest": "\u202e\u200b\x7f"})
    assert answer.status_code == 302
    assert Lead.objects.get().name == "Ida"
