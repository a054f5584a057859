"""The one way in: whatever arrives becomes an inquiry first, then finds or makes its lead."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.base import tell
from crm.actions.candidates import note_candidates
from crm.actions.custom_fields import refuse_missing
from crm.actions.identity import Identity, identify, lock_identities
from crm.actions.lead_fields import LENGTHS as LENGTHS
from crm.actions.lead_fields import UNSTORABLE, LeadFields
from crm.actions.lead_fields import checked_amount as checked_amount
from crm.actions.lead_fields import checked_country as checked_country
from crm.actions.lead_fields import checked_currency as checked_currency
from crm.actions.lead_status import WAKING_FIELDS, first_status, wake_up
from crm.actions.persons import bring_together, locked_proof, note_others
from crm.actions.scores import score_by_rules_batch
from crm.actions.spam import Signals, judge_spam
from crm.actions.tags import LeadTags, refuse_unknown_tags
from crm.errors import InvalidValue
from crm.models import (
    Actor,
    ActorKind,
    CaptureForm,
    Channel,
    Contact,
    ContactPoint,
    Inquiry,
    InquiryState,
    Lead,
    LeadKind,
    LeadSource,
    LeadStatus,
    MatchKey,
    PointKind,
    Role,
    Team,
    User,
)
from crm.permissions import Verb, require

log = logging.getLogger(__name__)
STORED_MOST = 50_000  # characters of one field of an inquiry from the open internet
FILLED_LATER = (
    "company",
    "title",
    "country",
    "interest",
    "est_value",
    "mailing_address",
    "physical_address",
)
TYPED_IN = {Channel.MANUAL, Channel.PHONE, Channel.API}  # by somebody who can fill in what is needed
FROM_CUSTOMER = {Channel.FORM, Channel.EMAIL, Channel.PHONE, Channel.API}


@dataclass(frozen=True, slots=True)
class IntakeResult:
    inquiry: Inquiry
    lead: Lead
    created: bool


@transaction.atomic
def receive_inquiry(
    *,
    channel: Channel | str,
    payload: dict[str, Any],
    by: Actor,
    source: LeadSource | None = None,
    idempotency_key: str = "",
    utm: dict[str, str] | None = None,
    received_at: datetime | None = None,
) -> IntakeResult:
    """Store what a known door hands in, then attach it to the open lead it belongs to, or make a new one.

    `payload`: the fields of LeadFields. A resend with the same key and source changes nothing and returns the
    first result. `received_at`: when it came, if not now (what another system took down); a lead that it
    makes is of then. Raises InvalidValue (names the field; nothing is stored, the caller can correct it),
    PermissionRefused. Publishes InquiryReceived, LeadCreated or LeadChanged, and LeadFactsChanged.
    """
    require(by, Verb.CREATE)
    channel = Channel(channel)
    source = source or default_source(channel)
    fields = LeadFields.of(payload)
    refuse_unknown_tags(fields.tags)
    identity = _identity(fields, source)
    inquiry = _stored(
        channel, payload, source, idempotency_key, utm, message=fields.message, received_at=received_at
    )
    if inquiry.lead:
        return IntakeResult(inquiry, inquiry.lead, inquiry.state == InquiryState.CREATED)
    result = _place(inquiry, fields, identity, by=by, at=received_at)
    if received_at and result.created:
        Lead.objects.filter(pk=result.lead.pk).update(created_at=received_at)
    _publish(result)
    result.lead.refresh_from_db()
    return result


@transaction.atomic
def receive_row(
    payload: dict[str, Any], *, by: Actor, source: LeadSource, idempotency_key: str, lead_id: int | None
) -> IntakeResult:
    """`receive_inquiry` for the row of a file that cannot be written with the others; tells nobody of it.

    A lead that is made gets the id `lead_id`, so that leads stand in the order of the rows. Raises
    InvalidValue.
    """
    fields = LeadFields.of(payload)
    inquiry = _stored(Channel.CSV, payload, source, idempotency_key, None, message=fields.message)
    result = _place(inquiry, fields, _identity(fields, source), by=by, lead_id=lead_id)
    score_by_rules_batch([result.lead.pk])
    result.lead.refresh_from_db()
    return result


@transaction.atomic
def receive_public_inquiry(
    *,
    channel: Channel | str,
    payload: dict[str, Any],
    source: LeadSource,
    form: CaptureForm | None = None,
    idempotency_key: str = "",
    utm: dict[str, str] | None = None,
    signals: Signals | None = None,
    hold: bool = False,
    lacks: Sequence[str] = (),
) -> Inquiry:
    """Store what came from the open internet, whatever it holds, then run the intake on it.

    Never refuses: spam stays `spam`, what cannot be read or breaks the intake stays `failed` with its reason,
    and so does what `lacks` something (in words); nothing is lost. `signals`: what the door saw. With `hold`
    (double opt-in) what can be read stays `received` until `process_inquiry`. A resend with the same key and
    source returns the first inquiry. Publishes what `receive_inquiry` does, once it makes or meets a lead.
    """
    channel = Channel(channel)
    clean = _storable(payload)
    message = clean.get("message", "")
    message = message if isinstance(message, str) else ""
    inquiry = _stored(channel, clean, source, idempotency_key, utm, message=message, form=form)
    if inquiry.state != InquiryState.RECEIVED or inquiry.spam_reasons:
        return inquiry
    verdict = judge_spam(payload, signals or Signals())
    inquiry.spam_score, inquiry.spam_reasons = verdict.score, list(verdict.reasons)
    inquiry.error = " ".join(lacks)[:300]
    if verdict.is_spam:
        inquiry.state = InquiryState.SPAM
    elif lacks or (hold and not _is_readable(inquiry)):
        inquiry.state = InquiryState.FAILED
    inquiry.save(update_fields=["spam_score", "spam_reasons", "state", "error", "updated_at"])
    if inquiry.state == InquiryState.RECEIVED and not hold:
        process_inquiry(inquiry.pk)
        inquiry.refresh_from_db()
    return inquiry


@transaction.atomic
def process_inquiry(inquiry_id: int, *, by: Actor | None = None) -> Inquiry:
    """Run the intake on a stored inquiry that has no lead yet; one that has stays as it is.

    What is wrong with it ends up in its `error`, state `failed`. Raises Inquiry.DoesNotExist. Publishes what
    `receive_inquiry` does.
    """
    lock_identities([("inquiry", str(inquiry_id))])
    inquiry = Inquiry.objects.select_related("source", "lead", "form").get(pk=inquiry_id)
    if inquiry.lead:
        return inquiry
    try:
        with transaction.atomic():
            _publish(_place(inquiry, *_read(inquiry), by=by or Actor.system()))
    except InvalidValue as wrong:
        _fail(inquiry, _why(wrong))
    except Exception as broken:
        log.exception("inquiry %s could not be placed", inquiry.public_id)
        _fail(inquiry, _("The intake failed (%s); try again.") % type(broken).__name__)
    return inquiry


def _read(inquiry: Inquiry) -> tuple[LeadFields, Identity]:
    """Raises InvalidValue."""
    fields = LeadFields.of(_from_json(inquiry.payload))
    return fields, _identity(fields, inquiry.source)


def _is_readable(inquiry: Inquiry) -> bool:
    """In memory: what is wrong with it is in its `error` then."""
    try:
        _read(inquiry)
    except InvalidValue as wrong:
        inquiry.error = _why(wrong)[:300]
        return False
    return True


def _why(wrong: InvalidValue) -> str:
    return f"{wrong.field}: {wrong}" if wrong.field else str(wrong)


def _fail(inquiry: Inquiry, reason: str) -> None:
    inquiry.state, inquiry.error, inquiry.lead = InquiryState.FAILED, reason[:300], None
    inquiry.save(update_fields=["state", "error", "lead", "updated_at"])


def _stored(
    channel: Channel,
    payload: dict[str, Any],
    source: LeadSource,
    idempotency_key: str,
    utm: dict[str, str] | None,
    *,
    message: str,
    form: CaptureForm | None = None,
    received_at: datetime | None = None,
) -> Inquiry:
    """The inquiry as a row, or the one that came with this key before.

    The key is locked before those of the person, always; so whoever waits for it holds none of them.
    """
    if idempotency_key:
        lock_identities([("idempotency", f"{source.pk}:{idempotency_key}")])
        seen = Inquiry.objects.select_related("lead", "source").filter(
            source=source, idempotency_key=idempotency_key
        )
        if known := seen.first():
            return known
    return Inquiry.objects.create(
        source=source,
        form=form,
        channel=channel,
        payload=_as_json(payload),
        message=message,
        idempotency_key=idempotency_key or None,
        utm=utm or {},
        received_at=received_at or clock.now(),
    )


def _place(
    inquiry: Inquiry,
    fields: LeadFields,
    identity: Identity,
    *,
    by: Actor,
    lead_id: int | None = None,
    at: datetime | None = None,
) -> IntakeResult:
    """Attach the inquiry to the open lead of its person, or make one. Locks keys, then rows. `at`: as of
    when, if not now.
    """
    at = at or clock.now()
    proof = locked_proof(identity.strong_keys, name=identity.name)
    known, contact = bring_together(proof)
    if known:
        _learn(known, fields, identity, by=by, at=at)
    if known is None and by.user is not None and inquiry.channel in TYPED_IN:
        refuse_missing(fields.custom)
    lead = known or _new_lead(
        fields, identity, inquiry=inquiry, contact=contact, by=by, lead_id=lead_id, at=at
    )
    if fields.tags:
        tags = LeadTags([lead.pk], fields.tags)
        tags.add(lead.pk, fields.tags)
        tags.save()
    inquiry.lead, inquiry.error = lead, ""
    inquiry.state = InquiryState.ATTACHED if known else InquiryState.CREATED
    inquiry.save(update_fields=["lead", "state", "error", "updated_at"])
    _tell_inquiry(lead, inquiry, by=by, again=known is not None, is_back=contact is not None, at=at)
    note_others(lead, proof)
    if known is None:
        note_candidates([lead.pk])
    return IntakeResult(inquiry, lead, created=known is None)


def _publish(result: IntakeResult) -> None:
    lead_id, channel = result.lead.pk, Channel(result.inquiry.channel)
    events.publish(events.InquiryReceived(result.inquiry.pk, lead_id, created=result.created))
    events.publish(events.LeadCreated(lead_id) if result.created else events.LeadChanged(lead_id))
    events.publish(events.LeadFactsChanged(lead_id, priority=2 if channel in FROM_CUSTOMER else 4))
    if result.created and result.lead.owner_id is None and channel != Channel.CSV:
        events.publish(events.LeadUnassigned(lead_id))  # after its first score, which rules may ask for


def default_source(channel: Channel) -> LeadSource:
    """The source that stands for a channel when none is named; made on first use."""
    return LeadSource.objects.get_or_create(
        code=channel.value, defaults={"name": str(channel.label), "kind": channel}
    )[0]


def _identity(fields: LeadFields, source: LeadSource) -> Identity:
    identity = identify(
        name=fields.name or fields.email.partition("@")[0] or fields.phone,
        company=fields.company,
        email=fields.email,
        phone=fields.phone,
        country=fields.country or source.default_country,
        external_id=fields.external_id,
        source_id=source.pk,
    )
    if not identity.name:
        raise InvalidValue(_("Give a name, an e-mail address or a phone number."), field="name")
    return identity


def _new_lead(
    fields: LeadFields,
    identity: Identity,
    *,
    inquiry: Inquiry,
    contact: Contact | None,
    by: Actor,
    lead_id: int | None,
    at: datetime,
) -> Lead:
    source, channel = inquiry.source, Channel(inquiry.channel)
    owner, team = first_hands(by, channel=channel, source=source)
    lead = Lead.objects.create(
        pk=lead_id,
        name=identity.name[:200],
        company=fields.company,
        title=fields.title,
        kind=LeadKind.BUSINESS if fields.company else LeadKind.PERSON,
        mailing_address=fields.mailing_address,
        physical_address=fields.physical_address,
        country=fields.country,
        interest=fields.interest,
        est_value=fields.est_value,
        currency=fields.currency or source.currency,
        custom=fields.custom or {},
        source=source,
        contact=contact,
        owner=owner,
        team=team,
        last_inbound_at=at if channel in FROM_CUSTOMER else None,
        search_text=identity.search_text,
        status_changed_at=at,
    )
    first_status(lead, by=by)
    _remember(lead, identity, raw_email=fields.email, raw_phone=fields.phone)
    return lead


def first_hands(by: Actor, *, channel: Channel, source: LeadSource) -> tuple[User | None, Team | None]:
    """Who gets a new lead: the person who entered it by hand, else the pool of the source's team."""
    own_team = Team.objects.filter(members__user=by.user).order_by("pk").first() if by.user else None
    team = source.default_team or own_team
    if by.user is None:
        return None, team or Team.objects.order_by("pk").first()
    by_hand = by.kind == ActorKind.USER and channel in {Channel.MANUAL, Channel.PHONE}
    would_lose_it = team is None and by.user.role != Role.ADMIN
    return (by.user if by_hand or would_lose_it else None), team


