"""Take the sample data away, and nothing else."""

from dataclasses import dataclass

from django.db import transaction
from django.db.models import ProtectedError

from ai_agents.models import AgentCall, AgentTask
from crm.actions.maintenance import forget_deleted, maintenance
from crm.models import (
    Account,
    Actor,
    Contact,
    Inquiry,
    Lead,
    LeadSource,
    LeadStatus,
    Opportunity,
    OutboxEvent,
    Pipeline,
    Stage,
    TeamMember,
    User,
)
from gardenos.demo import COLLEAGUES, KEY, PIPELINE, SOURCES

SLICE = 100  # leads a transaction
BY = Actor.system("seed_demo")


@dataclass(frozen=True, slots=True)
class Cleared:
    """`kept` names what real data still points to, so that it had to stay."""

    leads: int
    kept: tuple[str, ...]


def clear() -> Cleared:
    """Delete every sample lead with all that hangs on it, then the samples' sources and colleagues."""
    count = 0
    while ids := _next_leads():
        with transaction.atomic():
            _delete(ids)
        count += len(ids)
    return Cleared(count, tuple(_delete_frame()))


def _next_leads() -> list[int]:
    samples = Inquiry.objects.filter(source__code__in=SOURCES, idempotency_key__startswith=KEY)
    return list(samples.exclude(lead=None).order_by("lead").values_list("lead", flat=True).distinct()[:SLICE])


def _delete(lead_ids: list[int]) -> None:
    """These leads' rows, and their history. The story and the calls are append-only: this is an erasure."""
    names = [str(name) for name in Lead.objects.filter(pk__in=lead_ids).values_list("public_id", flat=True)]
    tasks = list(AgentTask.objects.filter(lead__in=lead_ids).values_list("pk", flat=True))
    became = Lead.objects.filter(pk__in=lead_ids, status=LeadStatus.CONVERTED)
    contacts = [pk for pk in became.values_list("contact", flat=True) if pk]
    accounts = [pk for pk in became.values_list("converted_account", flat=True) if pk]
    with maintenance("erase", "sample leads removed", by=BY, leads=len(names)):
        Opportunity.objects.filter(lead__in=lead_ids).delete()
        Inquiry.objects.filter(lead__in=lead_ids).delete()
        Lead.objects.filter(pk__in=lead_ids).delete()
        Contact.objects.filter(pk__in=contacts).delete()
        Account.objects.filter(pk__in=accounts, opportunities=None).delete()
        AgentCall.objects.filter(task__in=tasks).delete()
        AgentTask.objects.filter(pk__in=tasks).delete()
        OutboxEvent.objects.filter(ids__lead__in=names).delete()
        forget_deleted()


def _delete_frame() -> list[str]:
    """Stages, pipeline, sources and colleagues, unless somebody uses them; returns the names that stay."""
    people = User.objects.filter(email__in=[email for email, _name in COLLEAGUES])
    kept = []
    with transaction.atomic(), maintenance("erase", "samples removed", by=BY):
        TeamMember.objects.filter(user__in=people).delete()
        pipelines = Pipeline.objects.filter(name=PIPELINE)
        stages = Stage.objects.filter(pipeline__in=pipelines)
        for row in (*stages, *pipelines, *LeadSource.objects.filter(code__in=SOURCES), *people):
            try:
                with transaction.atomic():
                    row.delete()
            except ProtectedError:
                kept.append(str(row))
        forget_deleted()
    return kept
