"""Every page, act and relation of the admin, of every registered model, against the table rights_admin.txt.

A new page, act or relation fails the suite until it has its line.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin, messages
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models, transaction

from crm import clock, permissions
from crm.actions.bulk_running import advance_bulk
from crm.actions.opportunity_moves import lose_opportunity
from crm.admin.base import RecordAdmin
from crm.models import Actor, Inquiry, Job, Lead, Opportunity, Pipeline, Role, Stage
from crm.permissions import Reach, Verb
from gardenos import urls  # noqa: F401  it takes third parties' pages out
from tests.crm.admin_rows import MODELS, Rows
from tests.crm.test_rights import LINES, RECORDS, World, every_path

pytestmark = pytest.mark.django_db
TABLE = Path(__file__).with_name("rights_admin.txt")
OTHERS = {
    *("", "(?P{}.*)$", "^(?P{}crm|ai_agents)/$", "autocomplete/", "search/", "jsi18n/", "r/{}/{}/"),
    *("login/", "logout/", "password_change/", "password_change/done/"),
}
STAFF, WHOSE = ("admin", "manager"), ("own", "foreign")
MISSING = 2**40


def _lost(rows: models.QuerySet[Any], world: World) -> None:
    lose_opportunity(rows.get().pk, by=Actor.system(), reason="silent")


# What a row must have become before an act has anything to do with it.
READY: dict[tuple[type[models.Model], str], Callable[[models.QuerySet[Any], World], Any]] = {
    (Inquiry, "accept"): lambda rows, world: rows.update(state="spam"),
    (Lead, "reopen"): lambda rows, world: rows.update(status="disqualified", disqualify_reason="Spam"),
    (Lead, "ai_on"): lambda rows, world: rows.update(is_ai_off=True),
    (Lead, "take_tag_off"): lambda rows, world: rows.get().taggings.create(tag=world.tag),
    (Lead, "restore_selected"): lambda rows, world: rows.update(deleted_at=clock.now()),
    (Opportunity, "restore_selected"): lambda rows, world: rows.update(deleted_at=clock.now()),
    (Opportunity, "reopen"): _lost,
    (Pipeline, "restore"): lambda rows, world: rows.update(is_active=False),
}


@dataclass(frozen=True)
class Page:
    """A page, an act or a relation of a model, and what it answers to an admin and to a manager."""

    label: str
    what: str
    answers: dict[str, list[str]]

    @property
    def name(self) -> str:
        return f"{self.label} {self.what}"


def pages() -> Iterator[Page]:
    for text in TABLE.read_text().splitlines():
        if text and not text.startswith("#"):
            first, *cells = text.split("|")
            label, what = first.split()
            answers = [cell.split() for cell in cells]
            yield Page(label, what, dict(zip(STAFF, answers, strict=True)))


PAGES = list(pages())


def all_there_is() -> Iterator[tuple[type[models.Model], str]]:
    """All that the admin has, as the table names it."""
    for model in MODELS:
        page: Any = admin.site._registry[model]
        yield from ((model, what) for what in ("list", "add", "change", "history", "delete"))
        yield from ((model, f"act:{act}") for act in page.actions or ())
        yield from ((model, f"choose:{name}") for name in page.autocomplete_fields)


def base_of(model: type[models.Model]) -> str:
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/"


class Caller:
    """Somebody at the door of the admin, and the rows of their team and of another."""

    def __init__(self, role: str) -> None:
        self.world = World(role)
        self.client, self.rows = self.world.client, Rows(self.world)
        self.answers = {
            "confirmed": "1",
            "owner": self.world.mate.pk,
            "assignee": self.world.mate.pk,
            "tag": self.world.tag.pk,
            "stage": Stage.objects.filter(kind="open").latest("position").pk,
            **dict.fromkeys(("reason", "note", "without_consent"), "Said so on the phone"),
            "until": "2027-01-10 09:00",
            "until_0": "2027-01-10",
            "until_1": "09:00",
            "kind": "export",
            "account": "new",
            "contact": "new",
            "opportunity": "new",
        }

    def got(self, model: type[models.Model], what: str) -> list[str]:
        """The answers: for the page, or for an own row, a foreign one and a missing one."""
        kind, _colon, name = what.partition(":")
        match kind:
            case "list":
                return [self._asked(base_of(model))]
            case "add":
                return [self._asked(f"{base_of(model)}add/")]
            case "act":
                return [self._acted(model, name, self.rows[whose][model].pk) for whose in WHOSE]
            case "choose":
                return self._offered(model, name)
        keys = [*(self.rows[whose][model].pk for whose in WHOSE), MISSING]
        return [self._asked(f"{base_of(model)}{key}/{kind}/") for key in keys]

    def _asked(self, path: str) -> str:
        """Fails when a look changed a row."""
        before = written()
        response = self.client.get(path)
        assert written() == before, path
        return _status(response)

    def _acted(self, model: type[models.Model], act: str, key: Any) -> str:
        """What the act does to one row, and to all of the list when that is its only row: the same."""
        form = {**self.answers, "action": act, "_selected_action": [key], "index": "0"}
        with transaction.atomic():
            deleted = "?deleted=yes" if act == "restore_selected" else ""
            if (ready := READY.get((model, act))) is not None:
                ready(model._base_manager.filter(pk=key), self.world)
            before = written()
            response = self.client.post(base_of(model) + deleted, form)
            is_written = written() != before
            transaction.set_rollback(True)
        if (
            response.status_code == 200
        ):  # the form of the act lacks an answer; or the list, without such an act
            return "asked" if b'name="confirmed"' in response.content else "none"
        if response.status_code != 302 or response["Location"].startswith("/admin/login"):
            return _status(response)
        said = [message.level for message in response.wsgi_request._messages._queued_messages]
        return "done" if is_written and not (said and set(said) == {messages.ERROR}) else "kept"

    def _offered(self, model: type[models.Model], name: str) -> list[str]:
        target = model._meta.get_field(name).related_model
        query = {"app_label": model._meta.app_label, "model_name": model._meta.model_name, "field_name": name}
        found: set[str] = set()
        for page in range(1, 9):
            response = self.client.get("/admin/autocomplete/", {**query, "term": "", "page": page})
            if response.status_code != 200:
                return [str(response.status_code)]
            answer = response.json()
            found |= {row["id"] for row in answer["results"]}
            if not answer["pagination"]["more"]:
                break
        if target not in self.rows["own"]:
            return ["yes" if found else "none"]
        return ["yes" if str(self.rows[whose][target].pk) in found else "no" for whose in WHOSE]


def written() -> int:
    """Rows that this transaction wrote, in any table but those that note that somebody was here."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_xact_user_tables"
            " WHERE relname NOT IN ('django_session', 'crm_ratehit', 'crm_auditlog')"
        )
        return cursor.fetchone()[0]


