"""Who gets what answer where: every address, every role, one's own and other people's records.

The table is rights.txt. Each line is an address with a method; each cell holds the answers for a record that
is the caller's own (a manager's or reader's: their team's), unassigned in the caller's team, another team's,
and missing; or one answer where the address names no record. A new address fails the suite until it has its
line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from ai_agents.models import AgentCall
from crm.actions.pipelines import first_stage
from crm.actions.tokens import create_token
from crm.models import (
    ApiToken,
    Attachment,
    CaptureForm,
    FollowUp,
    ImportJob,
    Job,
    Lead,
    Opportunity,
    ReplyTriage,
    Role,
    Tag,
    Task,
    Undo,
)
from tests.factories import (
    make_attachment,
    make_bulk,
    make_call,
    make_export,
    make_follow_up,
    make_import,
    make_lead,
    make_team,
    make_triage,
    make_user,
)
from tests.tables import rows_written, state_of_tables

pytestmark = pytest.mark.django_db
TABLE = Path(__file__).with_name("rights.txt")
CALLERS = ("admin", "manager", "rep", "read_only", "token", "reader", "nobody")
RECORDS = ("own", "pool", "foreign", "missing")
# token: a rep's, with the default scopes; reader: an admin's, with `read` alone.
BODIES: dict[str, dict[str, Any]] = {
    "POST /api/v1/leads/": {"name": "New", "email": "new@example.com"},
    "PATCH /api/v1/leads/{lead}/": {"company": "Changed Ltd"},
    "POST /api/v1/leads/{lead}/assign/": {"owner": "me"},
    "POST /api/v1/leads/{lead}/disqualify/": {"reason": "no budget"},
    "POST /api/v1/leads/{lead}/override/": {"value": 80, "reason": "called me"},
    "POST /api/v1/leads/{lead}/lift-override/": {"reason": "was a mistake"},
    "POST /api/v1/leads/{lead}/tag/": {"tag": "vip"},
    "POST /api/v1/leads/{lead}/untag/": {"tag": "vip"},
    "POST /api/v1/leads/{lead}/snooze/": {"until": (timezone.now() + timedelta(days=9)).isoformat()},
    "POST /api/v1/bulk/": {"act": "disqualify", "ids": ["{lead}"], "reason": "no budget"},
    "POST /api/v1/follow-ups/": {"lead": "{lead}", "subject": "Your garden", "body": "Dear Ada,\n\nthanks."},
    "PATCH /api/v1/follow-ups/{follow_up}/": {"body": "Changed words."},
    "POST /api/v1/follow-ups/{follow_up}/reject/": {"reason": "other"},
    "POST /api/v1/agents/budgets/": {"scope": "all", "usd_day": "4.5"},
    "POST /api/v1/agents/{pool}/scale/": {"target": 5},
    "PATCH /api/v1/agents/{pool}/": {"rpm": 60},
    "POST /api/v1/agents/{pool}/run/": {"record": "{lead}"},
    "PATCH /api/v1/imports/{import}/": {"policy": "skip"},
}
UPLOADS = dict.fromkeys(("POST /api/v1/imports/", "POST /imports/"), b"Name,E-mail\nAda,ada@example.com\n")
FORMS: dict[str, dict[str, str]] = {
    "POST /leads/views/": {"name": "Mine"},
    "POST /leads/new/": {"name": "New", "email": "new@example.com"},
    "POST /leads/{lead}/write/": {"subject": "Your garden", "body": "Dear Ada,\n\nthanks."},
    "POST /leads/{lead}/fields/company/": {"value": "Changed Ltd", "version": "1", "was": ""},
    "POST /leads/{lead}/note/": {"body": "Called."},
    "POST /leads/{lead}/tags/": {"tag": "{tag}"},
    "POST /leads/{lead}/snooze/": {"until": f"{timezone.now() + timedelta(days=9):%Y-%m-%dT%H:%M}"},
    "POST /leads/{lead}/assign/": {"owner": "{mate}"},
    "POST /leads/{lead}/disqualify/": {"reason": "no budget"},
    "POST /leads/{lead}/override/": {"value": "80", "reason": "called me", "days": "30"},
    "POST /leads/{lead}/status/": {"to": "work"},
    "POST /follow-ups/{follow_up}/edit/": {"subject": "S", "body": "Changed words.", "version": "1"},
    "POST /follow-ups/{follow_up}/approve/": {"version": "1"},
    "POST /follow-ups/{follow_up}/dismiss/": {"reason": "other", "version": "1"},
    "POST /follow-ups/{follow_up}/settle/": {"outcome": "sent"},
    "POST /leads/bulk/?act=tag&lead={lead}": {"tag": "{tag}"},
    "POST /exports/": {"format": "csv"},
    "POST /me/": {"name": "Changed", "time_zone": "UTC", "theme": "dark", "signature": "Me"},
    "POST /me/theme/": {"theme": "dark"},
    "POST /imports/{import}/match/": {"column-0": "name"},
    "POST /imports/{import}/run/": {"analyse": "none"},
    "POST /agents/costs/budget/": {"scope": "all", "usd_day": "4.50"},
    "POST /agents/{pool}/scale/": {"target": "5"},
    "POST /agents/{pool}/switch/": {"to": "pause"},
}
# Addresses whose answers are shown elsewhere: sign-in by tests/gardenos; the admin's, of which TABLE holds
# examples, by rights_admin.txt, line by line.
ELSEWHERE = re.compile(r"/accounts/.*|/admin/.*")


@dataclass(frozen=True)
class Line:
    """One line of TABLE."""

    method: str
    path: str
    answers: dict[str, list[str]]  # caller -> an answer for each of RECORDS, or one

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_page(self) -> bool:
        return not self.path.startswith(("/api/", "/admin/"))


def lines() -> Iterator[Line]:
    for text in TABLE.read_text().splitlines():
        if not text or text.startswith("#"):
            continue
        first, *cells = text.split("|")
        method, path = first.split()
        answers = [cell.split() for cell in cells]
        if len(answers) == 4:
            answers += [["302"] * len(answers[0])] * 3
        yield Line(method, path, dict(zip(CALLERS, answers, strict=True)))


LINES = list(lines())


def jobs_there_are() -> list[Any]:
    """Traces where states are compared, but what the pages of imports, exports and bulk acts are for."""
    jobs = Job.objects.order_by("pk").values_list("pk", "state", "cursor")
    return [*jobs, *ImportJob.objects.order_by("pk").values_list("pk", "state", "mapping", "version")]


class World:
    """Two teams, a caller in the first, and a record of each kind for each relation to the caller."""

    def __init__(self, caller: str) -> None:
        ours, theirs = make_team(), make_team()
        role = {"token": Role.REP, "reader": Role.ADMIN, "nobody": Role.REP}.get(caller) or Role(caller)
        self.user = make_user(role, team=ours)
        mate, self.mate, stranger = make_user(team=ours), make_user(team=ours), make_user(team=theirs)
        is_reps = role in {Role.ADMIN, Role.REP}
        owners = {"own": self.user if is_reps else mate, "pool": None, "foreign": stranger}
        self.leads: dict[str, Lead] = {}
        self.follow_ups: dict[str, FollowUp] = {}
        self.cards: dict[str, Opportunity] = {}
        self.triages: dict[str, ReplyTriage] = {}
        self.attachments: dict[str, Attachment] = {}
        self.undos: dict[str, Undo] = {}
        self.tasks: dict[str, Task] = {}
        self.calls: dict[str, AgentCall] = {}
        for record, owner in owners.items():
            team = theirs if record == "foreign" else ours
            lead = make_lead(email="customer@example.com", message="A garden?", owner=owner, team=team)
            self.leads[record], self.follow_ups[record] = lead, make_follow_up(lead)
            self.cards[record] = Opportunity.objects.create(
                name="Pond", stage=first_stage(), owner=owner, team=team
            )
            self.triages[record] = make_triage(lead)
            self.attachments[record] = make_attachment(lead)
            self.calls[record] = make_call(lead)
            self.tasks[record] = Task.objects.create(title="Ring", lead=lead, assignee=owner)
        CaptureForm.objects.create(
            source=self.leads["own"].source,
            name="Garden",
            slug="garden",
            fields=[{"name": "name", "label": "Name"}],
        )
        self.tag = Tag.objects.create(name="VIP")
        self.imports: dict[str, ImportJob] = {}
        self.exports: dict[str, Job] = {}
        self.bulks: dict[str, Job] = {}
        self.waiting: dict[str, list[Job]] = {}
        self.over: dict[str, ImportJob] = {}
        for record, by in {"own": self.user, "foreign": stranger}.items():
            self.imports[record], self.exports[record] = make_import(by), make_export(by)
            lead = self.leads[record]
            self.bulks[record] = make_bulk(by)
            self.waiting[record] = [make_export(by), make_bulk(by)]
            Job.objects.filter(pk__in=[job.pk for job in self.waiting[record]]).update(state="queued")
            self.over[record] = make_import(by)
            ImportJob.objects.filter(pk=self.over[record].pk).update(state="done")
            self.undos[record] = Undo.objects.create(
                action="update_lead",
                by=by,
                label="Changed",
                before={"lead": lead.pk, "values": {}, "fields": [], "ways": None},
                versions={},
                expires_at=timezone.now() + timedelta(hours=1),
            )
        self.client = self._client(caller)
        self.at_first = state_of_tables()

    def _client(self, caller: str) -> Client:
        client = Client(raise_request_exception=False)
        if caller in {"token", "reader"}:
            scopes = ["read", "write"] if caller == "token" else ["read"]
            token, text = create_token(self.user, name="T", scopes=scopes)
            ApiToken.objects.filter(pk=token.pk).update(last_used_at=timezone.now())  # noted every 5 minutes
            client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {text}"
        elif caller != "nobody":
            client.force_login(self.user)
        return client

    def fill(self, template: Any, record: str) -> Any:
        """The template with this record's ids in it."""
        if isinstance(template, dict):
            return {name: self.fill(value, record) for name, value in template.items()}
        if isinstance(template, list):
            return [self.fill(value, record) for value in template]
        if not isinstance(template, str):
            return template
        lead, waiting = self.leads.get(record), self.waiting.get(record, [None, None])
        for name, found in {
            "{lead}": lead,
            "{follow_up}": self.follow_ups.get(record),
            "{card}": self.cards.get(record),
            "{triage}": self.triages.get(record),
            "{attachment}": self.attachments.get(record),
            "{task}": self.tasks.get(record),
            "{undo}": self.undos.get(record),
            "{call}": self.calls.get(record),
            "{agent_task}": self.calls[record].task if record in self.calls else None,
            "{import}": self.imports.get(record),
            "{import_over}": self.over.get(record),
            "{waiting_export}": waiting[0],
            "{waiting_bulk}": waiting[1],
            "{export}": self.exports.get(record),
            "{bulk}": self.bulks.get(record),
            "{mate}": self.mate,
            "{tag}": self.tag,
        }.items():
            template = template.replace(name, str(found.public_id if found else uuid4()))
        template = template.replace("{form}", "garden" if record == "own" else "nothing")
        template = template.replace("{pool}", "lead_analysis" if record == "own" else "nothing")
        return template.replace("{lead_pk}", str(lead.pk if lead else 2**40))

    def ask(self, line: Line, record: str) -> str:
        """Send it as it should be sent, in a transaction that is rolled back; the answer as the table has it.

        Fails when a refusal, or anything that only reads, changed a row.
        """
        with transaction.atomic():
            before, jobs = rows_written(), jobs_there_are()
            response = self._send(line, self.fill(line.path, record), record)
            is_same = rows_written() == before or state_of_tables() == self.at_first
            is_same &= jobs_there_are() == jobs
            transaction.set_rollback(True)
        if response.status_code >= 400 or line.method == "GET":
            assert is_same, f"{line.name}: {response.status_code}, but rows changed"
        is_sign_in = response.status_code == 302 and response["Location"].startswith("/accounts/login/")
        if line.is_page and line.method == "POST" and response.status_code < 400 and not is_sign_in:
            return "kept" if is_same else "done"
        assert response.status_code < 500
        return str(response.status_code)

    def _send(self, line: Line, path: str, record: str) -> Any:
        if line.is_page and line.method == "POST":
            form: dict[str, Any] = self.fill(FORMS.get(line.name, {}), record)
            if line.name in UPLOADS:
                form["file"] = SimpleUploadedFile("leads.csv", UPLOADS[line.name])
            return self.client.post(path, form)
        if line.method == "GET":
            return self.client.get(path)
        if line.name in UPLOADS:
            return self.client.post(path, {"file": SimpleUploadedFile("leads.csv", UPLOADS[line.name])})
        body = orjson.dumps(self.fill(BODIES.get(line.name, {}), record))
        headers = {"If-Match": '"1"'}
        return self.client.generic(line.method, path, body, content_type="application/json", headers=headers)


