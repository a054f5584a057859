"""The score by rules: readable, cheap, without any model. `BASE` plus the points of all factors is the value.

A rule looks at the evidence of one lead and returns its factors. Change a rule, its points or its words:
raise VERSION.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from crm.models import Channel, FactorSource, Lead, PointKind
from crm.models.quotable import field_text
from crm.plaintext import Span

VERSION = "rules.v1"
BASE = 20
LONGEST_QUOTE = 160  # code points


@dataclass(frozen=True, slots=True)
class Text:
    """A customer's own words, normalised."""

    kind: FactorSource
    id: int
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the rules look at. `texts` newest first; `reached_by` are the lead's kinds of ContactPoint."""

    lead: Lead
    reached_by: frozenset[str] = frozenset()
    has_company_mail: bool = False  # an address at a domain of its own
    texts: Sequence[Text] = ()
    inquiries: int = 0
    replies: int = 0
    last_heard_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewFactor:
    """A reason to be stored. With a quote it names the source and the place, and counts as verified."""

    label: str
    points: int = 0
    quote: str = ""
    source_kind: str = ""
    source_id: int | None = None
    field: str = ""
    place: Span | None = None


@dataclass(frozen=True, slots=True)
class Saying:
    """Words that speak for or against a lead. The first text that has them is quoted."""

    label: str
    points: int
    words: re.Pattern[str] = field(repr=False)

    @classmethod
    def of(cls, label: str, points: int, *words: str) -> "Saying":
        return cls(label, points, re.compile(rf"(?<!\w)(?:{'|'.join(words)})", re.IGNORECASE))


_OFFERS_SERVICES = Saying.of(
    "Wants to sell to us", -30, "seo\\b", "backlinks?", "guest posts?", "crypto",
    "your website'?s? (?:ranking|traffic)",
    "increase your (?:traffic|sales|revenue)",
    "(?:we|our agency) (?:can )?offer (?:you )?(?:web|marketing|leads)",
    "job application", "apply for (?:a|the) (?:job|position)", "bewerbung", "internship",
)  # fmt: skip
_SAYINGS = (
    Saying.of(
        "Asked for a quote", 14, "quot(?:e|ation)s?\\b", "estimate\\b",
        "(?:an|your|an?\\s\\w{1,20}) offer\\b", "proposal\\b",
        "angebot", "kostenvoranschlag", "devis\\b", "presupuesto", "preventivo", "offerte\\b", "offert\\b",
    ),
    Saying.of(
        "Asked what it costs", 6, "how much\\b", "pric(?:e|es|ing)\\b", "costs?\\b", "rates\\b",
        "was kostet", "preise?\\b",
        "combien", "tarifs?\\b", "cuánto", "precios?\\b", "quanto costa", "prijs", "wat kost",
    ),
    Saying.of(
        "Asked for a visit or a call", 12, "visit\\b", "come (?:by|over|round|out|and)", "site meeting",
        "have a look at",
        "appointment", "call (?:me|us)\\b", "ring (?:me|us)\\b", "meet\\b", "besichtigung", "termin\\b",
        "vorbeikommen",
        "rendez-vous", "visiter", "visita\\b", "afspraak", "langskomen", "sopralluogo",
    ),
    Saying.of(
        "Named a budget", 10, "budget", "[€£$] ?\\d",
        "\\d[\\d.,]{0,12} ?(?:€|£|eur\\b|euros?\\b|gbp\\b|chf\\b|k\\b)",
    ),
    Saying.of(
        "Wants to start soon", 8, "asap\\b", "as soon as", "soon\\b", "urgent",
        "this (?:week|month|spring|summer|autumn)",
        "next (?:week|month)", "before (?:spring|summer|easter|winter|christmas)", "so bald", "dringend",
        "nächsten? (?:woche|monat)",
        "dès que possible", "cuanto antes", "zo snel mogelijk", "al più presto",
    ),
    Saying.of(
        "Described the site", 6, "\\d[\\d.,]{0,8} ?(?:m2|m²|sqm|sq ?m|square met|hectares?|acres?|sq ?ft)",
        "slope", "courtyard",
        "roof ?(?:top|terrace|garden)", "hang(?:lage|grundstück)", "innenhof", "dachterrasse",
    ),
    Saying.of("Was recommended to us", 8, "recommend", "referred", "friend of", "neighbou?rs?\\b",
        "empfohlen", "recommandé", "recomend", "aanbevolen"),
    Saying.of(
        "Is only looking around", -12, "just (?:looking|curious|browsing|wondering)", "no (?:hurry|rush)",
        "some ?day\\b",
        "(?:maybe|perhaps) next year", "not sure (?:if|yet|whether)", "nur mal", "keine eile",
    ),
    Saying.of("Has little to spend", -10, "no budget", "(?:very |quite )?tight budget", "as cheap",
        "cheapest", "student project", "möglichst billig"),
    Saying.of("Is not interested any more", -35, "not interested", "no longer (?:interested|need)",
        "unsubscribe", "stop (?:writing|mailing|emailing)", "found (?:someone|somebody|another)",
        "kein interesse", "plus intéress"),
    _OFFERS_SERVICES,
)  # fmt: skip
_SOURCE_POINTS = {
    Channel.PHONE: ("Called us", 8),
    Channel.EMAIL: ("Wrote us an e-mail", 5),
    Channel.FORM: ("Filled in a form", 4),
    Channel.CSV: ("Comes from a list", -6),
}


