"""Plain functions that make what a test needs: `make_lead(**what_matters)`."""

from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings

from ai_agents.models import AgentCall, AgentTask, TaskState
from crm import clock
from crm.exports import files
from crm.models import (
    Actor,
    Attachment,
    Channel,
    ContactPoint,
    FollowUp,
    FollowUpState,
    ImportJob,
    ImportState,
    Inquiry,
    InquiryState,
    Job,
    JobState,
    KeyKind,
    Lead,
    LeadSource,
    MatchKey,
    Message,
    PointKind,
    ReplyTriage,
    Role,
    Team,
    TeamMember,
    User,
    follow_up_hash,
)

_number = count(1)
PASSWORD = "correct horse battery"


def make_team(name: str = "") -> Team:
    return Team.objects.create(name=name or f"Team {next(_number)}")


def make_user(role: Role = Role.REP, *, team: Team | None = None, **fields: Any) -> User:
    """A user of this role, in `team` if one is given."""
    n = next(_number)
    fields.setdefault("name", f"Person {n}")
    user = User.objects.create_user(
        fields.pop("email", f"person{n}@example.com"), PASSWORD, role=role, **fields
    )
    if team:
        TeamMember.objects.create(team=team, user=user)
    return user


def make_admin(**fields: Any) -> User:
    return make_user(Role.ADMIN, **fields)


def make_source(code: str = "", **fields: Any) -> LeadSource:
    code = code or f"source-{next(_number)}"
    fields.setdefault("name", code)
    return LeadSource.objects.get_or_create(code=code, defaults=fields)[0]


def make_lead(*, email: str = "", phone: str = "", message: str = "", **fields: Any) -> Lead:
    """A lead as a row, without the intake's reactions. Use actions where those matter."""
    fields.setdefault("name", f"Lead {next(_number)}")
    fields.setdefault("source", None)
    if fields["source"] is None:
        fields["source"] = make_source("web")
    fields.setdefault("search_text", f"{fields['name']} {fields.get('company', '')} {email}".lower())
    lead = Lead.objects.create(**fields)
    for kind, value in ((PointKind.EMAIL, email), (PointKind.PHONE, phone)):
        if value:
            ContactPoint.objects.create(lead=lead, kind=kind, raw=value, norm=value.lower(), is_primary=True)
            MatchKey.objects.create(lead=lead, kind=KeyKind(kind.value), value=value.lower())
    if message:
        Inquiry.objects.create(
            source=lead.source, channel=Channel.FORM, message=message, lead=lead, state=InquiryState.CREATED
        )
    return lead


def make_follow_up(lead: Lead, **fields: Any) -> FollowUp:
    """A generated draft to the lead's address."""
    fields.setdefault("to_address", "customer@example.com")
    fields.setdefault("subject", "Your garden")
    fields.setdefault("body", "Hello,\n\nthank you for your message.\n\nJo")
    fields.setdefault("state", FollowUpState.GENERATED)
    fields["body_sha256"] = follow_up_hash(fields["to_address"], fields["subject"], fields["body"])
    if fields["state"] in {FollowUpState.APPROVED, FollowUpState.SCHEDULED, FollowUpState.SENT}:
        fields.setdefault("approved_sha256", fields["body_sha256"])
    return FollowUp.objects.create(lead=lead, **fields)


def make_triage(lead: Lead, **fields: Any) -> ReplyTriage:
    """A proposal about a message that the lead's customer wrote, as an agent would have left it."""
    text = fields.pop("text", "How long does it take?")
    message = Message.objects.create(
        lead=lead, direction="in", state="received", text=text,
        from_address="customer@example.com", to_address="us@example.com", received_at=clock.now(),
    )  # fmt: skip
    task = AgentTask.objects.create(
        kind="reply_triage", lead=lead, state="done", dedup_key=uuid4().hex, prompt_version="reply_triage.v1"
    )
    values = {"intent": "question", "step": "answer", "summary": "Asks how long it takes."} | fields
    place = {"quote": text, "quote_start": 0, "quote_end": len(text)}
    return ReplyTriage.objects.create(lead=lead, message=message, task=task, **place | values)


def make_call(lead: Lead | None, *, kind: str = "lead_analysis", **fields: Any) -> AgentCall:
    """A call of a finished task about the lead: what the model saw is in `input` and `output`."""
    task = AgentTask.objects.create(
        kind=kind,
        lead=lead,
        state=TaskState.DONE,
        dedup_key=f"made-{next(_number)}",
        prompt_version=f"{kind}.v1",
    )
    fields.setdefault("input", {"prompt": f"{kind}.v1", "user": "<lead_data_1>{}</lead_data_1>"})
    values = {
        "status": "ok",
        "tokens_in": 900,
        "tokens_out": 80,
        "cost_usd": "0.0004",
        "output": "{}",
    } | fields
    return AgentCall.objects.create(task=task, attempt=1, provider="deepinfra", model="a/model", **values)


def make_attachment(lead: Lead, content: bytes = b"plain text") -> Attachment:
    """A stored file of a lead, as a row and on the disk."""
    stored_as = f"attachments/{uuid4().hex}"
    path = Path(settings.MEDIA_ROOT) / stored_as
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return Attachment.objects.create(
        lead=lead, file_name="plan.txt", stored_as=stored_as, content_type="text/plain",
        size_bytes=len(content), sha256="0" * 64,
    )  # fmt: skip


def make_import(by: User) -> ImportJob:
    """A file of one lead, checked, as a row without the file."""
    job = ImportJob.objects.create(
        created_by=by,
        source=make_source("import"),
        file_name="leads.csv",
        state=ImportState.CHECKED,
        columns=[{"name": "Name", "key": "name", "samples": ["Ada"], "filled": 1, "type": "text"}],
        mapping={"Name": "name"},
        options={"empty_words": []},
        rows_total=1,
        rows_created=1,
    )
    Job.objects.create(kind="import", created_by=by, import_job=job, cursor={"phase": "over"})
    return job


def make_export(by: User) -> Job:
    """An export of theirs that is done, with its file."""
    name = files.new_name()
    files.create(f"{name}.csv")
    return Job.objects.create(
        kind="export",
        created_by=by,
        state=JobState.DONE,
        finished_at=clock.now(),
        cursor={"phase": "over", "file": name, "asked": {"format": "csv"}},
        result={"rows": 0, "size_bytes": 0, "name": "leads.csv"},
    )


def make_bulk(by: User) -> Job:
    """A bulk act of theirs that is done, as a row."""
    cursor = {
        "phase": "run",
        "act": "disqualify",
        "target": "lead",
        "values": {"reason": "spam"},
        "token": None,
    }
    return Job.objects.create(
        kind="bulk", created_by=by, state=JobState.DONE, cursor=cursor, finished_at=clock.now()
    )


def actor(user: User) -> Actor:
    return Actor.of(user)