def _learn(lead: Lead, fields: LeadFields, identity: Identity, *, by: Actor, at: datetime) -> None:
    """Fill what the open lead lacks, never overwrite; a sleeping lead wakes by what came after it fell
    asleep.
    """
    changed = fill_gaps(lead, fields, identity.search_text, at=at)
    if lead.status == LeadStatus.NURTURING and lead.status_changed_at <= at:
        wake_up(lead, by=by).save()
        changed += WAKING_FIELDS
    _remember(lead, identity, raw_email=fields.email, raw_phone=fields.phone)
    lead.save_changed(*changed)


def fill_gaps(lead: Lead, fields: LeadFields, search_text: str, *, at: datetime) -> list[str]:
    """What an inquiry of then teaches about a lead we have, in memory. Returns the names of the changed
    fields.
    """
    changed = ["last_inbound_at", "attempts", "search_text"]
    for name in FILLED_LATER:
        if getattr(fields, name) and not getattr(lead, name):
            setattr(lead, name, getattr(fields, name))
            changed.append(name)
    missing = {key: value for key, value in (fields.custom or {}).items() if key not in lead.custom}
    if missing:
        lead.custom = {**lead.custom, **missing}
        changed.append("custom")
    lead.last_inbound_at = max(at, lead.last_inbound_at or at)
    lead.attempts = 0
    lead.search_text = " ".join(dict.fromkeys(f"{lead.search_text} {search_text}".split()))
    return changed


