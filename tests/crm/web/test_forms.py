"""Public forms: what a stranger may send, from where, how often, and what becomes of it."""

import json
import re
import time
from datetime import timedelta
from typing import Any

import pytest
from django.core import signing
from django.test import Client

from crm import clock
from crm.actions.capture_forms import save_capture_form
from crm.actions.inquiries import mark_as_spam
from crm.errors import InvalidValue, PermissionRefused, VersionConflict
from crm.models import Actor, CaptureForm, Consent, FormConfirmation, Inquiry, InquiryState, Lead, OptIn, Role
from tests.factories import make_admin, make_source, make_user

pytestmark = pytest.mark.django_db
SITE = "https://www.garden.example"
ASKED = [
    {"name": "name", "label": "Your name", "is_required": True},
    {"name": "email", "label": "E-mail", "is_required": True},
    {"name": "message", "label": "Message"},
]
SENT = {"name": "Ada Lovelace", "email": "ada@firm.example", "message": "A pond?"}


@pytest.fixture(autouse=True)
def _one_minute(monkeypatch: Any) -> None:
    """Counts of a minute do not start anew in the middle of a test."""
    monkeypatch.setattr("crm.actions.rates.time", lambda: 4_000_000_020.0)


def make_form(**fields: Any) -> CaptureForm:
    values = {"name": "Garden", "slug": "garden", "fields": ASKED, "allowed_origins": [SITE]}
    values |= {"source": make_source("web"), **fields}
    return save_capture_form(None, by=Actor.of(make_admin()), **values)


def send(data: dict[str, Any], *, origin: str | None = SITE, path: str = "/f/garden/", **more: Any) -> Any:
    headers = {"Origin": origin} if origin else {}
    return Client().post(path, data, headers=headers, **more)


