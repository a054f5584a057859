"""The one way in: whatever arrives becomes an inquiry first, then finds or makes its lead."""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.base import tell
from crm.actions.custom_fields import checked_custom
from crm.actions.identity import Identity, identify, lock_identities
from crm.errors import InvalidValue
from crm.models import (
    OPEN_STATUSES,
    STRONG_KEYS,
    Actor,
    ActorKind,
    Channel,
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

LENGTHS = {
    "name": 200,
    "company": 200,
    "title": 120,
    "interest": 300,
    "email": 320,
    "phone": 60,
    "message": 20_000,
}
TEXTS = (*LENGTHS, "country", "currency", "external_id", "mailing_address", "physical_address")
FILLED_LATER = (
    "company",
    "title",
    "country",
    "interest",
    "est_value",
    "mailing_address",
    "physical_address",
)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
FROM_CUSTOMER = {Channel.FORM, Channel.EMAIL, Channel.PHONE, Channel.API}


@dataclass(frozen=True, slots=True)
class IntakeResult:
    inquiry: Inquiry
    lead: Lead
    created: bool


@dataclass(frozen=True, slots=True)
class LeadFields:
    """What a door may hand in, checked. Empty text means "not given"."""

    name: str = ""
    company: str = ""
    title: str = ""
    email: str = ""
    phone: str = ""
    country: str = ""
    interest: str = ""
    est_value: Decimal | None = None
    currency: str = ""
    message: str = ""
    external_id: str = ""
    mailing_address: str = ""
    physical_address: str = ""
    custom: dict[str, Any] | None = None

    @classmethod
    def of(cls, payload: dict[str, Any]) -> "LeadFields":
        """Raises InvalidValue naming the field that is wrong or unknown."""
        unknown = sorted(set(payload) - set(cls.__dataclass_fields__))
        if unknown:
            raise InvalidValue(_("There is no field “%s”.") % unknown[0][:60], field=unknown[0])
        values = dict(payload)
        for name in TEXTS:
            values[name] = _text(name, payload.get(name))
        values["country"] = checked_country(values["country"])
        values["currency"] = checked_currency(values["currency"])
        values["est_value"] = checked_amount(payload.get("est_value"))
        values["custom"] = checked_custom(payload.get("custom") or {})
        return cls(**values)


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidValue(_("Write text here."), field=name)
    if _UNSTORABLE.search(value):
        raise InvalidValue(_("This text holds characters that cannot be stored."), field=name)
    limit = LENGTHS.get(name, 500)
    value = value.strip() if name == "message" else " ".join(value.split())
    if len(value) > limit:
        raise InvalidValue(_("Use at most %d characters.") % limit, field=name)
    return value


def checked_country(value: str) -> str:
    """An ISO 3166 code of two letters, or empty. Raises InvalidValue."""
    if value and not (len(value) == 2 and value.isascii() and value.isalpha()):
        raise InvalidValue(_("Write the country as its two-letter code, such as GB."), field="country")
    return value.upper()


def checked_currency(value: str) -> str:
    """An ISO 4217 code of three letters, or empty. Raises InvalidValue."""
    if value and not (len(value) == 3 and value.isascii() and value.isalpha()):
        raise InvalidValue(_("Write the currency as its three-letter code, such as EUR."), field="currency")
    return value.upper()


def checked_amount(value: Any, *, field: str = "est_value") -> Decimal | None:
    """Money with at most 12 digits before the point, rounded to cents. Raises InvalidValue."""
    if value in (None, ""):
        return None
    try:
        amount = Decimal(str(value)).quantize(Decimal("0.01"))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or not 0 <= amount < Decimal(10) ** 12:
        raise InvalidValue(_("Write the value as a number from 0 on, such as 18400.00."), field=field)
    return amount


@transaction.atomic
def receive_inquiry(
    *,
    channel: Channel | str,
    payload: dict[str, Any],
    by: Actor,
    source: LeadSource | None = None,
    idempotency_key: str = "",
    utm: dict[str, str] | None = None,
) -> IntakeResult:
    """Store what came in, then attach it to the open lead it belongs to, or make a new one.

    `payload`: the fields of LeadFields. A resend with the same key and source changes nothing and returns the
    first result. Raises InvalidValue (names the field), PermissionRefused.
    Publishes InquiryReceived, LeadCreated or LeadChanged, and LeadFactsChanged.
    """
    require(by, Verb.CREATE)
    channel = Channel(channel)
    source = source or default_source(channel)
    fields = LeadFields.of(payload)
    identity = _identity(fields, source)
    keys = list(identity.strong_keys)
    if idempotency_key:
        keys.append(("idempotency", f"{source.pk}:{idempotency_key}"))
    lock_identities(keys)
    if idempotency_key:
        seen = Inquiry.objects.filter(source=source, idempotency_key=idempotency_key).first()
        if seen and seen.lead:
            return IntakeResult(seen, seen.lead, seen.state == InquiryState.CREATED)
    known = _open_lead(identity)
    lead = known or _new_lead(fields, identity, source=source, channel=channel, by=by)
    if known:
        _learn(known, fields, identity)
    inquiry = Inquiry.objects.create(
        source=source,
        channel=channel,
        payload=_as_json(payload),
        message=fields.message,
        idempotency_key=idempotency_key or None,
        utm=utm or {},
        state=InquiryState.ATTACHED if known else InquiryState.CREATED,
        lead=lead,
        received_at=clock.now(),
    )
    _tell_inquiry(lead, inquiry, by=by, again=known is not None)
    events.publish(events.InquiryReceived(inquiry.pk, lead.pk, created=known is None))
    events.publish(events.LeadChanged(lead.pk) if known else events.LeadCreated(lead.pk))
    events.publish(events.LeadFactsChanged(lead.pk, priority=2 if channel in FROM_CUSTOMER else 4))
    lead.refresh_from_db()
    return IntakeResult(inquiry, lead, created=known is None)


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


def _open_lead(identity: Identity) -> Lead | None:
    """The open lead that one of the strong keys proves to be this person, locked: by e-mail first, then the
    oldest."""
    matches = MatchKey.objects.filter(
        kind__in=STRONG_KEYS, value__in=[value for _kind, value in identity.strong_keys]
    ).values_list("lead_id", "kind", "value")
    wanted = set(identity.strong_keys)
    by_lead: dict[int, bool] = {}
    for lead_id, kind, value in matches:
        if (kind, value) in wanted:
            by_lead[lead_id] = by_lead.get(lead_id, False) or kind == "email"
    if not by_lead:
        return None
    leads = Lead.objects.live().filter(pk__in=by_lead, status__in=OPEN_STATUSES)
    found = sorted(leads.select_for_update().order_by("pk"), key=lambda lead: (not by_lead[lead.pk], lead.pk))
    return found[0] if found else None


def _new_lead(
    fields: LeadFields, identity: Identity, *, source: LeadSource, channel: Channel, by: Actor
) -> Lead:
    owner, team = first_hands(by, channel=channel, source=source)
    lead = Lead.objects.create(
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
        owner=owner,
        team=team,
        last_inbound_at=clock.now() if channel in FROM_CUSTOMER else None,
        search_text=identity.search_text,
    )
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


def _learn(lead: Lead, fields: LeadFields, identity: Identity) -> None:
    """Fill what the open lead lacks, never overwrite; a sleeping lead wakes."""
    changed = fill_gaps(lead, fields, identity.search_text)
    _remember(lead, identity, raw_email=fields.email, raw_phone=fields.phone)
    lead.save_changed(*changed)


def fill_gaps(lead: Lead, fields: LeadFields, search_text: str) -> list[str]:
    """What an inquiry teaches about a lead we have, in memory. Returns the names of the changed fields."""
    changed = ["last_inbound_at", "attempts", "search_text"]
    for name in FILLED_LATER:
        if getattr(fields, name) and not getattr(lead, name):
            setattr(lead, name, getattr(fields, name))
            changed.append(name)
    missing = {key: value for key, value in (fields.custom or {}).items() if key not in lead.custom}
    if missing:
        lead.custom = {**lead.custom, **missing}
        changed.append("custom")
    if lead.status == LeadStatus.NURTURING:
        lead.move_to(LeadStatus.WORKING)
        lead.snoozed_until = None
        changed += ["status", "status_changed_at", "snoozed_until"]
    lead.last_inbound_at = clock.now()
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


def _tell_inquiry(lead: Lead, inquiry: Inquiry, *, by: Actor, again: bool) -> None:
    actor = Actor.customer(lead.name) if inquiry.channel in FROM_CUSTOMER else by
    first_words = inquiry.message.replace("\n", " ")[:220]
    summary = opening(inquiry.channel, again=again) + (f": {first_words}" if first_words else "")
    tell(lead, "inquiry.received", summary, by=actor, inquiry=str(inquiry.public_id), again=again)


def opening(channel: str, *, again: bool) -> str:
    """How the story tells of an inquiry, before its first words."""
    what = _("Asked again (%s)") if again else _("Asked for the first time (%s)")
    return what % Channel(channel).label


def _as_json(payload: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in payload.items()}
