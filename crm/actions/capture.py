"""What comes in by a public form: stored whatever it is, and kept apart where something is missing."""

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from crm import clock
from crm.actions.capture_forms import CUSTOM
from crm.actions.consents import record_consent
from crm.actions.custom_fields import required_fields
from crm.actions.identity import normalise_email
from crm.actions.intake import process_inquiry, receive_public_inquiry
from crm.actions.rates import count_hit, refuse_above
from crm.actions.spam import Signals
from crm.errors import LinkExpired
from crm.models import (
    Actor,
    CaptureForm,
    Channel,
    Consent,
    CustomField,
    FieldType,
    FormConfirmation,
    Inquiry,
    InquiryState,
    OptIn,
)

ADDRESS_A_MINUTE, FORM_A_MINUTE, ALL_FORMS_A_MINUTE = 10, 300, 1_000
LINKS_AN_HOUR = 3  # to one e-mail address
LINK_LIFE = timedelta(days=7)
PURPOSE = "contact"
CONSENT = "consent"  # in a payload: {"agreed", "version"}, and "text", "page", "network" of who agreed
UNASKED_MOST, UNASKED_LENGTH = 20, 2_000  # fields, characters
TAKEN = {InquiryState.RECEIVED, InquiryState.ATTACHED, InquiryState.CREATED}
Payload = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Submission:
    """What one POST held. `address` is whom it came from, cut to a network for the evidence; `unasked` the
    fields that the form does not ask for.
    """

    values: dict[str, str]
    unasked: dict[str, str] = field(default_factory=dict)
    has_agreed: bool = False
    signals: Signals = field(default_factory=Signals)
    address: str = ""
    page: str = ""
    utm: dict[str, str] = field(default_factory=dict)
    key: str = ""


def count_submission(form: CaptureForm, address: str) -> None:
    """Raises RateLimited. Call it outside of the transaction that stores, whose rollback must not uncount."""
    refuse_above(f"form-from:{address}", limit=ADDRESS_A_MINUTE)
    refuse_above(f"form:{form.pk}", limit=FORM_A_MINUTE)
    refuse_above("forms", limit=ALL_FORMS_A_MINUTE)


def submit_form(form: CaptureForm, submission: Submission) -> Inquiry:
    """Store an inquiry of this form; make or meet its lead unless it is spam, lacks something, cannot be read
    or waits for its link.

    Never refuses. Without the consent or a required field it stays `failed` and says what is missing: no
    lead, no consent, no mail; see `accept_inquiry`. Publishes what `receive_public_inquiry` does.
    """
    # The reasons are for those who work here, whatever language the form speaks.
    with translation.override(settings.LANGUAGE_CODE), transaction.atomic():
        is_double = form.opt_in == OptIn.DOUBLE
        payload = _payload(form, submission)
        key = f"{submission.key}:{_fingerprint(payload)}" if submission.key else ""
        known = Inquiry.objects.filter(source=form.source, idempotency_key=key).exists()
        inquiry = receive_public_inquiry(
            channel=Channel.FORM,
            payload=payload,
            source=form.source,
            form=form,
            idempotency_key=key,
            utm=submission.utm,
            signals=submission.signals,
            hold=is_double,
            lacks=_lacks(form, submission),
        )
        if known and submission.key:
            return inquiry
        if inquiry.state in TAKEN:
            keep_consent(inquiry)
        if inquiry.state == InquiryState.RECEIVED and is_double:
            _mail_link(form, inquiry, inquiry.payload["email"])
    return inquiry


def lacks_consent(inquiry: Inquiry) -> bool:
    """Whether the form asked for a consent that its sender did not give."""
    return _consent_of(inquiry).get("agreed") is False


def keep_consent(inquiry: Inquiry) -> None:
    """Write down what the sender ticked, if they did, on the day they did it."""
    asked, email, form = _consent_of(inquiry), inquiry.payload.get("email"), inquiry.form
    if form is None or not asked.get("agreed") or not email:
        return
    record_consent(
        by=Actor.customer(),
        address=email,
        purpose=PURPOSE,
        lead=inquiry.lead,
        form=form,
        text=asked["text"],
        text_version=asked["version"],
        evidence={
            "inquiry": str(inquiry.public_id),
            "form": form.slug,
            "page": asked["page"],
            "network": asked["network"],
        },
        at=inquiry.received_at,
    )


def _consent_of(inquiry: Inquiry) -> dict[str, Any]:
    return inquiry.payload.get(CONSENT, {}) if inquiry.form_id else {}