def judge(evidence: Evidence, *, at: datetime) -> tuple[int, tuple[NewFactor, ...]]:
    """(value 0 to 100, factors) such that BASE plus all points is the value."""
    factors = [factor for rule in RULES for factor in rule(evidence, at)]
    total = BASE + sum(factor.points for factor in factors)
    value = max(0, min(100, total))
    if value != total:
        label = "A score ends at 100" if total > 100 else "A score ends at 0"
        factors.append(NewFactor(label, value - total))
    return value, tuple(factors)


def _how_to_reach(evidence: Evidence, at: datetime) -> Iterator[NewFactor]:
    ways = evidence.reached_by & {PointKind.EMAIL, PointKind.PHONE}
    if len(ways) == 2:
        yield NewFactor("Left e-mail and phone", 8)
    elif PointKind.PHONE in ways:
        yield NewFactor("Left a phone number", 4)
    elif PointKind.EMAIL in ways:
        yield NewFactor("Left an e-mail address", 4)
    else:
        yield NewFactor("Cannot be reached", -12)


def _who(evidence: Evidence, at: datetime) -> Iterator[NewFactor]:
    if evidence.has_company_mail:
        yield NewFactor("Writes from a company address", 6)
    elif evidence.lead.company:
        yield NewFactor("Named a company", 3)


def _fields(evidence: Evidence, at: datetime) -> Iterator[NewFactor]:
    if evidence.lead.est_value:
        yield _of_field(evidence.lead, "est_value", "Has an estimated value", 6)
    if field_text(evidence.lead, "interest"):  # characters that nobody can see say nothing
        yield _of_field(evidence.lead, "interest", "Said what is wanted", 5)


def _source(evidence: Evidence, at: datetime) -> Iterator[NewFactor]:
    if found := _SOURCE_POINTS.get(Channel(evidence.lead.source.kind)):
        yield NewFactor(*found)


def _said(evidence: Evidence, at: datetime) -> Iterator[NewFactor]:
    for saying in _SAYINGS:
        for text in evidence.texts:
            if match := saying.words.search(text.text):
                yield _of_text(text, _sentence_around(text.text, match.start(), match.end()), saying)
                break


def _comes_back(evidence: Evidence, at: datetime) -> Iterator[NewFactor]:
    if evidence.inquiries > 1:
        yield NewFactor("Asked again", 8 if evidence.inquiries == 2 else 12)
    if evidence.replies:
        yield NewFactor("Replied to us", 10)


def _silence(evidence: Evidence, at: datetime) -> Iterator[NewFactor]:
    if evidence.last_heard_at:
        silent = at - evidence.last_heard_at
        if silent <= timedelta(days=2):
            yield NewFactor("Heard from in the last two days", 6)
        elif silent > timedelta(days=120):
            yield NewFactor("Silent for over four months", -18)
        elif silent > timedelta(days=30):
            yield NewFactor("Silent for over a month", -8)
    if evidence.lead.attempts >= 3:
        yield NewFactor("Did not answer three times or more", -8)


RULES: tuple[Callable[[Evidence, datetime], Iterator[NewFactor]], ...] = (
    _said, _comes_back, _fields, _how_to_reach, _who, _source, _silence,
)  # fmt: skip


def _of_field(lead: Lead, name: str, label: str, points: int) -> NewFactor:
    text = field_text(lead, name)[:LONGEST_QUOTE]
    return NewFactor(label, points, text, FactorSource.FIELD, None, name, Span(0, len(text)))


def _of_text(text: Text, place: Span, saying: Saying) -> NewFactor:
    return NewFactor(saying.label, saying.points, place.of(text.text), text.kind, text.id, "", place)


def _sentence_around(text: str, start: int, end: int) -> Span:
    """The sentence that holds the found words, at most LONGEST_QUOTE code points around them."""
    first = max(text.rfind(mark, 0, start) for mark in (". ", "! ", "? ", "\n")) + 1
    last = min(
        (place for mark in (". ", "! ", "? ", "\n") if (place := text.find(mark, end)) >= 0),
        default=len(text),
    )
    first = max(first, start - LONGEST_QUOTE // 2)
    last = min(last + 1, first + LONGEST_QUOTE, len(text))
    return _without_blanks(text, Span(first, max(last, min(end, first + LONGEST_QUOTE))))


def _without_blanks(text: str, place: Span) -> Span:
    quote = place.of(text)
    return Span(place.start + len(quote) - len(quote.lstrip()), place.end - len(quote) + len(quote.rstrip()))
