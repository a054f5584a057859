"""One form of every text that machines read and people are quoted from.

A quote is stored with its place, `start` and `end`, counted in code points of `normalised(text)`. Whoever
shows or checks a quote uses this module, so that the same characters are meant.
"""

import re
import unicodedata
from dataclasses import dataclass

LONGEST_TEXT = 200_000  # code points of raw text that are looked at; doors refuse far shorter ones
SHORTEST_QUOTE = 3
LONGEST_QUOTE = 300

# What nobody can see and what can therefore carry orders to a model or turn a line around: controls, format
# characters (general category Cf: zero width, bidi, soft hyphen, byte order mark), the tag block, variation
# selectors, fillers that show as blank, private use and surrogates. Unicode Standard, chapter 23.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
    "\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff"
    "\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bcaf\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)
_LINE_ENDS = re.compile("\r\n|[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_BLANKS = re.compile("[ \t\x1f\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_AROUND_LINE_END = re.compile(" ?\n ?")
_EMPTY_LINES = re.compile("\n{3,}")
# Writers and models change these without meaning to. Same length on both sides, so places stay right.
_TYPOGRAPHY = str.maketrans("‘’‚‛“”„‟–—−‐‑\n", "''''\"\"\"\"----- ")


def normalised(text: object, limit: int = LONGEST_TEXT) -> str:
    """The text in Unicode form NFC, without invisible characters, blanks and line ends made plain.

    At most `limit` code points, cut at the end. Normalising twice changes nothing.
    """
    clean = _INVISIBLE.sub("", str(text or "")[:LONGEST_TEXT])
    clean = unicodedata.normalize("NFC", _LINE_ENDS.sub("\n", clean))
    clean = _AROUND_LINE_END.sub("\n", _BLANKS.sub(" ", clean))
    return _EMPTY_LINES.sub("\n\n", clean).strip()[:limit].rstrip()


def one_line(text: object, limit: int = 300) -> str:
    """The normalised text on a single line, for names, subjects and labels."""
    return " ".join(normalised(text).split())[:limit].rstrip()


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a normalised text, in code points; `end` is the first one after it."""

    start: int
    end: int

    def of(self, text: str) -> str:
        return text[self.start : self.end]


def find_quote(text: str, quote: str) -> Span | None:
    """Where `quote` stands in the normalised `text`, or None.

    Typographic quotation marks and dashes, and a line end for a blank, are taken as equal; nothing else is.
    A place that would cut a combining mark from its letter does not count.
    """
    wanted = normalised(quote).translate(_TYPOGRAPHY)
    if not SHORTEST_QUOTE <= len(wanted) <= LONGEST_QUOTE:
        return None
    searched = text.translate(_TYPOGRAPHY)
    start = searched.find(wanted)
    while start >= 0:
        end = start + len(wanted)
        if not (_is_mark(text, start) or _is_mark(text, end)):
            return Span(start, end)
        start = searched.find(wanted, start + 1)
    return None


def _is_mark(text: str, place: int) -> bool:
    return place < len(text) and unicodedata.combining(text[place]) != 0
