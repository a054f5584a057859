"""The agents' page: numbers for all, scaling for admins, and what a press of a button asks for."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from ai_agents.actions.pools import keep_pools
from ai_agents.models import AgentCall, AgentPool, AgentTask, ProviderHealth, PumpLease, TaskState
from crm.models import Role
from tests.crm.web.pages import HTMX, signed_in
from tests.factories import make_admin, make_follow_up, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _pools(settings):
    settings.AI_PROVIDER = "scripted"
    keep_pools()


def pool(kind: str = "lead_analysis") -> AgentPool:
    return AgentPool.objects.get(kind=kind)


def test_a_fresh_install_shows_its_two_pools():
    html = signed_in(make_user()).get("/agents/").content.decode()
    assert "LeadAnalysisAgent" in html
    assert "FollowUpAgent" in html
    assert "Nothing failed" in html


def test_every_page_says_that_scripted_answers_are_samples():
    client = signed_in(make_admin())
    for path in ("/", "/leads/", "/agents/", "/imports/"):
        assert "samples from the scripted provider" in client.get(path).content.decode()


def test_every_page_says_that_ai_is_off(settings):
    settings.AI_PROVIDER = "off"
    client = signed_in(make_admin())
    for path in ("/", "/leads/", "/agents/", "/imports/"):
        assert "AI is off" in client.get(path).content.decode()


def test_an_admin_scales_a_pool():
    answer = signed_in(make_admin()).post("/agents/lead_analysis/scale/", {"target": "7"}, **HTMX)
    assert answer.status_code == 200
    assert pool().target == 7


@pytest.mark.parametrize("target", ["", "-1", "65", "x", "1.5", "99999999999999999999"])
def test_a_number_outside_the_limits_is_refused_beside_the_field(target):
    html = (
        signed_in(make_admin())
        .post("/agents/lead_analysis/scale/", {"target": target}, **HTMX)
        .content.decode()
    )
    assert pool().target == 3
    assert 'id="error-lead_analysis"' in html


def test_an_admin_pauses_and_resumes():
    client = signed_in(make_admin(name="Jo Mendez"))
    client.post("/agents/follow_up/switch/", {"to": "pause"})
    assert pool("follow_up").paused
    assert "Jo Mendez" in client.get("/agents/").content.decode()
    client.post("/agents/follow_up/switch/", {"to": "resume"})
    assert not pool("follow_up").paused


def test_a_number_set_by_hand_takes_the_pool_from_the_autoscaler_and_a_button_gives_it_back():
    client = signed_in(make_admin())
    assert pool().is_auto
    client.post("/agents/lead_analysis/scale/", {"target": "7"}, **HTMX)
    assert not pool().is_auto
    html = client.post("/agents/lead_analysis/switch/", {"to": "auto"}, **HTMX).content.decode()
    assert pool().is_auto
    assert 'value="auto"' not in html


def test_the_page_tells_of_models_and_of_what_waits():
    ProviderHealth.objects.create(
        provider="scripted", model="scripted-gardener", state="open", reason="http_503", ms=2300,
        opened_at="2026-03-02T13:04:00Z", retry_at="2100-01-01T00:00:00Z",
    )  # fmt: skip
    AgentTask.objects.create(kind="follow_up", dedup_key="a", priority=4, run_after="2020-01-01T00:00:00Z")
    html = signed_in(make_admin()).get("/agents/").content.decode()
    assert "Left alone" in html
    assert "http 503" in html
    assert "2.3 s" in html
    assert "What waits?" in html


def test_the_page_tells_how_far_a_pool_is_held_back_and_what_cannot_be_read():
    PumpLease.objects.create(slot=90, until="2100-01-01T00:00:00Z", info={"held_back": {"lead_analysis": 2}})
    PumpLease.objects.create(slot=91, until="2020-01-01T00:00:00Z", info={"held_back": {"lead_analysis": 9}})
    task = AgentTask.objects.create(kind="lead_analysis", dedup_key="a", state=TaskState.DONE)
    for status in ("ok", "ok", "ok", "invalid"):
        AgentCall.objects.create(
            task=task, attempt=1, provider="scripted", model="m", status=status,
            tokens_in=1, tokens_out=1, cost_usd=0,
        )  # fmt: skip
    html = signed_in(make_user()).get("/agents/").content.decode()
    assert "held to 2" in html
    assert "25%" in html


def test_an_admin_restarts_the_pumps():
    PumpLease.objects.create(slot=90, until="2100-01-01T00:00:00Z")
    answer = signed_in(make_admin()).post("/agents/restart/", **HTMX)
    assert answer.status_code == 200
    assert "1 pump finishes its calls" in answer.content.decode()
    assert PumpLease.objects.get(slot=90).until < timezone.now()
    again = signed_in(make_admin()).post("/agents/restart/", **HTMX)
    assert "No pump was at work" in again.content.decode()


def test_nobody_else_restarts_the_pumps():
    PumpLease.objects.create(slot=90, until="2100-01-01T00:00:00Z")
    client = signed_in(make_user(Role.MANAGER, team=make_team()))
    assert "/restart/" not in client.get("/agents/").content.decode()
    assert client.post("/agents/restart/").status_code == 422
    assert PumpLease.objects.get(slot=90).until > timezone.now()


@pytest.mark.parametrize("role", [Role.MANAGER, Role.REP, Role.READ_ONLY])
def test_nobody_else_may_scale_or_pause(role):
    client = signed_in(make_user(role, team=make_team()))
    assert "/scale/" not in client.get("/agents/").content.decode()
    client.post("/agents/lead_analysis/scale/", {"target": "7"}, **HTMX)
    client.post("/agents/lead_analysis/switch/", {"to": "pause"}, **HTMX)
    assert (pool().target, pool().paused) == (3, False)


def test_a_pool_that_does_not_exist_is_not_found():
    assert signed_in(make_admin()).post("/agents/nonsense/scale/", {"target": "1"}).status_code == 404


def dead_task(lead) -> AgentTask:
    return AgentTask.objects.create(
        kind="lead_analysis", lead=lead, dedup_key=f"k{lead.pk}", state=TaskState.DEAD,
        error="invalid_output", attempts=3, finished_at=timezone.now(),
    )  # fmt: skip


def test_what_failed_names_the_lead_only_to_those_who_may_see_it():
    dead_task(make_lead(name="Secret Lead"))
    assert "Secret Lead" in signed_in(make_admin()).get("/agents/").content.decode()
    html = signed_in(make_user()).get("/agents/").content.decode()
    assert "invalid output" in html
    assert "Secret Lead" not in html


def test_asking_for_a_score_queues_one_task():
    me = make_admin()
    lead = make_lead(owner=me, message="A pond please")
    client = signed_in(me)
    for _twice in range(2):
        client.post(f"/leads/{lead.public_id}/analyse/", **HTMX)
    assert AgentTask.objects.filter(kind="lead_analysis", lead=lead).count() == 1


def test_asking_for_a_draft_shows_that_it_is_being_written():
    me = make_admin()
    lead = make_lead(owner=me, email="a@example.com", message="A pond please")
    client = signed_in(me)
    answer = client.post(f"/leads/{lead.public_id}/ask-draft/", **HTMX)
    assert (answer["HX-Trigger"], answer["HX-Reswap"]) == ("changed", "none")
    assert "is writing" in client.get(f"/leads/{lead.public_id}/draft/", **HTMX).content.decode()


def test_a_draft_is_asked_for_as_it_is_wanted():
    me = make_admin()
    lead = make_lead(owner=me, email="a@example.com", message="A pond please")
    wishes = {"purpose": "win_back", "tone": "formal", "length": "short", "language": "de"}
    signed_in(me).post(f"/leads/{lead.public_id}/ask-draft/", wishes, **HTMX)
    assert AgentTask.objects.get(kind="follow_up").params == wishes | {"instruction": ""}


def test_a_wish_that_is_not_in_the_list_is_refused_in_words():
    me = make_admin()
    lead = make_lead(owner=me, message="A pond please")
    answer = signed_in(me).post(f"/leads/{lead.public_id}/ask-draft/", {"tone": "rude"}, **HTMX)
    assert "Choose a tone from the list." in answer.content.decode()
    assert not AgentTask.objects.exists()


def test_a_rewrite_keeps_what_is_not_said_again():
    me = make_admin()
    lead = make_lead(owner=me, email="a@example.com", message="A pond please")
    draft = make_follow_up(lead, purpose="no_reply", tone="formal", language="de", instruction="Be brief.")
    client = signed_in(me)
    client.post(f"/follow-ups/{draft.public_id}/rewrite/", {"length": "short"}, **HTMX)
    said = {"tone": "", "instruction": "Mention the roses."}
    client.post(f"/follow-ups/{draft.public_id}/rewrite/", said, **HTMX)
    first, second = AgentTask.objects.filter(kind="follow_up").order_by("pk")
    kept = {"purpose": "no_reply", "language": "de"}
    assert first.params == kept | {"tone": "formal", "length": "short", "instruction": "Be brief."}
    assert second.params == kept | {"instruction": "Mention the roses."}


def test_a_strangers_lead_cannot_be_sent_to_the_agents():
    lead = make_lead(owner=make_user())
    client = signed_in(make_user())
    for path in (f"/leads/{lead.public_id}/analyse/", f"/leads/{lead.public_id}/ask-draft/"):
        assert client.post(path, **HTMX).status_code == 404
    assert AgentTask.objects.count() == 0


def test_with_ai_off_a_request_is_refused_in_words(settings):
    settings.AI_PROVIDER = "off"
    me = make_admin()
    lead = make_lead(owner=me)
    html = signed_in(me).post(f"/leads/{lead.public_id}/analyse/", **HTMX).content.decode()
    assert "switched off" in html


def test_the_page_costs_the_same_with_one_failure_and_ten():
    client = signed_in(make_admin())

    def cost() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get("/agents/").status_code == 200
        return len(captured)

    dead_task(make_lead())
    cost()
    few = cost()
    for _n in range(9):
        dead_task(make_lead())
    assert cost() == few
    assert few <= 25


def test_what_became_of_drafts_is_told_by_prompt():
    lead, me = make_lead(email="a@example.com"), make_admin()
    for n, ratio in enumerate((0.0, 0.4, 0.5)):
        task = AgentTask.objects.create(
            kind="follow_up", lead=lead, prompt_version="follow_up.v9", dedup_key=str(n)
        )
        draft = {"agent_task": task, "provider": "deepinfra", "original_subject": "Your pond"}
        now = timezone.now()
        make_follow_up(lead, state="sent", edit_ratio=ratio, approved_by=me, approved_at=now, **draft)
        make_follow_up(lead, state="rejected", reject_reason="too_long", **draft)
    html = signed_in(make_user()).get("/agents/").content.decode()
    assert "follow_up.v9" in html
    assert "33%" in html  # one of three as drafted
    assert "30%" in html  # of the words were changed
    assert "Too long (3)" in html
