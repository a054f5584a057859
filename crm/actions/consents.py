"""What people allowed and forbade: consents, and addresses that must not be written to.

An address is found by its keyed hash, so that a ban outlives the erasure of the address itself.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import models, transaction
from django.utils.translation import gettext as _

from crm import clock
from crm.actions.audit import audit
from crm.actions.base import tell
from crm.actions.identity import normalise_email, normalise_phone
from crm.errors import InvalidValue, TransitionRefused
from crm.keyed_hash import keyed_hash
from crm.models import (
    Actor,
    CaptureForm,
    Consent,
    ConsentState,
    Contact,
    ContactPoint,
    LawfulBasis,
    Lead,
    ReachChannel,
    Suppression,
    SuppressionReason,
)
from crm.permissions import Verb, require

PURPOSES_LENGTH = 60


def address_hash(channel: str, norm: str) -> str:
    """The keyed hash under which a normalised address is remembered."""
    return keyed_hash("address", channel, norm)


def normalised(channel: str, address: str) -> str:
    """The address as it is compared. Raises InvalidValue naming `address`."""
    if channel not in ReachChannel.values:
        raise InvalidValue(_("Choose e-mail or phone."), field="channel")
    try:
        return normalise_email(address)[0] if channel == ReachChannel.EMAIL else normalise_phone(address)
    except InvalidValue as wrong:
        raise InvalidValue(str(wrong), field="address") from None


@transaction.atomic
def record_consent(
    *,
    by: Actor,
    address: str,
    purpose: str,
    state: ConsentState | str = ConsentState.GIVEN,
    channel: ReachChannel | str = ReachChannel.EMAIL,
    basis: LawfulBasis | str = LawfulBasis.CONSENT,
    lead: Lead | None = None,
    contact: Contact | None = None,
    form: CaptureForm | None = None,
    text: str = "",
    text_version: str = "",
    evidence: dict[str, Any] | None = None,
    at: datetime | None = None,
) -> Consent:
    """Write down that somebody agreed, or took it back. Rows are never changed: the newest counts.

    `evidence` says how it is known, e.g. {"form": "garden", "ip": "203.0.113.0/24"}. Raises InvalidValue
    (`address`, `purpose`, `state`, `basis`), PermissionRefused.
    """
    for record in (lead, contact):
        require(by, Verb.EDIT, record)
    purpose = " ".join(purpose.split())
    if not 1 <= len(purpose) <= PURPOSES_LENGTH:
        raise InvalidValue(_("Name the purpose in at most 60 characters."), field="purpose")
    if state not in ConsentState.values:
        raise InvalidValue(_("Say given or withdrawn."), field="state")
    if basis not in LawfulBasis.values:
        raise InvalidValue(_("Choose the lawful basis from the list."), field="basis")
    norm = normalised(channel, address)
    consent = Consent.objects.create(
        lead=lead,
        contact=contact,
        form=form,
        channel=channel,
        norm=norm,
        norm_hash=address_hash(channel, norm),
        purpose=purpose,
        basis=basis,
        state=state,
        text=text[:1_000],
        text_version=text_version[:60],
        evidence=evidence or {},
        at=at or clock.now(),
    )
    subjects = [record for record in (lead, contact) if record is not None]
    if subjects:
        words = _("agreed to: %s") if state == ConsentState.GIVEN else _("withdrew the consent to: %s")
        tell(subjects, f"consent.{state}", words % purpose, by=by)
    return consent


@transaction.atomic
def withdraw_consent(consent_id: int, *, by: Actor) -> Consent:
    """Write down that a consent which was given is taken back. Raises Consent.DoesNotExist,
    PermissionRefused, TransitionRefused (it is a withdrawal), InvalidValue (the address was erased).
    """
    given = Consent.objects.visible_to(by).select_related("lead", "contact").get(pk=consent_id)
    if given.state != ConsentState.GIVEN:
        raise TransitionRefused(_("This says that it was taken back."))
    return record_consent(
        by=by,
        address=given.norm,
        purpose=given.purpose,
        state=ConsentState.WITHDRAWN,
        channel=given.channel,
        basis=given.basis,
        lead=given.lead,
        contact=given.contact,
        evidence={"entered": "by hand", "consent": str(given.public_id)},
    )


def has_consent(channel: str, address: str, purpose: str) -> bool:
    """Whether the newest word on this purpose is yes. One query. Raises InvalidValue (`address`)."""
    newest = (
        Consent.objects.filter(norm_hash=address_hash(channel, normalised(channel, address)), purpose=purpose)
        .order_by("-at", "-pk")
        .first()
    )
    return newest is not None and newest.state == ConsentState.GIVEN


@transaction.atomic
def suppress(
    channel: str, address: str, *, by: Actor, reason: SuppressionReason | str, note: str = ""
) -> Suppression:
    """Never write to this address again, whoever asks. An address that is banned already stays so.

    Raises InvalidValue (`channel`, `address`, `reason`, `note`), PermissionRefused.
    """
    require(by, Verb.EDIT)
    if reason not in SuppressionReason.values:
        raise InvalidValue(_("Choose the reason from the list."), field="reason")
    if len(note) > 200:
        raise InvalidValue(_("Use at most 200 characters."), field="note")
    norm = normalised(channel, address)
    row, is_new = Suppression.objects.get_or_create(
        norm_hash=address_hash(channel, norm),
        channel=channel,
        defaults={"norm": norm, "reason": reason, "note": note, "by": by.user},
    )
    if is_new:
        audit("address.suppressed", f"{channel}: {reason}", by=by, target=row)
        for lead in _open_leads_with(channel, norm):
            tell(lead, "address.suppressed", _("must not be written to any more"), by=by, channel=channel)
    return row


@transaction.atomic
def lift_suppression(suppression_id: int, *, by: Actor, note: str) -> None:
    """Let an address be written to again; the audit log keeps why. Raises Suppression.DoesNotExist,
    InvalidValue (`note`), PermissionRefused.
    """
    require(by, Verb.SET_UP)
    if not note.strip():
        raise InvalidValue(_("Say why it may be written to again."), field="note")
    row = Suppression.objects.select_for_update().get(pk=suppression_id)
    audit("address.released", f"{row.channel}: was {row.reason}", by=by, target=row, note=note[:200])
    row.delete()


def is_suppressed(channel: str, norm: str) -> bool:
    """Whether this normalised address is banned. One query."""
    return Suppression.objects.filter(norm_hash=address_hash(channel, norm), channel=channel).exists()


def suppressed_among(points: Iterable[ContactPoint]) -> set[int]:
    """The keys of those contact points that are banned. One query."""
    by_hash: dict[tuple[str, str], list[int]] = {}
    for point in points:
        if point.kind in ReachChannel.values:
            by_hash.setdefault((point.kind, address_hash(point.kind, point.norm)), []).append(point.pk)
    banned = Suppression.objects.filter(norm_hash__in=[found for _channel, found in by_hash])
    return {pk for row in banned for pk in by_hash.get((row.channel, row.norm_hash), ())}


def _open_leads_with(channel: str, norm: str) -> models.QuerySet[Lead]:
    return Lead.objects.open().filter(contact_points__kind=channel, contact_points__norm=norm).distinct()
