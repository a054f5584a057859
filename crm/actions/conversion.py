"""Converting a lead into a contact, an account and an opportunity: new ones, existing ones, or none."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.accounts import create_account, create_contact
from crm.actions.base import (
    check_version,
    lead_for_change,
    offer_undo,
    opportunity_for_change,
    record_for_change,
    tell,
    undoable,
)
from crm.actions.card_search import search_text_of
from crm.actions.conversion_parts import (
    LINKS,
    New,
    copy_ways,
    hold_keys,
    hold_rows,
    own_contact,
    refuse_erased,
    teach_card,
    teach_contact,
)
from crm.actions.lead_moves import MOVED, restore_snapshot, snapshot
from crm.actions.lead_status import STATUS_FIELDS, change_status
from crm.actions.opportunities import create_opportunity
from crm.actions.outcomes import settle_contact
from crm.actions.ways import put_ways_back
from crm.errors import CRMError, InvalidValue, TransitionRefused, UndoRefused, VersionConflict
from crm.models import (
    Account,
    Actor,
    Contact,
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
    actions; what is left out comes from the lead), a record is used as it is, None leaves it out. `{}` as
    contact is the one that the lead hangs on already, if there is one that `by` may change.

    Ways to reach the lead and what it is recognised by are copied to the contact; an existing opportunity
    learns lead, account and contact that it lacks. The outcome is won at once only if no opportunity is left
    to decide it; with an open one, it follows that (see outcomes). Locks: keys, lead, account, contact,
    stage, opportunity.
    Raises Lead.DoesNotExist, PermissionRefused, VersionConflict, TransitionRefused (closed already), and
    InvalidValue naming `contact`, `account.name`, `opportunity.amount`... Publishes LeadConverted,
    LeadChanged and what making the records does. Undoable for 8 s, all of it.
    """
    seen = Lead.objects.visible_to(by).get(pk=lead_id)
    takes_own = contact == {}
    if takes_own:
        contact = own_contact(seen, by=by) or {}
    keys = hold_keys(seen, contact, account)
    hold_rows(lead_id, contact, account, opportunity)
    lead = lead_for_change(lead_id, by=by)
    check_version(lead, version)
    if not lead.is_open:
        raise TransitionRefused(
            _("A lead cannot go from %(old)s to %(new)s.")
            % {"old": lead.get_status_display(), "new": LeadStatus.CONVERTED.label}
        )
    if takes_own and lead.contact_id != seen.contact_id:
        words = _("Someone else changed this first. Look at their values, then convert again.")
        raise VersionConflict(words, current=lead)
    before: dict[str, Any] = {**snapshot(lead), "contact": lead.contact_id, "keys": keys}
    firm = _the_account(lead, account, by=by)
    person, before["person"] = _the_contact(lead, contact, firm, by=by)
    card, before["card"] = _the_opportunity(lead, opportunity, firm, person, by=by)
    _close(lead, person, firm, card, by=by)
    before["made"] = {
        str(record._meta.model_name): record.pk
        for record, given in ((firm, account), (person, contact), (card, opportunity))
        if record and isinstance(given, dict)
    }
    subjects = [record for record in (lead, firm, person, card) if record]
    tell(subjects, "lead.converted", _("converted into %s") % ", ".join(map(str, subjects[1:])), by=by)
    offer_undo("convert_lead", by=by, label=_("Converted %s") % lead.name, before=before, rows=subjects)
    events.publish(
        events.LeadConverted(lead.pk, person.pk, firm.pk if firm else None, card.pk if card else None)
    )
    events.publish(events.LeadChanged(lead.pk, fields=("status", *CONVERTED)))
    return Conversion(lead, person, firm, card)


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
        return create_account(by=by, is_asked=False, **values)


def _hands(lead: Lead, by: Actor) -> dict[str, Any]:
    return {"owner": lead.owner or by.user, "team": lead.team}


def _the_contact(
    lead: Lead, given: Contact | New, account: Account | None, *, by: Actor
) -> tuple[Contact, dict[str, Any] | None]:
    """The contact with all that the lead knows of the person, and what an existing one was before."""
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
            contact = create_contact(by=by, is_asked=False, **values)
        copy_ways(lead, contact)
        return contact, None
    try:
        with _named("contact"):
            contact = record_for_change(Contact, given.pk, by=by)
    except Contact.DoesNotExist:
        raise InvalidValue(_("There is no such contact, or you may not see it."), field="contact") from None
    refuse_erased(contact)
    return contact, {"id": contact.pk, **teach_contact(contact, lead, account)}


