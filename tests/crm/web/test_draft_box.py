"""The draft box: read, edit, approve, dismiss, take back."""

import re

import pytest

from crm.models import FollowUp, FollowUpState, Inquiry, Role, Undo
from crm.web.draft_sources import marked
from tests.crm.web.pages import HTMX, signed_in
from tests.factories import make_admin, make_follow_up, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _mail_stays_on_this_machine(settings):
    settings.MAIL_CATCHER = True


@pytest.fixture
def me():
    return make_admin()


@pytest.fixture
def draft(me):
    lead = make_lead(owner=me, email="ada@example.com", message="I want a pond with twelve raised beds.")
    return make_follow_up(lead, to_address="ada@example.com", provider="scripted", model="scripted")


def test_the_box_shows_exactly_the_text_that_would_be_sent(me, draft):
    html = signed_in(me).get(f"/leads/{draft.lead.public_id}/draft/", **HTMX).content.decode()
    assert "Hello,\n\nthank you for your message.\n\nJo" in html
    assert "ada@example.com" in html
    assert "Sample" in html


def test_approving_schedules_the_message_and_offers_to_take_it_back(me, draft):
    client = signed_in(me)
    answer = client.post(f"/follow-ups/{draft.public_id}/approve/", {"version": draft.version}, **HTMX)
    draft.refresh_from_db()
    assert draft.state == FollowUpState.SCHEDULED
    undo = Undo.objects.get()
    assert f"/undo/{undo.public_id}/" in answer.content.decode()
    client.post(f"/undo/{undo.public_id}/", **HTMX)
    draft.refresh_from_db()
    assert draft.state == FollowUpState.APPROVED


def test_approving_what_somebody_changed_meanwhile_is_refused_and_shows_the_new_text(me, draft):
    client = signed_in(me)
    client.post(
        f"/follow-ups/{draft.public_id}/edit/",
        {"version": draft.version, "subject": "New", "body": "Other words"},
        **HTMX,
    )
    answer = client.post(f"/follow-ups/{draft.public_id}/approve/", {"version": draft.version}, **HTMX)
    draft.refresh_from_db()
    assert draft.state == FollowUpState.EDITED
    assert 'role="alert"' in answer.content.decode()
    assert "Other words" in answer.content.decode()


@pytest.mark.parametrize("version", ["", "x", "-1", "99999999999999999999", "1e3"])
def test_an_approval_without_the_right_version_is_refused(me, draft, version):
    signed_in(me).post(f"/follow-ups/{draft.public_id}/approve/", {"version": version}, **HTMX)
    draft.refresh_from_db()
    assert draft.state == FollowUpState.GENERATED


def test_a_text_can_be_edited_and_sent_in_one_go(me, draft):
    answer = signed_in(me).post(
        f"/follow-ups/{draft.public_id}/edit/",
        {"version": draft.version, "subject": "Your pond", "body": "Hello\r\nAda", "then": "approve"},
        **HTMX,
    )
    draft.refresh_from_db()
    assert (draft.state, draft.subject, draft.body) == (FollowUpState.SCHEDULED, "Your pond", "Hello\nAda")
    assert answer["HX-Trigger"] == "changed"


def test_an_empty_text_is_refused_beside_the_field_and_what_was_typed_stays(me, draft):
    html = (
        signed_in(me)
        .post(
            f"/follow-ups/{draft.public_id}/edit/",
            {"version": draft.version, "subject": "Kept", "body": " "},
            **HTMX,
        )
        .content.decode()
    )
    assert 'value="Kept"' in html
    assert 'role="alert"' in html


def test_without_htmx_a_refused_edit_shows_the_whole_page_with_the_form(me, draft):
    answer = signed_in(me).post(
        f"/follow-ups/{draft.public_id}/edit/", {"version": draft.version, "subject": "Kept", "body": ""}
    )
    html = answer.content.decode()
    assert "<html" in html
    assert 'value="Kept"' in html


def test_dismissing_asks_why_and_can_be_taken_back(me, draft):
    client = signed_in(me)
    client.post(
        f"/follow-ups/{draft.public_id}/dismiss/", {"reason": "too_long", "version": draft.version}, **HTMX
    )
    draft.refresh_from_db()
    assert (draft.state, draft.reject_reason) == (FollowUpState.REJECTED, "too_long")
    client.post(f"/undo/{Undo.objects.get().public_id}/", **HTMX)
    draft.refresh_from_db()
    assert draft.state == FollowUpState.GENERATED


def test_dismissing_takes_ones_own_words_and_enter_there_means_something_else(me, draft):
    client = signed_in(me)
    html = client.get(f"/leads/{draft.lead.public_id}/draft/", **HTMX).content.decode()
    form = html[html.index("/dismiss/") :]
    assert re.findall(r'name="(?:note|reason)"(?: value="(\w+)")?', form)[:2] == ["", "other"]
    said = {"reason": "wrong_tone", "note": "Never so stiff.", "version": draft.version}
    client.post(f"/follow-ups/{draft.public_id}/dismiss/", said, **HTMX)
    draft.refresh_from_db()
    assert (draft.reject_reason, draft.reject_note) == ("wrong_tone", "Never so stiff.")


