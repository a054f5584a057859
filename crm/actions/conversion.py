"""Converting a lead into a contact, an account and an opportunity: new ones, existing ones, or none."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.accounts import create_account, create_contact, keys_of, reidentify_contact
from crm.actions.base import (
    check_version,
    lead_for_change,
    offer_undo,
    opportunity_for_change,
    record_for_change,
    tell,
    undoable,
)
from crm.actions.identity import lock_identities
from crm.actions.lead_moves import MOVED, restore_snapshot, snapshot
from crm.actions.lead_status import STATUS_FIELDS, change_status
from crm.actions.opportunities import create_opportunity
from crm.errors import CRMError, InvalidValue, TransitionRefused
from crm.models import (
    Account,
    Actor,
    Contact,
    ContactPoint,
    KeyKind,
    Lead,
    LeadStatus,
    Lifecycle,
    Opportunity,
    OpportunityState,
    Outcome,
    OutcomeFrom,
    Undo,
)

CONVERTED = ("contact", "converted_at", "converted_by", "converted_account", "converted_opportunity")
New = dict[str, Any]  # the values of a record to be made; what is left out comes from the lead


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a lead became. `lead.undo_offer` takes it back."""

    lead: Lead
    contact: Contact
    account: Account | None
    opportunity: Opportunity | None


@transaction.atomic
def convert_lead(
    lead_id: int,
    *,
    by: Actor,
    contact: Contact | New,
    account: Account | New | None = None,
    opportunity: Opportunity | New | None = None,
    version: int | None = None,
) -> Conversion:
    """new | working | nurturing -> converted. A dict makes a record of these values (those of the create_*
    actions; `{}`: all from the lead), a record is used as it is, None leaves it out.

    Ways to reach the lead and what it is recognised by are copied to the contact. The outcome is won at once
    only if no opportunity is left to decide it; with one, it follows that (see outcomes). Locks: keys, lead,
    account, contact, stage, opportunity.
    Raises Lead.DoesNotExist, PermissionRefused, VersionConflict, TransitionRefused (closed already), and
    InvalidValue naming `contact`, `account.name`, `opportunity.amount`... Publishes LeadConverted,
    LeadChanged and what making the records does. Undoable for 8 s, all of it.
    """
    _hold_keys(lead_id, by=by, contact=contact, account=account)
    lead = lead_for_change(lead_id, by=by)
    check_version(lead, version)
    if not lead.is_open:
        raise TransitionRefused(
            _("A lead cannot go from %(old)s to %(new)s.")
            % {"old": lead.get_status_display(), "new": LeadStatus.CONVERTED.label}
        )
    before = {**snapshot(lead), "contact": lead.contact_id}
    firm = _the_account(lead, account, by=by)
    person, changed = _the_contact(lead, contact, firm, by=by)
    card, was_linked = _the_opportunity(lead, opportunity, firm, person, by=by)
    _close(lead, person, firm, card, by=by)
    subjects = [record for record in (lead, firm, person, card) if record]
    tell(subjects, "lead.converted", _("converted into %s") % ", ".join(map(str, subjects[1:])), by=by)
    before |= {
        "changed": changed,
        "made": {
            str(record._meta.model_name): record.pk
            for record, given in ((firm, account), (person, contact), (card, opportunity))
            if record and isinstance(given, dict)
        },
        "opportunity": card.pk if card and not isinstance(opportunity, dict) and not was_linked else None,
        "person": person.pk,
    }
    offer_undo("convert_lead", by=by, label=_("Converted %s") % lead.name, before=before, rows=subjects)
    events.publish(
        events.LeadConverted(lead.pk, person.pk, firm.pk if firm else None, card.pk if card else None)
    )
    events.publish(events.LeadChanged(lead.pk, fields=("status", *CONVERTED)))
    return Conversion(lead, person, firm, card)