def _the_opportunity(
    lead: Lead, given: Opportunity | New | None, account: Account | None, contact: Contact, *, by: Actor
) -> tuple[Opportunity | None, dict[str, Any] | None]:
    """The opportunity, and what an existing one was before if it changed."""
    if given is None:
        return None, None
    if isinstance(given, Opportunity):
        try:
            with _named("opportunity"):
                card = opportunity_for_change(given.pk, by=by)
        except Opportunity.DoesNotExist:
            words = _("There is no such opportunity, or you may not see it.")
            raise InvalidValue(words, field="opportunity") from None
        if card.state == OpportunityState.LOST:
            words = _("This opportunity is lost. Reopen it, choose another, or convert without one.")
            raise InvalidValue(words, field="opportunity")
        before = teach_card(card, lead, account, contact)
        if card.primary_contact_id == contact.pk:
            settle_contact(contact)
        return card, before
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
        card = create_opportunity(
            by=by, lead=lead, account=account, primary_contact=contact, is_asked=False, **values
        )
    return card, None


def _close(
    lead: Lead, contact: Contact, account: Account | None, card: Opportunity | None, *, by: Actor
) -> None:
    change_status(lead, LeadStatus.CONVERTED, by=by)
    lead.contact, lead.converted_account, lead.converted_opportunity = contact, account, card
    lead.converted_at, lead.converted_by = lead.status_changed_at, by.user
    lead.snoozed_until, lead.next_action_at, lead.next_action_kind = None, None, ""
    outcome = lead.outcome = _outcome(lead, card)
    is_known = outcome != Outcome.UNKNOWN
    lead.outcome_at = clock.now() if is_known else None
    lead.outcome_from = OutcomeFrom.ACTION if is_known else ""
    lead.save_changed(*STATUS_FIELDS, *MOVED, *CONVERTED)


def _outcome(lead: Lead, card: Opportunity | None) -> Outcome:
    """Won, unless one of its opportunities has still to tell."""
    cards = Opportunity.objects.live().filter(Q(lead=lead) | Q(pk=card.pk if card else None))
    states = set(cards.values_list("state", flat=True))
    is_undecided = OpportunityState.OPEN in states and OpportunityState.WON not in states
    return Outcome.UNKNOWN if is_undecided else Outcome.WON


@undoable("convert_lead")
def _undo_convert(row: Undo, by: Actor) -> None:
    """Made records leave all lists, and nobody is recognised by them; existing ones are as they were."""
    before, made = row.before, row.before["made"]
    lead = lead_for_change(before["lead"], by=by)
    _refuse_if_used(before)
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
    if before["card"]:
        subjects.append(_restore_card(before["card"]))
    if before["person"]:
        subjects.append(_restore_contact(before["person"]))
    tell(subjects, "lead.conversion_undone", _("took the conversion back"), by=by)
    events.publish(events.LeadChanged(lead.pk, fields=("status", *CONVERTED)))


def _refuse_if_used(before: dict[str, Any]) -> None:
    """Raises UndoRefused when something else hangs on a record that the conversion made: somebody asked
    again and was recognised, or a colleague chose it.
    """
    made, lead_id = before["made"], before["lead"]
    account, contact, card = (made.get(name) for name in ("account", "contact", "opportunity"))
    own_contacts = {contact, (before["person"] or {}).get("id")}
    own_cards = {card, (before["card"] or {}).get("id")}
    leads = Lead.objects.exclude(pk=lead_id)
    others = (
        (account, Contact.objects.live().exclude(pk__in=own_contacts - {None}), "account"),
        (account, Opportunity.objects.live().exclude(pk__in=own_cards - {None}), "account"),
        (account, leads, "converted_account"),
        (contact, Opportunity.objects.live().exclude(pk__in=own_cards - {None}), "primary_contact"),
        (contact, leads, "contact"),
        (card, leads, "converted_opportunity"),
    )
    for pk, rows, field in others:
        if pk and (other := rows.filter(**{field: pk}).first()):
            raise UndoRefused(_("What was made is in use by now, by “%s”.") % other)


def _restore_card(before: dict[str, Any]) -> Opportunity:
    card = Opportunity.objects.get(pk=before["id"])
    for name in LINKS:
        setattr(card, f"{name}_id", before[name])
    card.search_text = search_text_of(card)
    card.save_changed(*LINKS, "search_text")
    return card


def _restore_contact(before: dict[str, Any]) -> Contact:
    contact = Contact.objects.get(pk=before["id"])
    contact.account_id, contact.lifecycle = before["account"], Lifecycle(before["lifecycle"])
    put_ways_back(contact, before["ways"])
    contact.save_changed("account", "lifecycle", "search_text")
    return contact
