"""A person whose data lies in as many places as there are, marked so that every trace is found."""

import io
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import connection

from ai_agents.models import AgentCall, AgentTask
from crm import clock
from crm.actions.bulk import start_bulk
from crm.actions.bulk_running import advance_bulk
from crm.actions.consents import record_consent, suppress
from crm.actions.imports import advance_import, check_import, run_import, upload_import
from crm.actions.intake import receive_inquiry, receive_public_inquiry
from crm.actions.leads import add_note, update_lead
from crm.actions.merging import merge_leads
from crm.actions.messages import record_inbound_message
from crm.actions.notes import edit_note, write_note
from crm.actions.opportunities import create_opportunity, update_opportunity
from crm.actions.opportunity_moves import lose_opportunity
from crm.actions.work import create_task, update_task
from crm.models import (
    Actor,
    AssignmentLog,
    Attachment,
    CallLog,
    Contact,
    ContactPoint,
    CustomField,
    DuplicateCandidate,
    Enrollment,
    FormConfirmation,
    IdempotencyKey,
    ImportJob,
    Lead,
    MatchKey,
    Notification,
    Opportunity,
    OpportunityReview,
    OpportunityRisk,
    ReplyTriage,
    Score,
    ScoreFactor,
    ScoreOutcome,
    ScoreOverride,
    Sequence,
    Step,
    StepRun,
    Tag,
    Tagging,
    Task,
    TimelineEvent,
    User,
)
from tests.factories import actor, make_follow_up, make_lead, make_source

CANARY = "zanzibird"  # in every text of the person; nobody else has it
MAIL, PHONE = f"{CANARY}@example.org", "+442079460918"
TRACES = (CANARY, PHONE.lstrip("+"))
NATIONAL = "(020) 7946-0918"  # the same number as people write it at home
FILE = f"Name,E-mail,Phone,Message\n{CANARY} Vole,{MAIL},{PHONE},I am {CANARY}\n"
WAITING = f'Name;E-mail;Café\nOther;other2@example.com;é\n{CANARY} Vole;{MAIL.title()};"a\nb"\n'
REFUSED = f"Name,E-mail,Phone\nOther,other@example.com,+442079460100\n{CANARY} Vole,{MAIL.title()},call me\n"


def plant(user: User) -> tuple[Lead, Contact]:
    """The person, through every door that there is, and by hand where there is none."""
    by = actor(user)
    CustomField.objects.get_or_create(key="hobby", defaults={"label": "Hobby"})
    lead = _asked(by)
    _in_talk(lead, by)
    contact = _known(lead, by)
    _by_agents(lead, user)
    _copied(lead, user)
    _without_a_lead(by)
    _can_be_undone(lead, contact, by)
    return lead, contact


def _asked(by: Actor) -> Lead:
    lead = receive_inquiry(
        channel="form",
        payload={
            "name": f"{CANARY} Vole",
            "email": MAIL,
            "phone": PHONE,
            "company": f"{CANARY} Ltd",
            "title": f"{CANARY} in chief",
            "message": f"I am {CANARY}",
            "mailing_address": f"{CANARY} Street",
            "physical_address": f"{CANARY} Garden",
            "interest": CANARY,
            "custom": {"hobby": CANARY},
        },
        by=by,
        utm={"source": CANARY},
        idempotency_key=f"order-{CANARY}",
    ).lead
    update_lead(lead.pk, by=by, company=f"{CANARY} & Sons")
    twin = make_lead(name=f"{CANARY} V.", email=f"{CANARY}2@example.org", message=CANARY, owner=lead.owner)
    merge_leads(lead.pk, twin.pk, by=Actor.system())
    _imported(FILE, by)
    FormConfirmation.objects.create(
        inquiry=lead.inquiries.first(), token_sha256=f"{CANARY}hash", expires_at=clock.now()
    )
    return Lead.objects.get(pk=lead.pk)


def _imported(file: str, by: Actor) -> None:
    job = upload_import(io.BytesIO(file.encode()), by=by, file_name="people.csv")
    for step in (check_import, run_import):
        step(job.pk, by=by, in_process=True)
        while advance_import(job.pk, seconds=60):
            pass


