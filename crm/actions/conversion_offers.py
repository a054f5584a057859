"""What a lead may become part of: existing records that look like the same person or organisation."""

from dataclasses import dataclass, field

from django.contrib.postgres.search import TrigramSimilarity
from django.db.models import Case, Count, Q, QuerySet, When

from crm.actions.identity import fold
from crm.models import STRONG_KEYS, Account, Actor, Contact, KeyKind, Lead, Opportunity

MOST = 5
ALIKE = 0.5  # trigram similarity from which names of organisations count as near


@dataclass(slots=True)
class Offers:
    """Best first, at most MOST each; only what the person may see."""

    contacts: list[Contact] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    opportunities: list[Opportunity] = field(default_factory=list)


def conversion_offers(lead: Lead, *, by: Actor) -> Offers:
    """Contacts by strong keys (most in common first; the lead's own contact before all), accounts by domain,
    then by name, and their open opportunities. Four or five statements.
    """
    keys = list(lead.match_keys.values_list("kind", "value"))
    contacts = list(_contacts(lead, keys, by=by))
    accounts = _accounts(lead, keys, [contact.account_id for contact in contacts], by=by)
    cards = (
        Opportunity.objects.visible_to(by)
        .open()
        .filter(Q(primary_contact__in=contacts) | Q(account__in=accounts) | Q(lead=lead))
    )
    newest = cards.select_related("stage", "account").order_by("-id")[:MOST]
    return Offers(contacts, accounts, list(newest))


def _contacts(lead: Lead, keys: list[tuple[str, str]], *, by: Actor) -> QuerySet[Contact]:
    same = Q(pk=lead.contact_id)
    for kind, value in keys:
        if kind in STRONG_KEYS:
            same |= Q(match_keys__kind=kind, match_keys__value=value)
    found = Contact.objects.visible_to(by).filter(same).select_related("account")
    is_own = Case(When(pk=lead.contact_id or 0, then=0), default=1)
    return found.annotate(shared=Count("match_keys")).order_by(is_own, "-shared", "id")[:MOST]


def _accounts(
    lead: Lead, keys: list[tuple[str, str]], of_contacts: list[int | None], *, by: Actor
) -> list[Account]:
    domains = [value for kind, value in keys if kind == KeyKind.DOMAIN]
    visible = Account.objects.visible_to(by)
    sure = list(visible.filter(Q(domain__in=domains) | Q(pk__in=[pk for pk in of_contacts if pk]))[:MOST])
    company = fold(lead.company)
    if not company or len(sure) >= MOST:
        return sure
    near = (
        visible.filter(search_text__trigram_word_similar=company)
        .annotate(alike=TrigramSimilarity("search_text", company))
        .filter(alike__gte=ALIKE)
        .exclude(pk__in=[account.pk for account in sure])
        .order_by("-alike", "id")
    )
    return [*sure, *near[: MOST - len(sure)]]
