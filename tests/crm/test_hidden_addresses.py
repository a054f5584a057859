"""Phone numbers and e-mail addresses hidden from readers: planted in every text that is stored, looked for at
every address that reads. With the switch off they must come back, or their absence would say nothing.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

import pytest
from django.apps import apps
from django.db import Error, connection, models, transaction
from django.test import Client

from crm.actions.intake import receive_inquiry
from crm.actions.tokens import create_token
from crm.models import (
    Actor,
    AuditLog,
    CustomField,
    Note,
    OutboxEvent,
    Role,
    SavedView,
    Team,
    TimelineEvent,
    User,
    follow_up_hash,
)
from crm.models.hidden import HIDDEN, SEEN, without_addresses
from crm.permissions import sees_addresses
from tests.crm.test_rights import LINES, World
from tests.factories import make_admin, make_attachment, make_lead, make_source, make_team, make_user

pytestmark = pytest.mark.django_db
EMAIL, PHONE = "canary.person@example.net", "+447700900123"
WORDS = f"Ring 07700 900123 or {PHONE}, write to {EMAIL}"
TRACES = ("canary.person", "7700900123", "7700 900123", "example.net")


def switch(user: User, is_on: bool) -> None:
    Team.objects.of(user).update(hides_addresses=is_on)


def plant() -> set[str]:
    """Write the canary into every text and JSON column that takes it; which ones did."""
    took = set()
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('gardenos.maintenance', 'erase', true)")
    for app in ("crm", "ai_agents"):
        for model in apps.get_app_config(app).get_models():
            if model._meta.label_lower in SEEN:
                continue
            for field in model._meta.concrete_fields:
                if "from_db_value" in vars(field) and _write(model, field):
                    took.add(f"{model._meta.label}.{field.name}")
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('gardenos.maintenance', '', true)")
    return took


def _write(model: type[models.Model], field: Any) -> bool:
    is_ours = isinstance(field, models.SlugField) or field.name == "model"  # no word of a customer
    if is_ours or (field.max_length or 1_000) < len(WORDS) + 40:
        return False
    more, only = f" {WORDS}", ""
    if isinstance(field, models.JSONField):
        more, only = json.dumps({"note": WORDS}), f" WHERE jsonb_typeof({field.column}) = 'object'"
    change = f"UPDATE {model._meta.db_table} SET {field.column} = {field.column} || %s{only}"
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(change, [more])
            return cursor.rowcount > 0
    except Error:
        return False  # a constraint or a trigger wants something else here


def give_addresses(world: World, record: str) -> None:
    """Ways to reach the lead, a draft to it, and a story with each kind of line."""
    lead, draft = world.leads[record], world.follow_ups[record]
    lead.contact_points.all().delete()
    for kind, value in (("email", EMAIL), ("phone", PHONE)):
        lead.contact_points.create(kind=kind, raw=value, norm=value, is_primary=True)
    draft.to_address, draft.subject, draft.body = EMAIL, f"Your call from {PHONE}", WORDS
    draft.body_sha256 = follow_up_hash(draft.to_address, draft.subject, draft.body)
    draft.save()
    asked = {"inquiry": str(lead.inquiries.get().public_id)}
    for kind, data in (("note.added", {}), ("inquiry.received", asked), ("message.received", {})):
        line = TimelineEvent.objects.create(
            lead=lead, kind=kind, actor_kind="customer", summary="Said", data=data
        )
    lead.messages.update(event=line)
    Note.objects.create(lead=lead, body="Said", author=world.mate, event=lead.timeline.get(kind="note.added"))


MORE = (
    "/leads/?columns=name,email,phone,tags,country",
    "/leads/?layout=board",
    "/search/?q=lead",
    "/api/v1/leads/?q=lead",
    "/?scope=team",
    "/today/list/?scope=team",
)
READING = [line.path for line in LINES if line.method == "GET" and not line.path.startswith("/admin/")]
CONTROLS = {
    "/leads/{lead}/", "/leads/{lead}/timeline/", "/leads/{lead}/details/", "/leads/{lead}/draft/",
    "/today/{lead}/", "/leads/?columns=name,email,phone,tags,country", "/search/?q=lead",
    "/follow-ups/{follow_up}/edit/",
}  # fmt: skip
API_CONTROLS = {
    "/api/v1/leads/", "/api/v1/leads/{lead}/", "/api/v1/leads/{lead}/timeline/", "/api/v1/follow-ups/",
    "/api/v1/follow-ups/{follow_up}/", "/api/v1/leads/{lead}/calls/", "/api/v1/today/",
}  # fmt: skip


def told(world: World, client: Client, paths: Iterable[str]) -> set[str]:
    """The addresses that gave something of the canary away."""
    found = set()
    for path in paths:
        response = client.get(world.fill(path, "own"))
        body = b"".join(response) if response.streaming else response.content  # type: ignore[arg-type]
        text = f"{dict(response.items())} {body.decode('utf-8', 'replace')}".replace("%40", "@")
        if any(trace in text for trace in TRACES):
            found.add(path)
    return found


def test_no_door_gives_an_address_to_a_reader_from_whom_they_are_hidden():
    world = World("read_only")
    for record in ("own", "pool"):
        give_addresses(world, record)
    SavedView.objects.create(owner=world.mate, name="All", shared_with="all", filters={"q": "lead"})
    planted = plant()
    assert len(planted) > 60
    assert {
        "crm.Inquiry.payload",
        "crm.TimelineEvent.summary",
        "crm.Message.text",
        "crm.Note.body",
    } <= planted
    _token, secret = create_token(world.user, name="T", scopes=["read"])
    program = Client(headers={"Authorization": f"Bearer {secret}"}, raise_request_exception=False)
    switch(world.user, False)
    assert told(world, world.client, CONTROLS) == CONTROLS
    assert told(world, program, API_CONTROLS) == API_CONTROLS
    switch(world.user, True)
    assert told(world, world.client, [*READING, *MORE]) == set()
    assert told(world, program, API_CONTROLS) == set()
    colleague = Client()
    colleague.force_login(make_user(Role.MANAGER, team=Team.objects.of(world.user).get()))
    assert told(world, colleague, ["/leads/{lead}/"]), "what was hidden stays with the reader's request"


class Reader:
    """Somebody who may only read, and the one lead they read."""

    def __init__(self) -> None:
        self.user = make_user(Role.READ_ONLY, team=make_team())
        self.lead = make_lead(
            name="Ada Lovelace", email=EMAIL, phone=PHONE, team=self.user.memberships.get().team,
            search_text=f"ada lovelace {EMAIL} {PHONE[1:]}", custom={"mobile": PHONE, "size": "Large"},
        )  # fmt: skip
        self.client = Client(raise_request_exception=False)
        self.client.force_login(self.user)

    def hits(self, text: str) -> list[bool]:
        ways = ("/leads/?q={}", "/search/?q={}", "/api/v1/leads/?q={}")
        pages = [self.client.get(way.format(text.replace("+", "%2B"))).content for way in ways]
        return [str(self.lead.public_id).encode() in page for page in pages]


def test_nothing_is_found_by_an_address_that_is_hidden():
    reader = Reader()
    texts = (EMAIL, "canary.person", "canary", "example.net", PHONE, "7700900123", "900123", "canarz.person")
    found = [text for text in texts if reader.hits(text) == [True] * 3]
    assert found == [*texts[:-1]]
    switch(reader.user, True)
    assert not [text for text in texts if any(reader.hits(text))]
    assert [reader.hits(text) for text in ("ada", "lovel", "velac", "lovelacx")] == [[True] * 3] * 4


def test_own_fields_are_no_way_round():
    reader = Reader()
    for key in ("mobile", "size"):
        CustomField.objects.create(target="lead", key=key, label=key)
    asked = "/api/v1/leads/?custom:mobile=%2B447700900123"
    assert len(reader.client.get(asked).json()["results"]) == 1
    switch(reader.user, True)
    for path in (asked, "/leads/?custom:mobile=%2B447700900123"):
        answer = reader.client.get(path)
        assert answer.status_code == 400
        assert b"does not show phone numbers" in answer.content
    assert len(reader.client.get("/api/v1/leads/?custom:size=Large").json()["results"]) == 1


def test_a_file_is_not_given_to_whom_addresses_are_hidden():
    reader = Reader()
    path = f"/attachments/{make_attachment(reader.lead).public_id}/"
    assert reader.client.get(path).status_code == 200
    switch(reader.user, True)
    refused = reader.client.get(path)
    assert refused.status_code == 403
    assert b"does not show phone numbers" in refused.content


def test_a_page_offers_no_call_to_a_number_that_is_hidden():
    reader = Reader()
    pages = (f"/leads/{reader.lead.public_id}/", f"/today/{reader.lead.public_id}/")
    assert [b'href="tel:' in reader.client.get(page).content for page in pages] == [True, True]
    switch(reader.user, True)
    assert [b'href="tel:' in reader.client.get(page).content for page in pages] == [False, False]
    assert HIDDEN.encode() in reader.client.get(pages[0]).content


def test_what_is_pushed_to_browsers_holds_no_address():
    payload = {"name": "Ada", "email": EMAIL, "phone": PHONE, "message": WORDS}
    receive_inquiry(channel="form", payload=payload, by=Actor.customer("web"), source=make_source("web"))
    pushed = str(list(OutboxEvent.objects.values_list("topic", "type", "ids")))
    assert "lead" in pushed
    assert not any(trace in pushed for trace in TRACES)


def test_other_roles_see_addresses_whatever_a_team_says():
    team = make_team()
    Team.objects.update(hides_addresses=True)
    assert [role for role in Role if not sees_addresses(make_user(role, team=team))] == [Role.READ_ONLY]
    assert sees_addresses(make_user(Role.READ_ONLY, team=make_team()))


def test_one_team_that_hides_is_enough():
    reader = make_user(Role.READ_ONLY, team=make_team())
    make_team().members.create(user=reader)
    assert sees_addresses(reader)
    Team.objects.filter(pk=reader.memberships.latest("pk").team_id).update(hides_addresses=True)
    assert not sees_addresses(reader)


def test_an_admin_switches_it_and_the_audit_log_says_who():
    admin, team = make_admin(), make_team()
    client = Client()
    client.force_login(admin)
    form = {
        "name": team.name, "hides_addresses": "on", "seen_version": team.version,
        "members-TOTAL_FORMS": "0", "members-INITIAL_FORMS": "0",
    }  # fmt: skip
    assert client.post(f"/admin/crm/team/{team.pk}/change/", form).status_code == 302
    team.refresh_from_db()
    assert team.hides_addresses
    assert AuditLog.objects.get(action="team.changed").actor == admin
    assert team.history.get().hides_addresses is False


def test_what_is_no_address_stays():
    kept = (
        "30.11.2026 10:00", "2026-11-30T10:00:00.123456+00:00", "EUR 12,500.00", "1250000.00", "75 to 80",
        "12345678-1234-4123-8456-123456789012", "v1.2.3", "Studio 54", "10 000 plants",
    )  # fmt: skip
    assert [without_addresses(text) for text in kept] == list(kept)
    gone = (
        EMAIL,
        PHONE,
        "(0171) 234-5678",
        "01.23.45.67.89",
        "tel:+447700900123",
        "a%40b.example",
        "Tel0171234567",
    )
    for text in gone:
        shown = without_addresses(f"{text} is theirs")
        assert HIDDEN in shown
        assert not re.search("23|example", shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a" * 200_000, "a" * 200_000),
        ("1(" * 100_000, f"{HIDDEN}("),
        ("1 " * 100_000, f"{HIDDEN} "),
        ("@" * 50_000, HIDDEN),
        ("12-" * 60_000, f"{HIDDEN}-"),
        ("%40" * 60_000, HIDDEN),
    ],
    ids=["letters", "brackets", "digits", "signs", "hyphens", "escapes"],
)
def test_a_very_long_text_takes_no_longer_than_it_is_long(text: str, shown: str):
    assert without_addresses(text) == shown
