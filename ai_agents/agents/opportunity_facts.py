"""What an agent is shown of one opportunity: its own fields, what was said about it, and its lead's texts."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, Max, OuterRef, Q

from ai_agents.agents.facts import (
    LONGEST_FIELD,
    Fact,
    RecordFacts,
    names_to_hide,
    newest_of,
    text_fact,
    texts_of,
    usable_names,
)
from ai_agents.agents.redaction import redact
from crm.models import CallLog, Lead, Note, Opportunity, TimelineEvent
from crm.plaintext import one_line


@dataclass(frozen=True, kw_only=True)
class OpportunityFacts(RecordFacts):
    """Everything an agent knows about one opportunity."""

    opportunity_id: int


def opportunity_facts(ids: Sequence[int | None], *, today: datetime) -> list[OpportunityFacts | None]:
    """The facts of each opportunity, in order; None where it is gone, or where no agent may read it: AI is
    switched off for its lead, or for a lead of its contact.

    Eight queries, however many are wanted.
    """
    barred = Lead.objects.filter(
        Q(pk=OuterRef("lead_id")) | Q(contact=OuterRef("primary_contact_id")), is_ai_off=True
    )
    readable = Opportunity.objects.live().filter(~Exists(barred), pk__in={pk for pk in ids if pk})
    cards = {card.pk: card for card in readable.select_related("stage", "primary_contact", "account", "lead")}
    leads = {card.lead_id: card.lead for card in cards.values() if card.lead and not card.lead.deleted_at}
    of_leads, of_cards = texts_of(leads), _texts_of_cards(cards)
    newest = dict(
        TimelineEvent.objects.filter(opportunity__in=cards)
        .values_list("opportunity")
        .annotate(Max("pk"))
        .values_list("opportunity", "pk__max")
    )
    return [
        _facts(
            cards[pk],
            sorted([*of_leads.get(cards[pk].lead_id or 0, []), *of_cards[pk]], key=_by_time),
            newest.get(pk),
            today,
        )
        if pk is not None and pk in cards
        else None
        for pk in ids
    ]


def _by_time(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["at"], row["kind"], row["pk"]


def _texts_of_cards(cards: dict[int, Opportunity]) -> dict[int, list[dict[str, Any]]]:
    """Notes and calls about the opportunities themselves. Two queries."""
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    notes = Note.objects.filter(opportunity__in=cards, lead=None, is_private=False)
    calls = CallLog.objects.filter(opportunity__in=cards, lead=None).exclude(body="")
    for kind, rows, at in (("note", notes, "event__occurred_at"), ("call", calls, "occurred_at")):
        for row in newest_of(rows, "body", at, of="opportunity_id"):
            found[row["opportunity_id"]].append(row | {"kind": kind, "is_ours": True})
    return found


def _facts(
    card: Opportunity, texts: Iterable[dict[str, Any]], newest_event: int | None, today: datetime
) -> OpportunityFacts:
    name, company = _called(card)
    names = usable_names(name, company)
    hidden = list(names_to_hide(name, company, names))
    if card.lead:  # the same person may be written otherwise there
        hidden += names_to_hide(card.lead.name, card.lead.company, names)
    facts = [*_field_facts(card, hidden), *(text_fact(row, hidden) for row in texts)]
    return OpportunityFacts(
        opportunity_id=card.pk,
        facts=tuple(fact for fact in facts if fact.text),
        names=names,
        context_event_id=newest_event,
        today=today.date().isoformat(),
    )


def _called(card: Opportunity) -> tuple[str, str]:
    """The person and the company it is about."""
    lead = card.lead
    person = card.primary_contact.full_name if card.primary_contact else lead.name if lead else ""
    company = card.account.name if card.account else lead.company if lead else ""
    return person, company


def _field_facts(card: Opportunity, hidden: list[tuple[str, str]]) -> Iterable[Fact]:
    values = {
        "name": card.name,
        "stage": f"{card.stage.name} since {card.stage_entered_at.date()}",
        "amount": "" if card.amount is None else f"{card.amount:.0f} {card.currency}",
        "expected_close": card.expected_close or "",
        "last_event": card.last_event_at.date(),
    }
    for name, value in values.items():
        text = one_line(value, LONGEST_FIELD)
        yield Fact(
            id=f"field-{name}",
            kind="field",
            text=text,
            seen=redact(text, names=hidden),
            is_ours=True,
            field=name,
        )
