"""Who gets what answer where: every address, every role, one's own and other people's records.

Each line of TABLE is an address with a method; each cell holds the answers for a record that is the caller's
own (a manager's or reader's: their team's), unassigned in the caller's team, another team's, and missing; or
one answer where the address names no record. A new address fails the suite until it has its line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.contrib import admin
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from crm.actions.tokens import create_token
from crm.models import ApiToken, FollowUp, Lead, Role, Undo
from tests.factories import make_follow_up, make_lead, make_team, make_user
from tests.tables import state_of_tables

pytestmark = pytest.mark.django_db
CALLERS = ("admin", "manager", "rep", "read_only", "token", "reader", "nobody")  # columns of TABLE
RECORDS = ("own", "pool", "foreign", "missing")
# token: a rep's, with the default scopes; reader: an admin's, with `read` alone.
TABLE = """
GET   /api/v1/openapi.json                      | 200             | 200             | 200             | 200             | 200             | 200             | 200
GET   /api/v1/docs/                             | 200             | 200             | 200             | 200             | 200             | 200             | 200
GET   /api/v1/events/?topic=today               | 200             | 200             | 200             | 200             | 200             | 200             | 401
GET   /api/v1/events/?topic=lead:{lead}         | 200 200 200 404 | 200 200 404 404 | 200 200 404 404 | 200 200 404 404 | 200 200 404 404 | 200 200 200 404 | 401 401 401 401
GET   /api/v1/leads/                            | 200             | 200             | 200             | 200             | 200             | 200             | 401
POST  /api/v1/leads/                            | 201             | 201             | 201             | 403             | 201             | 403             | 401
GET   /api/v1/leads/{lead}/                     | 200 200 200 404 | 200 200 404 404 | 200 200 404 404 | 200 200 404 404 | 200 200 404 404 | 200 200 200 404 | 401 401 401 401
PATCH /api/v1/leads/{lead}/                     | 200 200 200 404 | 200 200 404 404 | 200 403 404 404 | 403 403 404 404 | 200 403 404 404 | 403 403 403 403 | 401 401 401 401
POST  /api/v1/leads/{lead}/assign/              | 200 200 200 404 | 200 200 404 404 | 200 200 404 404 | 403 403 404 404 | 403 403 403 403 | 403 403 403 403 | 401 401 401 401
POST  /api/v1/leads/{lead}/disqualify/          | 200 200 200 404 | 200 200 404 404 | 200 403 404 404 | 403 403 404 404 | 200 403 404 404 | 403 403 403 403 | 401 401 401 401
POST  /api/v1/leads/{lead}/snooze/              | 200 200 200 404 | 200 200 404 404 | 200 403 404 404 | 403 403 404 404 | 200 403 404 404 | 403 403 403 403 | 401 401 401 401
GET   /api/v1/leads/{lead}/timeline/            | 200 200 200 404 | 200 200 404 404 | 200 200 404 404 | 200 200 404 404 | 200 200 404 404 | 200 200 200 404 | 401 401 401 401
GET   /api/v1/follow-ups/                       | 200             | 200             | 200             | 200             | 200             | 200             | 401
POST  /api/v1/follow-ups/                       | 201 201 201 400 | 201 201 400 400 | 201 403 400 400 | 403 403 400 400 | 403 403 403 403 | 403 403 403 403 | 401 401 401 401
GET   /api/v1/follow-ups/{follow_up}/           | 200 200 200 404 | 200 200 404 404 | 200 200 404 404 | 200 200 404 404 | 200 200 404 404 | 200 200 200 404 | 401 401 401 401
PATCH /api/v1/follow-ups/{follow_up}/           | 200 200 200 404 | 200 200 404 404 | 200 403 404 404 | 403 403 404 404 | 403 403 403 403 | 403 403 403 403 | 401 401 401 401
POST  /api/v1/follow-ups/{follow_up}/approve/   | 200 200 200 404 | 200 200 404 404 | 200 403 404 404 | 403 403 404 404 | 403 403 403 403 | 403 403 403 403 | 401 401 401 401
POST  /api/v1/follow-ups/{follow_up}/reject/    | 200 200 200 404 | 200 200 404 404 | 200 403 404 404 | 403 403 404 404 | 403 403 403 403 | 403 403 403 403 | 401 401 401 401
POST  /api/v1/undo/{undo}/                      | 200  -  404 404 | 200  -  404 404 | 200  -  404 404 | 403  -  404 404 | 200  -  404 404 | 403  -  403 403 | 401  -  401 401
GET   /admin/                                   | 200             | 200             | 302             | 302             | 302             | 302             | 302
GET   /admin/{set_up}/                          | 200             | 403             | 302             | 302             | 302             | 302             | 302
GET   /admin/{set_up}/add/                      | 200             | 403             | 302             | 302             | 302             | 302             | 302
GET   /admin/{read}/                            | 200             | 200             | 302             | 302             | 302             | 302             | 302
GET   /admin/{read}/add/                        | 403             | 403             | 302             | 302             | 302             | 302             | 302
GET   /admin/crm/lead/{lead_pk}/change/         | 200 200 200 302 | 200 200 302 302 | 302 302 302 302 | 302 302 302 302 | 302 302 302 302 | 302 302 302 302 | 302 302 302 302
GET   /admin/crm/lead/{lead_pk}/history/        | 200 200 200 302 | 200 200 302 302 | 302 302 302 302 | 302 302 302 302 | 302 302 302 302 | 302 302 302 302 | 302 302 302 302
POST  /admin/crm/lead/{lead_pk}/delete/         | 403 403 403 403 | 403 403 403 403 | 302 302 302 302 | 302 302 302 302 | 302 302 302 302 | 302 302 302 302 | 302 302 302 302
"""  # noqa: E501  a table
BODIES: dict[str, dict[str, Any]] = {
    "POST /api/v1/leads/": {"name": "New", "email": "new@example.com"},
    "PATCH /api/v1/leads/{lead}/": {"company": "Changed Ltd"},
    "POST /api/v1/leads/{lead}/assign/": {"owner": "me"},
    "POST /api/v1/leads/{lead}/disqualify/": {"reason": "no budget"},
    "POST /api/v1/leads/{lead}/snooze/": {"until": (timezone.now() + timedelta(days=9)).isoformat()},
    "POST /api/v1/follow-ups/": {"lead": "{lead}", "subject": "Your garden", "body": "Dear Ada,\n\nthanks."},
    "PATCH /api/v1/follow-ups/{follow_up}/": {"body": "Changed words."},
    "POST /api/v1/follow-ups/{follow_up}/reject/": {"reason": "other"},
}
SET_UP = ("crm/user", "crm/team", "crm/leadsource", "crm/customfield")
READ = ("crm/lead", "crm/followup", "crm/message", "crm/inquiry", "crm/score", "crm/timelineevent")
# Addresses whose answers are shown elsewhere: sign-in by tests/gardenos; the admin's, of which TABLE holds
# examples, because all its pages stand on RecordAdmin, by tests/crm/test_admin.py.
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


def lines() -> Iterator[Line]:
    for text in TABLE.strip().splitlines():
        first, *cells = text.split("|")
        method, path = first.split()
        yield Line(method, path, dict(zip(CALLERS, (cell.split() for cell in cells), strict=True)))


LINES = list(lines())


class World:
    """Two teams, a caller in the first, and a record of each kind for each relation to the caller."""

    def __init__(self, caller: str) -> None:
        ours, theirs = make_team(), make_team()
        role = {"token": Role.REP, "reader": Role.ADMIN, "nobody": Role.REP}.get(caller) or Role(caller)
        self.user = make_user(role, team=ours)
        mate, stranger = make_user(team=ours), make_user(team=theirs)
        is_reps = role in {Role.ADMIN, Role.REP}
        owners = {"own": self.user if is_reps else mate, "pool": None, "foreign": stranger}
        self.leads: dict[str, Lead] = {}
        self.follow_ups: dict[str, FollowUp] = {}
        self.undos: dict[str, Undo] = {}
        for record, owner in owners.items():
            team = theirs if record == "foreign" else ours
            lead = make_lead(email="customer@example.com", owner=owner, team=team)
            self.leads[record], self.follow_ups[record] = lead, make_follow_up(lead)
        for record, by in {"own": self.user, "foreign": stranger}.items():
            lead = self.leads[record]
            self.undos[record] = Undo.objects.create(
                action="update_lead",
                by=by,
                label="Changed",
                before={"lead": lead.pk, "values": {}},
                versions={},
                expires_at=timezone.now() + timedelta(seconds=8),
            )
        self.client = self._client(caller)

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
        known = {
            "{lead}": self.leads.get(record),
            "{follow_up}": self.follow_ups.get(record),
            "{undo}": self.undos.get(record),
        }
        lead = self.leads.get(record)
        template = template.replace("{lead_pk}", str(lead.pk if lead else 2**40))
        for name, found in known.items():
            template = template.replace(name, str(found.public_id if found else uuid4()))
        return template

    def ask(self, line: Line, record: str, path: str) -> int:
        """Send it as it should be sent, in a transaction that is rolled back; the status of the answer."""
        with transaction.atomic():
            before = state_of_tables()
            extra: dict[str, Any] = {"HTTP_IF_MATCH": '"1"'}
            body = self.fill(BODIES.get(line.name, {}), record) if line.method != "GET" else ""
            response = self.client.generic(
                line.method,
                self.fill(path, record),
                body and orjson.dumps(body),
                content_type="application/json",
                **extra,
            )
            if response.status_code >= 400 or line.method == "GET":
                assert state_of_tables() == before, f"{line.name}: {response.status_code}, but rows changed"
            transaction.set_rollback(True)
        return response.status_code


def paths_of(line: Line) -> list[str]:
    """The line's path, for each admin page that it stands for."""
    if "{set_up}" in line.path:
        return [line.path.replace("{set_up}", page) for page in SET_UP]
    if "{read}" in line.path:
        return [line.path.replace("{read}", page) for page in READ]
    return [line.path]


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_each_caller_gets_exactly_this_and_a_refusal_changes_nothing(line: Line, caller: str, settings: Any):
    settings.MAIL_CATCHER = True
    world, expected = World(caller), line.answers[caller]
    for path in paths_of(line):
        records = RECORDS if len(expected) > 1 else ("own",)
        got = [
            str(world.ask(line, record, path)) if wanted != "-" else "-"
            for record, wanted in zip(records, expected, strict=True)
        ]
        assert got == expected, f"{caller} {line.method} {path}"


@pytest.mark.parametrize("line", [line for line in LINES if line.method != "GET"], ids=lambda line: line.name)
def test_a_browser_cannot_be_tricked_into_writing(line: Line):
    world = World("admin")
    world.client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    world.client.force_login(world.user)
    assert world.ask(line, "own", line.path) == 403


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
    missing = {path for path in every_path() if path not in known and not ELSEWHERE.fullmatch(path)}
    assert not missing, "say in TABLE who may use these"


def test_every_admin_page_is_named():
    shown = {f"{model._meta.app_label}/{model._meta.model_name}" for model in admin.site._registry}
    assert {*SET_UP, *READ} <= shown


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