def _status(response: Any) -> str:
    is_sign_in = response.status_code == 302 and response["Location"].startswith("/admin/login")
    return "login" if is_sign_in else str(response.status_code)


@pytest.mark.parametrize("role", STAFF)
def test_each_page_act_and_relation_answers_as_the_table_says(role: str, settings: Any):
    settings.AI_PROVIDER = "scripted"
    caller, surprises = Caller(role), []
    known = {page.name: page.answers[role] for page in PAGES}
    for model, what in all_there_is():
        name = f"{model._meta.label_lower} {what}"
        if (got := caller.got(model, what)) != known.get(name):
            surprises.append(f"{name}: {' '.join(got)}, not {' '.join(known.get(name, ['in the table']))}")
    assert not surprises, f"{role}:\n" + "\n".join(surprises)


def test_the_table_names_every_page_act_and_relation_and_no_other():
    for page in admin.site._registry.values():
        assert isinstance(page, RecordAdmin)
    there = [f"{model._meta.label_lower} {what}" for model, what in all_there_is()]
    assert sorted(page.name for page in PAGES) == sorted(there), "say in rights_admin.txt who may use these"


def test_the_admin_has_no_address_beside_those_of_the_table():
    shown = "|".join(map(base_of, MODELS))
    known = re.compile(rf"(?:{shown})(?:|add/|{{}}/(?:|change/|history/|delete/))")
    found = {path for path in every_path() if path.startswith("/admin/") and not known.fullmatch(path)}
    assert found == {f"/admin/{other}" for other in OTHERS}, "say in the table who may use these"


@pytest.mark.parametrize("role", STAFF)
def test_what_the_admin_has_beside_its_pages_tells_of_nobody_elses_records(role: str):
    caller, told = Caller(role), []
    lead = caller.world.leads["foreign"]
    Lead.objects.filter(pk=lead.pk).update(name="Zenobia", search_text="zenobia")
    kind = ContentType.objects.get_for_model(Lead).pk
    for path in ("", "crm/", "crm/lead/?q=zenobia", "search/?s=Zenobia", f"r/{kind}/{lead.pk}/", "jsi18n/"):
        answer = caller.client.get(f"/admin/{path}")
        assert answer.status_code in {200, 302, 404}
        told += [path] if "Zenobia" in answer.content.decode() else []
    assert told == (["crm/lead/?q=zenobia"] if role == "admin" else [])


