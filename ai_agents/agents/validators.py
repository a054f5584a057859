"""What a draft must hold to before a person sees it. Plain code, no model: each rule is one function.

A rule returns a sentence for the model, or "" when it is content. Where a rule cannot be sure it refuses:
then a person writes, which costs a minute; a wrong price costs a customer.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from ai_agents.agents.facts import Fact, LeadFacts
from ai_agents.agents.languages import language_of
from ai_agents.agents.leaks import leaks_in
from ai_agents.agents.vocabulary import (
    AGREEMENT,
    ALWAYS_ALLOWED,
    ASKING,
    DATE_WORDS,
    GERMAN,
    PROMISE,
    SCRIPTS,
)
from ai_agents.prompts import Prompt
from crm.models import MOST_WORDS, Language, Length

PLACEHOLDER = re.compile(r"\{\{(first_name|company)\}\}")

_HEADER_LINE = re.compile(
    r"^\s*(?:subject|to|cc|bcc|from|reply-to|betreff|an|von|objet|asunto)\s*:", re.IGNORECASE | re.MULTILINE
)
_LEFT_OPEN = re.compile(r"[{}\[\]<>]|\b(?:XXX+|TODO|TBD|lorem ipsum|your name)\b|_{3,}|\.{4,}")
_NUMBER = re.compile(r"\d(?:[\d.,:'\u00a0]{0,20}\d)?")
_CURRENCY = r"(?:[$€£¥]|\b(?:eur|usd|gbp|chf|sek|nok|dkk|pln|euros?|dollars?|pounds?)\b)"
_AMOUNT = re.compile(
    rf"{_CURRENCY} ?\d[\d.,'\u00a0]{{0,20}} ?k?|\d[\d.,'\u00a0]{{0,20}} ?k? ?{_CURRENCY}", re.IGNORECASE
)
_PERCENT = re.compile(r"\d[\d.,]{0,10} ?(?:%|per ?cent\b|percent\b|prozent\b)", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_](?:[\w'’]|-(?=\w))*")
# An end of four letters or more: "Mr. Ash", "z. B. Eichen" and "am 10. Mai" are no ends.
_BETWEEN_SENTENCES = re.compile(r"(?:[^\W\d_]{4}|[)\"'”’])[.][\"'”’)]*\s+(\S)|[!?][\"'”’)]*\s+(\S)|\n\s*(\n)")
_SENTENCE_END = re.compile(r"[.!?:;…]+[\"'”’)]*\s+|\n+\s*|[–—•]\s*")


@dataclass(frozen=True)
class Grounds:
    """What the facts allow a draft to say: words and numbers of all texts, amounts of ours alone."""

    said: str
    ours: str

    @classmethod
    def of(cls, facts: Iterable[Fact], instruction: str, allowed: Iterable[str] = ()) -> "Grounds":
        """`allowed`: names of products, services or the sender that a draft may use. Today's date is no
        fact.
        """
        facts = list(facts)
        ours = " \n".join([instruction, *allowed, *(fact.seen.text for fact in facts if fact.is_ours)])
        theirs = " \n".join(fact.shown for fact in facts if not fact.is_ours)
        return cls(said=f"{ours}\n{theirs}", ours=ours)

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(
            _folded(word) for found in _WORD.findall(self.said) for word in (found, *found.split("-"))
        )

    @cached_property
    def numbers(self) -> frozenset[str]:
        return frozenset(_numbers(self.said))

    @cached_property
    def amounts(self) -> frozenset[str]:
        return frozenset(_numbers(" ".join(_AMOUNT.findall(self.ours))))

    @cached_property
    def percents(self) -> frozenset[str]:
        return frozenset(_numbers(" ".join(_PERCENT.findall(self.said))))


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence and the ids of the facts it is said to rest on."""

    text: str
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A model's draft, with placeholders still in place. `sentences` is empty where the prompt asks for no
    marks (follow_up.v1).
    """

    subject: str
    body: str
    facts_used: tuple[str, ...]
    sentences: tuple[Said, ...] = ()


@dataclass(frozen=True)
class Draft:
    """The texts under test."""

    subject: str
    body: str
    facts: LeadFacts
    grounds: Grounds
    written: Written
    allowed: tuple[str, ...] = ()

    @cached_property
    def plain(self) -> str:
        """Subject and body without placeholders."""
        return PLACEHOLDER.sub(" ", f"{self.subject}\n{self.body}")

    @cached_property
    def is_german(self) -> bool:
        return len(GERMAN.findall(self.plain)) >= 4

    @cached_property
    def unfounded(self) -> set[str]:
        """The sorts of claims that stand nowhere in the record."""
        return _claims(self.plain, self.grounds, is_german=self.is_german)


def problems_of(
    written: Written, facts: LeadFacts, *, prompt: Prompt, allowed: Iterable[str] = ()
) -> dict[str, str]:
    """Reason code -> sentence for the model, of every rule the draft breaks. Empty is good."""
    allowed = tuple(allowed)
    grounds = Grounds.of(facts.facts, facts.instruction, allowed)
    draft = Draft(written.subject, written.body, facts, grounds, written, allowed)
    found = leaks_in(draft.plain, prompt=prompt)
    return found | {name: said for name, rule in RULES.items() if (said := rule(draft))}


# --- the rules
def _length(draft: Draft) -> str:
    words = len(draft.body.split())
    most = MOST_WORDS[Length(draft.facts.asked.get("length") or Length.LONG)]
    return f"the body has {words} words, at most {most} are allowed" if words > most else ""


def _subject(draft: Draft) -> str:
    if "\n" in draft.subject or "\r" in draft.subject or _HEADER_LINE.search(draft.subject):
        return "the subject is one line without a header name"
    return "" if len(draft.subject) <= 120 else "the subject has over 120 characters"


def _headers(draft: Draft) -> str:
    return "the body holds no lines such as Subject: or Cc:" if _HEADER_LINE.search(draft.body) else ""


def _one_request(draft: Draft) -> str:
    asking = sum(
        1 for said in _sentences(draft.plain.split("\n", 1)[1]) if said.endswith("?") or ASKING.search(said)
    )
    return "" if asking == 1 else f"ask for exactly one thing in one sentence; {asking} sentences ask"


def _placeholders(draft: Draft) -> str:
    used = {match[1] for match in PLACEHOLDER.finditer(f"{draft.subject}\n{draft.body}")}
    if missing := used - draft.facts.names.keys():
        return f"{', '.join(sorted(missing))} is not known: do without that placeholder"
    return ""


def _complete(draft: Draft) -> str:
    if _LEFT_OPEN.search(draft.plain):
        return (
            "no brackets, braces or gaps to fill in; the only placeholders are {{first_name}} and {{company}}"
        )
    return ""


def _promises(draft: Draft) -> str:
    return "no guarantee, discount, refund, free offer or approval" if PROMISE.search(draft.plain) else ""


def _agreements(draft: Draft) -> str:
    has_own_word = any(fact.is_ours for fact in draft.facts.facts)
    if AGREEMENT.search(draft.plain) and not has_own_word:
        return "do not refer to an agreement: we recorded none"
    return ""


def _amounts(draft: Draft) -> str:
    return "state an amount of money only if we wrote it ourselves" if "amount" in draft.unfounded else ""


def _percentages(draft: Draft) -> str:
    return "no percentage that is not in the facts" if "percentage" in draft.unfounded else ""


def _figures(draft: Draft) -> str:
    return "no number that is not in the facts" if "number" in draft.unfounded else ""


def _dates(draft: Draft) -> str:
    return "no weekday, month or date that is not in the facts" if "date" in draft.unfounded else ""


def _names(draft: Draft) -> str:
    return (
        "no name of a person, company, product or place that is not in the facts"
        if "name" in draft.unfounded
        else ""
    )


def _known_marks(draft: Draft) -> str:
    unknown = [fact_id for fact_id in draft.written.facts_used if not draft.facts.by_id(fact_id)]
    return f"{len(unknown)} of the facts named are not in the record" if unknown else ""


def _marks(draft: Draft) -> str:
    """Each sentence's figures, dates and names stand in the facts that it names, not in just any."""
    missing: dict[str, None] = {}
    for said in draft.written.sentences:
        text = PLACEHOLDER.sub(" ", said.text)
        named = [fact for fact in draft.facts.facts if fact.id in said.facts]
        own = Grounds.of(named, draft.facts.instruction, draft.allowed)
        founded = _claims(text, draft.grounds, is_german=draft.is_german)
        missing |= dict.fromkeys(_claims(text, own, is_german=draft.is_german) - founded)
    if not missing:
        return ""
    return f"a sentence with {_listed(sorted(missing))} must list the fact that says so"