@pytest.mark.parametrize("caller", CALLERS)
def test_each_caller_gets_exactly_this_and_a_refusal_changes_nothing(caller: str, settings: Any):
    settings.MAIL_CATCHER, settings.AI_PROVIDER = True, "scripted"
    world, surprises = World(caller), []
    for line in LINES:
        expected = line.answers[caller]
        records = RECORDS if len(expected) > 1 else ("own",)
        got = [
            world.ask(line, record) if wanted != "-" else "-"
            for record, wanted in zip(records, expected, strict=True)
        ]
        if got != expected:
            surprises.append(f"{line.name}: {' '.join(got)}, not {' '.join(expected)}")
    assert not surprises, f"{caller}:\n" + "\n".join(surprises)
    assert state_of_tables() == world.at_first


def test_a_browser_cannot_be_tricked_into_writing():
    world = World("admin")
    world.client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    world.client.force_login(world.user)
    before = rows_written()
    for line in LINES:
        if line.method == "GET" or line.path.startswith(("/f/", "/confirm/")):  # strangers' pages: no session
            continue
        status = world._send(line, world.fill(line.path, "own"), "own").status_code
        assert (status, rows_written()) == (403, before), line.name


def every_path() -> Iterator[str]:
    """All addresses of the site, with {} for what they take."""

    def walk(patterns: list[Any], prefix: str) -> Iterator[str]:
        for pattern in patterns:
            path = prefix + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, path)
            elif isinstance(pattern, URLPattern):
                yield "/" + re.sub(r"<[^>]+>", "{}", path)

    return walk(get_resolver().url_patterns, "")


def test_every_address_has_its_line():
    known = {re.sub(r"\{\w+\}", "{}", line.path).partition("?")[0] for line in LINES}
    known |= {
        path.replace("/fields/company/", "/fields/{}/").replace("/mail/nothing/", "/mail/{}/")
        for path in known
    }
    missing = {path for path in every_path() if path not in known and not ELSEWHERE.fullmatch(path)}
    assert not missing, "say in rights.txt who may use these"


def test_lists_do_not_tell_whether_other_peoples_records_exist():
    """THREATS T11: what a rep reads is the same with and without foreign rows."""
    world = World("rep")
    addresses = ("/api/v1/leads/", "/api/v1/leads/?q=lead", "/api/v1/follow-ups/", "/api/v1/leads/?limit=1")
    read = lambda: [world.client.get(address).json() for address in addresses]
    before = read()
    with transaction.atomic():
        for _lead in range(3):
            make_follow_up(make_lead(owner=make_user()))
        with_foreign = read()
        transaction.set_rollback(True)
    strip = lambda pages: [page["results"] for page in pages]
    assert strip(with_foreign) == strip(before)
    assert [bool(page["next"]) for page in with_foreign] == [bool(page["next"]) for page in before]
