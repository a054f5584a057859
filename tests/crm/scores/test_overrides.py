"""A person's score of a lead: shown with who and why until it ends, whatever is judged meanwhile."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from crm import clock
from crm.actions.base import undo
from crm.actions.overrides import end_overrides, lift_override, override_score
from crm.actions.scores import record_score, score_by_rules
from crm.errors import CRMError, UndoRefused
from crm.models import Actor, Lead, Score, ScoreOverride, TimelineEvent
from crm.tasks import sweep
from tests.crm.scores.test_scores import model_score
from tests.factories import actor, make_admin, make_lead

pytestmark = pytest.mark.django_db


@pytest.fixture
def judged() -> Lead:
    lead = make_lead(message="Hello.")
    model_score(lead, 41)
    return shown(lead)


def shown(lead: Lead) -> Lead:
    return Lead.objects.get(pk=lead.pk)


def what(lead: Lead) -> tuple[int | None, str]:
    return shown(lead).score, shown(lead).score_source


def set_to_90(lead: Lead, by: Actor, **more: Any) -> Lead:
    return override_score(lead.pk, by=by, value=90, reason="Called me", **more)


def test_a_persons_score_is_shown_and_the_judgement_is_kept(judged):
    set_to_90(judged, actor(make_admin()))
    assert what(judged) == (90, "override")
    assert Score.objects.get(lead=judged, kind="model", is_current=True).value == 41
    blend = Score.objects.get(lead=judged, kind="blend", is_current=True)
    assert (blend.value, blend.blended_from) == (90, "override")
    assert ScoreOverride.objects.get().score.value == 41  # what was overridden


def test_later_judgements_do_not_overwrite_it_and_say_so(judged):
    set_to_90(judged, actor(make_admin()))
    model_score(judged, 12)
    score_by_rules(judged.pk)
    assert what(judged) == (90, "override")
    line = TimelineEvent.objects.filter(lead=judged, kind="lead.scored").order_by("-pk").first()
    assert line.summary == "Judged 12; 90, set by a person, stays"


def test_a_lifted_score_follows_the_newest_judgement(judged):
    me = actor(make_admin())
    set_to_90(judged, me)
    model_score(judged, 12)
    lift_override(judged.pk, by=me, reason="They bought elsewhere")
    assert what(judged) == (12, "model")
    record_score(judged.pk, kind="rules", value=30, by=me)
    model_score(judged, 55)
    assert what(judged) == (55, "model")


def test_it_ends_by_itself_and_the_story_tells_it(judged):
    set_to_90(judged, actor(make_admin()), until=clock.now() + timedelta(days=7))
    assert end_overrides(clock.now() + timedelta(days=6)) == 0
    assert end_overrides(clock.now() + timedelta(days=7, minutes=1)) == 1
    assert what(judged) == (41, "model")
    assert "has ended" in TimelineEvent.objects.get(lead=judged, kind="lead.score_override_ended").summary


def test_an_older_end_does_not_end_a_newer_score(judged, monkeypatch):
    me = actor(make_admin())
    set_to_90(judged, me, until=clock.now() + timedelta(days=1))
    override_score(judged.pk, by=me, value=80, reason="Again")
    assert end_overrides(clock.now() + timedelta(days=2)) == 0
    assert what(judged) == (80, "override")


def test_the_sweep_ends_what_is_over(judged, monkeypatch):
    set_to_90(judged, actor(make_admin()), until=clock.now() + timedelta(days=1))
    later = clock.now() + timedelta(days=2)
    monkeypatch.setattr(clock, "now", lambda: later)
    sweep()
    assert what(judged) == (41, "model")


def test_undo_brings_the_judged_score_back(judged):
    me = actor(make_admin())
    undo(set_to_90(judged, me).undo_offer.public_id, by=me)
    assert what(judged) == (41, "model")


def test_undo_of_a_lift_brings_the_persons_score_back(judged):
    me = actor(make_admin())
    set_to_90(judged, me)
    undo(lift_override(judged.pk, by=me, reason="Oops").undo_offer.public_id, by=me)
    assert what(judged) == (90, "override")


def test_undo_is_refused_once_somebody_else_set_the_score(judged):
    me = actor(make_admin())
    offer = set_to_90(judged, me).undo_offer
    override_score(judged.pk, by=actor(make_admin()), value=10, reason="No")
    with pytest.raises(UndoRefused):
        undo(offer.public_id, by=me)


def test_a_lead_that_nothing_judged_has_no_score_after_the_lift():
    me, lead = actor(make_admin()), make_lead()
    Lead.objects.filter(pk=lead.pk).update(score=None, score_source="")
    Score.objects.filter(lead=lead).delete()
    set_to_90(lead, me)
    lift_override(lead.pk, by=me, reason="No")
    assert what(lead) == (None, "")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"value": 101}, "value"),
        ({"value": True}, "value"),
        ({"reason": " \n "}, "reason"),
        ({"reason": "x" * 301}, "reason"),
        ({"until": clock.now() - timedelta(days=1)}, "until"),
        ({"until": clock.now() + timedelta(days=800)}, "until"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name_and_changes_nothing(judged, changes, field):
    wanted = {"value": 90, "reason": "Called me"} | changes
    with pytest.raises(CRMError) as refused:
        override_score(judged.pk, by=actor(make_admin()), **wanted)
    assert refused.value.field == field
    assert what(judged) == (41, "model")


def test_neither_an_agent_nor_the_system_sets_a_score(judged):
    for nobody in (Actor.agent("LeadAnalysisAgent"), Actor.system()):
        with pytest.raises(CRMError):
            set_to_90(judged, nobody)
        assert not ScoreOverride.objects.exists()


def test_the_api_shows_who_set_it_and_why(judged, client):
    me = make_admin(name="Mara Lind")
    client.force_login(me)
    url = f"/api/v1/leads/{judged.public_id}/"
    body = {"value": 90, "reason": "Called me"}
    changed = client.post(f"{url}override/", body, content_type="application/json")
    assert (changed.status_code, changed.json()["score"]) == (200, 90)
    assert changed.json()["undo"]
    note = client.get(url).json()["override"]
    assert (note["value"], note["reason"], note["until"]) == (90, "Called me", None)
    assert note["by"]["name"] == "Mara Lind"
    client.post(f"{url}lift-override/", {"reason": "No"}, content_type="application/json")
    assert client.get(url).json()["override"] is None


def test_the_page_sets_and_lifts_it_and_says_whose_it_is(judged, client: Client):
    client.force_login(make_admin(name="Mara Lind"))
    url = f"/leads/{judged.public_id}/"
    sheet = client.get(f"{url}override/").content.decode()
    assert 'name="reason"' in sheet
    client.post(f"{url}override/", {"value": "90", "reason": "Called me", "days": "7"})
    page = client.get(url).content.decode()
    assert "Set by Mara Lind" in page
    assert "Called me" in page
    assert "Estimate: 41" in page
    wrong = client.post(f"{url}override/", {"value": "900", "reason": "x", "days": ""}).content.decode()
    assert "from 0 to 100" in wrong
    client.post(f"{url}override/", {"lift": "1", "reason": "No", "value": "90", "days": ""})
    assert what(judged) == (41, "model")