def _single_sentences(draft: Draft) -> str:
    several = any(_goes_on(said.text) for said in draft.written.sentences)
    return 'each "text" is exactly one sentence' if several else ""


def _language(draft: Draft) -> str:
    said, known = _scripts(draft.plain), _scripts(draft.grounds.said) | {"Latin"}
    if said - known:
        return "write in the language of the customer"
    wanted, found = draft.facts.asked.get("language", ""), language_of(draft.body)
    return f"write in {Language(wanted).name.title()}" if wanted and found not in {"", wanted} else ""


RULES: dict[str, Callable[[Draft], str]] = {
    "too_many_words": _length,
    "bad_subject": _subject,
    "header_in_body": _headers,
    "call_to_action": _one_request,
    "unknown_placeholder": _placeholders,
    "incomplete": _complete,
    "promise": _promises,
    "agreement": _agreements,
    "amount": _amounts,
    "percentage": _percentages,
    "number": _figures,
    "date": _dates,
    "name": _names,
    "unknown_fact": _known_marks,
    "unmarked": _marks,
    "several_sentences": _single_sentences,
    "language": _language,
}


# --- reading texts
def _claims(text: str, grounds: Grounds, *, is_german: bool) -> set[str]:
    """The sorts of claims in the text that these grounds do not hold."""
    amounts = {frozenset(_numbers(amount)) for amount in _AMOUNT.findall(text)}
    percents = [frozenset(_numbers(percent)) for percent in _PERCENT.findall(text)]
    figures = [_readings(number) for number in _NUMBER.findall(text)]
    dates = {_folded(word) for word in _WORD.findall(text)} & DATE_WORDS
    wrong = {
        "amount": any(not one & grounds.amounts for one in amounts),
        "percentage": any(not one & grounds.percents for one in percents),
        "number": any(not one & grounds.numbers for one in figures),
        "date": bool(dates - grounds.words),
        "name": any(not grounds.words.issuperset(group) for group in _capitalised(text, is_german=is_german)),
    }
    return {sort for sort, is_wrong in wrong.items() if is_wrong}


