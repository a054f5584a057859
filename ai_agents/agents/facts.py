"""What an agent is shown of one lead: the least that works, cleaned, redacted, each piece with a stable
id.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Self

from django.db.models import F, Max, Model, QuerySet, TextField, Window
from django.db.models.functions import Cast, Left, RowNumber

from ai_agents.agents.redaction import Redacted, redact
from crm.models import CallLog, CustomField, Direction, Inquiry, Lead, Message, Note, Role, TimelineEvent
from crm.models.quotable import QUOTABLE_FIELDS, field_text
from crm.plaintext import Span, find_quote, normalised, one_line

LONGEST_FACT = 2_000  # code points
LONGEST_FIELD = 200
RAW_TEXT = 20_000  # characters read from the database per text
NEWEST = 6  # inquiries, messages, notes and calls each
MOST_CUSTOM_FIELDS = 20
_PLACEHOLDER = re.compile(r"\{\{(first_name|company)\}\}")
_NAMELESS = {"first_name": "the lead", "company": "the company"}
_PERSON = re.compile(r"[^\W\d_]['’.\-]?(?:[^\W\d_]['’.\-]?){0,39}")
_COMPANY = re.compile(r"[^\W_](?:[\w&+,.'’()\- ]){0,79}")
_DOMAIN = re.compile(r"\.[a-z]{2,}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fact:
    """One text of the record. `text` is the normalised original, `seen` what the model is shown of it."""

    id: str  # "inquiry-12", "field-interest"
    kind: str  # a FactorSource
    text: str
    seen: Redacted
    is_ours: bool  # we wrote or entered it; a customer's words are never our promise
    source_id: int | None = None
    field: str = ""
    at: datetime | None = None

    @property
    def shown(self) -> str:
        return f"{self.field.removeprefix('custom.')}: {self.seen.text}" if self.field else self.seen.text

    def locate(self, quote: str) -> Span | None:
        """Where the quote, taken from what was shown, stands in the original text; None if it does not."""
        place = find_quote(self.seen.text, quote)
        if not place and self.field:
            place = find_quote(self.seen.text, quote.removeprefix(self.shown[: -len(self.seen.text)]))
        return self.seen.origin(place) if place else None


@dataclass(frozen=True, slots=True)
class Quote:
    """The model's quote, found in the record: code points of the source's normalised text."""

    text: str
    source_kind: str
    source_id: int | None
    field: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class RecordFacts:
    """Everything an agent knows about one record. Names stay here; the model sees placeholders.

    `asked` is what is wanted beside the facts (a purpose, an instruction); it is a part of the question.
    """

    facts: tuple[Fact, ...]
    names: Mapping[str, str]  # usable placeholders: first_name, company
    context_event_id: int | None  # the newest event that was known
    today: str = ""
    asked: Mapping[str, str] = field(default_factory=dict)

    @property
    def purpose(self) -> str:
        return self.asked.get("purpose", "")

    @property
    def instruction(self) -> str:
        return self.asked.get("instruction", "")

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of what is known and asked, not of the day."""
        known = [sorted(self.names), sorted(self.asked.items()), [_shown(fact) for fact in self.facts]]
        return hashlib.sha256(json.dumps(known, ensure_ascii=True, sort_keys=True).encode()).hexdigest()

    def payload(self, agent: str) -> dict[str, Any]:
        """What the model is given, as JSON-ready data."""
        return {
            "agent": agent,
            "today": self.today,
            "has_first_name": "first_name" in self.names,
            "has_company": "company" in self.names,
            "facts": [_shown(fact) for fact in self.facts],
            **self.asked,
        }

    def fill(self, text: str) -> str:
        """Put the names where the placeholders stand, in one pass: a name is never searched for
        placeholders.
        """
        return _PLACEHOLDER.sub(lambda match: self.names.get(match[1], _NAMELESS[match[1]]), text)

    def filled_line(self, text: str, limit: int) -> str:
        """Clean text of one line, with the names put where the model saw placeholders."""
        return one_line(self.fill(text), limit)

    def by_id(self, fact_id: str) -> Fact | None:
        return next((fact for fact in self.facts if fact.id == fact_id), None)

    def quoted(self, source: str, quote: str) -> Quote | None:
        """The quote with its place, or None when the fact named by `source` does not say so word for word."""
        fact = self.by_id(source)
        place = fact.locate(quote) if fact else None
        if not fact or not place:
            return None
        return Quote(place.of(fact.text), fact.kind, fact.source_id, fact.field, place.start, place.end)