def test_dismissing_without_one_of_the_reasons_is_refused(me, draft):
    signed_in(me).post(
        f"/follow-ups/{draft.public_id}/dismiss/", {"reason": "mood", "version": draft.version}, **HTMX
    )
    draft.refresh_from_db()
    assert draft.state == FollowUpState.GENERATED


def test_a_person_can_write_a_message_from_nothing(me):
    lead = make_lead(owner=me, email="ada@example.com")
    signed_in(me).post(f"/leads/{lead.public_id}/write/", {"subject": "Hello", "body": "Dear Ada"}, **HTMX)
    written = FollowUp.objects.get()
    assert (written.state, written.created_by) == (FollowUpState.EDITED, me)


def test_a_reader_cannot_approve(draft):
    team = make_team()
    lead = draft.lead
    lead.team = team
    lead.save()
    reader = signed_in(make_user(Role.READ_ONLY, team=team))
    html = reader.get(f"/leads/{lead.public_id}/draft/", **HTMX).content.decode()
    assert "Approve and send" not in html
    reader.post(f"/follow-ups/{draft.public_id}/approve/", {"version": draft.version}, **HTMX)
    draft.refresh_from_db()
    assert draft.state == FollowUpState.GENERATED


def test_a_strangers_draft_is_not_found(draft):
    client = signed_in(make_user())
    for path in ("edit", "approve", "dismiss"):
        assert client.post(f"/follow-ups/{draft.public_id}/{path}/", {}, **HTMX).status_code == 404


def test_words_found_in_the_record_are_underlined_with_their_source(me, draft):
    inquiry = Inquiry.objects.get()
    draft.body = "Hello,\n\na pond with twelve raised beds is a fine idea."
    draft.facts_used = [{"id": "inquiry-1", "kind": "inquiry", "source_id": inquiry.pk, "field": ""}]
    draft.rehash()
    draft.save()
    html = signed_in(me).get(f"/leads/{draft.lead.public_id}/draft/", **HTMX).content.decode()
    assert re.search(r'title="Inquiry, [^"]+">pond with twelve raised beds</span>', html)


def test_a_sentence_is_underlined_with_the_facts_that_it_rests_on(me, draft):
    inquiry = Inquiry.objects.get()
    draft.body = "Hello,\n\nraised beds suit you. Twelve raised beds are a fine idea. Shall we meet?\n\nJo"
    draft.original_body = draft.body
    start = draft.body.index("Twelve")
    draft.marks = [{"start": start, "end": start + 35, "facts": ["inquiry-1"]}]
    draft.facts_used = [{"id": "inquiry-1", "kind": "inquiry", "source_id": inquiry.pk, "field": ""}]
    draft.rehash()
    draft.save()

    def underlined() -> list[str]:
        html = signed_in(me).get(f"/leads/{draft.lead.public_id}/draft/", **HTMX).content.decode()
        return re.findall(r'title="Inquiry, [^"]+">([^<]+)</span>', html)

    assert underlined() == ["Twelve raised beds"]  # not the unmarked sentence's
    inquiry_text = "Wir wollen zwölf Beete."  # the fact in other words: the sentence as a whole
    Inquiry.objects.filter(pk=inquiry.pk).update(message=inquiry_text)
    assert underlined() == ["Twelve raised beds are a fine idea."]
    draft.body = draft.body.replace("fine idea", "bad idea")
    draft.rehash()
    draft.save()
    assert underlined() == []  # a person's sentence now


def test_the_forms_to_draft_and_rewrite_offer_every_wish(me, draft, settings):
    settings.AI_PROVIDER = "scripted"
    draft.tone, draft.instruction = "formal", "Be brief."
    draft.save()
    client = signed_in(me)
    html = client.get(f"/leads/{draft.lead.public_id}/draft/", **HTMX).content.decode()
    assert '<option value="formal" selected>' in html
    assert 'value="Be brief."' in html
    lead = make_lead(owner=me, email="bo@example.com")
    html = client.get(f"/leads/{lead.public_id}/draft/", **HTMX).content.decode()
    for name in ("purpose", "tone", "length", "language", "instruction"):
        assert f'name="{name}"' in html


def test_a_source_of_another_lead_is_never_quoted(me, draft):
    foreign = Inquiry.objects.create(source=draft.lead.source, channel="form", message="secret garden plans")
    draft.body = "About the secret garden plans."
    draft.facts_used = [{"kind": "inquiry", "source_id": foreign.pk}]
    draft.rehash()
    draft.save()
    html = signed_in(me).get(f"/leads/{draft.lead.public_id}/draft/", **HTMX).content.decode()
    assert 'class="src"' not in html


@pytest.mark.parametrize(
    "facts",
    [["x"], [None], [{"kind": ["inquiry"]}], [{"kind": "field", "field": "pk"}], [{"source_id": "1"}]],
)
def test_facts_that_are_no_facts_are_left_out(me, draft, facts):
    draft.facts_used = facts
    draft.save()
    assert signed_in(me).get(f"/leads/{draft.lead.public_id}/draft/", **HTMX).status_code == 200


def test_marking_never_changes_the_text():
    body = "Hello Ada,\n\nyour pond with twelve raised beds — and the “blue gate” — is planned.\n\nJo"
    segments = marked(body, [("Inquiry", "a pond with twelve raised beds and the blue gate, planned")])
    assert "".join(segment.text for segment in segments) == body
    assert any(segment.source for segment in segments)
