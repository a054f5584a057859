"""The lead page: reading, changing one field at a time, notes, and taking things back."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from crm import clock
from crm.actions.leads import add_note, snooze_lead, update_lead
from crm.models import Actor, Lead, LeadStatus, Note, Role, Tag, Tagging, Undo
from tests.crm.web.pages import HTMX, signed_in
from tests.factories import make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def me():
    return make_admin(name="Jo Mendez")


@pytest.fixture
def lead(me):
    return make_lead(
        name="Ada Byron", owner=me, email="ada@example.com", phone="+442079460000", company="Engines"
    )


def field_form(client, lead: Lead, name: str) -> dict[str, str]:
    html = client.get(f"/leads/{lead.public_id}/fields/{name}/", **HTMX).content.decode()
    return dict(re.findall(r'<input type="hidden" name="(version|was)" value="([^"]*)"', html))


def test_the_page_says_who_it_is_and_what_happened(me, lead):
    add_note(lead.pk, by=Actor.of(me), body="Wants roses.\nAnd a pond.")
    html = signed_in(me).get(f"/leads/{lead.public_id}/").content.decode()
    for words in ("Ada Byron", "Engines", "ada@example.com", "Jo Mendez", "Wants roses.<br>And a pond."):
        assert words in html


def test_a_strangers_lead_is_not_found(lead):
    client = signed_in(make_user())
    for path in (
        "",
        "head/",
        "why/",
        "score/",
        "recent/",
        "timeline/",
        "details/",
        "draft/",
        "snooze/",
        "assign/",
    ):
        assert client.get(f"/leads/{lead.public_id}/{path}").status_code == 404, path


def test_a_field_is_saved_in_place_and_can_be_taken_back(me, lead):
    client = signed_in(me)
    form = field_form(client, lead, "interest")
    answer = client.post(f"/leads/{lead.public_id}/fields/interest/", {**form, "value": "A pond"}, **HTMX)
    lead.refresh_from_db()
    assert lead.interest == "A pond"
    assert "A pond" in answer.content.decode()
    assert answer["HX-Trigger"] == "changed"
    undo = Undo.objects.get(action="update_lead")
    assert f"/undo/{undo.public_id}/" in answer.content.decode()
    client.post(f"/undo/{undo.public_id}/", **HTMX)
    lead.refresh_from_db()
    assert lead.interest == ""


def test_an_undo_sent_before_htmx_has_taken_hold_of_it_leads_back_to_the_page_and_opens_no_field(me, lead):
    client, page = signed_in(me), f"/leads/{lead.public_id}/"
    form = field_form(client, lead, "interest")
    html = client.post(
        f"{page}fields/interest/",
        {**form, "value": "A pond"},
        **HTMX,
        headers={"HX-Current-URL": f"http://testserver{page}"},
    ).content.decode()
    assert re.findall(r'name="next" value="([^"]+)"', html) == [page]
    undo = Undo.objects.get(action="update_lead")
    assert client.post(f"/undo/{undo.public_id}/", {"next": page})["Location"] == page


def test_without_htmx_saving_a_field_leads_back_to_the_page(me, lead):
    client = signed_in(me)
    answer = client.post(
        f"/leads/{lead.public_id}/fields/company/",
        {"value": "Analytical", "version": lead.version, "was": "Engines"},
    )
    lead.refresh_from_db()
    assert (answer.status_code, lead.company) == (302, "Analytical")


def test_the_form_of_a_field_is_in_the_page_for_browsers_without_scripts(me, lead):
    html = signed_in(me).get(f"/leads/{lead.public_id}/?field=company").content.decode()
    assert 'name="value" value="Engines"' in html


def test_a_wrong_value_stays_in_the_field_with_the_reason(me, lead):
    client = signed_in(me)
    form = field_form(client, lead, "email")
    html = client.post(
        f"/leads/{lead.public_id}/fields/email/", {**form, "value": "nonsense"}, **HTMX
    ).content.decode()
    assert 'role="alert"' in html
    assert 'value="nonsense"' in html
    assert 'aria-invalid="true"' in html


def test_two_people_who_change_the_same_field_are_shown_both_values(me, lead):
    client = signed_in(me)
    form = field_form(client, lead, "company")
    update_lead(lead.pk, by=Actor.of(me), company="Difference Engines")
    html = client.post(
        f"/leads/{lead.public_id}/fields/company/", {**form, "value": "Mine Ltd"}, **HTMX
    ).content.decode()
    lead.refresh_from_db()
    assert lead.company == "Difference Engines"
    assert "Difference Engines" in html
    assert 'value="Mine Ltd"' in html
    assert "Keep mine" in html
    again = dict(re.findall(r'<input type="hidden" name="(version|was)" value="([^"]*)"', html))
    client.post(f"/leads/{lead.public_id}/fields/company/", {**again, "value": "Mine Ltd"}, **HTMX)
    lead.refresh_from_db()
    assert lead.company == "Mine Ltd"


def test_a_change_of_another_field_meanwhile_is_no_conflict(me, lead):
    client = signed_in(me)
    form = field_form(client, lead, "company")
    update_lead(lead.pk, by=Actor.of(me), interest="A pond")
    client.post(f"/leads/{lead.public_id}/fields/company/", {**form, "value": "Mine Ltd"}, **HTMX)
    lead.refresh_from_db()
    assert (lead.company, lead.interest) == ("Mine Ltd", "A pond")


def test_value_and_currency_are_saved_together(me, lead):
    client = signed_in(me)
    form = field_form(client, lead, "est_value")
    client.post(
        f"/leads/{lead.public_id}/fields/est_value/", {**form, "value": "18,400", "extra": "gbp"}, **HTMX
    )
    lead.refresh_from_db()
    assert (lead.est_value, lead.currency) == (18400, "GBP")


def test_the_next_step_is_planned_in_the_persons_own_time(lead):
    berlin = make_admin(time_zone="Europe/Berlin")
    client = signed_in(berlin)
    form = field_form(client, lead, "plan")
    client.post(
        f"/leads/{lead.public_id}/fields/plan/",
        {**form, "value": "2031-07-01T09:00", "extra": "call"},
        **HTMX,
    )
    lead.refresh_from_db()
    assert lead.next_action_at.isoformat() == "2031-07-01T07:00:00+00:00"


def test_a_field_that_does_not_exist_is_not_found(me, lead):
    assert signed_in(me).get(f"/leads/{lead.public_id}/fields/score/", **HTMX).status_code == 404


def test_a_reader_sees_the_lead_but_no_form(lead):
    team = make_team()
    Lead.objects.filter(pk=lead.pk).update(team=team)
    reader = signed_in(make_user(Role.READ_ONLY, team=team))
    html = reader.get(f"/leads/{lead.public_id}/").content.decode()
    assert "Ada Byron" in html
    assert "/fields/" not in html
    assert "composer" not in html
    answer = reader.post(
        f"/leads/{lead.public_id}/fields/company/", {"value": "Taken", "was": "Engines"}, **HTMX
    )
    lead.refresh_from_db()
    assert lead.company == "Engines"
    assert "only its owner or their manager" in answer.content.decode()


def test_a_note_is_kept_and_an_empty_one_refused(me, lead):
    client = signed_in(me)
    client.post(f"/leads/{lead.public_id}/note/", {"body": "Line one\r\nLine two"}, **HTMX)
    assert Note.objects.get().body == "Line one\nLine two"
    html = client.post(f"/leads/{lead.public_id}/note/", {"body": "  "}, **HTMX).content.decode()
    assert "Write something first" in html


def test_the_timeline_can_be_narrowed_and_goes_on_where_a_page_ended(me, lead):
    for n in range(25):
        add_note(lead.pk, by=Actor.of(me), body=f"Note number {n:02}")
    update_lead(lead.pk, by=Actor.of(me), interest="A pond")
    client = signed_in(me)
    html = client.get(f"/leads/{lead.public_id}/timeline/?only=notes", **HTMX).content.decode()
    assert "A pond" not in html
    first = re.findall(r"Note number (\d\d)", html)
    older = re.search(r'hx-get="([^"]*before=[^"]*)"', html).group(1).replace("&amp;", "&")
    second = re.findall(r"Note number (\d\d)", client.get(older, **HTMX).content.decode())
    assert first + second == [f"{n:02}" for n in reversed(range(25))]


def test_snoozing_offers_nine_in_the_morning_and_an_undo(me, lead):
    client = signed_in(me)
    html = client.get(f"/leads/{lead.public_id}/snooze/", **HTMX).content.decode()
    until = re.search(r'name="until" value="([^"]+)"', html).group(1)
    assert until.endswith("T09:00")
    answer = client.post(f"/leads/{lead.public_id}/snooze/", {"until": until}, **HTMX)
    lead.refresh_from_db()
    assert lead.status == LeadStatus.NURTURING
    assert "sheet-close" in answer["HX-Trigger"]
    assert "/undo/" in answer.content.decode()


@pytest.mark.parametrize(
    "until", ["", "yesterday", "2001-01-01T09:00", "2031-13-01T09:00", "9999-12-31T23:59"]
)
def test_a_time_that_cannot_be_is_said_in_the_form(me, lead, until):
    answer = signed_in(me).post(f"/leads/{lead.public_id}/snooze/", {"own": until}, **HTMX)
    assert 'role="alert"' in answer.content.decode()
    assert answer.status_code == 200


def test_disqualifying_needs_a_reason_and_can_be_taken_back(me, lead):
    client = signed_in(me)
    assert "Say why" in client.post(f"/leads/{lead.public_id}/disqualify/", {}, **HTMX).content.decode()
    client.post(f"/leads/{lead.public_id}/disqualify/", {"reason": "No budget"}, **HTMX)
    lead.refresh_from_db()
    assert lead.status == LeadStatus.DISQUALIFIED
    client.post(f"/undo/{Undo.objects.get(action='disqualify_lead').public_id}/", **HTMX)
    lead.refresh_from_db()
    assert lead.status == LeadStatus.NEW


def test_whoever_gives_a_lead_away_and_no_longer_sees_it_is_led_to_today():
    team = make_team()
    me, colleague = make_user(team=team), make_user(team=team)
    lead = make_lead(owner=me, team=team)
    answer = signed_in(me).post(
        f"/leads/{lead.public_id}/assign/", {"owner": str(colleague.public_id)}, **HTMX
    )
    lead.refresh_from_db()
    assert lead.owner == colleague
    assert answer["HX-Redirect"] == "/"


def test_somebody_elses_undo_does_not_exist(me, lead):
    update_lead(lead.pk, by=Actor.of(me), interest="A pond")
    undo = Undo.objects.get()
    assert signed_in(make_admin()).post(f"/undo/{undo.public_id}/", **HTMX).status_code == 404


def test_an_undo_that_comes_too_late_says_so(me, lead):
    update_lead(lead.pk, by=Actor.of(me), interest="A pond")
    with clock.frozen(clock.now() + timedelta(seconds=9)):
        html = signed_in(me).post(f"/undo/{Undo.objects.get().public_id}/", **HTMX).content.decode()
    assert "over" in html
    lead.refresh_from_db()
    assert lead.interest == "A pond"


def test_reading_never_writes(me, lead):
    client = signed_in(me)
    for path in ("snooze/", "disqualify/", "assign/", "write/", "fields/company/"):
        client.get(f"/leads/{lead.public_id}/{path}", **HTMX)
    before = lead.version
    lead.refresh_from_db()
    assert lead.version == before


def test_the_page_costs_the_same_with_2_events_and_60(me, lead):
    client = signed_in(me)

    def cost() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(f"/leads/{lead.public_id}/").status_code == 200
        return len(captured)

    add_note(lead.pk, by=Actor.of(me), body="One")
    cost()  # the first page of a process reads what it keeps
    few = cost()
    for n in range(60):
        add_note(lead.pk, by=Actor.of(me), body=f"Note {n}")
    assert cost() == few
    assert few <= 18


@pytest.mark.parametrize(("typed", "kept"), [("12.500,50", "12500.50"), ("12,500", "12500.00"), ("", None)])
def test_a_value_is_read_the_way_people_on_either_side_of_the_channel_write_it(me, lead, typed, kept):
    update_lead(lead.pk, by=Actor.of(me), version=None, est_value="7")
    client = signed_in(me)
    form = field_form(client, lead, "est_value")
    client.post(
        f"/leads/{lead.public_id}/fields/est_value/", {**form, "value": typed, "extra": "EUR"}, **HTMX
    )
    lead.refresh_from_db()
    assert lead.est_value == (kept and Decimal(kept))


def test_an_owner_who_left_stays_chosen_until_somebody_else_is(me, lead):
    gone = make_user(name="Mara Gone", is_active=False)
    Lead.objects.filter(pk=lead.pk).update(owner=gone)
    html = signed_in(me).get(f"/leads/{lead.public_id}/assign/", **HTMX).content.decode()
    assert f'<option value="{gone.public_id}" selected>Mara Gone</option>' in html
    html = signed_in(me).get(f"/leads/{lead.public_id}/fields/owner/", **HTMX).content.decode()
    assert f'<option value="{gone.public_id}" selected>Mara Gone</option>' in html


def test_a_snooze_is_told_in_the_readers_own_zone(lead):
    reader = make_admin(time_zone="Asia/Tokyo")
    at = clock.now().replace(hour=3, minute=0) + timedelta(days=2)
    snooze_lead(lead.pk, by=Actor.of(reader), until=at, reason="on holiday")
    html = signed_in(reader).get(f"/leads/{lead.public_id}/").content.decode()
    assert re.search(r"snoozed until \w{3} 12:00: on holiday", html)


def test_a_tag_is_stuck_on_and_taken_off_by_its_button():
    lead, tag = make_lead(name="Ada"), Tag.objects.create(name="VIP & more", colour="amber")
    client, place = signed_in(make_admin()), f"/leads/{lead.public_id}/"
    assert "Add a tag" in client.get(place).content.decode()
    sheet = client.get(f"{place}tags/", **HTMX).content.decode()
    assert f'value="{tag.public_id}" aria-pressed="false"' in sheet
    client.post(f"{place}tags/", {"tag": str(tag.public_id)})
    html = client.get(f"{place}head/").content.decode()
    assert 'href="/leads/?tag=VIP%20%26%20more"' in html
    assert '<span class="tag warn">VIP &amp; more</span>' in html
    assert 'aria-pressed="true"' in client.get(f"{place}tags/").content.decode()
    client.post(f"{place}tags/", {"tag": str(tag.public_id)})
    assert not Tagging.objects.exists()
    assert 'role="alert"' in client.post(f"{place}tags/", {"tag": "none"}).content.decode()
    reader = signed_in(make_user(Role.READ_ONLY, team=make_team()))
    assert reader.post(f"{place}tags/", {"tag": str(tag.public_id)}).status_code == 404
