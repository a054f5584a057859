"""How much an inquiry from the open internet looks like spam. Pure: reads what came, writes nothing.

Whoever is over the threshold is stored all the same, and becomes a lead when a person says “not spam”.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import idna
from disposable_email_domains import blocklist
from django.utils.translation import gettext as _

IS_SPAM_FROM = 60  # points
MOST = 100
TOO_FAST_S = 2.0  # nobody reads and fills a form in less
_LINK = re.compile(r"https?://|www\.\w|\[url|<a\s", re.IGNORECASE)
_MARKUP = re.compile(r"<(?:a|script|img|iframe|div|p|br)\b|\[/?(?:url|img|b)\b", re.IGNORECASE)
_HEADER = re.compile(
    r"[\r\n](?:bcc|cc|to|from|subject|reply-to|content-type|mime-version)\s*:", re.IGNORECASE
)
_LINES_ARE_FINE = {"message", "mailing_address", "physical_address"}
_POINTS_A_LINK, _LINKS_AT_MOST = 20, 80
# Small Cyrillic and Greek letters that are drawn like Latin ones (Unicode UTS 39 calls them confusable).
_LATIN_TWINS = frozenset("аеорсухіјѕһԁԛԝӏёкмтвн" + "ονιυραε")


@dataclass(frozen=True, slots=True)
class Signals:
    """What only the door can see. `filled_in_s`: seconds between showing the form and its coming back."""

    honeypot: bool = False
    filled_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class SpamVerdict:
    """`score` 0 to 100, `reasons` in words for people."""

    score: int
    reasons: tuple[str, ...]

    @property
    def is_spam(self) -> bool:
        return self.score >= IS_SPAM_FROM


def judge_spam(payload: Mapping[str, Any], signals: Signals = Signals()) -> SpamVerdict:
    """Add up what speaks for spam. Never raises, whatever the payload holds."""
    found = list(_marks(payload, signals))
    return SpamVerdict(min(sum(points for points, _reason in found), MOST), tuple(why for _p, why in found))


def _marks(payload: Mapping[str, Any], signals: Signals) -> Iterator[tuple[int, str]]:
    texts = {name: value for name, value in payload.items() if isinstance(value, str)}
    if signals.honeypot:
        yield 100, _("The field that people do not see was filled in.")
    if signals.filled_in_s is not None and signals.filled_in_s < TOO_FAST_S:
        yield 60, _("It came back faster than anybody types.")
    if any(_is_injection(name, text) for name, text in texts.items()):
        yield 100, _("A field tries to add lines to a mail's header.")
    domain = texts.get("email", "").strip().lower().rpartition("@")[2]
    if domain and is_disposable(domain):
        yield 60, _("The address is a throw-away one.")
    if domain and looks_like_another(domain):
        yield 60, _("The address's domain imitates another one with foreign letters.")
    everything = "\n".join(texts.values())
    links = len(_LINK.findall(everything))
    if links:
        yield min(links * _POINTS_A_LINK, _LINKS_AT_MOST), _("It holds links: %d.") % links
    if any(_LINK.search(texts.get(name, "")) for name in ("name", "company")):
        yield 40, _("The name is a link.")
    if _MARKUP.search(everything):
        yield 20, _("It holds markup.")


def _is_injection(name: str, text: str) -> bool:
    """Line breaks where one line belongs, with what looks like a header behind them."""
    return bool(_HEADER.search(text)) and (name not in _LINES_ARE_FINE or "bcc:" in text.lower())


def is_disposable(domain: str) -> bool:
    """Whether the domain, or one above it, hands out throw-away addresses."""
    labels = domain.split(".")
    return any(".".join(labels[start:]) in blocklist for start in range(len(labels) - 1))


def looks_like_another(domain: str) -> bool:
    """Whether a label mixes alphabets, or is written in foreign letters that all look Latin."""
    return any(_is_mixed(label) or _is_twin(label) for label in map(_shown, domain.split(".")))


def _shown(label: str) -> str:
    """The label as a browser shows it."""
    if not label.startswith("xn--"):
        return label
    try:
        return idna.decode(label)
    except (idna.IDNAError, UnicodeError):
        return label


def _is_mixed(label: str) -> bool:
    alphabets = {unicodedata.name(c, "?").split()[0] for c in label if c.isalpha()}
    return len(alphabets & {"LATIN", "CYRILLIC", "GREEK"}) > 1


def _is_twin(label: str) -> bool:
    letters = {c for c in label if c.isalpha()}
    return bool(letters) and letters <= _LATIN_TWINS
