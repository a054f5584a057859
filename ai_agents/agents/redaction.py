"""What must not leave the house: addresses, numbers that name a person, and the person's own names.

Every pattern is bounded, so that no text makes it slow. When in doubt the text goes: a model can judge a lead
without a number, but a number that has left cannot be called back.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from crm.plaintext import Span


def _any(*words: str) -> str:
    return f"(?:{'|'.join(words)})"


_MONTH = (
    _any(
        *("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "mär", "mai"),
        *("okt", "dez", "janv", "févr", "avr", "juin", "juil", "août", "ene", "abr", "ago", "dic"),
    )
    + r"[^\W\d_]{0,8}\.?"
)
_DATE = _any(
    r"\d{1,4}[./\- ]\d{1,2}[./\- ]\d{1,4}",
    rf"\d{{1,2}}\.? {_MONTH},? \d{{2,4}}",
    rf"{_MONTH} \d{{1,2}},? \d{{2,4}}",
)
_BORN = _any(
    *("born", "birth ?day", "birth ?date", "date of birth", r"d\.?o\.?b\.?", "geboren", "geburtsdatum"),
    *("geburtstag", "née?", "naissance", "nacid[oa]", "nacimiento", "nat[oa] il", "geboortedatum", "född"),
)
_ID_CARD = _any(
    *("passport", "identity(?: card)?", "id[ -]?card", "national insurance", "social security", "ssn"),
    *("nino", "tax id", "tax number", "steuernummer", "steuer-id", "ausweis", "bsn", "dni", "nie", "nif"),
    *("nss", "codice fiscale", "personnummer", "driving licence", "driver'?s licen[cs]e", "vat(?: id)?"),
)
_NAME_WORD = r"[^\W\d_][\w'’\-]{0,30}"
_STREETS = (  # English; Germanic in one word and in two; French; Spanish, Italian, Portuguese, Polish
    rf"\b\d{{1,5}}[a-z]?,? (?:{_NAME_WORD}\.? ){{1,4}}(?:street|road|avenue|lane|drive|close|court|way|place|"
    r"square|terrace|crescent|boulevard|gardens|grove|mews|hill|st|rd|ave|ln|dr|blvd)\b\.?",
    r"\b[^\W\d_]{2,30}(?:straße|strasse|str\.|gasse|platz|allee|straat|laan|gracht|plein|gade|vej|gatan|vägen"
    r"|katu) ?\d{1,4} ?[a-z]?\b",
    r"\b(?:[^\W\d_]{2,30} ){0,2}(?:straße|strasse|platz|allee) \d{1,4} ?[a-z]?\b",
    r"\b\d{1,4}(?: ?(?:bis|ter))?,? (?:rue|avenue|boulevard|chemin|allée|impasse|quai|place)"
    rf"(?: {_NAME_WORD}){{1,5}}",
    rf"\b(?:calle|avenida|paseo|via|viale|piazza|plaza|rua|ulica|ul\.)(?: {_NAME_WORD}){{1,4}},?"
    r" (?:n[°º.]? ?)?\d{1,4}\b",
    r"\b[a-z]{1,2}\d[a-z\d]? \d[abd-hjlnp-uw-z]{2}\b",  # a British postcode
)

# Label to pattern.
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (label, re.compile(pattern, re.IGNORECASE))
    for label, pattern in (
        ("email", r"(?:mailto:)?[^\s@<>()\[\]{}\"',;:|]{1,64}@[^\s@<>()\[\]{}\"',;|]{1,190}"),
        (
            "email",  # joe (at) example dot com
            r"\b[\w.+\-]{1,64} {0,2}(?:[(\[{] {0,2}(?:at|@) {0,2}[)\]}]| at ) {0,2}[\w\-]{1,60} {0,2}"
            r"(?:[(\[{] {0,2}(?:dot|\.) {0,2}[)\]}]| dot |\.) {0,2}[a-z]{2,12}\b",
        ),
        (
            "link",
            r"\b(?:https?|ftp|javascript|data|file)\s?:[^\s<>\"')\]]{1,500}|\bwww\.[^\s<>\"')\]]{1,300}",
        ),
        ("iban", r"\b[a-z]{2}\d{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,3})?\b"),
        (
            "id number",
            rf"\b{_ID_CARD}\b(?: ?(?:number|no\.?|nr\.?|id|#|is|n°|:)){{0,3}} {{0,2}}"
            r"(?=[a-z0-9 .\-]{0,14}\d)[a-z0-9][a-z0-9.\-]{3,20}(?: \d{2,6}){0,3}",
        ),
        ("id number", r"(?<![\d\-])\d{3}[\- ]\d{2}[\- ]\d{4}(?![\d\-])"),
        ("id number", r"\b[a-z]{2} ?\d{2} ?\d{2} ?\d{2} ?[a-d]\b"),
        ("birth date", rf"\b{_BORN}\b[^\d\n]{{0,20}}{_DATE}"),
        # a whole date of so long ago is a birth date, whatever is said around it
        ("birth date", r"(?<!\d)(?:\d{1,2}[./\-]){2}(?:19\d\d|200\d)(?!\d)"),
        ("birth date", r"(?<!\d)(?:19\d\d|200\d)(?:[./\-]\d{1,2}){2}(?!\d)"),
        *(("address", street) for street in _STREETS),
    )
)
_DIGITS = re.compile(
    r"(?<![\w.,])(?:\+|00)?[ ]?\(?\d(?:[ \t().\-/\u2010-\u2015\u2022·]{0,3}\d){5,24}(?![\w])"
)
_CALLED = re.compile(
    r"(?:tel|phone|mobile|cell|call|ring|fax|whatsapp|telefon|handy|téléphone|móvil|teléfono|number|nr|no)\b[^\d\n]{0,12}$",
    re.IGNORECASE,
)
_MONEY_BEFORE = re.compile(r"(?:[$€£¥]|\b(?:eur|usd|gbp|chf|sek|nok|dkk|pln|czk)\.?) ?$", re.IGNORECASE)
_MONEY_AFTER = re.compile(
    r" ?(?:[$€£¥]|(?:eur|usd|gbp|chf|sek|nok|dkk|pln|czk|euros?|pounds?|dollars?|k|m²|sqm)\b)", re.IGNORECASE
)
_DAY = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./\-]\d{1,2}[./\-]\d{2,4}")
_RANGE = re.compile(r"([1-9]\d{3,6}) ?[\-\u2010-\u2015] ?([1-9]\d{3,6})")
_SEVEN_AS_AMOUNT = re.compile(r"[1-9][ .']\d{3}[ .']\d{3}")


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text with its private parts replaced, and the way back to the places in the original."""

    text: str
    cuts: tuple[tuple[Span, Span], ...] = ()  # (place here, place in the original), in order

    def origin(self, span: Span) -> Span:
        """The place in the original text. A place that touches a replaced part covers the whole of it."""
        return Span(self._origin_of(span.start, at_end=False), self._origin_of(span.end, at_end=True))

    def _origin_of(self, place: int, *, at_end: bool) -> int:
        shift = 0
        for here, there in self.cuts:
            if place <= here.start:
                break
            if place < here.end:
                return there.end if at_end else there.start
            shift = there.end - here.end
        return place + shift