def waits(file: str, by: Actor) -> ImportJob:
    """A file that was uploaded and checked, and that nobody has told to run."""
    job = upload_import(io.BytesIO(file.encode("latin-1")), by=by, file_name="waiting.csv")
    check_import(job.pk, by=by, in_process=True)
    while advance_import(job.pk, seconds=60):
        pass
    job.refresh_from_db()
    return job


def _without_a_lead(by: Actor) -> None:
    """Asked again, and what came made no lead: rows that nothing but an address ties to the person."""
    for payload in (
        {"name": f"{CANARY} Vole", "email": f"{CANARY.upper()}+news@Example.org", "message": CANARY},
        {"name": CANARY, "phone": NATIONAL, "country": "GB"},
        {"Name": CANARY, "Mail": f"{CANARY} <{MAIL}>"},
    ):
        receive_public_inquiry(
            channel="form",
            payload=payload,
            source=make_source("web"),
            idempotency_key=f"{CANARY}-{len(payload)}-{'phone' in payload}",
            lacks=("The consent is missing.",),
        )
    _imported(REFUSED, by)
    waits(WAITING, by)
    record_consent(by=by, address=f"{CANARY}+news@example.org", purpose="news", evidence={"form": CANARY})


def _can_be_undone(lead: Lead, contact: Contact, by: Actor) -> None:
    card = create_opportunity(by=by, name="Second pond", primary_contact=contact)
    for about in (lead, contact, card):
        task = create_task(by=by, title=f"Visit {CANARY}", about=about)
        update_task(task.pk, by=by, title=f"Ring {CANARY}")
        note = write_note(about, by=by, body=f"{CANARY} was here")
        edit_note(note.pk, by=by, body=f"{CANARY} was there")
    lose_opportunity(card.pk, by=by, reason=f"{CANARY} has no garden")
    twin = make_lead(name=f"{CANARY} Z.", email=f"{CANARY}3@example.org", owner=lead.owner)
    merge_leads(lead.pk, twin.pk, by=by)
    jobs = (
        start_bulk("disqualify", by=by, ids=[lead.public_id], reason=f"{CANARY} moved away"),
        start_bulk("snooze", by=by, ids=[lead.public_id], until=clock.now() + timedelta(days=1)),  # refused
    )
    for job in jobs:
        while advance_bulk(job.pk, seconds=60):
            pass


def _in_talk(lead: Lead, by: Actor) -> None:
    add_note(lead.pk, by=by, body=f"{CANARY} called")
    record_inbound_message(
        lead.pk, by=by, from_address=MAIL, subject=CANARY, text=CANARY, message_id=f"<{CANARY}@example.org>"
    )
    make_follow_up(lead, to_address=MAIL, subject=f"Dear {CANARY}", body=f"Dear {CANARY}")
    event = TimelineEvent.objects.create(
        lead=lead, kind="call.logged", actor_kind="user", actor=by.user, summary=f"called {CANARY}"
    )
    CallLog.objects.create(lead=lead, disposition="answered", body=CANARY, event=event, author=by.user)
    task = Task.objects.create(lead=lead, title=f"Visit {CANARY}", notes=CANARY, assignee=by.user)
    Notification.objects.create(
        user=by.user, kind="task.due", text=f"Visit {CANARY}", task=task, dedup_key="x"
    )
    AssignmentLog.objects.create(lead=lead, reason=f"{CANARY} asked for her", chosen=by.user)
    Tagging.objects.create(tag=Tag.objects.create(name="fair"), lead=lead)
    folder = Path(settings.MEDIA_ROOT) / "attachments"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan").write_bytes(CANARY.encode())
    Attachment.objects.create(
        lead=lead,
        file_name=f"{CANARY}.pdf",
        stored_as="attachments/plan",
        content_type="application/pdf",
        size_bytes=9,
        sha256="0" * 64,
    )
    record_consent(by=by, address=MAIL, purpose="news", lead=lead, evidence={"form": CANARY})
    suppress("email", MAIL, by=by, reason="manual", note=CANARY)


