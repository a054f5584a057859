"""What the sentences of a draft rest on, for whoever reads it before it leaves."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeGuard

from django.utils.translation import gettext as _

from crm.models import CallLog, FactorSource, FollowUp, Inquiry, Lead, Message, Note
from crm.models.quotable import QUOTABLE_FIELDS, field_text
from crm.web import words

MOST_FACTS = 40
LEAST = 9  # letters of a run of words that is worth a line
LEAST_MARKED = 5  # the same in a sentence that the agent marked
_ROWS: dict[str, tuple[Any, str, str]] = {  # sort -> rows, their text, their moment
    FactorSource.INQUIRY: (Inquiry.objects, "message", "received_at"),
    FactorSource.MESSAGE: (Message.objects, "text", "occurred_at"),
    FactorSource.NOTE: (Note.objects.filter(is_private=False), "body", "event__occurred_at"),
    FactorSource.CALL: (CallLog.objects, "body", "occurred_at"),
}
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SMALL = frozenset(
    "a an and are as at be by can for from have i in is it me my of on or our so that the this to us we will "
    "with would you your".split()
)
Source = tuple[str, str]  # name, text


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the text; `source` says where a fact of it was taken from."""

    text: str
    source: str = ""


def segments_of(follow_up: FollowUp, now: datetime) -> list[Segment]:
    """The body cut so that what rests on the record can be underlined with its source. At most four queries.

    A sentence that the agent marked is compared with the facts it named: words that stand there are
    underlined, or else the whole sentence. One that a person changed since is nobody's any more. Drafts
    without marks (of the first prompt) are compared with all facts they used.
    """
    sources = _sources(follow_up, now)
    if not follow_up.marks:
        return marked(follow_up.body, list(sources.values()))
    segments: list[Segment] = []
    at = 0
    for start, end, own in _sentences(follow_up, sources):
        segments += _plain(follow_up.body[at:start])
        sentence = follow_up.body[start:end]
        found = marked(sentence, own, least=LEAST_MARKED)
        if any(segment.source for segment in found):
            segments += found
        else:
            segments.append(Segment(sentence, "; ".join(name for name, _text in own)))
        at = end
    return [*segments, *_plain(follow_up.body[at:])]


def _plain(text: str) -> list[Segment]:
    return [Segment(text)] if text else []


def _sentences(follow_up: FollowUp, sources: dict[str, Source]) -> Iterator[tuple[int, int, list[Source]]]:
    """Marked sentences that still stand in the body: where, and what they rest on that is still there."""
    at = 0
    for mark in follow_up.marks:
        sentence = follow_up.original_body[mark["start"] : mark["end"]]
        own = [sources[fact] for fact in mark["facts"] if fact in sources]
        start = follow_up.body.find(sentence, at)
        if own and sentence and start >= 0:
            at = start + len(sentence)
            yield start, at, own


def _sources(follow_up: FollowUp, now: datetime) -> dict[str, Source]:
    """The texts of the record that the draft says it used, by the id of the fact, with their names.

    `facts_used` was written by an agent: whatever is not one of this lead's own texts is left out.
    """
    wanted: dict[str, dict[int, str]] = {}
    sources: dict[str, Source] = {}
    for fact in follow_up.facts_used[:MOST_FACTS]:
        if not isinstance(fact, dict):
            continue
        kind, name, source_id = fact.get("kind"), fact.get("field"), fact.get("source_id")
        if kind == FactorSource.FIELD and _is_field(name, follow_up.lead):
            label = _("Field: %s") % name.removeprefix("custom.").replace("_", " ")
            sources[str(fact.get("id", name))] = label, field_text(follow_up.lead, name)
        elif isinstance(kind, str) and isinstance(source_id, int):
            wanted.setdefault(kind, {})[source_id] = str(fact.get("id", f"{kind}-{source_id}"))
    for kind, (rows, text_field, moment) in _ROWS.items():
        ids = wanted.get(kind, {})
        found = (
            rows.filter(lead=follow_up.lead, pk__in=ids).values_list("pk", text_field, moment) if ids else []
        )
        for pk, text, at in found:
            label = f"{FactorSource(kind).label}, {words.day_and_time(at, now)}"
            sources[ids[pk]] = label, text
    return sources


def _is_field(name: object, lead: Lead) -> TypeGuard[str]:
    if not isinstance(name, str):
        return False
    return name in QUOTABLE_FIELDS or (
        name.startswith("custom.") and name.removeprefix("custom.") in lead.custom
    )


def marked(body: str, sources: Sequence[Source], *, least: int = LEAST) -> list[Segment]:
    """The body cut so that words found in the record can be underlined with their source.

    Found by code, not claimed by the model: runs of words that stand in the source as they stand here.
    """
    words_at = [(m.start(), m.end()) for m in _WORD.finditer(body)]
    folded = [body[start:end].casefold() for start, end in words_at]
    known = [(name, f" {' '.join(w.casefold() for w in _WORD.findall(text))} ") for name, text in sources]
    segments, at, i = [], 0, 0
    while i < len(folded):
        length, name = _longest_run(folded, i, known, least)
        if not length:
            i += 1
            continue
        start, end = words_at[i][0], words_at[i + length - 1][1]
        if "\n" in body[start:end]:
            i += 1
            continue
        if start > at:
            segments.append(Segment(body[at:start]))
        segments.append(Segment(body[start:end], name))
        at, i = end, i + length
    if at < len(body):
        segments.append(Segment(body[at:]))
    return segments


def _longest_run(folded: list[str], i: int, known: list[tuple[str, str]], least: int) -> tuple[int, str]:
    """How many words from `i` on stand together in a source, and in which; 0 when too few to say anything."""
    best, best_name = 0, ""
    for name, text in known:
        length = 0
        while i + length < len(folded) and f" {' '.join(folded[i : i + length + 1])} " in text:
            length += 1
        run = folded[i : i + length]
        while run and run[-1] in _SMALL:
            run.pop()
        if run and run[0] not in _SMALL and sum(len(word) for word in run) >= least and len(run) > best:
            best, best_name = len(run), name
    return best, best_name