def redact(text: str, *, names: Iterable[tuple[str, str]] = ()) -> Redacted:
    """Replace private parts of a normalised text by words in square brackets, and `names` by their
    placeholders.

    `names` are pairs (as written in the text, what to put instead), e.g. ("Priya", "{{first_name}}").
    """
    found = sorted(
        _overlaps_joined([*_private_parts(text), *_own_names(text, names)]), key=lambda part: part[0].start
    )
    pieces: list[str] = []
    cuts: list[tuple[Span, Span]] = []
    length = done = 0
    for there, instead in found:
        pieces += [text[done : there.start], instead]
        start = length + there.start - done
        length = start + len(instead)
        cuts.append((Span(start, length), there))
        done = there.end
    return Redacted("".join([*pieces, text[done:]]), tuple(cuts))


def is_private(text: str) -> bool:
    """Whether anything in the text would be redacted."""
    return next(_private_parts(text), None) is not None


def _private_parts(text: str) -> Iterator[tuple[Span, str]]:
    for label, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            yield Span(*match.span()), f"[{label}]"
    for match in _DIGITS.finditer(text):
        if label := _kind_of_number(text, match):
            yield Span(*match.span()), f"[{label}]"


def _kind_of_number(text: str, match: re.Match[str]) -> str:
    """ "card number", "phone", "number", or "" for a date, an amount of money or a quantity, which may
    stay.
    """
    written = match.group().strip()
    digits = "".join(str(int(char)) for char in written if char.isdigit())
    if len(digits) >= 13:
        return "card number" if len(digits) <= 19 and _luhn(digits) else "number"
    if written.startswith(("+", "00", "0", "(")):
        return "phone" if len(digits) >= 7 else ""
    before = text[max(0, match.start() - 24) : match.start()]
    if _CALLED.search(before):
        return "phone"
    is_quantity = (
        _DAY.fullmatch(written)
        or _MONEY_BEFORE.search(before)
        or _MONEY_AFTER.match(text, match.end())
        or _SEVEN_AS_AMOUNT.fullmatch(written)
        or ((both := _RANGE.fullmatch(written)) and _is_range(both))
    )
    return "phone" if len(digits) >= 7 and not is_quantity else ""


def _is_range(both: re.Match[str]) -> bool:
    """8000-12000 is a budget, 5550-0142 a phone: budgets are round and rise."""
    low, high = int(both[1]), int(both[2])
    return low < high and low % 50 == 0 and high % 50 == 0


def _luhn(digits: str) -> bool:
    """The check sum of card numbers, ISO/IEC 7812-1."""
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _own_names(text: str, names: Iterable[tuple[str, str]]) -> Iterator[tuple[Span, str]]:
    for name, placeholder in names:
        if len(name) < 2:
            continue
        for match in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE):
            yield Span(*match.span()), placeholder


def _overlaps_joined(parts: list[tuple[Span, str]]) -> list[tuple[Span, str]]:
    """Where two findings overlap both parts go, under the label of the one that begins first (the longer, if
    equal).
    """
    joined: list[tuple[Span, str]] = []
    for span, instead in sorted(parts, key=lambda part: (part[0].start, -part[0].end)):
        if joined and span.start < joined[-1][0].end:
            before, label = joined[-1]
            joined[-1] = (Span(before.start, max(before.end, span.end)), label)
        else:
            joined.append((span, instead))
    return joined
