"""People come in by a link that is mailed, works once and expires."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connections
from django.test import Client

from crm import clock
from crm.actions.invitations import (
    accept_invitation,
    find_invitation,
    invite_user,
    resend_invitation,
    revoke_invitation,
)
from crm.errors import CRMError, InvalidValue, LinkExpired, PermissionRefused, RateLimited, TransitionRefused
from crm.models import Actor, AuditLog, Invitation, Role, TeamMember, User
from tests.factories import make_admin, make_team, make_user

pytestmark = pytest.mark.django_db
GOOD = "a wheelbarrow of roses"


@pytest.fixture
def by() -> Actor:
    return Actor.of(make_admin())


@pytest.fixture(autouse=True)
def _one_minute(monkeypatch: Any) -> None:
    """Counts of a minute do not start anew in the middle of a test."""
    monkeypatch.setattr("crm.actions.rates.time", lambda: 4_000_000_020.0)


def token_of(link: str) -> str:
    return link.rstrip("/").rpartition("/")[2]


def test_an_invitation_makes_one_user_with_its_role_and_team(by: Actor):
    team = make_team()
    invitation, link = invite_user(" Jo@Example.com ", by=by, role=Role.MANAGER, team=team, name="Jo")
    assert token_of(link) not in repr(Invitation.objects.values().get())
    user = accept_invitation(token_of(link), name="Jo  Doe", password=GOOD)
    assert (user.email, user.name, user.role) == ("jo@example.com", "Jo Doe", Role.MANAGER)
    assert user.check_password(GOOD)
    assert not user.is_superuser
    assert TeamMember.objects.get(user=user).team == team
    assert [entry.action for entry in AuditLog.objects.order_by("pk")] == ["user.invited", "user.joined"]
    with pytest.raises(LinkExpired):
        accept_invitation(token_of(link), name="Jo", password=GOOD)
    with pytest.raises(TransitionRefused):
        revoke_invitation(invitation.pk, by=by)


@pytest.mark.parametrize(
    "why", ["wrong", "expired", "used", "revoked", "resent", "nul", "surrogate", "empty"]
)
def test_a_link_that_does_not_work_says_the_same_whatever_the_reason(by: Actor, why: str):
    invitation, link = invite_user("jo@example.com", by=by)
    texts = {"wrong": "x" * 43, "nul": "\0", "surrogate": "\ud800", "empty": ""}
    token = texts.get(why, token_of(link))
    if why == "used":
        accept_invitation(token, name="Jo", password=GOOD)
    elif why == "revoked":
        revoke_invitation(invitation.pk, by=by)
    elif why == "resent":
        resend_invitation(invitation.pk, by=by)
    elif why == "expired":
        Invitation.objects.update(expires_at=clock.now() - timedelta(seconds=1))
    people = User.objects.count()
    with pytest.raises(LinkExpired) as refused:
        accept_invitation(token, name="Eve", password=GOOD)
    assert str(refused.value) == "This invitation no longer works. Ask for a new one."
    assert find_invitation(token) is None
    assert User.objects.count() == people


@pytest.mark.parametrize(
    ("password", "complaint"),
    [
        ("short", "at least 12"),
        ("password1234", "common"),
        ("827364918273649", "numeric"),
        ("jo@example.com", "similar"),
    ],
)
def test_a_weak_password_is_refused_and_the_link_still_works(by: Actor, password: str, complaint: str):
    _invitation, link = invite_user("jo@example.com", by=by)
    with pytest.raises(InvalidValue) as refused:
        accept_invitation(token_of(link), name="Jo", password=password)
    assert refused.value.field == "password"
    assert complaint in str(refused.value)
    assert accept_invitation(token_of(link), name="Jo", password=GOOD).pk


@pytest.mark.parametrize("role", [Role.REP, Role.READ_ONLY])
def test_reps_and_readers_invite_nobody(role: Role):
    team = make_team()
    with pytest.raises(PermissionRefused):
        invite_user("jo@example.com", by=Actor.of(make_user(role, team=team)), team=team)
    assert not Invitation.objects.exists()


def test_a_manager_invites_reps_and_readers_into_own_teams_only():
    ours, theirs = make_team(), make_team()
    by = Actor.of(make_user(Role.MANAGER, team=ours))
    for role, team in ((Role.ADMIN, ours), (Role.MANAGER, ours), (Role.REP, theirs), (Role.REP, None)):
        with pytest.raises(PermissionRefused):
            invite_user("jo@example.com", by=by, role=role, team=team)
    assert invite_user("jo@example.com", by=by, role=Role.REP, team=ours)
    foreign, _link = invite_user("bo@example.com", by=Actor.of(make_admin()), team=theirs)
    for act in (revoke_invitation, resend_invitation):
        with pytest.raises(Invitation.DoesNotExist):
            act(foreign.pk, by=by)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"email": "nonsense"}, "email"),
        ({"email": "a@example.com\r\nBcc: b@example.com"}, "email"),
        ({"email": "a\0@example.com"}, "email"),
        ({"email": "taken@example.com"}, "email"),
        ({"email": "TAKEN@example.com"}, "email"),
        ({"email": "open@example.com"}, "email"),
        ({"email": "new@example.com", "role": "king"}, "role"),
        ({"email": "new@example.com", "name": "x" * 121}, "name"),
    ],
)
def test_what_cannot_be_invited_is_refused_by_field(by: Actor, values: dict[str, str], field: str):
    make_user(email="taken@example.com")
    invite_user("open@example.com", by=by)
    with pytest.raises(InvalidValue) as refused:
        invite_user(values.pop("email"), by=by, **values)
    assert refused.value.field == field
    assert Invitation.objects.count() == 1


def test_an_expired_invitation_is_replaced(by: Actor):
    first, _link = invite_user("jo@example.com", by=by)
    Invitation.objects.update(expires_at=clock.now() - timedelta(days=1))
    second, _link = invite_user("jo@example.com", by=by)
    assert Invitation.objects.get(pk=first.pk).revoked_at is not None
    assert list(Invitation.objects.open()) == [second]


def test_the_database_holds_one_open_invitation_an_address(by: Actor):
    invite_user("jo@example.com", by=by)
    with pytest.raises(IntegrityError, match="crm_invitation_one_open"):
        Invitation.objects.create(email="JO@example.com", token_sha256="x", expires_at=clock.now())


def test_one_address_is_not_flooded_with_mail(by: Actor):
    invitation, _link = invite_user("jo@example.com", by=by)
    for _again in range(4):
        resend_invitation(invitation.pk, by=by)
    with pytest.raises(RateLimited):
        resend_invitation(invitation.pk, by=by)


@pytest.mark.django_db(transaction=True)
def test_of_many_who_follow_one_link_at_once_exactly_one_joins(by: Actor):
    _invitation, link = invite_user("jo@example.com", by=by)

    def join(_n: int) -> str:
        try:
            return str(accept_invitation(token_of(link), name="Jo", password=GOOD).pk)
        except CRMError as refused:
            return refused.code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(join, range(8)))
    assert answers.count("link_expired") == 7
    assert User.objects.filter(email="jo@example.com").count() == 1


def test_the_mailed_link_leads_to_a_page_that_makes_the_account_and_signs_in(
    by: Actor, mailoutbox: list[Any], django_capture_on_commit_callbacks: Any, caplog: Any
):
    with django_capture_on_commit_callbacks(execute=True):
        invite_user("jo@example.com", by=by, name="Jo")
    (link,) = re.findall(r"http://\S+", mailoutbox[0].body)
    client = Client()
    page = client.get(link, follow=True)
    assert page.redirect_chain == [("/invitation/", 302)]
    html = page.content.decode()
    assert "jo@example.com" in html
    assert token_of(link) not in html
    assert 'autocomplete="new-password"' in html
    wrong = client.post("/invitation/", {"name": "Jo", "password": GOOD, "password_again": "other"})
    assert "The two passwords differ." in wrong.content.decode()
    assert GOOD not in wrong.content.decode()
    weak = client.post("/invitation/", {"name": "Jo", "password": "short", "password_again": "short"})
    assert "at least 12" in weak.content.decode()
    done = client.post("/invitation/", {"name": "Jo", "password": GOOD, "password_again": GOOD})
    assert (done.status_code, done["Location"]) == (302, "/")
    assert client.get("/").status_code == 200
    assert Client().get(link, follow=True).status_code == 410
    assert token_of(link) not in caplog.text


def test_wrong_and_used_links_show_the_very_same_page_and_guessing_is_slowed(by: Actor):
    _invitation, link = invite_user("jo@example.com", by=by)
    accept_invitation(token_of(link), name="Jo", password=GOOD)
    answers = set()
    for token in ("x" * 43, token_of(link)):
        answer = Client().get(f"/invitation/{token}/", follow=True)
        answers.add((answer.status_code, answer.content))
    assert len(answers) == 1
    assert {Client().get("/invitation/").status_code for _try in range(25)} == {410, 429}


def test_the_command_prints_the_link_once():
    make_team("Sales")
    out = StringIO()
    call_command(
        "invite_user", "--email=jo@example.com", "--role=rep", "--team=Sales", stdout=out, stderr=StringIO()
    )
    assert accept_invitation(token_of(out.getvalue().strip()), name="Jo", password=GOOD).role == Role.REP


@pytest.mark.parametrize("arguments", [["--email=nonsense"], ["--email=jo@example.com", "--team=None such"]])
def test_the_command_refuses_with_2_and_one_line(arguments: list[str]):
    with pytest.raises(CommandError) as refused:
        call_command("invite_user", "--role=rep", *arguments)
    assert refused.value.returncode == 2
    assert not Invitation.objects.exists()
