"""/api/v1/follow-ups/: read, write, edit, approve exactly what was read, dismiss."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from crm.models import FollowUp, FollowUpState, Lead, Message, User
from tests.crm.api.conftest import Caller, assert_problem, fields
from tests.factories import make_follow_up, make_lead, make_user

pytestmark = pytest.mark.django_db
URL = "/api/v1/follow-ups/"


@pytest.fixture
def lead(admin: User) -> Lead:
    return make_lead(name="Ada", email="customer@example.com", owner=admin)


def url_of(follow_up: FollowUp, what: str = "") -> str:
    return f"{URL}{follow_up.public_id}/{what}"


def post(api: Caller, follow_up: FollowUp, what: str, body: Any = None, match: str = "") -> Any:
    headers = {"If-Match": match} if match else {}
    return api.send("POST", url_of(follow_up, what), body, headers=headers)


def test_a_list_is_narrowed_by_state_lead_and_owner(api: Caller, lead: Lead):
    draft = make_follow_up(lead)
    make_follow_up(lead, state=FollowUpState.REJECTED, reject_reason="other")
    other = make_follow_up(make_lead(owner=make_user()), state=FollowUpState.STALE)
    for query, expected in {
        "": 3,
        "state=unsent": 1,
        "state=generated": 1,
        "state=sent": 0,
        f"lead={lead.public_id}": 2,
        f"lead={uuid4()}": 0,
        "owner=me": 2,
        f"owner={other.lead.owner.public_id}": 1,
    }.items():
        assert len(api.get(f"{URL}?{query}").json()["results"]) == expected, query
    for query in ("state=open", "lead=1", "lead=%00", "subject=x", "ordering=subject", "owner=x"):
        assert_problem(api.get(f"{URL}?{query}"), 400, "invalid")
    (row,) = api.get(f"{URL}?state=unsent").json()["results"]
    assert (row["id"], row["lead"]["name"], row["message"]) == (str(draft.public_id), "Ada", None)


def test_a_list_costs_three_statements(api: Caller, lead: Lead, django_assert_num_queries: Any):
    api.get(URL)
    for _count in range(5):
        make_follow_up(lead)
    with django_assert_num_queries(3):  # token, rate, page
        api.get(f"{URL}?owner=me")


def test_an_edit_names_the_version_it_saw_and_drops_an_approval(api: Caller, lead: Lead, admin: User):
    follow_up = make_follow_up(lead)
    edit = lambda match: api.send(
        "PATCH", url_of(follow_up), {"body": "Better words."}, headers={"If-Match": match} if match else {}
    )
    assert_problem(edit(""), 428, "precondition_required")
    stale = assert_problem(edit('"7"'), 412, "version_conflict")
    assert stale["current"] == api.get(url_of(follow_up)).json()
    done = edit('"1"')
    assert (done.status_code, done.json()["state"], done["ETag"]) == (200, "edited", '"2"')
    assert "Better words." in api.get(url_of(follow_up)).json()["body"]


@pytest.mark.parametrize(
    ("body", "named"),
    [({}, ""), ({"subject": ""}, "subject"), ({"body": 1}, "body"), ({"state": "sent"}, "state")],
)
def test_a_bad_edit_is_refused_by_field(api: Caller, lead: Lead, body: Any, named: str):
    follow_up = make_follow_up(lead)
    response = api.send("PATCH", url_of(follow_up), body, headers={"If-Match": '"1"'})
    assert fields(assert_problem(response, 400, "invalid")) == [named]
    assert FollowUp.objects.get().version == 1


def test_approval_is_of_the_version_that_was_read(api: Caller, lead: Lead, settings: Any):
    settings.MAIL_CATCHER = True
    follow_up = make_follow_up(lead)
    assert_problem(post(api, follow_up, "approve/"), 428, "precondition_required")
    assert_problem(post(api, follow_up, "approve/", match='"9"'), 412, "version_conflict")
    assert_problem(post(api, follow_up, "approve/", {"body": "other"}, '"1"'), 400, "invalid")
    assert FollowUp.objects.get().state == FollowUpState.GENERATED
    done = post(api, follow_up, "approve/", match='"1"')
    assert done.status_code == 200, done.content
    assert (done.json()["state"], done.json()["message"]["state"]) == ("scheduled", "queued")
    assert_problem(post(api, follow_up, "approve/", match=done["ETag"]), 409, "approval_refused")
    assert api.send("POST", f"/api/v1/undo/{done.json()['undo']['id']}/").status_code == 200
    assert api.get(url_of(follow_up)).json()["state"] == "approved"


def test_a_token_approves_only_with_its_own_scope_for_it(
    admin: User, lead: Lead, token_caller: Callable[..., Caller]
):
    follow_up = make_follow_up(lead)
    writer = token_caller(admin, ["read", "write"])
    assert_problem(post(writer, follow_up, "approve/", match='"1"'), 403, "scope_missing")
    assert_problem(post(writer, follow_up, "reject/", {"reason": "other"}), 403, "scope_missing")
    assert Message.objects.count() == 0


def test_a_draft_is_dismissed_with_a_known_reason(api: Caller, lead: Lead):
    follow_up = make_follow_up(lead)
    for bad in ({}, {"reason": "because"}, {"reason": 1}, {"reason": None}, {"reason": ["other"]}):
        assert fields(assert_problem(post(api, follow_up, "reject/", bad), 400, "invalid")) == ["reason"]
    long = post(api, follow_up, "reject/", {"reason": "other", "note": "x" * 301})
    assert fields(assert_problem(long, 400, "invalid")) == ["note"]
    done = post(api, follow_up, "reject/", {"reason": "wrong_tone", "note": "Too stiff."})
    assert done.json()["reject_note"] == "Too stiff."
    assert (done.status_code, done.json()["state"]) == (200, "rejected")
    assert_problem(post(api, follow_up, "reject/", {"reason": "other"}), 409, "transition_refused")


def test_a_person_writes_a_message_of_their_own(api: Caller, lead: Lead):
    body = {"lead": str(lead.public_id), "subject": "Your garden", "body": "Dear Ada,\n\nthank you."}
    done = api.send("POST", URL, body)
    assert done.status_code == 201, done.content
    assert done.json()["to_address"] == "customer@example.com"
    unseen = api.send("POST", URL, {**body, "lead": str(uuid4())})
    assert fields(assert_problem(unseen, 400, "invalid")) == ["lead"]
