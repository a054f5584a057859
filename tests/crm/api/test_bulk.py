"""/api/v1/bulk/: ask, watch, read what became of each record, undo; who may, and what is refused."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from crm import clock
from crm.actions.bulk_running import advance_bulk
from crm.actions.opportunities import create_opportunity
from crm.actions.pipelines import default_pipeline
from crm.models import Actor, BulkRow, Job, Lead, LeadStatus, Opportunity, Role, Stage, Tag, Tagging
from tests.crm.api.conftest import Caller, assert_problem, fields
from tests.factories import make_lead, make_team, make_user

pytestmark = pytest.mark.django_db
ROOT = "/api/v1/bulk/"


def work() -> None:
    for job in Job.objects.filter(kind="bulk"):
        while advance_bulk(job.pk, seconds=5):
            pass


def ids(*records: Any) -> list[str]:
    return [str(record.public_id) for record in records]


def test_a_bulk_act_is_asked_for_watched_and_undone(api: Caller, django_assert_num_queries: Any):
    owner = make_user()
    open_one, closed = (
        make_lead(),
        make_lead(name="Closed", status=LeadStatus.CONVERTED, converted_at=clock.now()),
    )
    body = {"act": "disqualify", "ids": ids(open_one, closed, owner), "reason": "no budget"}
    asked = api.send("POST", ROOT, body)
    assert asked.status_code == 202
    place = asked["Location"]
    assert place.endswith(f"{ROOT}{asked.json()['id']}/")
    assert (asked.json()["state"], asked.json()["total"], asked.json()["missing"]) == ("queued", 2, 1)
    assert (asked.json()["undo"], asked.json()["counts"]) == (None, {})
    work()
    done = api.get(place).json()
    assert (done["state"], done["done"], done["is_taken_back"]) == ("done", 2, False)
    assert (done["counts"]["changed"], done["counts"]["refused"]) == (1, 1)
    assert done["refusals"][0]["name"] == "Closed"
    rows = api.get(f"{place}rows/").json()["results"]
    assert [(row["id"], row["state"]) for row in rows] == [
        (str(open_one.public_id), "changed"), (str(closed.public_id), "refused"),
    ]  # fmt: skip
    refused = api.get(f"{place}rows/?state=refused").json()["results"]
    assert [row["id"] for row in refused] == ids(closed)
    assert_problem(api.send("POST", f"{place}cancel/", {}), 409, "transition_refused")
    assert api.send("POST", f"/api/v1/undo/{done['undo']['id']}/", {}).status_code == 200
    work()
    back = api.get(place).json()
    assert (back["is_taken_back"], back["counts"]["undone"], back["undo"]) == (True, 1, None)
    assert Lead.objects.get(pk=open_one.pk).status == LeadStatus.NEW
    told = open_one.timeline.order_by("-pk").values_list("actor_kind", "actor_label")
    assert len(set(told[:2])) == 1, "the token is told for the way back as for the way there"
    assert told[0][0] == "api"
    api.send("POST", ROOT, body)
    work()
    with django_assert_num_queries(4):  # token, rate, page, offers
        listed = api.get(ROOT).json()["results"]
    assert back["id"] in [one["id"] for one in listed]


def test_every_act_takes_what_it_needs(api: Caller):
    tag, owner, later = Tag.objects.create(name="VIP"), make_user(), clock.now() + timedelta(days=3)
    lead = make_lead()
    stages = list(default_pipeline().stages.filter(kind="open").order_by("position"))
    card = create_opportunity(by=Actor.system(), name="Terrace", stage=stages[0])
    on_card = {"target": "opportunity", "ids": ids(card)}
    for body in (
        {"act": "assign", "owner": str(owner.public_id), "ids": ids(lead)},
        {"act": "tag", "tag": "vip", "filters": {"owner": str(owner.public_id)}},
        {"act": "snooze", "until": later.isoformat(), "reason": "on leave", "ids": ids(lead)},
        {"act": "stage", "stage": str(stages[1].public_id), **on_card},
        {"act": "tag", "tag": "VIP", **on_card},
        {"act": "assign", "owner": None, **on_card},
    ):
        answer = api.send("POST", ROOT, body)
        assert answer.status_code == 202, answer.content
        work()
        assert api.get(answer["Location"]).json()["counts"]["refused"] == 0, body
    lead.refresh_from_db()
    assert (lead.owner, lead.status, lead.snoozed_until) == (owner, LeadStatus.NURTURING, later)
    assert Opportunity.objects.get().stage == Stage.objects.get(pk=stages[1].pk)
    assert Tagging.objects.filter(tag=tag).count() == 2


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "act"),
        ({"act": "sell"}, "act"),
        ({"act": "disqualify", "reason": "r"}, "ids"),
        ({"act": "disqualify", "reason": "r", "ids": []}, "ids"),
        ({"act": "disqualify", "reason": "r", "ids": ["x"]}, "ids.0"),
        ({"act": "disqualify", "reason": "r", "ids": "{lead}"}, "ids"),
        ({"act": "disqualify", "reason": "r", "ids": ["{lead}"] * 10_001}, "ids"),
        ({"act": "disqualify", "reason": "r", "ids": ["{lead}"], "filters": {}}, "ids"),
        ({"act": "disqualify", "reason": "r", "filters": {"colour": "red"}}, "filters.colour"),
        ({"act": "disqualify", "reason": "r", "filters": {"score": 5}}, "filters.score"),
        ({"act": "disqualify", "ids": ["{lead}"]}, "reason"),
        ({"act": "disqualify", "ids": ["{lead}"], "reason": "r" * 201}, "reason"),
        ({"act": "disqualify", "ids": ["{lead}"], "reason": "r", "owner": None}, "owner"),
        ({"act": "disqualify", "ids": ["{lead}"], "reason": "r", "colour": "red"}, "colour"),
        ({"act": "assign", "ids": ["{lead}"], "owner": "nobody"}, "owner"),
        ({"act": "assign", "ids": ["{lead}"]}, "owner"),
        ({"act": "tag", "ids": ["{lead}"], "tag": "none such"}, "tag"),
        ({"act": "snooze", "ids": ["{lead}"], "until": "2001-01-01T00:00:00Z"}, "until"),
        ({"act": "snooze", "ids": ["{lead}"], "until": "tomorrow"}, "until"),
        ({"act": "stage", "ids": ["{lead}"], "stage": "0" * 32}, "stage"),
        (
            {"act": "stage", "target": "opportunity", "filters": {"score": "hot"}, "stage": "{stage}"},
            "filters.score",
        ),
        ({"act": "snooze", "target": "contact", "ids": ["{lead}"], "until": "2099-01-01T00:00:00Z"}, "act"),
    ],
)
def test_what_is_wrong_is_named_and_starts_nothing(api: Caller, body: dict[str, Any], named: str):
    values = {
        "{lead}": str(make_lead().public_id),
        "{stage}": str(default_pipeline().stages.first().public_id),
    }

    def fill(value: Any) -> Any:
        if isinstance(value, list):
            return [fill(one) for one in value]
        return values.get(value, value) if isinstance(value, str) else value

    answer = api.send("POST", ROOT, {name: fill(value) for name, value in body.items()})
    problem = assert_problem(answer, 400, "invalid")
    assert named in [name.split("[")[0] for name in fields(problem)]
    assert not Job.objects.exists()
    assert not BulkRow.objects.exists()


def test_a_key_starts_a_bulk_act_once(api: Caller):
    body = {"act": "disqualify", "ids": ids(make_lead()), "reason": "r"}
    first = api.send("POST", ROOT, body, HTTP_IDEMPOTENCY_KEY="k1")
    again = api.send("POST", ROOT, body, HTTP_IDEMPOTENCY_KEY="k1")
    assert (first.json()["id"], again.status_code) == (again.json()["id"], 202)
    assert Job.objects.count() == 1
    assert api.send("POST", ROOT, body | {"reason": "s"}, HTTP_IDEMPOTENCY_KEY="k1").status_code == 422


def test_a_token_acts_within_its_scopes_and_its_owners_sight(token_caller: Callable[..., Caller]):
    team = make_team()
    rep = make_user(Role.REP, team=team)
    mine, theirs = make_lead(owner=rep, team=team), make_lead(owner=make_user(), team=team)
    writer = token_caller(rep, scopes=["read", "write"])
    body = {"act": "assign", "ids": ids(mine), "owner": None}
    assert_problem(writer.send("POST", ROOT, body), 403, "permission_refused")
    asked = writer.send("POST", ROOT, {"act": "disqualify", "ids": ids(mine, theirs), "reason": "r"})
    assert (asked.json()["total"], asked.json()["missing"]) == (1, 1)
    work()
    assert Lead.objects.get(pk=theirs.pk).status == LeadStatus.NEW
    stranger = token_caller(make_user(), scopes=["read", "write"])
    assert stranger.get(asked["Location"]).status_code == 404
    assert stranger.get(f"{asked['Location']}rows/").status_code == 404
    reader = token_caller(rep, scopes=["read"])
    assert_problem(reader.send("POST", ROOT, body), 403, "scope_missing")