def _hold_keys(lead_id: int, *, by: Actor, contact: Contact | New, account: Account | New | None) -> None:
    """The keys of the lead and of what it becomes, before any row. Wrong values are refused where they are
    used.
    """
    seen = Lead.objects.visible_to(by).get(pk=lead_id)
    keys = set(seen.match_keys.values_list("kind", "value"))
    if isinstance(contact, Contact):
        keys |= set(contact.match_keys.values_list("kind", "value"))
    else:
        keys |= set(keys_of(Contact(country=seen.country), contact))
    if isinstance(account, dict):
        keys |= set(keys_of(Account(), account))
    lock_identities(sorted(keys))


@contextmanager
def _named(part: str) -> Iterator[None]:
    """Refusals inside name their field as that of a part: `name` becomes `account.name`."""
    try:
        yield
    except CRMError as refused:
        refused.field = f"{part}.{refused.field}" if refused.field else part
        raise


def _the_account(lead: Lead, given: Account | New | None, *, by: Actor) -> Account | None:
    if given is None:
        return None
    if isinstance(given, Account):
        found = Account.objects.visible_to(by).select_for_update(of=("self",), no_key=True)
        account = found.filter(pk=given.pk).first()
        if account is None:
            raise InvalidValue(_("There is no such account, or you may not see it."), field="account")
        return account
    domain = lead.match_keys.filter(kind=KeyKind.DOMAIN).values_list("value", flat=True).first() or ""
    values = {"name": lead.company, "domain": domain, "country": lead.country, **_hands(lead, by), **given}
    with _named("account"):
        return create_account(by=by, **values)


def _hands(lead: Lead, by: Actor) -> dict[str, Any]:
    return {"owner": lead.owner or by.user, "team": lead.team}


def _the_contact(
    lead: Lead, given: Contact | New, account: Account | None, *, by: Actor
) -> tuple[Contact, dict[str, Any]]:
    """The contact with all that the lead knows of the person, and what that changed of an existing one."""
    if isinstance(given, dict):
        values = {
            "full_name": lead.name,
            "title": lead.title,
            "country": lead.country,
            "account": account,
            **_hands(lead, by),
            **given,
        }
        with _named("contact"):
            contact = create_contact(by=by, **values)
        _copy_points(lead, contact)
        return contact, {}
    try:
        with _named("contact"):
            contact = record_for_change(Contact, given.pk, by=by)
    except Contact.DoesNotExist:
        raise InvalidValue(_("There is no such contact, or you may not see it."), field="contact") from None
    changed: dict[str, Any] = {"account": contact.account_id, "lifecycle": contact.lifecycle}
    if account and contact.account_id is None:
        contact.account = account
    changed["points"], changed["keys"] = _copy_points(lead, contact)
    contact.save_changed("account")
    return contact, changed


def _copy_points(lead: Lead, contact: Contact) -> tuple[list[int], list[list[str]]]:
    """Copy ways to reach and keys that the contact lacks. Returns the ids of the points, and the keys."""
    known = list(contact.contact_points.values_list("kind", "norm", "is_primary"))
    have = {(kind, norm) for kind, norm, _primary in known}
    primary = {kind for kind, _norm, is_primary in known if is_primary}
    copies = []
    for point in lead.contact_points.order_by("-is_primary", "id"):
        if (point.kind, point.norm) in have:
            continue
        is_primary = point.kind not in primary
        primary.add(point.kind)
        copies.append(
            ContactPoint(
                contact=contact,
                kind=point.kind,
                raw=point.raw,
                norm=point.norm,
                is_primary=is_primary,
                state=point.state,
            )
        )
    ContactPoint.objects.bulk_create(copies)
    own = list(contact.match_keys.values_list("kind", "value"))
    # what says where somebody works is the account's to be found by
    keys = lead.match_keys.exclude(kind=KeyKind.DOMAIN).values_list("kind", "value")
    reidentify_contact(contact, keys=[*own, *keys])
    now = contact.match_keys.values_list("kind", "value")
    return [copy.pk for copy in copies], [list(key) for key in now if key not in own]