def _remember(lead: Lead, identity: Identity, *, raw_email: str, raw_phone: str) -> None:
    """Store the ways to reach and to recognise a lead; what is known already stays."""
    known = list(lead.contact_points.values_list("kind", "norm", "is_primary"))
    have = {(kind, norm) for kind, norm, _primary in known}
    primary = {kind for kind, _norm, is_primary in known if is_primary}
    points = [
        ContactPoint(lead=lead, kind=kind, raw=raw, norm=norm, is_primary=kind not in primary)
        for kind, raw, norm in (
            (PointKind.EMAIL, raw_email, identity.email),
            (PointKind.PHONE, raw_phone, identity.phone),
        )
        if norm and (kind, norm) not in have
    ]
    ContactPoint.objects.bulk_create(points)
    MatchKey.objects.bulk_create(
        [MatchKey(lead=lead, kind=kind, value=value) for kind, value in identity.keys], ignore_conflicts=True
    )


def _tell_inquiry(
    lead: Lead, inquiry: Inquiry, *, by: Actor, again: bool, is_back: bool, at: datetime
) -> None:
    actor = Actor.customer(lead.name) if inquiry.channel in FROM_CUSTOMER else by
    first_words = inquiry.message.replace("\n", " ")[:220]
    summary = opening(inquiry.channel, again=again, is_back=is_back) + (
        f": {first_words}" if first_words else ""
    )
    tell(
        lead,
        "inquiry.received",
        summary,
        by=actor,
        occurred_at=at,
        inquiry=str(inquiry.public_id),
        again=again,
    )


def opening(channel: str, *, again: bool, is_back: bool = False) -> str:
    """How the story tells of an inquiry, before its first words. `is_back`: known, but without open lead."""
    if again:
        what = _("Asked again (%s)")
    else:
        what = _("Came back (%s)") if is_back else _("Asked for the first time (%s)")
    return what % Channel(channel).label


def _as_json(payload: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in payload.items()}


def _from_json(payload: dict[str, Any]) -> dict[str, Any]:
    """What a stored payload says to LeadFields; fields that are none of ours stay in the inquiry only."""
    return {name: value for name, value in payload.items() if name in LeadFields.__dataclass_fields__}


def _storable(value: Any) -> Any:
    """The same without what PostgreSQL cannot hold (NUL, half characters), and cut where it never ends."""
    if isinstance(value, str):
        return UNSTORABLE.sub("\ufffd", value[:STORED_MOST])
    if isinstance(value, dict):
        return {str(_storable(str(key)))[:200]: _storable(one) for key, one in list(value.items())[:100]}
    if isinstance(value, list | tuple):
        return [_storable(one) for one in list(value)[:100]]
    return value if value is None or isinstance(value, bool | int | Decimal) else str(value)[:STORED_MOST]
