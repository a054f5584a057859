"""Sample data: believable, the same each time, and gone again without a trace."""

from datetime import timedelta
from io import StringIO
from time import perf_counter

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.models import F

from ai_agents.agents.leaks import leaks_in
from ai_agents.models import AgentCall, AgentTask
from ai_agents.prompts import load
from crm.actions.counts import fold_dashboard_counts
from crm.actions.identity import normalise_phone
from crm.actions.match_keys import wrong_match_keys
from crm.models import (
    Account,
    Actor,
    AuditLog,
    CallLog,
    ContactPoint,
    FollowUp,
    Inquiry,
    Lead,
    LeadSource,
    MatchKey,
    Message,
    Opportunity,
    Score,
    ScoreFactor,
    Stage,
    Task,
    Team,
    TimelineEvent,
    User,
)
from crm.plaintext import normalised
from crm.tasks import hand_back_what_was_left
from gardenos.demo import STAGES
from gardenos.demo.clearing import clear
from gardenos.demo.stories import stories
from tests.factories import make_admin, make_lead, make_team

pytestmark = pytest.mark.django_db


def seed(**options: object) -> str:
    out = StringIO()
    call_command("seed_demo", stdout=out, **options)
    return out.getvalue()


def everything() -> dict[str, int]:
    """How many rows each table of ours holds, summaries folded as the sweep folds them. The audit log stays:
    it says that samples were removed.
    """
    fold_dashboard_counts()
    models = [*apps.get_app_config("crm").get_models(), *apps.get_app_config("ai_agents").get_models()]
    return {model._meta.label: model._default_manager.count() for model in models if model is not AuditLog}


def test_sixty_leads_come_in_under_ten_seconds_and_say_how_to_leave(noon):
    make_admin()
    started = perf_counter()
    said = seed()
    assert perf_counter() - started < 10  # seconds
    assert said.startswith("Added 60 sample leads")
    assert "--clear" in said
    assert Lead.objects.count() == 60


def test_removing_them_leaves_every_table_as_it_was(noon):
    make_admin()
    make_lead(email="real@example.com", message="A pond, please.")
    make_team()
    before = everything()
    seed(leads=40)
    assert everything() != before
    assert seed(clear=True).startswith("Removed 40 sample leads")
    assert everything() == before


def test_match_keys_of_samples_are_what_their_data_says(noon):
    make_admin()
    seed(leads=120)
    assert MatchKey.objects.filter(kind="domain").count() >= 120
    assert [found for found in wrong_match_keys() if found] == []


def test_real_data_stays_when_samples_go(noon):
    boss = make_admin()
    seed(leads=10)
    real = make_lead(source=LeadSource.objects.get(code="demo-website"), owner=boss)
    said = seed(clear=True)
    assert Lead.objects.get() == real
    assert "Kept Website (sample)" in said


def test_samples_are_not_added_twice(noon):
    seed(leads=3)
    with pytest.raises(CommandError, match="already"):
        seed(leads=3)


@pytest.mark.parametrize("leads", [0, -1, 20_001])
def test_a_silly_number_is_refused(leads: int):
    with pytest.raises(CommandError, match="between 1 and") as refused:
        seed(leads=leads)
    assert refused.value.returncode == 2


def test_the_same_seed_tells_the_same_stories(noon):
    assert list(stories(30, at=noon)) == list(stories(30, at=noon))
    assert list(stories(30, at=noon, seed=8)) != list(stories(30, at=noon))


def test_nothing_happens_in_the_future_or_in_disorder(noon):
    for story in stories(400, at=noon):
        times = [step.at for step in story.steps]
        assert times == sorted(set(times))
        assert noon - timedelta(days=62) < times[0]
        assert times[-1] < noon
        for step in story.steps:
            if step.kind in {"assigned", "sent", "note"}:
                assert step.at.weekday() < 5
                assert 8 <= step.at.hour <= 18


def test_no_sample_could_reach_a_real_person(noon):
    people = list(stories(2_000, at=noon))
    assert all(story.email.endswith(".example") for story in people)
    assert len({story.email for story in people}) == 2_000
    phones = [story.phone for story in people if story.phone]
    fictional = ("+4420794", "+44117496", "+44131496", "+44161496", "+3532091", "+493023125", "+494066969",
                 "+496990009", "+498999998", "+33199", "+33353", "+33465")  # fmt: skip
    assert all(normalise_phone(phone).startswith(fictional) for phone in phones)
    assert len(set(phones)) == len(phones)


def test_timelines_are_back_dated_and_leads_have_something_to_do(noon):
    make_admin()
    seed()
    oldest = Lead.objects.order_by("created_at").first()
    assert oldest is not None
    assert oldest.created_at < noon - timedelta(days=45)
    assert not TimelineEvent.objects.filter(occurred_at__gt=noon).exists()
    due = Lead.objects.open().exclude(next_action_at=None)
    assert due.filter(next_action_at__lt=noon - timedelta(days=1)).count() >= 2
    assert due.filter(next_action_at__date=noon.date()).count() >= 5
    assert due.filter(next_action_at__date__gt=noon.date()).count() >= 5
    assert set(Lead.objects.values_list("status", flat=True)) == {
        "new",
        "working",
        "nurturing",
        "converted",
        "disqualified",
    }


