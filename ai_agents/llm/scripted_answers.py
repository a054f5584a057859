"""What the scripted model says: the same facts always bring the same answer. No randomness, no clock, no
network.

It knows a little about garden design, so that a fresh install shows believable samples, and nothing about
anybody.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ai_agents.llm import scripted_kinds as kinds

ENVELOPE = re.compile(r"<([A-Za-z][\w-]*)>\s*(\{.*\})\s*</\1>", re.DOTALL)
MAX_QUOTE = 140  # characters
_SENTENCES = re.compile(r"(?<=[.!?]) ")


@dataclass(frozen=True, slots=True)
class Sign:
    """Words that speak for or against a lead, and what they are worth."""

    label: str
    points: int
    words: re.Pattern[str]


def _sign(label: str, points: int, *words: str) -> Sign:
    return Sign(label, points, re.compile(rf"(?<!\w)(?:{'|'.join(words)})", re.IGNORECASE))


SIGNS = (
    _sign("Names a budget", 16, "budget", "€", r"\$", "£", r"\d+ ?k\b", r"eur\b", r"usd\b"),
    _sign("Wants to start soon", 14, "asap", "as soon as", "urgent", "next month",
          "this (?:week|month|spring|summer|autumn)", "by (?:march|april|may|june)"),
    _sign("Asks for a meeting or visit", 12, "visit", "meet", "appointment", "call me", "come (?:by|over)"),
    _sign("Asks for a quote", 10, "quote", "estimate", "proposal", "offer", "price"),
    _sign("Describes the site", 8, "m2", "m²", "sqm", "square", "hectare", "acre", "slope", "terrace",
          "patio", "courtyard", "lawn", "backyard", "rooftop", "drive"),
    _sign("Knows what is wanted", 7, "planting", "irrigation", "redesign", "landscap", "pergola", "pond",
          "hedge", "lighting", "raised bed", "meadow", "design"),
    _sign("Speaks for an organisation", 6, "hotel", "school", "office", "municipal", "company", "housing",
          "developer", "restaurant", "clinic"),
    _sign("Was recommended to us", 6, "recommend", "referr", "friend of", "neighbou?r"),
    _sign("Is only looking around", -14, "just (?:looking|curious|browsing)", "no hurry", "someday",
          "not sure (?:if|yet)", "maybe next year"),
    _sign("Has little to spend", -12, "no budget", "cheap", "free of charge", "student project",
          "myself", "diy"),
    _sign("Offers services to us", -30, "seo", "backlink", "guest post", "crypto", "our agency can",
          "increase your traffic"),
)  # fmt: skip

ACTIONS = (
    (75, "call", "today"),
    (60, "meeting", "this_week"),
    (45, "email", "this_week"),
    (25, "nurture", "this_month"),
)
MISSING = (
    ("the budget", r"budget|€|\$|£|\d eur\b"),
    ("the size of the site", r"m2|m²|sqm|square|hectare|acre"),
    ("when work should start", r"spring|summer|autumn|winter|month|week|soon|asap|20\d\d"),
    ("who decides", r"owner|director|manager|partner|wife|husband|board"),
)
RISKS = (
    ("The wish is broad; the scope may grow.", r"redesign|everything|whole garden|complete"),
    ("The date may be too near for planting.", r"asap|urgent|this (?:week|month)"),
    ("Several suppliers are being compared.", r"compar|other (?:offers|quotes)|several companies"),
)
TOPICS = (
    "planting", "irrigation", "terrace", "patio", "pergola", "pond", "hedge", "lighting", "lawn", "courtyard",
    "driveway", "roof garden", "meadow", "raised beds", "garden redesign", "garden design", "garden",
)  # fmt: skip
OPENINGS = (
    "Thank you for writing to us about {topic}. I read your message with care.",
    "Thank you for getting in touch about {topic}. It is a project we would enjoy.",
    "Thank you for your message about {topic}. What you describe is clear and inviting.",
)
MIDDLES = (
    "A good first step is a short visit: we look at light, soil and levels together, and you tell us how you "
    "want to use the space.",
    "We would like to see the place before we suggest anything, because soil, shade and water decide what "
    "will thrive.",
    "From a first walk around the site we can sketch two directions, one calm and one richer, for you to "
    "compare.",
)
QUESTIONS = (
    "Which day next week would suit you for a first visit?",
    "When would be a good time for a short call to plan a visit?",
    "Would a morning or an afternoon suit you better for a first visit?",
)
# Subject, greeting, opening and question for customers who write in these.
ABROAD = {
    "de": ("Ihr Garten", "Guten Tag", "vielen Dank für Ihre Nachricht zu Ihrem Garten.",
           "Wann dürfen wir uns den Garten mit Ihnen ansehen?"),
    "fr": ("Votre jardin", "Bonjour", "merci pour votre message au sujet de votre jardin.",
           "Quand pouvons-nous venir voir le jardin avec vous ?"),
    "es": ("Su jardín", "Hola", "gracias por su mensaje sobre el jardín.",
           "¿Cuándo podemos ver el jardín con usted?"),
    "it": ("Il suo giardino", "Buongiorno", "grazie per il suo messaggio sul giardino.",
           "Quando possiamo vedere il giardino con lei?"),
    "nl": ("Uw tuin", "Hallo", "bedankt voor uw bericht over de tuin.",
           "Wanneer kunnen wij de tuin met u bekijken?"),
}  # fmt: skip
SUBJECTS = ("Your {topic}", "About your {topic}", "Next step for your {topic}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request holds: which agent asks, its facts, and a digest that names the content whatever its
    tag.
    """

    agent: str
    facts: tuple[dict[str, str], ...]
    digest: bytes
    system: str
    has_first_name: bool = True
    is_repair: bool = False
    more: Mapping[str, Any] = field(
        default_factory=dict
    )  # what else the request says: today, message, purpose