def _listed(words: list[str]) -> str:
    articles = {"amount": "an amount"}
    return " or ".join(articles.get(word, f"a {word}") for word in words)


def _sentences(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield from (said.strip() for said in re.split(r"(?<=[.!?])\s+", line) if said.strip())


def _goes_on(text: str) -> bool:
    """Whether another sentence begins in the text."""
    return any(
        match[2] or match[3] or match[1].isupper() or match[1] == "{"
        for match in _BETWEEN_SENTENCES.finditer(text)
    )


def _folded(word: str) -> str:
    return word.replace("’", "'").casefold().removesuffix("'s")


def _capitalised(text: str, *, is_german: bool) -> Iterator[set[str]]:
    """Words with a capital that do not begin a sentence. In German, where every noun has one, pairs of
    them.
    """
    starts = {0} | {match.end() for match in _SENTENCE_END.finditer(text)}
    before: re.Match[str] | None = None
    for match in _WORD.finditer(text):
        has_capital = match[0][0].isupper() and match.start() not in starts
        has_capital = has_capital and _folded(match[0]) not in ALWAYS_ALLOWED
        is_pair = before is not None and text[before.end() : match.start()] == " "
        if has_capital and (is_pair or not is_german):
            yield {_folded(match[0])} if not is_german else {_folded(match[0]), _folded(before[0])}  # type: ignore[index]
        before = match if has_capital else None


def _numbers(text: str) -> set[str]:
    return {reading for number in _NUMBER.findall(text) for reading in _readings(number)}


def _readings(number: str) -> frozenset[str]:
    """The values a written number may mean: 12.000 is twelve thousand or twelve. A time stays as it is."""
    number = number.replace("\u00a0", "").replace("'", "")
    if ":" in number:
        return frozenset({number})
    digits = re.sub(r"\D", "", number)
    readings = {digits.lstrip("0") or "0"}
    if match := re.fullmatch(r"([\d.,]*?)[.,](\d{1,2})", number):
        whole = re.sub(r"\D", "", match[1]) or "0"
        readings = {f"{int(whole)}.{match[2].rstrip('0')}".rstrip(".")}
    elif re.search(r"[.,]", number) and not re.fullmatch(r"\d{1,3}(?:[.,]\d{3})+", number):
        readings = {number}
    return frozenset(readings)


def _scripts(text: str) -> set[str]:
    """Writing systems with at least three letters in the text."""
    return {name for name, pattern in SCRIPTS.items() if len(pattern.findall(text)) >= 3}
