"""Fits on the CRM's own outcomes: when there is history enough, only if better, and who may choose."""

import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from ai_agents.actions.fitting import (
    history,
    is_held_out,
    refit,
    release_model,
    statistics_status,
    stop_statistics,
    use_model,
)
from ai_agents.actions.statistics import active_model
from ai_agents.models import ScoringModel
from crm import clock
from crm.errors import PermissionRefused, TransitionRefused
from crm.models import Actor, AuditLog, CustomField, Lead, Role
from tests.ai_agents.scoring.conftest import MakeHistory
from tests.factories import make_source, make_user

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system()


def test_without_history_it_abstains_and_says_what_is_missing(make_history: MakeHistory):
    assert refit() == statistics_status().sentence == "Not enough history: 0 of 100 outcomes."
    make_history(12)
    assert refit() == statistics_status().sentence == "Not enough history: 12 of 100 outcomes."
    assert not ScoringModel.objects.exists()


def test_a_hundred_of_one_kind_are_not_enough(make_history: MakeHistory):
    make_history(110, outcome="lost")
    assert refit() == "Not enough history: 0 won and 110 lost, 10 of each are needed."


@pytest.mark.parametrize(
    "fields",
    [
        {"outcome": "unknown", "outcome_at": None, "outcome_from": ""},
        {"deleted_at": clock.now()},
    ],
)
def test_leads_without_a_definite_outcome_do_not_count(make_history: MakeHistory, fields: dict[str, Any]):
    make_history(20, **fields)
    assert history().count == 0


def test_an_outcome_after_the_horizon_does_not_count(make_history: MakeHistory):
    leads = make_history(20)
    Lead.objects.filter(pk__in=[lead.pk for lead in leads]).update(
        created_at=clock.now() - timedelta(days=92)
    )
    assert history().count == 0


def test_sample_leads_teach_nothing(make_history: MakeHistory):
    make_history(20, source=make_source("demo-website"))
    assert history().count == 0


def test_a_fit_on_enough_history_becomes_active_and_says_why(make_history: MakeHistory):
    make_history(200)
    note = refit()
    model = ScoringModel.objects.get()
    assert model.is_active
    assert model.note == note
    assert note.startswith("Active: Brier 0.")
    assert "on 40 held-out leads, base rate 0." in note
    assert model.rows == 160
    assert model.metrics["brier"] < model.metrics["base_brier"]
    assert statistics_status().is_active
    assert statistics_status().sentence.startswith("Learned from 160 outcomes")
    assert AuditLog.objects.filter(action="scoringmodel.active", target_id=str(model.public_id)).exists()


def test_held_out_leads_are_never_fitted_on(make_history: MakeHistory, monkeypatch: pytest.MonkeyPatch):
    leads = make_history(200)
    held = [lead for lead in leads if is_held_out(lead.public_id)]
    assert len(held) == 40
    Lead.objects.filter(pk__in=[lead.pk for lead in held]).update(custom={"job": "Held out"})
    refit()
    weights = ScoringModel.objects.get().weights["features"]
    assert {word for one in weights for word in one["weights"]} == {"Owner", "Student"}


def test_a_fit_that_only_says_the_base_rate_is_refused(make_history: MakeHistory):
    leads = make_history(200)
    Lead.objects.filter(pk__in=[lead.pk for lead in leads]).update(custom={})
    assert refit().startswith("Refused, no better than the base rate: Brier")
    assert not ScoringModel.objects.get().is_active


def test_a_worse_refit_is_refused_and_its_row_says_so(make_history: MakeHistory):
    make_history(200)
    refit()
    first = active_model()
    turned = make_history(120, turned=True)
    held = [lead.pk for lead in turned if is_held_out(lead.public_id)]  # these go: what is held out stays
    Lead.objects.filter(pk__in=held).update(deleted_at=clock.now())
    note = refit()
    assert note.startswith("Refused, no better than the present fit: Brier")
    assert active_model() == first
    refused = ScoringModel.objects.get(is_active=False)
    assert refused.note == note
    assert refused.metrics["present_brier"] < refused.metrics["brier"]


def test_without_new_outcomes_nothing_is_fitted_again(make_history: MakeHistory):
    make_history(200)
    refit()
    assert refit() == "No outcome is new since the last fit."
    assert ScoringModel.objects.count() == 1


def test_a_better_fit_takes_the_place_and_the_old_one_says_so(make_history: MakeHistory):
    make_history(200, turned=True)
    refit()
    old = active_model()
    Lead.objects.all().update(deleted_at=clock.now())
    make_history(200)
    assert refit().startswith("Active: ")
    assert old is not None
    old.refresh_from_db()
    assert not old.is_active
    assert old.note.startswith("Replaced by a better fit on ")


def test_fields_that_do_not_count_are_not_looked_at(make_history: MakeHistory, job_field: CustomField):
    CustomField.objects.filter(pk=job_field.pk).update(is_scored=False)
    make_history(200)
    assert refit().startswith("Refused, no better than the base rate")