def test_every_lead_is_scored_and_every_quote_is_true(noon):
    make_admin()
    seed(leads=25)
    assert not Lead.objects.filter(score=None).exists()
    for score in Score.objects.filter(kind="rules", is_current=True).prefetch_related("factors"):
        assert score.base + sum(factor.points for factor in score.factors.all()) == score.value
    texts = {"inquiry": dict(Inquiry.objects.values_list("pk", "message")),
             "message": dict(Message.objects.values_list("pk", "text"))}  # fmt: skip
    quoted = ScoreFactor.objects.filter(verified=True, source_kind__in=texts)
    assert quoted.count() > 40
    for factor in quoted:
        text = normalised(texts[factor.source_kind][factor.source_id])
        assert text[factor.start : factor.end] == factor.quote


def test_what_an_agent_made_is_marked_as_a_sample(noon):
    make_admin()
    seed(leads=40)
    assert set(Score.objects.filter(kind="model").values_list("provider", flat=True)) == {"scripted"}
    assert set(AgentCall.objects.values_list("provider", "cost_usd")) == {("scripted", 0)}
    drafts = FollowUp.objects.filter(state="generated")
    assert drafts.count() >= 2
    for draft in drafts:
        assert draft.is_sample
        assert not draft.needs_writing
        assert draft.to_address
        assert leaks_in(draft.subject, prompt=load("follow_up.v1")) == {}
    assert not AgentTask.objects.exclude(state="done").exists()


def test_sent_messages_carry_the_bytes_that_were_approved(noon):
    make_admin()
    seed(leads=25)
    sent = Message.objects.filter(direction="out", state="sent")
    assert sent.count() > 10
    assert not sent.exclude(text=F("follow_up__body")).exists()
    assert not FollowUp.objects.filter(state="sent").exclude(approved_sha256=F("body_sha256")).exists()


def test_the_sample_colleagues_keep_their_leads_and_have_no_password(noon):
    boss, team = make_admin(), make_team()
    seed(leads=12)
    colleagues = User.objects.exclude(pk=boss.pk)
    theirs = Lead.objects.filter(owner__in=colleagues).count()
    hand_back_what_was_left()
    assert Lead.objects.filter(owner__in=colleagues).count() == theirs > 0
    assert [person.is_accepting for person in colleagues] == [False, False]
    assert not any(person.has_usable_password() for person in colleagues)
    assert set(Lead.objects.exclude(owner=None).values_list("owner", flat=True)) > {boss.pk}
    assert Lead.objects.filter(team=team).count() == 12
    assert Lead.objects.visible_to(Actor.of(boss)).count() == 12


def test_it_works_without_anybody(noon):
    seed(leads=5)
    assert ContactPoint.objects.filter(kind="email", contact=None).count() == 5
    clear()
    assert not User.objects.exists()
    assert not Team.objects.exists()


def test_sixty_leads_bring_opportunities_of_every_kind_with_tasks_and_calls(noon):
    make_admin()
    seed()
    cards = Opportunity.objects.select_related("stage", "lead")
    assert {card.stage.name for card in cards} == {name for name, _kind, _percent, _rot in STAGES}
    assert cards.stalled(noon).exists()
    for card in cards:
        moves = list(card.stage_changes.order_by("at"))
        assert moves[-1].to_stage == card.stage
        assert [move.from_stage for move in moves[1:]] == [move.to_stage for move in moves[:-1]]
        assert card.lead.converted_at <= moves[0].at <= moves[-1].at <= noon
        assert card.lead.outcome == {"open": "unknown"}.get(card.state, card.state)
    due = Task.objects.open().filter(due_at__lt=noon + timedelta(days=30))
    assert due.filter(due_at__lt=noon.replace(hour=0)).exists()
    assert due.filter(due_at__date=noon.date()).exists()
    assert {"answered", "no_answer"} == set(CallLog.objects.values_list("disposition", flat=True))
    assert not CallLog.objects.filter(occurred_at__gt=noon).exists()


def test_what_real_data_uses_of_the_samples_pipeline_and_accounts_stays(noon):
    boss = make_admin()
    seed()
    account = Account.objects.order_by("pk").first()
    stage = Stage.objects.get(name="Visit agreed")
    real = Opportunity.objects.create(name="Real", account=account, stage=stage, owner=boss)
    said = seed(clear=True)
    assert (Opportunity.objects.get(), Account.objects.get()) == (real, account)
    assert "Kept Gardens (sample)" in said
    assert list(Stage.objects.all()) == [stage]
