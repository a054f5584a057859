"""How a file of leads is written: its encoding and its delimiter. Reads in pieces, never the whole file."""

import codecs
import csv
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path

from charset_normalizer import from_bytes
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm.errors import ImportRefused

DELIMITERS = (",", ";", "\t", "|")
HEAD_BYTES = 65_536
PIECE_BYTES = 1_048_576
# What people upload instead of a CSV file, by its first bytes.
FOREIGN = (
    (b"PK\x03\x04", gettext_lazy("an Excel workbook or a ZIP archive")),
    (b"\xd0\xcf\x11\xe0", gettext_lazy("an old Excel workbook")),
    (b"%PDF", gettext_lazy("a PDF document")),
    (b"\x1f\x8b", gettext_lazy("a compressed file")),
    (b"\x89PNG", gettext_lazy("a picture")),
    (b"\xff\xd8\xff", gettext_lazy("a picture")),
    (b"<!doctype html", gettext_lazy("a web page")),
    (b"<html", gettext_lazy("a web page")),
)
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Western first: with little text to judge by, the guess that fits most senders wins.
LEGACY = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp932", "gb18030", "big5", "cp949", "latin_1")
_BEFORE_CONSONANTS = "ăő"  # São and Simões, read as central European
CLEARLY_BETTER = 0.05  # of charset-normalizer's "chaos", 0 to 1


@dataclass(frozen=True, slots=True)
class Dialect:
    """How to read a file. `skip_lines` counts lines before the header (Excel's "sep=;")."""

    encoding: str
    delimiter: str
    skip_lines: int = 0


def sniff(path: Path, *, encoding: str = "", delimiter: str = "") -> Dialect:
    """The dialect of the file at `path`; what is given is taken as it is.

    Raises ImportRefused for an empty file, for one that is not text, and for text in no known encoding.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head.strip(b" \t\r\n\xef\xbb\xbf"):
        raise ImportRefused(_("The file is empty."))
    for magic, what in FOREIGN:
        if head[:64].lstrip().lower().startswith(magic.lower()):
            raise ImportRefused(_("This is %s, not a CSV file. Save the table as CSV first.") % what)
    encoding = encoding or sniff_encoding(path, head)
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        raise ImportRefused(_("The file is not written in the encoding %s.") % encoding) from None
    except LookupError:
        raise ImportRefused(_("There is no encoding called “%s”.") % encoding[:40]) from None
    first = (text.lstrip("\ufeff").splitlines() or [""])[0]
    if first.lower().startswith("sep=") and len(first) == 5:
        return Dialect(encoding, delimiter or first[4], skip_lines=1)
    return Dialect(encoding, delimiter or sniff_delimiter(text))


def sniff_encoding(path: Path, head: bytes) -> str:
    """By byte order mark, by zero bytes (UTF-16 without a mark), as UTF-8, or by the look of the letters."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding
    zeros = head[0::2].count(0), head[1::2].count(0)
    if max(zeros) * 5 > len(head) and min(zeros) * 20 < max(zeros):
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    if sum(zeros) > len(head) // 100:
        raise ImportRefused(_("This is not a text file. Save the table as CSV first."))
    odd_bytes = _first_bytes_that_are_not_utf8(path)
    return _guess_legacy(odd_bytes) if odd_bytes else "utf-8"


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _first_bytes_that_are_not_utf8(path: Path) -> bytes:
    """Empty for a UTF-8 file; else a sample that begins a little before the first byte that is not."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for piece in _pieces(path):
        try:
            decoder.decode(piece)
        except UnicodeDecodeError as error:
            start = max(0, error.start - HEAD_BYTES // 4)
            return piece[start : start + HEAD_BYTES]
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return piece[-HEAD_BYTES:]
    return b""


def _guess_legacy(sample: bytes) -> str:
    """The likeliest one-byte or East Asian encoding of a sample."""
    # Lines with foreign letters tell; plain ones only dilute.
    lines = [line for line in sample.splitlines() if not line.isascii()]
    matches = from_bytes(b"\n".join(lines), cp_isolation=list(LEGACY), threshold=0.5)
    chaos = {match.encoding: match.chaos for match in matches}
    chaos |= {other: match.chaos for match in matches for other in match.could_be_from_charset}
    best = matches.best()
    if best is None:
        return "latin_1"
    is_close = chaos.get("cp1252", inf) <= best.chaos + CLEARLY_BETTER
    if best.encoding in {"cp1250", "cp1252"} or is_close:
        western, central = (_misfits(lines, encoding) for encoding in ("cp1252", "cp1250"))
        if central < western and (is_close or best.encoding != "cp1252"):
            return "cp1250"
        if western < central or (is_close and best.coherence < 0.5):
            return "cp1252"
    return best.encoding


def _misfits(lines: list[bytes], encoding: str) -> float:
    """The share of foreign letters that stand where such a letter does not stand in a name: a vowel between
    vowels, a consonant between consonants, a sign beside a letter. 1 for what the encoding cannot read.

    Tells “Søren” from “Sřren” and “Małgorzata” from “Ma³gorzata”, where single letters tell nothing.
    """
    try:
        text = b" ".join(lines).decode(encoding)
    except UnicodeDecodeError:
        return 1
    odd = found = 0
    for left, sign, right in zip(f" {text}", text, f"{text[1:]} ", strict=False):
        if sign.isascii():
            continue
        found += 1
        if not sign.isalpha():
            odd += left.isalpha() or right.isalpha()
        elif left.isalpha() and right.isalpha():
            odd += _is_vowel(left) == _is_vowel(sign) == _is_vowel(right) or (
                sign.lower() in _BEFORE_CONSONANTS and _is_vowel(right)
            )
    return odd / found if found else 0


def _is_vowel(letter: str) -> bool:
    return unicodedata.normalize("NFD", letter)[0].lower() in "aeiouyøæœ"


def sniff_delimiter(text: str) -> str:
    """The delimiter that cuts most records into as many cells as the header; a comma when none does."""
    ranked = [(_fit(text, delimiter), delimiter) for delimiter in DELIMITERS]
    (share, columns), best = max(ranked, key=lambda item: (item[0][0] >= 0.9, item[0][1], item[0][0]))
    return best if columns > 1 and share > 0.5 else ","


def _fit(text: str, delimiter: str) -> tuple[float, int]:
    """(share of records as wide as the header, width of the header)."""
    lines = text.splitlines()[:200]
    complete = lines[:-1] if len(lines) > 2 else lines
    try:
        widths = [len(cells) for cells in csv.reader(complete, delimiter=delimiter) if cells]
    except csv.Error:
        return 0, 1
    if not widths:
        return 0, 1
    return Counter(widths)[widths[0]] / len(widths), widths[0]