@pytest.mark.parametrize("role", ["rep", "read_only"])
def test_nobody_else_gets_past_the_door(role: str):
    caller = World(role)
    for model in MODELS:
        before = written()
        for path in ("", "add/", f"{MISSING}/change/", f"{MISSING}/history/"):
            assert _status(caller.client.get(base_of(model) + path)) == "login"
        assert _status(caller.client.post(f"{base_of(model)}{MISSING}/delete/", {"post": "yes"})) == "login"
        assert written() == before
    assert _status(
        caller.client.get("/admin/autocomplete/?app_label=crm&model_name=task&field_name=lead")
    ) in {
        "login",
        "403",
    }


def test_nothing_is_deleted_in_bulk_not_even_with_all_selected():
    caller = Caller("admin")
    for model in MODELS:
        keys = [caller.rows[whose][model].pk for whose in WHOSE]
        form = {"action": "delete_selected", "_selected_action": [*keys, MISSING], "post": "yes"}
        before = written()
        for more in ("1", "__all__") if model is Lead else ("1",):
            answer = caller.client.post(base_of(model), {**form, "select_across": more})
            assert answer.status_code in {200, 302, 403}
        assert written() == before, model


def test_every_bulk_act_leaves_rows_alone_that_the_person_does_not_see():
    """With all of the list selected, too: `select_across` means the rows that the person sees."""
    caller = Caller("manager")
    known = {page.name: page.answers["manager"] for page in PAGES}
    for model, what in all_there_is():
        foreign = caller.rows["foreign"][model].pk
        if not what.startswith("act:") or known[f"{model._meta.label_lower} {what}"][0] in {"403", "none"}:
            continue
        form = {**caller.answers, "action": what.removeprefix("act:"), "index": "0", "select_across": "1"}
        with transaction.atomic():
            watched = model._base_manager.filter(pk=foreign)
            before = list(watched.values())
            response = caller.client.post(base_of(model), {**form, "_selected_action": [foreign]})
            assert response.status_code in {302, 403}, what
            for job in Job.objects.filter(kind="bulk", created_by=caller.world.user, state="queued"):
                while advance_bulk(job.pk, seconds=5):
                    pass
            assert list(watched.values()) == before, what
            transaction.set_rollback(True)


# --- does the matrix see anything at all? -----------------------------------------------------------------

MUTATIONS = [
    (Role.MANAGER, Verb.EDIT, Reach.NONE),
    (Role.MANAGER, Verb.SEE, Reach.NONE),
    (Role.REP, Verb.EDIT, Reach.OWN_OR_POOL),
    (Role.REP, Verb.REASSIGN, Reach.NONE),
    (Role.REP, Verb.SEND, Reach.TEAM),
    (Role.REP, Verb.SET_UP, Reach.ALL),
    (Role.READ_ONLY, Verb.CREATE, Reach.OWN),
    (Role.READ_ONLY, Verb.EDIT, Reach.TEAM),
    (Role.MANAGER, Verb.SET_UP, Reach.ALL),
    (Role.MANAGER, Verb.INVITE, Reach.NONE),
]
WATCHED = (
    "POST /api/v1/leads/",
    "PATCH /api/v1/leads/{lead}/",
    "POST /api/v1/leads/{lead}/assign/",
    "PATCH /api/v1/follow-ups/{follow_up}/",
    "GET /admin/crm/team/",
    "GET /admin/crm/score/",
    "GET /admin/crm/invitation/add/",
    "GET /imports/",
    "POST /agents/{pool}/scale/",
    "POST /leads/new/",
)


def surprises(caller: str) -> list[str]:
    """Lines of WATCHED that answer otherwise than rights.txt says."""
    world, found = World(caller), []
    for line in (line for line in LINES if line.name in WATCHED):
        expected = line.answers[caller]
        records = RECORDS if len(expected) > 1 else ("own",)
        for record, wanted in zip(records, expected, strict=True):
            if wanted != "-" and (got := world.ask(line, record)) != wanted:
                found.append(f"{line.name} {record}: {got}")
    return found


@pytest.mark.parametrize("caller", ["manager", "rep", "read_only"])
def test_the_watched_lines_exist_and_are_right_while_no_rule_is_changed(caller: str):
    assert {line.name for line in LINES} >= set(WATCHED)
    assert surprises(caller) == []


@pytest.mark.parametrize(("role", "verb", "to"), MUTATIONS, ids=lambda value: str(value))
def test_one_changed_rule_turns_the_matrix_red(monkeypatch: Any, role: Role, verb: Verb, to: Reach):
    monkeypatch.setitem(permissions.RIGHTS[role], verb, to)
    assert surprises(role.value)
