"""What Prometheus is told about the agents."""

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from ai_agents import metrics
from tests.ai_agents.engine.conftest import Engine


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
    assert scrape()["ai_tasks_total", "lead_analysis", "done"] == 5, "nothing is counted twice"
    engine.queue(2)
    engine.run()
    assert scrape()["ai_tasks_total", "lead_analysis", "done"] == 7


def test_metrics_are_part_of_the_page(client, db):
    page = client.get("/metrics", REMOTE_ADDR="127.0.0.1").content.decode()
    assert "ai_pool_target" in page
    assert "python_info" in page or "django_" in page