def _the_opportunity(
    lead: Lead, given: Opportunity | New | None, account: Account | None, contact: Contact, *, by: Actor
) -> tuple[Opportunity | None, bool]:
    """The opportunity, and whether it was this lead's before."""
    if given is None:
        return None, False
    if isinstance(given, Opportunity):
        try:
            with _named("opportunity"):
                card = opportunity_for_change(given.pk, by=by)
        except Opportunity.DoesNotExist:
            words = _("There is no such opportunity, or you may not see it.")
            raise InvalidValue(words, field="opportunity") from None
        was_linked = card.lead_id is not None
        if not was_linked:
            card.lead = lead
            card.save_changed("lead")
        return card, was_linked
    values = {
        "name": lead.interest or lead.company or lead.name,
        "amount": lead.est_value,
        "currency": lead.currency,
        "next_action_at": lead.next_action_at,
        "next_action_kind": lead.next_action_kind,
        **_hands(lead, by),
        **given,
    }
    with _named("opportunity"):
        card = create_opportunity(by=by, lead=lead, account=account, primary_contact=contact, **values)
    return card, False


def _close(
    lead: Lead, contact: Contact, account: Account | None, card: Opportunity | None, *, by: Actor
) -> None:
    change_status(lead, LeadStatus.CONVERTED, by=by)
    lead.contact, lead.converted_account, lead.converted_opportunity = contact, account, card
    lead.converted_at, lead.converted_by = lead.status_changed_at, by.user
    lead.snoozed_until, lead.next_action_at, lead.next_action_kind = None, None, ""
    outcome = Outcome.WON if card is None else Outcome(_OUTCOMES[OpportunityState(card.state)])
    lead.outcome = outcome
    is_known = outcome != Outcome.UNKNOWN
    lead.outcome_at = clock.now() if is_known else None
    lead.outcome_from = OutcomeFrom.ACTION if is_known else ""
    lead.save_changed(*STATUS_FIELDS, *MOVED, *CONVERTED)


_OUTCOMES = {
    OpportunityState.OPEN: Outcome.UNKNOWN,
    OpportunityState.WON: Outcome.WON,
    OpportunityState.LOST: Outcome.LOST,
}


@undoable("convert_lead")
def _undo_convert(row: Undo, by: Actor) -> None:
    """Made records leave all lists, and nobody is recognised by them; existing ones are as they were."""
    before, made = row.before, row.before["made"]
    lead = lead_for_change(before["lead"], by=by)
    lead.contact_id, lead.converted_at, lead.converted_by = before["contact"], None, None
    lead.converted_account, lead.converted_opportunity = None, None
    lead.save_changed(*restore_snapshot(lead, before, by=by), *CONVERTED)
    subjects: list[Any] = [lead]
    for model in (Opportunity, Contact, Account):
        if record := model._default_manager.filter(pk=made.get(str(model._meta.model_name))).first():
            record.deleted_at = clock.now()
            record.save_changed("deleted_at")
            if not isinstance(record, Opportunity):
                record.match_keys.all().delete()
            subjects.append(record)
    if before["opportunity"]:
        card = Opportunity.objects.get(pk=before["opportunity"])
        card.lead = None
        card.save_changed("lead")
        subjects.append(card)
    if before["changed"]:
        subjects.append(_restore_contact(before["person"], before["changed"]))
    tell(subjects, "lead.conversion_undone", _("took the conversion back"), by=by)
    events.publish(events.LeadChanged(lead.pk, fields=("status", *CONVERTED)))


def _restore_contact(contact_id: int, changed: dict[str, Any]) -> Contact:
    contact = Contact.objects.get(pk=contact_id)
    contact.contact_points.filter(pk__in=changed["points"]).delete()
    for kind, value in changed["keys"]:
        contact.match_keys.filter(kind=kind, value=value).delete()
    contact.account_id, contact.lifecycle = changed["account"], Lifecycle(changed["lifecycle"])
    contact.save_changed("account", "lifecycle")
    reidentify_contact(contact, keys=list(contact.match_keys.values_list("kind", "value")))
    return contact