def hidden_of(html: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', html))


def test_a_filled_in_form_becomes_a_lead_and_is_thanked_without_a_cookie():
    make_form(thanks="We call back.")
    page = Client().get("/f/garden/?utm_source=news")
    assert not page.cookies
    answer = send({**SENT, "utm_source": "news"})
    assert (answer.status_code, answer.cookies) == (202, {})
    assert "We call back." in answer.content.decode()
    inquiry = Inquiry.objects.get()
    assert (inquiry.state, inquiry.form.slug, inquiry.utm) == ("created", "garden", {"utm_source": "news"})
    assert Lead.objects.get().name == "Ada Lovelace"


def test_the_same_page_sent_twice_is_one_inquiry():
    make_form()
    hidden = hidden_of(Client().get("/f/garden/").content.decode())
    signer = signing.TimestampSigner(salt="crm.form")
    signer.timestamp = lambda: signing.b62_encode(int(time.time()) - 30)  # type: ignore[method-assign]
    hidden["shown_at"] = signer.sign("garden")
    for _time in range(2):
        assert send({**SENT, **hidden}).status_code == 202
    assert Inquiry.objects.count() == 1
    assert Inquiry.objects.get().state == "created"


LACKING: dict[str, tuple[dict[str, str], str]] = {
    "name": ({"name": " "}, "“Your name” (name) is missing."),
    "email": ({"email": ""}, "“E-mail” (email) is missing."),
    "consent": ({"consent": "no"}, "The consent is missing."),
    "unreadable email": ({"email": "ada at firm"}, "is not an e-mail address"),
    "unreadable phone": ({"phone": "ring me"}, "phone: "),
}


@pytest.mark.parametrize("opt_in", OptIn)
@pytest.mark.parametrize("case", LACKING)
def test_what_lacks_something_gets_the_same_thanks_and_is_kept_with_what_it_lacks(
    case: str, opt_in: OptIn, mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
):
    asked = [*ASKED, {"name": "phone", "label": "Phone"}]
    make_form(consent_text="You may answer me.", opt_in=opt_in, fields=asked)
    wanted = send({**SENT, "consent": "on", "website": "spam"}).content
    changes, why = LACKING[case]
    with django_capture_on_commit_callbacks(execute=True):
        answer = send({**SENT, "consent": "on", **changes})
    assert (answer.status_code, answer.content) == (202, wanted)
    inquiry = Inquiry.objects.latest("pk")
    assert (inquiry.state, inquiry.lead, inquiry.message) == (InquiryState.FAILED, None, "A pond?")
    assert why in inquiry.error
    assert not Lead.objects.exists()
    assert not Consent.objects.exists()
    assert mailoutbox == []


def test_all_that_is_missing_is_named():
    make_form(consent_text="You may answer me.")
    send({"message": "A pond?"})
    assert Inquiry.objects.get().error == (
        "The consent is missing. “Your name” (name) is missing. “E-mail” (email) is missing."
    )


def test_fields_of_another_name_are_kept_with_what_lacks_them():
    make_form()
    send({"e-mail": "ada@firm.example", "Name": "Ada", "utm_source": "news", "key": "1"})
    payload = Inquiry.objects.get().payload
    assert payload["unasked"] == {"e-mail": "ada@firm.example", "Name": "Ada"}


def test_a_browser_stops_people_before_they_send_a_form_that_lacks_something():
    make_form(consent_text="You may answer me.")
    html = Client().get("/f/garden/").content.decode()
    assert "novalidate" not in html
    for name in ("name", "email", "consent"):
        (tag,) = re.findall(rf'<input [^>]*name="{name}"[^>]*>', html)
        assert " required" in tag
    assert 'type="email"' in html


def test_the_same_page_sent_again_with_what_was_missing_is_not_lost():
    make_form(consent_text="You may answer me.")
    key = {"key": "0" * 36}
    for _time in range(2):
        send({**SENT, **key})
    send({**SENT, **key, "consent": "on"})
    assert list(Inquiry.objects.order_by("pk").values_list("state", flat=True)) == ["failed", "created"]
    assert Consent.objects.get().lead == Lead.objects.get()


def test_a_json_object_is_read_as_the_form_that_it_stands_for():
    make_form(consent_text="You may answer me.")
    post = lambda data: Client().post(
        "/f/garden/", data, content_type="application/json", headers={"Origin": SITE}
    )
    wanted = send({**SENT, "consent": "on", "email": "other@firm.example"}).content
    answer = post({**SENT, "consent": True})
    assert (answer.status_code, answer.content) == (202, wanted)
    assert Inquiry.objects.latest("pk").state == "created"
    answer = post({**SENT, "name": None, "consent": False})
    assert (answer.status_code, answer.content) == (202, wanted)
    lacking = Inquiry.objects.latest("pk")
    assert (lacking.state, lacking.error) == (
        "failed",
        "The consent is missing. “Your name” (name) is missing.",
    )
    for broken in ("{", "[" * 100_000, '"text"', "[1]"):
        assert post(broken).status_code == 400


def test_what_is_neither_a_form_nor_json_is_a_415_and_not_stored():
    make_form()
    for kind in ("text/plain", "application/xml", "application/octet-stream"):
        answer = Client().post("/f/garden/", "name=Ada", content_type=kind, headers={"Origin": SITE})
        assert answer.status_code == 415
    assert not Inquiry.objects.exists()


def test_a_consent_is_kept_with_its_words_version_and_evidence():
    form = make_form(consent_text="You may answer me.")
    by = Actor.of(make_admin())
    save_capture_form(form.pk, by=by, version=1, consent_text="You may answer and call me.")
    assert save_capture_form(form.pk, by=by, version=2, name="Gardens").consent_version == 2
    send({**SENT, "consent": "on"}, REMOTE_ADDR="2001:db8:1:2:3::4")
    consent = Consent.objects.get()
    assert (consent.text, consent.text_version) == ("You may answer and call me.", "2")
    assert (consent.state, consent.lead, consent.form) == ("given", Lead.objects.get(), form)
    assert consent.evidence["network"] == "2001:db8:1:2::/64"
    assert consent.evidence["inquiry"] == str(Inquiry.objects.get().public_id)


BAD = {
    "honeypot": ({"website": "http://x"}, InquiryState.SPAM),
    "header injection": ({"name": "Ada\r\nBcc: all@example.com"}, InquiryState.SPAM),
    "header injection in the address": ({"email": "ada@firm.example\r\nBcc: b@x.example"}, InquiryState.SPAM),
    "homograph": ({"email": "ada@pаypal.example"}, InquiryState.SPAM),
    "disposable": ({"email": "ada@mailinator.com"}, InquiryState.SPAM),
    "too fast": ({"shown_at": "now"}, InquiryState.SPAM),
    "forged time": ({"shown_at": "garden:1:x"}, InquiryState.SPAM),
    "42,000 characters": ({"message": "x" * 42_000}, InquiryState.FAILED),
    "links": ({"message": "www.a.example www.b.example www.c.example"}, InquiryState.SPAM),
    "html": ({"message": "<script>alert(1)</script>"}, InquiryState.CREATED),
}


@pytest.mark.parametrize("case", BAD)
def test_whatever_a_stranger_sends_gets_the_same_thanks_and_is_kept(case: str, mailoutbox: list[Any]):
    make_form()
    wanted = send({**SENT, "email": "other@firm.example"}).content
    leads = Lead.objects.count()
    more, state = BAD[case]
    if case == "too fast":
        more = hidden_of(Client().get("/f/garden/").content.decode())
    answer = send({**SENT, **more})
    assert (answer.status_code, answer.content) == (202, wanted)
    inquiry = Inquiry.objects.latest("pk")
    assert inquiry.state == state
    assert inquiry.payload["email"].startswith("ada@")
    assert Lead.objects.count() - leads == (1 if state == InquiryState.CREATED else 0)
    assert mailoutbox == []
    if state == InquiryState.SPAM:
        assert inquiry.spam_reasons


def test_what_an_address_brings_into_the_page_is_escaped():
    make_form()
    html = Client().get("/f/garden/", {"utm_source": '"><script>alert(1)</script>'}).content.decode()
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_a_flood_from_one_address_gets_429_and_another_does_not():
    make_form()
    flood = [
        send({**SENT, "email": f"a{n}@firm.example"}, REMOTE_ADDR="203.0.113.9").status_code
        for n in range(14)
    ]
    assert flood == [202] * 10 + [429] * 4
    refused = send(SENT, REMOTE_ADDR="203.0.113.9")
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert send(SENT, REMOTE_ADDR="203.0.113.10").status_code == 202
    assert Inquiry.objects.count() == 11


def test_one_form_takes_only_so_many_a_minute_from_all_addresses(monkeypatch: Any):
    make_form()
    monkeypatch.setattr("crm.actions.capture.FORM_A_MINUTE", 3)
    answers = [send(SENT, REMOTE_ADDR=f"203.0.113.{n}").status_code for n in range(5)]
    assert answers == [202, 202, 202, 429, 429]


def test_all_forms_together_take_only_so_many_a_minute(monkeypatch: Any):
    make_form()
    make_form(slug="other", source=make_source("other"))
    monkeypatch.setattr("crm.actions.capture.ALL_FORMS_A_MINUTE", 3)
    answers = [
        send(SENT, path=f"/f/{slug}/", REMOTE_ADDR=f"203.0.113.{n}").status_code
        for n, slug in enumerate(["garden", "other"] * 2)
    ]
    assert answers == [202, 202, 202, 429]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", None, "http://www.garden.example"])
def test_a_post_from_elsewhere_is_refused_and_stores_nothing(origin: str | None):
    make_form()
    assert send(SENT, origin=origin).status_code == 403
    assert not Inquiry.objects.exists()


def test_a_referrer_stands_in_for_a_missing_origin():
    make_form()
    for referrer, status in ((f"{SITE}/contact/?a=b", 202), ("https://evil.example/", 403), ("//[", 403)):
        answer = Client().post("/f/garden/", SENT, headers={"Referer": referrer})
        assert answer.status_code == status


def test_only_the_allowed_sites_may_frame_it():
    make_form()
    plain, framed = Client().get("/f/garden/"), Client().get("/f/garden/embed/")
    assert "frame-ancestors 'none'" in plain["Content-Security-Policy"]
    assert plain["X-Frame-Options"] == "DENY"
    assert f"frame-ancestors 'self' {SITE}" in framed["Content-Security-Policy"]
    assert "X-Frame-Options" not in framed
    assert send(SENT, path="/f/garden/embed/", origin="http://testserver").status_code == 202


def test_after_sending_it_leads_to_an_allowed_site_and_to_no_other():
    make_form()
    there = send({**SENT, "next": f"{SITE}/thanks"})
    assert (there.status_code, there["Location"]) == (303, f"{SITE}/thanks")
    for target in ("https://evil.example/", "//evil.example", "javascript:alert(1)", f"{SITE}@evil.example/"):
        assert send({**SENT, "next": target}).status_code == 202


def test_a_missing_and_a_closed_form_do_not_exist():
    form = make_form()
    save_capture_form(form.pk, by=Actor.of(make_admin()), is_active=False)
    for path in ("/f/garden/", "/f/other/", "/f/garden/embed/"):
        assert Client().get(path).status_code == 404
        assert send(SENT, path=path).status_code == 404


def test_double_opt_in_waits_for_the_button_behind_the_mailed_link(
    mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
):
    make_form(opt_in=OptIn.DOUBLE, consent_text="You may answer me.")
    with django_capture_on_commit_callbacks(execute=True):
        assert "One step is left" in send({**SENT, "consent": "on"}).content.decode()
    assert Inquiry.objects.get().state == InquiryState.RECEIVED
    assert not Lead.objects.exists()
    (link,) = re.findall(r"http://\S+", mailoutbox[0].body)
    path = "/" + link.split("/", 3)[3]
    assert path.split("/")[2] not in repr(FormConfirmation.objects.values().get())
    assert Client().get(path).status_code == 200
    assert not Lead.objects.exists()  # a scanner that follows links confirms nothing
    for _time in range(2):
        assert Client().post(path).status_code == 200
    lead = Lead.objects.get()
    assert Inquiry.objects.get().lead == lead
    newest = Consent.objects.latest("pk")
    assert (newest.lead, newest.evidence["confirmed_by"], Consent.objects.count()) == (lead, "link", 2)


def test_a_late_and_a_wrong_link_get_the_same_answer(
    mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
):
    make_form(opt_in=OptIn.DOUBLE)
    with django_capture_on_commit_callbacks(execute=True):
        send(SENT)
    path = "/" + re.findall(r"http://\S+", mailoutbox[0].body)[0].split("/", 3)[3]
    FormConfirmation.objects.update(expires_at=clock.now() - timedelta(seconds=1))
    late, wrong = Client().post(path), Client().post("/confirm/nothing/")
    assert (late.status_code, wrong.status_code) == (410, 410)
    assert late.content == wrong.content
    assert Inquiry.objects.get().state == InquiryState.RECEIVED


def test_a_link_does_not_overrule_the_person_who_called_it_spam(
    mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
):
    make_form(opt_in=OptIn.DOUBLE)
    with django_capture_on_commit_callbacks(execute=True):
        send(SENT)
    mark_as_spam(Inquiry.objects.get().pk, by=Actor.of(make_admin()))
    path = "/" + re.findall(r"http://\S+", mailoutbox[0].body)[0].split("/", 3)[3]
    assert Client().post(path).status_code == 200  # the sender learns nothing of it
    assert Inquiry.objects.get().state == InquiryState.SPAM
    assert not Lead.objects.exists()


def test_nobody_is_flooded_with_links(mailoutbox: list[Any], django_capture_on_commit_callbacks: Any):
    make_form(opt_in=OptIn.DOUBLE)
    with django_capture_on_commit_callbacks(execute=True):
        for _time in range(6):
            assert send(SENT).status_code == 202
    assert len(mailoutbox) == 3
    assert Inquiry.objects.filter(state=InquiryState.RECEIVED).count() == 6


def test_spam_is_neither_mailed_nor_consented(mailoutbox: list[Any], django_capture_on_commit_callbacks: Any):
    make_form(opt_in=OptIn.DOUBLE, consent_text="Yes")
    with django_capture_on_commit_callbacks(execute=True):
        send({**SENT, "consent": "on", "website": "x"})
    assert mailoutbox == []
    assert not Consent.objects.exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"fields": []}, "fields"),
        ({"fields": "name"}, "fields"),
        ({"fields": [{"name": "owner", "label": "x"}]}, "fields"),
        ({"fields": [{"name": "custom:none", "label": "x"}]}, "fields"),
        ({"fields": [{"name": "message", "label": "x"}]}, "fields"),
        ({"fields": [ASKED[0], ASKED[0]]}, "fields"),
        ({"fields": [{"name": "name", "label": ""}]}, "fields"),
        ({"fields": [{"name": "name", "label": "x", "is_required": 1}]}, "fields"),
        ({"fields": [ASKED[0]], "consent_text": "Yes"}, "fields"),
        ({"fields": [ASKED[0]], "opt_in": "double"}, "fields"),
        ({"allowed_origins": ["*"]}, "allowed_origins"),
        ({"allowed_origins": ["http://www.garden.example"]}, "allowed_origins"),
        ({"allowed_origins": ["https://a.example/path"]}, "allowed_origins"),
        ({"allowed_origins": ["https://a.example; script-src *"]}, "allowed_origins"),
        ({"allowed_origins": [1]}, "allowed_origins"),
        ({"slug": "no spaces"}, "slug"),
        ({"locale": "<b>"}, "locale"),
        ({"opt_in": "triple"}, "opt_in"),
        ({"consent_version": 9}, "consent_version"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused_by_field(change: dict[str, Any], field: str):
    form = make_form()
    with pytest.raises(InvalidValue) as refused:
        save_capture_form(form.pk, by=Actor.of(make_admin()), **change)
    assert refused.value.field == field
    assert CaptureForm.objects.get().version == 1


def test_only_an_admin_sets_up_forms_and_nobody_overwrites_unseen():
    form = make_form()
    with pytest.raises(PermissionRefused):
        save_capture_form(form.pk, by=Actor.of(make_user(Role.MANAGER)), name="Mine")
    with pytest.raises(VersionConflict):
        save_capture_form(form.pk, by=Actor.of(make_admin()), version=7, name="Mine")


def test_the_admin_page_shows_the_preview_and_the_lines_to_copy():
    form = make_form()
    client = Client()
    client.force_login(make_admin())
    html = client.get(f"/admin/crm/captureform/{form.pk}/change/").content.decode()
    assert "/f/garden/embed/" in html
    assert "&lt;iframe" in html


def test_the_admin_says_how_fields_are_written_and_what_a_form_of_ones_own_must_send():
    client = Client()
    client.force_login(make_admin())
    page = client.get("/admin/crm/captureform/add/").content.decode()
    assert "physical_address" in page
    assert "is_required" in page
    form = make_form(
        consent_text="You may write to me.", fields=[{**ASKED[0], "name": "email", "is_required": True}]
    )
    assert "email, consent" in client.get(f"/admin/crm/captureform/{form.pk}/change/").content.decode()


@pytest.mark.parametrize("name", ["utm_source", "next"])
def test_half_a_character_in_json_is_kept_as_a_question_mark(name: str):
    make_form()
    text = f"{SITE}/\ud800" if name == "next" else "\ud800"
    answer = send(json.dumps({**SENT, name: text}), content_type="application/json")  # type: ignore[arg-type]
    assert answer.status_code == (303 if name == "next" else 202)
    assert Inquiry.objects.get().state == "created"


NOES = (
    "nein",
    "n",
    "no",
    "0",
    "false",
    "non",
    "nie",
    "-1",
    "none",
    "disagree",
    "not agreed",
    "yes?",
    "\u200bno",
    "2",
)
YESES = ("1", "on", "TRUE", " yes ", "Ja", "oui", "s\u00ed", "si", "accepted")


def test_only_what_says_yes_is_a_consent_and_the_rest_is_kept_without():
    make_form(consent_text="You may answer me.")
    wanted = send({**SENT, "consent": "on", "website": "spam"}).content
    for number, word in enumerate((*NOES, *YESES)):
        from_elsewhere = {"REMOTE_ADDR": f"198.51.100.{number}"}
        answer = send({**SENT, "email": f"n{number}@firm.example", "consent": word}, **from_elsewhere)
        assert (answer.status_code, answer.content) == (202, wanted), word
        kept = Inquiry.objects.latest("pk")
        assert kept.error == ("The consent is missing." if word in NOES else ""), word
        assert kept.payload["consent"]["agreed"] is (word in YESES)
    assert Consent.objects.count() == Lead.objects.count() == len(YESES)


def test_a_form_above_the_limit_is_a_413_and_not_stored(settings: Any):
    make_form()
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10_000
    answer = send({**SENT, "message": "x" * 10_001})
    assert answer.status_code == 413
    assert "may hold at most" in answer.content.decode()
    assert not Inquiry.objects.exists()
    assert send({**SENT, "message": "x" * 9_000}).status_code == 202


@pytest.mark.parametrize("nothing", [[], {}, 0.0])
def test_an_empty_value_in_json_is_no_consent(nothing: Any):
    make_form(consent_text="You may write to me.")
    answer = send(json.dumps({**SENT, "consent": nothing}), content_type="application/json")  # type: ignore[arg-type]
    assert answer.status_code == 202
    assert Inquiry.objects.get().error == "The consent is missing."
