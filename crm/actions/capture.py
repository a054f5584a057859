"""What comes in by a public form: checked as a person would want it, stored whatever it is."""

import hashlib
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
from crm.actions.identity import normalise_email
from crm.actions.intake import process_inquiry, receive_public_inquiry
from crm.actions.rates import count_hit, refuse_above
from crm.actions.spam import Signals
from crm.errors import InvalidValue, LinkExpired
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
TAKEN = {InquiryState.RECEIVED, InquiryState.ATTACHED, InquiryState.CREATED}
Payload = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Submission:
    """What one POST held. `address` is whom it came from, cut to a network for the evidence."""

    values: dict[str, str]
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
    """Store an inquiry of this form; make or meet its lead unless it is spam or waits for its link.

    Raises InvalidValue naming the field for what a person would correct: a required field, the consent, an
    e-mail address that is none. All else is stored. Publishes what `receive_public_inquiry` does.
    """
    _check(form, submission)
    with transaction.atomic():
        is_double = form.opt_in == OptIn.DOUBLE
        known = Inquiry.objects.filter(source=form.source, idempotency_key=submission.key).exists()
        inquiry = receive_public_inquiry(
            channel=Channel.FORM,
            payload=_payload(form, submission.values),
            source=form.source,
            form=form,
            idempotency_key=submission.key,
            utm=submission.utm,
            signals=submission.signals,
            hold=is_double,
        )
        if known and submission.key:
            return inquiry
        if inquiry.state in TAKEN and form.consent_text:
            _keep_consent(form, submission, inquiry)
        if inquiry.state == InquiryState.RECEIVED and is_double:
            _mail_link(form, inquiry, submission.values["email"])
    return inquiry


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


def _check(form: CaptureForm, submission: Submission) -> None:
    values = submission.values
    for one in form.fields:
        if one.get("is_required") and not values.get(one["name"], "").strip():
            raise InvalidValue(_("Fill this in."), field=one["name"])
    email = values.get("email", "").strip()
    if email and email.isprintable():  # what no person can type is stored and judged, not answered
        normalise_email(email)
    if form.consent_text and not submission.has_agreed:
        raise InvalidValue(_("Tick this to send the form."), field="consent")


def _payload(form: CaptureForm, values: dict[str, str]) -> Payload:
    """The form's fields, and no others, as the intake takes them."""
    names = [one["name"] for one in form.fields]
    payload: Payload = {name: values.get(name, "") for name in names if not name.startswith(CUSTOM)}
    own = [name.removeprefix(CUSTOM) for name in names if name.startswith(CUSTOM)]
    if own:
        types = dict(CustomField.objects.filter(target="lead", key__in=own).values_list("key", "type"))
        given = {key: values.get(f"{CUSTOM}{key}", "").strip() for key in types}
        payload["custom"] = {key: _typed(types[key], text) for key, text in given.items() if text}
    return payload


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


def _keep_consent(form: CaptureForm, submission: Submission, inquiry: Inquiry) -> None:
    record_consent(
        by=Actor.customer(),
        address=submission.values["email"],
        purpose=PURPOSE,
        lead=inquiry.lead,
        form=form,
        text=form.consent_text,
        text_version=str(form.consent_version),
        evidence={
            "inquiry": str(inquiry.public_id),
            "form": form.slug,
            "page": submission.page[:300],
            "network": submission.address,
        },
    )


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
