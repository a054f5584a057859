"""Somebody asks what is known of them, or to be forgotten: asked for by one, approved by another."""

from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from crm import clock
from crm.actions.audit import audit
from crm.actions.erasure import Erasure, erase_person
from crm.actions.personal_data import Person, person_of
from crm.errors import InvalidValue, PermissionRefused, TransitionRefused
from crm.models import Actor, Contact, Lead, PrivacyKind, PrivacyRequest, PrivacyState
from crm.permissions import PRIVACY_ALONE, Verb, require


@transaction.atomic
def request_privacy(
    kind: PrivacyKind | str,
    *,
    by: Actor,
    lead: Lead | None = None,
    contact: Contact | None = None,
    reason: str = "",
) -> PrivacyRequest:
    """Ask for a person's export or erasure; an admin lets it happen.

    Raises InvalidValue (`kind`, `person`, `reason`), PermissionRefused, TransitionRefused when the same is
    asked already.
    """
    if kind not in PrivacyKind.values:
        raise InvalidValue(_("Choose export or erase."), field="kind")
    if (lead is None) == (contact is None):
        raise InvalidValue(_("Name one lead or one contact."), field="person")
    if len(reason) > 200 or "\0" in reason:
        raise InvalidValue(_("Use at most 200 characters."), field="reason")
    require(by, Verb.PRIVACY_REQUEST, lead or contact)
    person = person_of(lead=lead, contact=contact)
    leads = _public_ids(Lead, person.leads)
    waiting = PrivacyRequest.objects.filter(
        kind=kind, state__in=[PrivacyState.REQUESTED, PrivacyState.APPROVED]
    )
    contacts = _public_ids(Contact, person.contacts)
    if waiting.filter(lead_ids=leads, contact_ids=contacts).exists():
        raise TransitionRefused(_("This was asked for already and waits for an admin."))
    request = PrivacyRequest.objects.create(
        kind=kind, lead_ids=leads, contact_ids=contacts, reason=reason, requested_by=by.user
    )
    audit(f"privacy.{kind}_requested", "asked for it", by=by, target=request, records=_size(request))
    return request


@transaction.atomic
def approve_request(request_id: int, *, by: Actor) -> PrivacyRequest:
    """Let it happen. Above PRIVACY_ALONE records that needs somebody else than who asked.

    Raises PermissionRefused, TransitionRefused, PrivacyRequest.DoesNotExist.
    """
    request = _locked(request_id, by=by, states=[PrivacyState.REQUESTED])
    is_same = request.requested_by_id is not None and by.user is not None
    if is_same and request.requested_by_id == by.user.pk and _size(request) > PRIVACY_ALONE:  # type: ignore[union-attr]
        raise PermissionRefused(_("More than %d records need a second admin's approval.") % PRIVACY_ALONE)
    request.state, request.approved_by = PrivacyState.APPROVED, by.user
    request.save(update_fields=["state", "approved_by", "updated_at"])
    audit(f"privacy.{request.kind}_approved", "approved it", by=by, target=request)
    return request


@transaction.atomic
def refuse_request(request_id: int, *, by: Actor, reason: str) -> PrivacyRequest:
    """Say no, and why. Raises InvalidValue (`reason`), PermissionRefused, TransitionRefused."""
    if not reason.strip() or len(reason) > 200:
        raise InvalidValue(_("Say why, in at most 200 characters."), field="reason")
    request = _locked(request_id, by=by, states=[PrivacyState.REQUESTED, PrivacyState.APPROVED])
    request.state, request.reason = PrivacyState.REFUSED, reason.strip()
    request.save(update_fields=["state", "reason", "updated_at"])
    audit(f"privacy.{request.kind}_refused", "refused it", by=by, target=request)
    return request


@transaction.atomic
def carry_out_erasure(request_id: int, *, by: Actor) -> Erasure:
    """Erase whom an approved request names, as the person is known now.

    Raises PermissionRefused, TransitionRefused when it is not approved, InvalidValue when nobody is left.
    Publishes PersonErased.
    """
    request = _locked(request_id, by=by, states=[PrivacyState.APPROVED])
    if request.kind != PrivacyKind.ERASE:
        raise TransitionRefused(_("This request asks for an export."))
    done = erase_person(person_named(request), by=by, request=request)
    finish_request(request, counts=done.counts)
    return done


def finish_request(request: PrivacyRequest, *, counts: dict[str, int]) -> None:
    request.state, request.done_at, request.counts = PrivacyState.DONE, clock.now(), counts
    request.save(update_fields=["state", "done_at", "counts", "updated_at"])


def person_named(request: PrivacyRequest) -> Person:
    """The person of a request as known now: records that were added since belong to it."""
    leads, contacts = set[int](), set[int]()
    for lead in Lead.objects.filter(public_id__in=_uuids(request.lead_ids)):
        found = person_of(lead=lead)
        leads |= found.leads
        contacts |= found.contacts
    for contact in Contact.objects.filter(public_id__in=_uuids(request.contact_ids)):
        found = person_of(contact=contact)
        leads |= found.leads
        contacts |= found.contacts
    return Person(frozenset(leads), frozenset(contacts))


def _locked(request_id: int, *, by: Actor, states: list[PrivacyState]) -> PrivacyRequest:
    require(by, Verb.PRIVACY_APPROVE)
    request = PrivacyRequest.objects.select_for_update().get(pk=request_id)
    if request.state not in states:
        raise TransitionRefused(_("This request is %s already.") % PrivacyState(request.state).label.lower())
    return request


def _size(request: PrivacyRequest) -> int:
    return len(request.lead_ids) + len(request.contact_ids)


def _public_ids(model: type[Lead] | type[Contact], keys: frozenset[int]) -> list[str]:
    ids = model.objects.filter(pk__in=keys).order_by("pk").values_list("public_id", flat=True)
    return [str(public_id) for public_id in ids]


def _uuids(texts: list[str]) -> list[UUID]:
    return [UUID(text) for text in texts]
