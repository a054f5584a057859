"""What an opportunity is found by: its name, its account's, its contact's; kept in step with all three."""

from typing import Any

from crm.actions.identity import fold
from crm.models import Account, Contact, Opportunity


def search_text_of(card: Opportunity) -> str:
    """The folded names of the card, its account and its contact."""
    account, contact = card.account, card.primary_contact
    words = (card.name, account.name if account else "", contact.full_name if contact else "")
    return fold(" ".join(words))


def find_cards_anew(*records: Any) -> None:
    """Opportunities of these accounts or contacts, which have got another name, or other opportunities.

    The caller holds the records. Not a change of the opportunities: their versions stay. What erasure has
    made impossible to find stays so.
    """
    for record in records:
        if not isinstance(record, Account | Contact):
            continue
        field = "account" if isinstance(record, Account) else "primary_contact"
        rows = Opportunity.objects.filter(**{field: record}).exclude(search_text="").order_by("pk")
        stale = []
        for card in rows.select_related("account", "primary_contact").select_for_update(of=("self",)):
            text = search_text_of(card)
            if card.search_text != text:
                card.search_text = text
                stale.append(card)
        Opportunity.objects.bulk_update(stale, ["search_text"], batch_size=500)
