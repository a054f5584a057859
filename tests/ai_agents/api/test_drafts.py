"""What became of drafts is told by prompt, on the page and to programs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from ai_agents.actions.drafts import DraftFigures, draft_figures
from ai_agents.models import AgentTask
from crm.models import FollowUp
from tests.crm.api.conftest import Caller, assert_problem, fields
from tests.factories import make_admin, make_follow_up, make_lead, make_user

pytestmark = pytest.mark.django_db


def drafted(prompt: str, state: str = "generated", **more: Any) -> FollowUp:
    lead = make_lead(email="a@example.com")
    task = AgentTask.objects.create(
        kind="follow_up", lead=lead, prompt_version=prompt, dedup_key=f"k{lead.pk}"
    )
    if state == "sent":
        more |= {"approved_by": make_admin(), "approved_at": timezone.now()}
    more = {"original_subject": "Your pond", "provider": "deepinfra"} | more
    return make_follow_up(lead, agent_task=task, state=state, **more)


@pytest.fixture
def past() -> None:
    drafted("follow_up.v9", "sent", edit_ratio=0.0)
    drafted("follow_up.v9", "sent", edit_ratio=0.5)
    drafted("follow_up.v9", "sent", original_subject="")  # a person wrote it in place of a refused text
    for reason in ("too_long", "wrong_tone", "too_long"):
        drafted("follow_up.v9", "rejected", reject_reason=reason)
    drafted("follow_up.v9", "stale")
    drafted("follow_up.v10")
    drafted("follow_up.v10", provider="scripted")
    make_follow_up(make_lead())  # a person's
    old = drafted("follow_up.v8")
    FollowUp.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=100))


def test_each_prompt_has_its_figures_in_two_statements(past: None, django_assert_num_queries: Any):
    now = timezone.now()
    with django_assert_num_queries(2):
        newest, older = draft_figures(now - timedelta(days=90), now)
    assert newest == DraftFigures("follow_up.v10", 1, 0, 0, 0, None, 0, 0, {})
    assert older == DraftFigures(
        prompt="follow_up.v9", drafted=7, needs_writing=1, sent=3, as_drafted=1, edit_ratio=0.25,
        rejected=3, overtaken=1, reasons={"too_long": 2, "wrong_tone": 1},
    )  # fmt: skip


def test_a_program_reads_them(past: None, token_caller: Callable[..., Caller]):
    api = token_caller(make_user(), ["read"])
    body = api.get("/api/v1/agents/drafts/").json()
    assert [one["prompt"] for one in body["prompts"]] == ["follow_up.v10", "follow_up.v9"]
    assert body["prompts"][1]["reasons"][0] == {"reason": "too_long", "drafts": 2}
    long_ago = api.get("/api/v1/agents/drafts/?since=2020-01-01T00:00:00Z").json()
    assert len(long_ago["prompts"]) == 3
    assert fields(assert_problem(api.get("/api/v1/agents/drafts/?since=soon"), 400, "invalid")) == ["since"]
