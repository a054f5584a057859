"""What the tables and the mail sink say in the end. Nothing may be lost, doubled, or without a row that says
what became of it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps

from ai_agents.models import AgentTask, TaskState
from crm.models import FollowUp, Lead, Message, MessageState, Score, ScoreKind
from tests.chaos.work import Work
from tests.crm.mail.smtp_server import Sink

QUESTIONS = {MessageState.UNCERTAIN, MessageState.SENDING}  # a crash at the mail server's door; a person asks


@dataclass
class Verdict:
    """Counts, and what speaks against them by name; `faults` empty: all is well."""

    counts: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def hold(self, what: str, found: Any) -> None:
        if found:
            self.faults.append(f"{what}: {found if isinstance(found, int) else sorted(found)[:5]}")


def is_settled(work: Work, *, waits_for_leases: bool) -> bool:
    """Whether nothing moves any more: all accepted, analysed, drafted, approved and sent or in question."""
    if len(work.accepted) < work.total or AgentTask.objects.filter(state__in=["queued", "running"]).exists():
        return False
    moving = [MessageState.QUEUED] + [MessageState.SENDING] * waits_for_leases
    waiting = FollowUp.objects.filter(state="generated").exists()
    return not waiting and not Message.objects.filter(state__in=moving).exists()


def judge(work: Work, sink: Sink) -> Verdict:
    verdict = Verdict()
    _leads(verdict, work)
    _tasks(verdict)
    _mail(verdict, work, sink)
    failures = apps.get_model("django_q", "Task").objects.filter(success=False)
    verdict.counts["queue rows set aside or failed"] = failures.count()
    verdict.faults += [f"trouble: {error}" for error in work.trouble] + work.refused
    return verdict


def _leads(verdict: Verdict, work: Work) -> None:
    stored = dict(Lead.objects.values_list("name", "public_id"))
    by_name = Counter(Lead.objects.values_list("name", flat=True))
    verdict.counts["inquiries accepted"] = len(work.accepted)
    verdict.hold("leads lost", [n for n, pk in work.accepted.items() if str(stored.get(n)) != pk])
    verdict.hold("leads doubled", [name for name, count in by_name.items() if count > 1])
    verdict.hold("leads nobody sent", set(by_name) - set(work.accepted))


def _tasks(verdict: Verdict) -> None:
    states = Counter(AgentTask.objects.values_list("kind", "state"))
    for (kind, state), count in sorted(states.items()):
        verdict.counts[f"{kind} tasks {state}"] = count
    verdict.hold("tasks that never ended", AgentTask.objects.filter(state__in=["queued", "running"]).count())
    dead = AgentTask.objects.filter(state=TaskState.DEAD)
    for (error,), count in Counter(dead.values_list("error")).items():
        verdict.counts[f"given up for {error}"[:38]] = count
    verdict.hold("tasks given up", dead.count())
    done = AgentTask.objects.filter(state=TaskState.DONE)
    for kind, results in (
        ("lead_analysis", Score.objects.filter(kind=ScoreKind.MODEL).values_list("task_id")),
        ("follow_up", FollowUp.objects.values_list("agent_task_id")),
    ):
        ids = Counter(pk for (pk,) in results if pk is not None)
        verdict.hold(f"{kind}: double results", [pk for pk, n in ids.items() if n > 1])
        of_kind = set(done.filter(kind=kind).values_list("pk", flat=True))
        verdict.hold(f"{kind}: results lost", of_kind - set(ids))
        leads = Counter(done.filter(kind=kind).values_list("lead_id", flat=True))
        verdict.counts[f"leads with more than one {kind}"] = sum(n > 1 for n in leads.values())
        without = Lead.objects.exclude(pk__in=leads).count()
        verdict.hold(f"leads without {kind}", without)


def _mail(verdict: Verdict, work: Work, sink: Sink) -> None:
    arrived = Counter(str(mail["Message-ID"]).strip("<> \t") for mail in sink.mails())
    messages = {
        message_id.strip("<>"): (state, str(follow_up))
        for message_id, state, follow_up in Message.objects.values_list(
            "message_id", "state", "follow_up__public_id"
        )
    }
    states = Counter(state for state, _ in messages.values())
    verdict.counts |= {f"messages {state}": count for state, count in sorted(states.items())}
    verdict.counts["mails at the sink"] = sum(arrived.values())
    asked = {message_id for message_id, (state, _) in messages.items() if state in QUESTIONS}
    verdict.counts["in question, and at the sink"] = len(asked & set(arrived))
    verdict.hold("mails doubled", [message_id for message_id, n in arrived.items() if n > 1])
    sent = {message_id for message_id, (state, _) in messages.items() if state == MessageState.SENT}
    verdict.hold("sent, and not at the sink", sent - set(arrived))
    verdict.hold("at the sink, and neither sent nor in question", set(arrived) - sent - asked)
    settled = {
        follow_up for state, follow_up in messages.values() if state in QUESTIONS | {MessageState.SENT}
    }
    verdict.hold("approved, and neither sent nor in question", work.approved - settled)
    people = Counter(address for mail in sink.mails() for address in [str(mail["To"])])
    verdict.hold("people with two mails", [address for address, n in people.items() if n > 1])