@pytest.fixture
def two_fits(make_history: MakeHistory) -> tuple[ScoringModel, ScoringModel]:
    """(resting, active)"""
    make_history(200)
    refit()
    active = ScoringModel.objects.get()
    resting = ScoringModel.objects.create(rows=5, weights=active.weights, note="Replaced")
    return resting, active


def test_a_person_goes_back_to_an_earlier_fit_and_no_refit_replaces_it(
    two_fits: tuple[ScoringModel, ScoringModel], make_history: MakeHistory
):
    resting, active = two_fits
    admin = make_user(Role.ADMIN, name="Ada")
    use_model(resting.public_id, by=Actor.of(admin))
    for model in two_fits:
        model.refresh_from_db()
    assert (resting.is_active, resting.is_pinned, active.is_active) == (True, True, False)
    assert resting.note.startswith("Ada chose this fit of ")
    assert active.note.startswith("Ada went back to the fit of ")
    stored = {**resting.weights, "intercept": 2.0}
    ScoringModel.objects.filter(pk=resting.pk).update(weights=stored)
    make_history(30, outcome_at=clock.now())
    assert refit().startswith("Not taken, a person chose the present fit")
    release_model(by=Actor.of(admin))
    make_history(30, outcome_at=clock.now())
    assert refit().startswith("Active: ")


@pytest.mark.parametrize("role", [Role.MANAGER, Role.REP, Role.READ_ONLY])
@pytest.mark.parametrize("act", ["use", "release", "stop"])
def test_only_who_sets_up_may_choose(two_fits: tuple[ScoringModel, ScoringModel], role: Role, act: str):
    by = Actor.of(make_user(role))
    acts: dict[str, Callable[[], object]] = {
        "use": lambda: use_model(two_fits[0].public_id, by=by),
        "release": lambda: release_model(by=by),
        "stop": lambda: stop_statistics(by=by),
    }
    with pytest.raises(PermissionRefused):
        acts[act]()
    assert active_model() == two_fits[1]


def test_a_fit_without_weights_cannot_be_used(two_fits: tuple[ScoringModel, ScoringModel]):
    empty = ScoringModel.objects.create(rows=1, weights={})
    with pytest.raises(TransitionRefused):
        use_model(empty.public_id, by=SYSTEM)


def test_without_an_active_fit_there_is_nothing_to_stop(db: None):
    with pytest.raises(TransitionRefused):
        stop_statistics(by=SYSTEM)


# --- the command
# -------------------------------------------------------------------------------------------------
def score_model(*arguments: str) -> str:
    out = io.StringIO()
    call_command("score_model", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_says_what_is_missing(make_history: MakeHistory):
    make_history(12)
    assert score_model("refit") == "Not enough history: 12 of 100 outcomes.\n"
    assert "Not enough history: 12 of 100 outcomes." in score_model("status")


def test_the_command_fits_scores_and_goes_back(two_fits: tuple[ScoringModel, ScoringModel]):
    resting, _active = two_fits
    assert "no refit replaces it" in score_model("use", str(resting.public_id))
    told = json.loads(score_model("status", "--json"))
    assert told["is_active"]
    pinned = [fit["id"] for fit in told["fits"] if fit["is_pinned"]]
    assert pinned == [str(resting.public_id)]
    assert [grade["kind"] for grade in told["calibration"]] == ["rules", "statistics", "model"]
    assert Lead.objects.filter(score_source="statistics").count() == Lead.objects.count()
    score_model("release")
    score_model("stop")
    assert active_model() is None
    assert not Lead.objects.filter(score_source="statistics").exists()


@pytest.mark.parametrize("arguments", [("use", "nonsense"), ("use", str(uuid4())), ("stop",), ("release",)])
def test_wrong_use_of_the_command_is_exit_2(db: None, arguments: tuple[str, ...]):
    with pytest.raises(CommandError) as caught:
        score_model(*arguments)
    assert caught.value.returncode == 2


# --- the admin's page
# -------------------------------------------------------------------------------------------------
def test_an_admin_sees_the_fits_and_goes_back_to_one(
    two_fits: tuple[ScoringModel, ScoringModel], client: Client
):
    client.force_login(make_user(Role.ADMIN))
    page = client.get("/admin/ai_agents/scoringmodel/")
    assert two_fits[1].note in page.content.decode()
    values = {"action": "use_again", "_selected_action": [str(two_fits[0].pk)]}
    client.post("/admin/ai_agents/scoringmodel/", values)
    assert active_model() == two_fits[0]


def test_a_manager_sees_no_fits_in_the_admin(two_fits: tuple[ScoringModel, ScoringModel], client: Client):
    client.force_login(make_user(Role.MANAGER))
    values = {"action": "use_again", "_selected_action": [str(two_fits[0].pk)]}
    assert client.post("/admin/ai_agents/scoringmodel/", values).status_code == 403
    assert active_model() == two_fits[1]