def read_request(messages: list[dict[str, Any]]) -> Asked:
    """Find the JSON object in the user message. A request without one has no facts."""
    texts = [m.get("content") for m in messages if isinstance(m, dict)]
    system = next((t for m, t in zip(messages, texts, strict=False) if m.get("role") == "system"), "") or ""
    user = next((t for m, t in zip(messages, texts, strict=False) if m.get("role") == "user"), "") or ""
    found = ENVELOPE.search(user)
    inner = found.group(2) if found else user
    try:
        lead = json.loads(inner)
    except ValueError:
        lead = {}
    if not isinstance(lead, dict):
        lead = {}
    agent = lead.get("agent") or ("follow_up" if '"subject"' in system else "lead_analysis")
    facts = tuple(
        {
            "id": str(f.get("id", "")),
            "kind": str(f.get("kind", "")),
            "by": str(f.get("by", "customer")),
            "text": str(f.get("text", "")),
        }
        for f in lead.get("facts") or ()
        if isinstance(f, dict)
    )
    content = json.dumps([agent, facts, lead.get("purpose"), lead.get("instruction"), lead.get("message")])
    digest = hashlib.sha256(content.encode()).digest()
    has_first_name = lead.get("has_first_name") is not False
    is_repair = "Your answer was refused" in user
    return Asked(str(agent), facts, digest, str(system), has_first_name, is_repair, lead)


def answer(asked: Asked) -> dict[str, Any]:
    """The honest answer of the agent that asks."""
    if asked.agent in KINDS:
        return KINDS[asked.agent](asked)
    return kinds.example(asked.system, asked.facts)


def _triage(asked: Asked) -> dict[str, Any]:
    return kinds.triage(asked.facts, str(asked.more.get("message", "")), str(asked.more.get("today", "")))


def analysis(asked: Asked) -> dict[str, Any]:
    """A lead analysis whose reasons quote the facts word for word."""
    reasons = list(_reasons(asked.facts))[:6]
    wobble = asked.digest[0] % 9 - 4
    fit = max(2, min(98, 42 + wobble + sum(reason["points"] for reason in reasons)))
    action, timeline = next(((a, t) for least, a, t in ACTIONS if fit >= least), ("disqualify", "later"))
    everything = " ".join(fact["text"] for fact in asked.facts)
    labels = [reason["label"].lower() for reason in reasons if reason["points"] > 0]
    return {
        "fit": fit,
        "summary": f"The inquiry {_joined(labels)}."
        if labels
        else "The inquiry says little about the project yet.",
        "reasons": reasons,
        "recommended_action": action,
        "timeline": timeline,
        "risks": [text for text, words in RISKS if re.search(words, everything, re.IGNORECASE)][:2],
        "missing": (gaps := [n for n, words in MISSING if not re.search(words, everything, re.IGNORECASE)])[
            :3
        ],
        "would_change": [f"Knowing {gap}" for gap in gaps[:2]],
    }


def _reasons(facts: tuple[dict[str, str], ...]) -> Iterator[dict[str, Any]]:
    for sign in SIGNS:
        for fact in facts:
            found = sign.words.search(fact["text"])
            if found and fact["by"] == "customer":
                quote = kinds.sentence(fact["text"], found.start(), MAX_QUOTE)
                yield {"label": sign.label, "points": sign.points, "quote": quote, "source": fact["id"]}
                break


def _joined(labels: list[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"


def draft(asked: Asked) -> dict[str, Any]:
    """A follow-up without a figure, a name or a promise that the facts do not hold."""
    topic, source = _topic(asked.facts)
    pick, marks = asked.digest, [source] if source else []
    subject = SUBJECTS[pick[4] % len(SUBJECTS)].format(topic=topic)
    opening = OPENINGS[pick[1] % len(OPENINGS)].format(topic=f"your {topic}")
    greeting = "Hello"
    body = [opening, MIDDLES[pick[2] % len(MIDDLES)], QUESTIONS[pick[3] % len(QUESTIONS)]]
    if (language := str(asked.more.get("language", ""))) in ABROAD:
        subject, greeting, opening, question = ABROAD[language]
        body = [opening, question]
    if asked.more.get("length") == "short":
        body = [body[0], body[-1]]
    greeting += " {{first_name}}," if asked.has_first_name else ","
    if '"paragraphs"' not in asked.system:  # follow_up.v1
        return {"subject": subject, "body": "\n\n".join([greeting, *body]), "facts_used": marks}
    paragraphs = [_SENTENCES.split(text) for text in (greeting, *body)]
    rests_on = {_SENTENCES.split(opening)[0]: marks}
    return {
        "subject": subject,
        "paragraphs": [
            [{"text": said, "facts": rests_on.get(said, [])} for said in paragraph]
            for paragraph in paragraphs
        ],
    }


def _topic(facts: tuple[dict[str, str], ...]) -> tuple[str, str]:
    for topic in TOPICS:
        for fact in facts:
            if topic in fact["text"].lower():
                return topic, fact["id"]
    return "garden", ""


KINDS: dict[str, Callable[[Asked], dict[str, Any]]] = {
    "lead_analysis": analysis,
    "follow_up": draft,
    "reply_triage": _triage,
    "opportunity": lambda asked: kinds.review(asked.facts),
}
