"""What Prometheus is told about the agents."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from ai_agents import metrics
from ai_agents.actions import outcomes
from ai_agents.models import AgentCall, AgentTask, ProviderHealth, PumpLease, ScoringModel
from crm import progress
from crm.models import FollowUp
from tests.ai_agents.engine.conftest import Engine
from tests.factories import make_admin, make_follow_up, make_lead


@pytest.fixture(autouse=True)
def _fresh_collector(monkeypatch):
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics.AgentsCollector())
    monkeypatch.setattr(metrics, "REGISTRY", registry)
    monkeypatch.setattr(metrics, "SETTLED_S", 0)


def scrape() -> dict[tuple[str, ...], float]:
    text = metrics.exposition().decode()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_queues_calls_costs_and_ends_are_counted(engine: Engine):
    engine.target(4)
    engine.queue(5, priority=8)
    before = scrape()
    assert before["ai_queue_depth", "lead_analysis", "8", "queued"] == 5
    assert before["ai_pool_target", "lead_analysis"] == 4
    assert ("ai_tasks_total", "lead_analysis", "done") not in before
    engine.server.fail("malformed", times=1)
    engine.run()
    after = scrape()
    assert after["ai_tasks_total", "lead_analysis", "done"] == 5
    assert after["ai_calls_total", "scripted-gardener", "scripted", "ok"] == 5
    assert after["ai_calls_total", "scripted-gardener", "scripted", "invalid"] == 1
    assert after["ai_output_invalid_total", "not_json"] == 1
    assert after["ai_repairs_total", "ok"] == 1
    assert after["ai_tokens_total", "in", "scripted-gardener"] > 100
    assert after["ai_fenced_results_total",] == 0
    assert after["djangoq_heartbeat_age_seconds", "ai"] < 60
    assert after["ai_pump_heartbeat_age_seconds",] < 60
    assert after["ai_call_seconds_count", "scripted-gardener", "scripted"] == 6
    assert after["ai_task_wait_seconds_count", "lead_analysis"] == 5
    assert after["ai_task_duration_seconds_bucket", "lead_analysis", "+Inf"] == 5
    assert after["ai_task_duration_seconds_sum", "lead_analysis"] > 0
    assert after["ai_breaker_state", "scripted-gardener", "scripted"] == 0
    assert scrape()["ai_tasks_total", "lead_analysis", "done"] == 5, "nothing is counted twice"
    engine.queue(2)
    engine.run()
    assert scrape()["ai_tasks_total", "lead_analysis", "done"] == 7


def test_retries_circuits_and_what_a_crash_cost_are_counted(engine: Engine, monkeypatch):
    monkeypatch.setattr(outcomes, "BACKOFF_FIRST_S", 0.05)
    engine.target(1)
    engine.queue(2)
    engine.server.fail("500", times=2)
    engine.run()
    task = AgentTask.objects.order_by("pk")[0]
    AgentCall.objects.create(  # as if the process had died before the first answer was stored
        task=task, attempt=task.attempts + 1, provider="scripted", model="scripted-gardener", status="ok",
        tokens_in=1, tokens_out=1, cost_usd=0,
    )  # fmt: skip
    ProviderHealth.objects.update(state="open", opened_at=timezone.now(), retry_at=timezone.now())
    PumpLease.objects.update(info={"expired": 3, "late": 2})
    after = scrape()
    assert after["ai_retries_total", "http_500"] == 2
    assert after["ai_duplicate_calls_total",] == 1
    assert after["ai_breaker_state", "scripted-gardener", "scripted"] == 2
    assert (after["ai_lease_expired_total",], after["ai_fenced_results_total",]) == (3, 2)


def test_what_an_answer_says_is_counted_apart_from_its_form(engine: Engine):
    engine.target(1)
    engine.queue(1)
    task = AgentTask.objects.get()
    for error in ("promise", "not_json"):
        AgentCall.objects.create(
            task=task, attempt=1, provider="scripted", model="m", status="invalid", error=error
        )
    found = scrape()
    assert (found["ai_output_invalid_total", "promise"], found["ai_output_invalid_total", "not_json"]) == (
        1,
        1,
    )
    assert found["ai_guardrail_hits_total", "promise"] == 1
    assert ("ai_guardrail_hits_total", "not_json") not in found


def test_drafts_are_counted_as_they_are_made_and_when_they_are_over(db):
    lead, admin = make_lead(email="a@example.com"), make_admin()
    task = AgentTask.objects.create(kind="follow_up", lead=lead, prompt_version="follow_up.v2")
    past = timezone.now() - timedelta(minutes=1)

    def draft(**fields: Any) -> None:
        made = make_follow_up(lead, **({"agent_task": task, "original_subject": "Your pond"} | fields))
        FollowUp.objects.filter(pk=made.pk).update(created_at=past)

    draft()
    draft(original_subject="")  # its text was refused
    draft(agent_task=None)  # a person's
    sent = {"state": "sent", "settled_at": past, "approved_by": admin, "approved_at": past}
    for ratio in (0.0, 0.04, 0.6):
        draft(edit_ratio=ratio, **sent)
    draft(state="rejected", reject_reason="too_long", settled_at=past)
    found = scrape()
    assert (found["ai_drafts_total", "generated"], found["ai_drafts_total", "needs_writing"]) == (5, 1)
    assert (found["ai_drafts_total", "sent"], found["ai_drafts_total", "rejected"]) == (3, 1)
    buckets = {bound: found["ai_draft_edit_ratio_bucket", bound, "follow_up.v2"] for bound in ("0.0", "0.05")}
    assert buckets == {"0.0": 1, "0.05": 2}
    assert found["ai_draft_edit_ratio_count", "follow_up.v2"] == 3
    assert found["ai_draft_edit_ratio_sum", "follow_up.v2"] == pytest.approx(0.64)
    assert scrape()["ai_drafts_total", "sent"] == 3  # nothing is counted twice


def test_the_active_models_measures_are_told(db):
    assert not any(name[0].startswith("ai_score") for name in scrape())
    ScoringModel.objects.create(
        rows=200, is_active=True, weights={"intercept": -1}, metrics={"auc": 0.87, "brier": 0.14, "ece": 0.02}
    )
    found = scrape()
    assert (found["ai_score_auc",], found["ai_score_brier",], found["ai_score_ece",]) == (0.87, 0.14, 0.02)


def test_restarts_of_a_cluster_are_counted(db):
    progress.count_restart("ai")
    progress.count_restart("ai")
    assert scrape()["djangoq_reincarnations_total", "ai"] == 2


def test_metrics_are_part_of_the_page(client, db):
    page = client.get("/metrics", REMOTE_ADDR="127.0.0.1").content.decode()
    assert "ai_pool_target" in page
    assert "python_info" in page or "django_" in page
