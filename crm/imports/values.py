"""What people write in cells, read as numbers, dates, yes and no, outcomes."""

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache

from django.utils.translation import gettext as _

from crm.actions.identity import fold
from crm.errors import InvalidValue
from crm.models import Outcome

YES = frozenset("yes y true ja oui si wahr vrai verdadero sim vero x".split())
NO = frozenset("no n false nein non falsch faux falso nao nee".split())
WON = YES | frozenset(
    "1|won|win|converted|closed won|customer|client|sold|gewonnen|kunde|gagne|ganado|cliente|vinto".split("|")
)
LOST = NO | frozenset(
    "0|lost|loss|closed lost|not converted|disqualified|dead|junk|verloren|perdu|perdido|perso".split("|")
)
STILL_OPEN = frozenset("|open|pending|unknown|in progress|new|working|offen|ouvert".split("|"))  # "" too
CURRENCY_SIGNS = {"€": "EUR", "£": "GBP", "$": "USD", "¥": "JPY", "₹": "INR"}

_SPACES = re.compile("[\\s\u00a0\u202f\u2009'’]")
_MONEY = re.compile(r"^([A-Z]{3}\b|[€£$¥₹])?\s*(.*?)\s*([A-Z]{3}|[€£$¥₹])?$", re.DOTALL)
_NUMBERS = {
    ".": re.compile(r"[-+]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?"),
    ",": re.compile(r"[-+]?(?:[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]+)(?:,[0-9]+)?"),
}
_DATE = re.compile(r"([0-9]{1,4})([-/.])([0-9]{1,2})\2([0-9]{1,4})\.?")
_FORMULA = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
# A text that begins with apostrophes before such a sign gets one more, so that taking one off gives it back.
_GUARD = re.compile(r"'+[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def clean(cell: str) -> str:
    """The cell without outer spaces and without the apostrophe that guards a formula in exported files."""
    cell = cell.strip()
    return cell[1:] if cell[:1] == "'" and _GUARD.match(cell) else cell


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would run this text as a formula."""
    return _FORMULA.match(text) is not None


def guard(text: str) -> str:
    """The text as it may be written into a CSV file that people open in a spreadsheet."""
    return f"'{text}" if _GUARD.match(f"'{text}") else text


@dataclass(frozen=True, slots=True)
class NumberStyle:
    """How a column writes numbers. `decimal` is "." or ","."""

    decimal: str = "."

    def parse(self, text: str) -> Decimal:
        """Raises InvalidValue."""
        plain = _SPACES.sub("", text)
        if len(plain) > 40 or not _NUMBERS[self.decimal].fullmatch(plain):
            raise InvalidValue(_("“%s” is not a number.") % text[:60])
        thousands = "." if self.decimal == "," else ","
        return Decimal(plain.replace(thousands, "").replace(",", "."))


def number_style(texts: list[str], *, fallback: str) -> tuple[NumberStyle | None, bool]:
    """(the style that reads all of the texts or None, whether "1.234" and the like leave room for doubt)."""
    fits = []
    for mark in _NUMBERS:
        pattern = _NUMBERS[mark]
        if all(pattern.fullmatch(_SPACES.sub("", text)) for text in texts):
            fits.append(mark)
    if len(fits) < 2:
        return (NumberStyle(fits[0]) if fits else None), False
    in_doubt = any("." in text or "," in text for text in texts)
    return NumberStyle(fallback), in_doubt


def typed_amount(text: str) -> tuple[Decimal, str]:
    """(the amount somebody typed, its currency code or ""), written either way: "12.500,50 €", "12,500.50".

    A single mark before three digits parts thousands, because money has two decimals at most.
    Raises InvalidValue.
    """
    number, currency = split_money(text)
    style, in_doubt = number_style([number], fallback="," if "." in number else ".")
    if style is None or (in_doubt and number.startswith("0")):
        raise InvalidValue(_("“%s” is not a number.") % text[:60], field="est_value")
    return style.parse(number), currency


def split_money(text: str) -> tuple[str, str]:
    """(the number's text, its currency code or ""): "€ 1.200,50" -> ("1.200,50", "EUR")."""
    match = _MONEY.match(text.strip())
    if not match:
        return text, ""
    sign = match[1] or match[3] or ""
    return match[2], CURRENCY_SIGNS.get(sign, sign)


@dataclass(frozen=True, slots=True)
class DateStyle:
    """How a column writes dates with the year last: day first, or month first."""

    is_day_first: bool = True

    def parse(self, text: str) -> date:
        """Raises InvalidValue, also for 31.02.2026. The year has four digits."""
        match = _DATE.fullmatch(text)
        if match:
            first, second, third = match[1], match[3], match[4]
            if len(first) == 4:
                parts = (first, second, third)
            elif self.is_day_first:
                parts = (third, second, first)
            else:
                parts = (third, first, second)
            if len(parts[0]) == 4 and len(parts[2]) <= 2:
                try:
                    return date(*map(int, parts))
                except ValueError:
                    pass
        raise InvalidValue(_("“%s” is not a date of the calendar.") % text[:60])

    def reads(self, text: str) -> bool:
        try:
            self.parse(text)
        except InvalidValue:
            return False
        return True


def date_style(texts: list[str]) -> DateStyle | None:
    """The style that reads every text. Day first where both do, except "03/28/2026", which settles it."""
    if not all(_DATE.fullmatch(text) for text in texts):
        return None
    for style in (DateStyle(True), DateStyle(False)):
        if all(style.reads(text) for text in texts):
            return style
    return None


def looks_like_date(text: str) -> bool:
    """Written like a date, whether or not the calendar has it."""
    match = _DATE.fullmatch(text)
    return match is not None and 4 in (len(match[1]), len(match[4]))


@lru_cache(maxsize=1_024)
def parse_boolean(text: str) -> bool:
    """Raises InvalidValue."""
    word = fold(text)
    if word in YES:
        return True
    if word in NO:
        return False
    raise InvalidValue(_("“%s” is neither yes nor no.") % text[:60])


def parse_outcome(text: str) -> str:
    """ "won", "lost", or "" while open. Raises InvalidValue for a word that says neither."""
    word = fold(text).replace("_", " ").replace("-", " ")
    if word in WON:
        return Outcome.WON
    if word in LOST:
        return Outcome.LOST
    if word in STILL_OPEN:
        return ""
    raise InvalidValue(_("“%s” says neither won nor lost.") % text[:60])
