"""GET /api/v1/events/, the feed without a socket; and the feed's upkeep."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from crm import events, feed
from crm.actions.housekeeping import delete_expired
from crm.actions.outbox import prune_outbox, renew_epoch
from crm.actions.tokens import create_token
from crm.models import OutboxEvent
from tests.crm.live.conftest import happen
from tests.crm.live.test_feed import wait_until_settled
from tests.factories import make_lead, make_user

pytestmark = pytest.mark.django_db(transaction=True)
EVENTS = "/api/v1/events/"


@pytest.fixture(autouse=True)
def _only_the_api(settings):
    settings.MIDDLEWARE = [
        "crm.api.request_ids.RequestIdMiddleware",
        "crm.api.problems.ApiProblemMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ]


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_the_first_answer_is_a_cursor_and_the_next_ones_are_what_happened():
    user = make_user()
    lead, foreign = make_lead(owner=user), make_lead(owner=make_user())
    client = signed_in(user)
    first = client.get(EVENTS, {"topic": "today"}).json()
    assert (first["results"], first["resync"], first["more"]) == ([], False, False)
    happen(events.LeadChanged(lead.pk), events.LeadChanged(foreign.pk), events.NoteAdded(lead.pk, 1))
    wait_until_settled()
    answer = client.get(EVENTS, {"topic": ["today"], "since": first["seq"]}).json()
    assert [(event["type"], event["topic"], event["ids"]) for event in answer["results"]] == [
        ("lead.changed", "today", {"lead": str(lead.public_id)}),
        ("note.added", "today", {"lead": str(lead.public_id)}),
    ]
    again = client.get(EVENTS, {"topic": "today", "since": answer["seq"]}).json()
    assert again["results"] == []


def test_several_topics_come_in_one_answer():
    user = make_user()
    lead = make_lead(owner=user)
    since = feed.current_seq()
    happen(events.LeadChanged(lead.pk), events.AgentPoolChanged("follow_up"))
    wait_until_settled()
    topics = ["today", f"lead:{lead.public_id}", "agents"]
    answer = signed_in(user).get(EVENTS, {"topic": topics, "since": since}).json()
    assert [event["topic"] for event in answer["results"]] == ["today", f"lead:{lead.public_id}", "agents"]


def test_a_token_that_may_read_may_follow():
    user = make_user()
    lead = make_lead(owner=user)
    for scopes, status in ((["read"], 200), (["write"], 403)):
        _token, text = create_token(user, name="n", scopes=scopes)
        client = Client(headers={"Authorization": f"Bearer {text}"})
        assert client.get(EVENTS, {"topic": f"lead:{lead.public_id}"}).status_code == status
    assert Client().get(EVENTS, {"topic": "today"}).status_code == 401


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 400),
        ({"topic": "everything"}, 400),
        ({"topic": ""}, 400),
        ({"topic": "today", "since": "yesterday"}, 400),
        ({"topic": "today", "since": ["a", "b"]}, 400),
        ({"topic": "today", "limit": "5"}, 400),
        ({"topic": [f"lead:{uuid4()}" for _ in range(21)]}, 400),
        ({"topic": ["today", f"lead:{uuid4()}"]}, 404),
    ],
)
def test_a_question_that_makes_no_sense_is_a_problem_document(query, status):
    response = signed_in(make_user()).get(EVENTS, query)
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"


def test_somebody_elses_lead_does_not_exist():
    foreign = make_lead(owner=make_user())
    assert signed_in(make_user()).get(EVENTS, {"topic": f"lead:{foreign.public_id}"}).status_code == 404


def test_an_unknown_epoch_is_answered_with_a_resync_and_a_fresh_cursor():
    client = signed_in(make_user())
    answer = client.get(EVENTS, {"topic": "today", "since": "deadbeef-1-1"}).json()
    assert (answer["results"], answer["resync"]) == ([], True)
    assert not client.get(EVENTS, {"topic": "today", "since": answer["seq"]}).json()["resync"]


def test_asking_costs_few_statements(django_assert_max_num_queries):
    user = make_user()
    lead = make_lead(owner=user)
    client = signed_in(user)
    since = client.get(EVENTS, {"topic": "today"}).json()["seq"]
    happen(*[events.LeadChanged(lead.pk) for _ in range(50)])
    wait_until_settled()
    with django_assert_max_num_queries(5):  # session, user, rate, feed, audience
        assert len(client.get(EVENTS, {"topic": "today", "since": since}).json()["results"]) == 50


# --- upkeep ------------------------------------------------------------------------------------------------
def make_old(rows, hours: float) -> None:
    rows.update(at=timezone.now() - timedelta(hours=hours))


@pytest.mark.parametrize("prune", [prune_outbox, delete_expired])
def test_after_24_hours_events_go_and_cursors_from_before_them_are_known_as_too_old(prune):
    lead = make_lead()
    before = feed.current()
    happen(*[events.LeadChanged(lead.pk) for _ in range(5)])
    make_old(OutboxEvent.objects, 25)
    wait_until_settled()
    after = feed.current()
    happen(events.NoteAdded(lead.pk, 1))
    assert prune(timezone.now()) == 9
    assert prune(timezone.now()) == 0
    wait_until_settled()
    assert feed.read(before).is_gap
    assert [event.type for event in feed.read(after, topics=["today"]).events] == ["note.added"]


def test_events_of_the_last_24_hours_stay():
    lead = make_lead()
    happen(events.LeadChanged(lead.pk))
    make_old(OutboxEvent.objects, 23.9)
    assert prune_outbox(timezone.now()) == 0


def test_pruning_goes_on_over_many_slices(monkeypatch):
    monkeypatch.setattr("crm.actions.outbox.SLICE", 3)
    lead = make_lead()
    happen(*[events.LeadChanged(lead.pk) for _ in range(5)])
    make_old(OutboxEvent.objects, 30)
    assert prune_outbox(timezone.now()) == 9


def test_a_new_epoch_forgets_every_event_and_cursor():
    lead = make_lead()
    old = feed.current()
    happen(events.LeadChanged(lead.pk))
    epoch = renew_epoch()
    assert OutboxEvent.objects.count() == 0
    assert feed.current().epoch == epoch != old.epoch
    assert feed.read(old).is_gap
