"""How much of an agent's text its approver changed."""

from difflib import SequenceMatcher

MOST_WORDS = 2_000  # of each text: an agent writes 150, and comparing takes their product


def edit_ratio(written: str, approved: str) -> float:
    """The share of words that differ, from 0 (approved as written) to 1 (no word in common).

    1 - 2M / T: T is the number of words of both texts, M that of words in matching blocks, found as Ratcliff
    and Obershelp do (Dr. Dobb's Journal, July 1988), by Python's difflib. Blanks and line ends do not count;
    a word that moved counts as changed.
    """
    before, after = written.split()[:MOST_WORDS], approved.split()[:MOST_WORDS]
    return round(1 - SequenceMatcher(None, before, after, autojunk=False).ratio(), 4)
