"""What converting takes hold of, and how existing records learn from the lead."""

from typing import Any

from django.utils.translation import gettext as _

from crm.actions.accounts import keys_of, reidentify_contact
from crm.actions.card_search import search_text_of
from crm.actions.identity import lock_identities
from crm.actions.ways import note_ways
from crm.errors import InvalidValue
from crm.models import (
    Account,
    Actor,
    Contact,
    ContactPoint,
    ErasureLedger,
    KeyKind,
    Lead,
    Opportunity,
)
from crm.permissions import Verb, may

New = dict[str, Any]  # the values of a record to be made; what is left out comes from the lead
LINKS = ("lead", "account", "primary_contact")


def own_contact(lead: Lead, *, by: Actor) -> Contact | None:
    """The contact that the lead hangs on already, for somebody who may change it."""
    contact = Contact.objects.visible_to(by).filter(pk=lead.contact_id).first()
    return contact if contact and may(by, Verb.EDIT, contact) else None


def hold_keys(lead: Lead, contact: Contact | New, account: Account | New | None) -> list[tuple[str, str]]:
    """The keys of the lead and of what it becomes, before any row. Wrong values are refused where they are
    used.
    """
    keys = set(lead.match_keys.values_list("kind", "value"))
    if isinstance(contact, Contact):
        keys |= set(contact.match_keys.values_list("kind", "value"))
    else:
        keys |= set(keys_of(Contact(country=lead.country), contact))
    if isinstance(account, dict):
        keys |= set(keys_of(Account(), account))
    lock_identities(sorted(keys))
    return sorted(keys)


def hold_rows(
    lead_id: int, contact: Contact | New, account: Account | New | None, card: Opportunity | New | None
) -> None:
    """Lead, account and contact, and those that a chosen opportunity hangs on, each kind in the order of its
    ids: two who convert crosswise would meet otherwise.
    """
    leads, accounts, contacts = {lead_id}, _chosen(account), _chosen(contact)
    if isinstance(card, Opportunity):
        hangs_on = Opportunity.objects.filter(pk=card.pk).values_list(*(f"{name}_id" for name in LINKS))
        for ids, found in zip((leads, accounts, contacts), hangs_on.first() or (), strict=False):
            ids |= {found} - {None}
    for model, ids, is_changed in (
        (Lead, leads, True),
        (Account, accounts, False),
        (Contact, contacts, True),
    ):
        rows = model._default_manager.filter(pk__in=ids).order_by("pk")
        list(rows.select_for_update(of=("self",), no_key=not is_changed).values_list("pk"))


def _chosen(record: Any) -> set[int]:
    return set() if record is None or isinstance(record, dict) else {record.pk}


def refuse_erased(contact: Contact) -> None:
    """Raises InvalidValue for a contact whose person was erased: nobody's data are written there again."""
    if ErasureLedger.objects.filter(contact_ids__contains=[str(contact.public_id)]).exists():
        raise InvalidValue(_("This person was erased. Choose another contact, or make one."), field="contact")


def teach_contact(contact: Contact, lead: Lead, account: Account | None) -> dict[str, Any]:
    """Give an existing contact what the lead knows of the person, and the account if it has none. Returns
    what it was before, for undo.
    """
    before = {
        "account": contact.account_id,
        "lifecycle": contact.lifecycle,
        "ways": note_ways(contact),
    }
    if account and contact.account_id is None:
        contact.account = account
    copy_ways(lead, contact)
    contact.save_changed("account")
    return before


def copy_ways(lead: Lead, contact: Contact) -> None:
    """Copy ways to reach the lead, and the keys it is recognised by, that the contact lacks."""
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


def teach_card(
    card: Opportunity, lead: Lead, account: Account | None, contact: Contact
) -> dict[str, Any] | None:
    """Hang an existing opportunity on lead, account and contact where it hangs on none. Returns what it was
    before, for undo; None when nothing changed.
    """
    before = {name: getattr(card, f"{name}_id") for name in LINKS}
    for name, record in zip(LINKS, (lead, account, contact), strict=True):
        if before[name] is None:
            setattr(card, name, record)
    if before == {name: getattr(card, f"{name}_id") for name in LINKS}:
        return None
    card.search_text = search_text_of(card)
    card.save_changed(*LINKS, "search_text")
    return {"id": card.pk, **before}
