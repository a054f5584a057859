"""What the scripted model says for other kinds than analysis and draft: sorted replies, reviewed
opportunities, and for a kind it has never heard of the example that its own instructions show.
"""

import json
import re
from datetime import date, timedelta
from typing import Any

Fact = dict[str, str]

_DAY = re.compile(r"\b(20\d\d)-(\d\d)-(\d\d)\b")
# The first whose words are found. Order matters: an automatic reply also says "interested".
INTENTS = (
    ("out_of_office", "sleep", r"out of (?:the )?office|on (?:annual )?leave|auto(?:matic)?[ -]?reply"
     r"|abwesend|ferienabwesenheit|back (?:in the office )?on"),
    ("unsubscribe", "suppress", r"unsubscribe|(?:take|remove) me (?:off|from)|no more (?:mails?|e-?mails?)"
     r"|stop writing|abmelden|ne plus recevoir"),
    ("spam", "disqualify", r"\bseo\b|backlink|crypto|casino|guest post|increase your traffic"),
    ("not_interested", "disqualify", r"not interested|no longer interested|no interest|kein interesse"
     r"|went with another|pas intéress"),
    ("not_now", "sleep", r"not (?:right )?now|next (?:year|spring|quarter)|later this year"
     r"|in a few months|get back to you in|too early|noch nicht"),
    ("question", "answer", r"\?"),
)  # fmt: skip
RISKS = (
    ("Others are asked, too", r"compar|another (?:firm|company|offer)|other (?:offers|suppliers|quotes)"),
    ("The price is in doubt", r"too (?:expensive|dear)|budget|over our|cheaper|discount"),
    ("Somebody else decides", r"board|my (?:boss|partner|wife|husband)|committee|approval"),
    ("It may come later", r"next (?:year|quarter|spring)|delay|postpone|not before"),
)
GOOD = re.compile(r"go ahead|looks good|accept|sign|when can you start|deposit", re.IGNORECASE)


def triage(facts: tuple[Fact, ...], message: str, today: str) -> dict[str, Any]:
    """The reply named by `message`, sorted by a few words of it."""
    fact = next((fact for fact in facts if fact["id"] == message), {"id": message, "text": ""})
    text = fact["text"]
    intent, step, at = "interested", "answer", 0
    for name, follows, words in INTENTS:
        if found := re.search(words, text, re.IGNORECASE):
            intent, step, at = name, follows, found.start()
            break
    return {
        "intent": intent,
        "step": step,
        "wake_on": _wake(text, intent, today) if step == "sleep" else None,
        "summary": f"The reply reads as: {intent.replace('_', ' ')}.",
        "quote": sentence(text, at),
        "source": fact["id"],
    }


def _wake(text: str, intent: str, today: str) -> str:
    now = date.fromisoformat(today)
    for year, month, day in _DAY.findall(text):
        try:
            named = date(int(year), int(month), int(day))
        except ValueError:
            continue
        if now < named <= now + timedelta(days=700):
            return named.isoformat()
    return (now + timedelta(days=7 if intent == "out_of_office" else 30)).isoformat()


def review(facts: tuple[Fact, ...]) -> dict[str, Any]:
    """An opportunity's risks by a few words of what was said, and a band by how many there are."""
    risks = []
    for label, words in RISKS:
        for fact in facts:
            found = re.search(words, fact["text"], re.IGNORECASE) if fact["kind"] != "field" else None
            if found:
                quote = sentence(fact["text"], found.start())
                risks.append({"label": label, "quote": quote, "source": fact["id"]})
                break
    is_good = any(GOOD.search(fact["text"]) for fact in facts)
    band = ("likely" if is_good else "open") if len(risks) < 2 else ("open" if is_good else "unlikely")
    stage = next((fact["text"] for fact in facts if fact["id"] == "field-stage"), "")
    return {
        "summary": f"{stage.partition(': ')[2] or 'It'}: {len(risks)} risks stand in the record.",
        "next_step": "Call and settle the first risk." if risks else "Ask for a decision and a date.",
        "band": band,
        "risks": risks,
    }


def example(system: str, facts: tuple[Fact, ...]) -> dict[str, Any]:
    """The JSON object that the instructions show, its quotes taken from the record's first words."""
    decoder, at = json.JSONDecoder(), system.find("{\n")
    try:
        shown, _end = decoder.raw_decode(system, at)
    except ValueError:
        return {}
    return _requoted(shown, next((fact for fact in facts if fact["text"]), None))


def _requoted(value: Any, fact: Fact | None) -> Any:
    if isinstance(value, list):
        return [_requoted(one, fact) for one in value]
    if not isinstance(value, dict):
        return value
    changed = {key: _requoted(one, fact) for key, one in value.items()}
    if fact and {"quote", "source"} <= changed.keys():
        changed |= {"quote": sentence(fact["text"], 0), "source": fact["id"]}
    return changed


def sentence(text: str, at: int, longest: int = 140) -> str:
    """The sentence around position `at`, verbatim, at most `longest` characters."""
    for found in re.finditer(r"[^.!?\n]+[.!?]?", text):
        if found.start() <= at < found.end():
            start = max(found.start(), at - longest // 2)
            return text[start : min(found.end(), start + longest)].strip()
    return text[at : at + longest].strip()