@transaction.atomic
def confirm_inquiry(token: str) -> Inquiry:
    """The person followed the link: the inquiry goes its way, and the consent is written down as confirmed.

    Following it again changes nothing. Raises LinkExpired for a wrong and a late one alike.
    """
    rows = FormConfirmation.objects.select_for_update(of=("self",)).select_related("inquiry__form")
    confirmation = rows.filter(token_sha256=_hash(token)).first()
    if confirmation is None or (confirmation.confirmed_at is None and confirmation.expires_at <= clock.now()):
        raise LinkExpired(_("This link no longer works. Send the form again."))
    if confirmation.confirmed_at is not None:
        return confirmation.inquiry
    confirmation.confirmed_at = clock.now()
    confirmation.save(update_fields=["confirmed_at", "updated_at"])
    if confirmation.inquiry.state == InquiryState.SPAM:
        return confirmation.inquiry  # a person said so; a link does not overrule them
    inquiry = process_inquiry(confirmation.inquiry_id)
    given = Consent.objects.filter(evidence__inquiry=str(inquiry.public_id)).order_by("pk").first()
    if given is not None:
        record_consent(
            by=Actor.customer(),
            address=given.norm,
            purpose=given.purpose,
            lead=inquiry.lead,
            form=given.form,
            text=given.text,
            text_version=given.text_version,
            evidence={**given.evidence, "confirmed_by": "link"},
        )
    return inquiry


def form_behind(token: str) -> CaptureForm | None:
    """The form whose link this is, whether it still works or not."""
    rows = FormConfirmation.objects.select_related("inquiry__form").filter(token_sha256=_hash(token))
    found = rows.first()
    return found.inquiry.form if found else None


def _lacks(form: CaptureForm, submission: Submission) -> list[str]:
    """What has to be there and is not, in words."""
    own = needed_of(form)
    missing = [
        _("“%(label)s” (%(name)s) is missing.") % {"label": one["label"], "name": one["name"]}
        for one in form.fields
        if (one.get("is_required") or one["name"] in own)
        and not submission.values.get(one["name"], "").strip()
    ]
    if form.consent_text and not submission.has_agreed:
        missing.insert(0, _("The consent is missing."))
    return missing


def needed_of(form: CaptureForm) -> set[str]:
    """Names of the own fields that the form asks for and that are needed everywhere; a yes or no is answered
    by an empty box. One query, if the form asks for own fields.
    """
    asked = [one["name"].removeprefix(CUSTOM) for one in form.fields if one["name"].startswith(CUSTOM)]
    if not asked:
        return set()
    fields = required_fields().filter(key__in=asked).exclude(type=FieldType.BOOLEAN)
    return {f"{CUSTOM}{key}" for key in fields.values_list("key", flat=True)}


def _payload(form: CaptureForm, submission: Submission) -> Payload:
    """The form's fields as the intake takes them; beside them what it does not read: the consent as it was
    asked for and answered, and what the form did not ask for.
    """
    values = submission.values
    names = [one["name"] for one in form.fields]
    payload: Payload = {name: values.get(name, "") for name in names if not name.startswith(CUSTOM)}
    own = [name.removeprefix(CUSTOM) for name in names if name.startswith(CUSTOM)]
    if own:
        types = dict(CustomField.objects.filter(target="lead", key__in=own).values_list("key", "type"))
        given = {key: values.get(f"{CUSTOM}{key}", "").strip() for key in types}
        payload["custom"] = {key: _typed(types[key], text) for key, text in given.items() if text}
    if form.consent_text:
        payload[CONSENT] = {"agreed": submission.has_agreed, "version": str(form.consent_version)}
        if submission.has_agreed:
            seen = {"text": form.consent_text, "page": submission.page[:300], "network": submission.address}
            payload[CONSENT] |= seen
    if submission.unasked and _lacks(form, submission):  # a field of another name may hold what is missing
        payload["unasked"] = {
            name: text[:UNASKED_LENGTH] for name, text in list(submission.unasked.items())[:UNASKED_MOST]
        }
    return payload


def _fingerprint(payload: Payload) -> str:
    """The same page may come twice, and once more with what was missing: that is another inquiry."""
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode(errors="replace")).hexdigest()[:16]


def _typed(kind: str, text: str) -> Any:
    """A text of a form as the type of its field; what is none stays text, and the intake says so."""
    if kind == FieldType.BOOLEAN:
        return True if text == "on" else text
    if kind == FieldType.NUMBER:
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _mail_link(form: CaptureForm, inquiry: Inquiry, email: str) -> None:
    """Mail the link, unless this address had enough of them in this hour: the inquiry then waits, too."""
    address = normalise_email(email)[0]
    token = secrets.token_urlsafe(32)
    FormConfirmation.objects.create(
        inquiry=inquiry,
        token_sha256=_hash(token),
        mailed_at=clock.now(),
        expires_at=clock.now() + LINK_LIFE,
    )
    bucket = f"form-link:{hashlib.sha256(address.encode()).hexdigest()[:32]}"
    if count_hit(bucket, limit=LINKS_AN_HOUR, window_s=3_600).is_spent:
        return
    with translation.override(form.locale):
        subject = _("Confirm your message")
        text = _(
            "You wrote to us on our site. Open this link to confirm it:\n\n%(link)s\n\n"
            "It works for %(days)d days. If it was not you, do nothing: we will not write again."
        ) % {"link": f"{settings.SITE_URL}/confirm/{token}/", "days": LINK_LIFE.days}
    transaction.on_commit(lambda: send_mail(subject, text, None, [address], fail_silently=True), robust=True)


def _hash(token: str) -> str:
    """Of 256 random bits: a plain hash is enough."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