def _known(lead: Lead, by: Actor) -> Contact:
    contact = Contact.objects.create(full_name=f"{CANARY} Vole", search_text=CANARY, owner=by.user)
    ContactPoint.objects.create(contact=contact, kind="email", raw=MAIL, norm=MAIL, is_primary=True)
    MatchKey.objects.create(contact=contact, kind="email", value=MAIL)
    Lead.objects.filter(pk=lead.pk).update(contact=contact)
    deal = create_opportunity(by=by, name=f"Pond of {CANARY}", lead=lead, primary_contact=contact)
    update_opportunity(deal.pk, by=by, name=f"The pond of {CANARY}")
    other = Contact.objects.create(full_name="Somebody else")
    first, second = sorted((contact, other), key=lambda row: row.pk)
    DuplicateCandidate.objects.create(
        target="contact", contact_a=first, contact_b=second, score=70, reasons=[f"both {CANARY}"]
    )
    sequence = Sequence.objects.create(name="After the fair")
    step = Step.objects.create(
        sequence=sequence, number=1, position=1, kind="task", task_kind="call", task_title="Call"
    )
    enrollment = Enrollment.objects.create(sequence=sequence, number=1, contact=contact, lead=lead)
    StepRun.objects.create(enrollment=enrollment, step=step, idempotency_key="1", rendered_body=CANARY)
    return contact


def _by_agents(lead: Lead, user: User) -> None:
    task = AgentTask.objects.create(
        kind="lead_analysis",
        lead=lead,
        dedup_key="x",
        state="done",
        prompt_version="v1",
        params={"instruction": CANARY},
    )
    AgentCall.objects.create(
        task=task,
        attempt=1,
        provider="scripted",
        model="m",
        status="ok",
        tokens_in=10,
        tokens_out=5,
        cost_usd=0,
        input={"text": CANARY},
        output=f"{CANARY} is hot",
    )
    ReplyTriage.objects.create(
        lead=lead, message=lead.messages.get(direction="in"), task=task,
        intent="question", step="answer", summary=CANARY, quote=CANARY, quote_start=0, quote_end=5,
    )  # fmt: skip
    card = Opportunity.objects.filter(lead=lead).first()
    review = OpportunityReview.objects.create(
        opportunity=card, task=task, band="open", summary=CANARY, next_step=f"Call {CANARY}"
    )
    OpportunityRisk.objects.create(
        review=review, label=CANARY, quote=CANARY, source_kind="note", source_id=1, start=0, end=5
    )
    score = Score.objects.create(
        lead=lead, kind="model", value=80, band="hot", task=task, summary=CANARY, risks=[CANARY]
    )
    ScoreFactor.objects.create(score=score, points=5, label=CANARY, quote=CANARY)
    ScoreOutcome.objects.create(lead=lead, score=score, label="won", horizon_days=90)
    ScoreOverride.objects.create(lead=lead, user=user, score=score, value=90, reason=f"{CANARY} is keen")


def _copied(lead: Lead, user: User) -> None:
    IdempotencyKey.objects.create(
        user=user,
        route="x",
        key="1",
        body_sha256="0",
        status=201,
        answer=f'{{"id": "{lead.public_id}", "name": "{CANARY}"}}'.encode(),
    )
    exports = Path(settings.MEDIA_ROOT) / "exports"
    exports.mkdir(parents=True, exist_ok=True)
    (exports / "leads.csv").write_bytes(CANARY.encode())


def traces() -> list[str]:
    """Where the canary still lies: tables with a row that holds it, and files. A full dump in one list."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            for trace in TRACES:
                cursor.execute(f'SELECT count(*) FROM "{table}" AS r WHERE r::text ILIKE %s', [f"%{trace}%"])
                if cursor.fetchone()[0]:
                    found.append(f"{table}: {trace}")
    binary = "SELECT count(*) FROM crm_idempotencykey WHERE position(%s::bytea IN answer) > 0"
    with connection.cursor() as cursor:
        cursor.execute(binary, [CANARY.encode()])
        found += ["crm_idempotencykey.answer"] if cursor.fetchone()[0] else []
    files = (path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file())
    return found + [path.name for path in files if CANARY.encode() in path.read_bytes()]
