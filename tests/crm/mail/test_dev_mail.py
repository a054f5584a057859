"""The catcher's page: the embedded set-up's outbox, for staff, as text."""

from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.mail import send_mail
from django.test import Client

from crm.mail.catcher import KEPT, caught_mail, caught_mails
from crm.models import Role
from tests.factories import make_admin, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def catcher(settings, tmp_path: Path) -> None:
    settings.EMAIL_BACKEND, settings.GARDENOS_DATA_DIR = "crm.mail.CatcherBackend", tmp_path


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user, backend=django_settings.AUTHENTICATION_BACKENDS[0])
    return client


def test_an_empty_catcher_says_what_to_do():
    html = signed_in(make_admin()).get("/dev/mail/").content.decode()
    assert "No mail yet" in html


def test_the_newest_mail_comes_first_and_opens():
    for subject in ("First", "Second"):
        send_mail(subject, "Text of it", "crm@firm.example", ["cara@example.com"])
    client = signed_in(make_admin())
    html = client.get("/dev/mail/").content.decode()
    assert html.index("Second") < html.index("First")
    mail = client.get(f"/dev/mail/{caught_mails()[0].name}/").content.decode()
    assert "Second" in mail
    assert "Text of it" in mail
    assert "cara@example.com" in mail


def test_what_a_mail_holds_is_text_on_the_page():
    send_mail("<img src=x onerror=alert(1)>", "<script>alert(1)</script>", "a@example.com", ["b@example.com"])
    client = signed_in(make_admin())
    for path in ("/dev/mail/", f"/dev/mail/{caught_mails()[0].name}/"):
        html = client.get(path).content.decode()
        assert "<img src=x" not in html
        assert "<script>alert" not in html


def test_a_mail_with_html_shows_its_plain_part():
    send_mail("s", "plain", "a@example.com", ["b@example.com"], html_message="<b>rich</b>")
    assert caught_mails()[0].text.strip() == "plain"


@pytest.mark.parametrize(
    "name", ["nothing", "..%2f..%2fsecret_key", "%00", "20260302T120000000000-0123456789ab", "x" * 300]
)
def test_an_unknown_name_is_a_404(name):
    assert signed_in(make_admin()).get(f"/dev/mail/{name}/").status_code == 404


def test_a_name_cannot_lead_out_of_the_folder(tmp_path: Path):
    (tmp_path / "secret.eml").write_text("Subject: secret\n\nsecret")
    assert caught_mail("../secret") is None


@pytest.mark.parametrize("role", [Role.REP, Role.READ_ONLY])
def test_it_is_for_staff(role):
    assert signed_in(make_user(role)).get("/dev/mail/").status_code == 404


def test_staff_find_it_in_the_navigation_where_mail_is_caught(settings):
    assert 'href="/dev/mail/"' in signed_in(make_admin()).get("/leads/").content.decode()
    assert 'href="/dev/mail/"' not in signed_in(make_user()).get("/leads/").content.decode()
    settings.MAIL_CATCHER = False
    assert 'href="/dev/mail/"' not in signed_in(make_admin()).get("/leads/").content.decode()


def test_it_asks_for_a_sign_in():
    assert Client().get("/dev/mail/").status_code == 302


def test_where_mail_is_really_sent_there_is_no_such_page(settings):
    settings.MAIL_CATCHER = False
    client = signed_in(make_admin())
    assert client.get("/dev/mail/").status_code == 404
    assert client.get("/dev/mail/x/").status_code == 404


def test_only_the_newest_are_kept_and_nobody_else_may_read_them(tmp_path: Path):
    folder = tmp_path / "mail"
    folder.mkdir()
    for number in range(KEPT):
        (folder / f"20260302T120000{number:06d}-0123456789ab.eml").write_bytes(b"Subject: old\n\nold")
    send_mail("New", "text", "a@example.com", ["b@example.com"])
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == KEPT
    assert names[0].startswith("20260302T120000000001")
    assert (folder / names[-1]).stat().st_mode & 0o777 == 0o600