@dataclass(frozen=True, kw_only=True)
class LeadFacts(RecordFacts):
    """Everything an agent knows about one lead."""

    lead_id: int

    def asked_for(self, **asked: str) -> Self:
        """The same facts for another question."""
        return replace(self, asked=asked)

    @classmethod
    def of(cls, lead: Lead, *, today: datetime, **asked: str) -> Self:
        """The facts of one lead. See `facts_of` for many."""
        return facts_of([Wanted(lead.pk, asked)], today=today)[0]  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A lead whose facts are wanted, and what the model is asked beside them."""

    lead_id: int | None
    asked: Mapping[str, str] = field(default_factory=dict)


def facts_of(wanted: Sequence[Wanted], *, today: datetime) -> list[LeadFacts | None]:
    """The facts of each lead, in order; None where it is gone, or where no agent may read it.

    Eight queries, however many are wanted.
    """
    ids = {one.lead_id for one in wanted if one.lead_id}
    readable = Lead.objects.live().filter(pk__in=ids, is_ai_off=False).select_related("source")
    leads = {lead.pk: lead for lead in readable}
    for_all = CustomField.objects.filter(
        target="lead", read_from=Role.READ_ONLY
    )  # who reads a score reads its quotes
    labels = list(for_all.order_by("key").values_list("key", flat=True))
    texts = texts_of(leads)
    newest: dict[int | None, int] = dict(
        TimelineEvent.objects.filter(lead__in=leads)
        .values_list("lead")
        .annotate(Max("pk"))
        .values_list("lead", "pk__max")
    )
    return [
        _facts(leads[one.lead_id], texts[one.lead_id], labels, newest.get(one.lead_id), today, one.asked)
        if one.lead_id is not None and one.lead_id in leads
        else None
        for one in wanted
    ]


def _facts(
    lead: Lead,
    texts: list[dict[str, Any]],
    custom_keys: list[str],
    newest_event: int | None,
    today: datetime,
    asked: Mapping[str, str],
) -> LeadFacts:
    names = usable_names(lead.name, lead.company)
    hidden = list(names_to_hide(lead.name, lead.company, names))
    facts = [*_field_facts(lead, custom_keys, hidden), *(text_fact(row, hidden) for row in texts)]
    facts = [fact for fact in facts if fact.text]
    if asked.get("instruction"):
        words = redact(normalised(asked["instruction"], 500), names=hidden).text
        asked = {**asked, "instruction": words}
    return LeadFacts(
        lead_id=lead.pk,
        facts=tuple(facts),
        names=names,
        context_event_id=newest_event,
        today=today.date().isoformat(),
        asked=asked,
    )


def usable_names(name: str, company: str) -> dict[str, str]:
    """First name and company where they look like names; an address, a formula or a template tag does not.

    They are put into the text after it was checked, so nothing in them can act: a wrong one is left out.
    """
    names: dict[str, str] = {}
    whole = one_line(name)
    first = whole.split(" ")[0] if whole else ""
    if len(first) > 1 and len(whole) <= 80 and _PERSON.fullmatch(first) and not _DOMAIN.search(whole):
        names["first_name"] = first
    company = one_line(company)
    if len(company) > 1 and _COMPANY.fullmatch(company) and not _DOMAIN.search(company):
        names["company"] = company
    return names


def names_to_hide(name: str, company: str, names: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """The ways the record may name the person or the company, and what is shown instead."""
    first, *rest = one_line(name).split(" ")
    shown = "{{first_name}}" if "first_name" in names else "[name]"
    for written in dict.fromkeys((first, first.title(), first.upper())):
        yield written, shown
    for part in rest:
        if len(part) > 2:
            for written in dict.fromkeys((part, part.title(), part.upper(), part.lower())):
                yield written, "[name]"
    if company:
        yield one_line(company), "{{company}}" if "company" in names else "[company]"


def _shown(fact: Fact) -> dict[str, str]:
    shown = {"id": fact.id, "kind": fact.kind, "by": "us" if fact.is_ours else "customer", "text": fact.shown}
    if fact.at:
        shown["at"] = fact.at.date().isoformat()
    return shown


def _field_facts(lead: Lead, custom_keys: list[str], hidden: list[tuple[str, str]]) -> Iterable[Fact]:
    custom = [f"custom.{key}" for key in custom_keys if key in lead.custom][:MOST_CUSTOM_FIELDS]
    for name in (*QUOTABLE_FIELDS, *custom):
        text = field_text(lead, name)[:LONGEST_FIELD]
        yield Fact(
            id=f"field-{re.sub('[^a-z0-9]+', '_', name.removeprefix('custom.').lower())[:60]}",
            kind="field",
            text=text,
            seen=redact(text, names=hidden),
            is_ours=False,  # forms and imports fill fields in as well
            field=name,
        )


def text_fact(row: dict[str, Any], hidden: list[tuple[str, str]]) -> Fact:
    """The fact of a row that `texts_of` or `newest_of` found."""
    text = normalised(row["text"], LONGEST_FACT)
    return Fact(
        id=f"{row['kind']}-{row['pk']}",
        kind=row["kind"],
        text=text,
        seen=redact(text, names=hidden),
        is_ours=row["is_ours"],
        source_id=row["pk"],
        at=row["at"],
    )


def texts_of(leads: Mapping[int, Lead]) -> Mapping[int, list[dict[str, Any]]]:
    """The newest texts of each lead, oldest first. Four queries."""
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    asked = Inquiry.objects.genuine().filter(lead__in=leads).exclude(message="")
    for row in newest_of(asked, "message", "received_at"):
        found[row["lead_id"]].append(row | {"kind": "inquiry", "is_ours": False})
    messages = Message.objects.filter(lead__in=leads, state__in=["received", "sent"]).exclude(text="")
    for row in newest_of(messages, "text", "occurred_at", "direction"):
        found[row["lead_id"]].append(row | {"kind": "message", "is_ours": row["direction"] == Direction.OUT})
    for row in newest_of(Note.objects.filter(lead__in=leads, is_private=False), "body", "event__occurred_at"):
        found[row["lead_id"]].append(row | {"kind": "note", "is_ours": True})
    calls = CallLog.objects.filter(lead__in=leads).exclude(body="")
    for row in newest_of(calls, "body", "occurred_at"):
        found[row["lead_id"]].append(row | {"kind": "call", "is_ours": True})
    for rows in found.values():
        rows.sort(key=lambda row: (row["at"], row["kind"], row["pk"]))
    return found


def newest_of(
    rows: QuerySet[Model], text: str, at: str, *more: str, of: str = "lead_id"
) -> Iterable[dict[str, Any]]:
    """The newest NEWEST rows of each record (`of`), with their text and moment. One query."""
    place = Window(RowNumber(), partition_by=F(of), order_by=(F(at).desc(), F("pk").desc()))
    cut = Left(Cast(text, TextField()), RAW_TEXT)
    ranked = rows.annotate(place=place, cut=cut, moment=F(at)).filter(place__lte=NEWEST)
    for row in ranked.values("pk", of, "cut", "moment", *more):
        yield row | {"text": row["cut"], "at": row["moment"]}
