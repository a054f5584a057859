"""Made-up leads whose true chance is known, so that anybody can see whether the score finds it.

17 columns of which 12 matter; two numbers act in curves, one pair only together (an owner with a budget),
which no sum of single columns can express. Same seed, same rows.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

HEADER = (
    "Lead id", "Lead origin", "Campaign", "Occupation", "Industry", "Company size", "City", "Device",
    "Asked for a quote", "Newsletter", "Phone given", "Visits", "Minutes on site", "Pages per visit",
    "Budget", "Distance in km", "Words written", "Days since last visit", "Won", "True probability",
)  # fmt: skip
OUTCOME, TRUTH = "Won", "True probability"
_INTERCEPT = -4.4


@dataclass(frozen=True, slots=True)
class _Words:
    """A column of words, how often each comes, and what it adds to the logit."""

    words: tuple[str, ...]
    often: tuple[int, ...]
    adds: tuple[float, ...]

    def draw(self, stream: random.Random) -> tuple[str, float]:
        place = stream.choices(range(len(self.words)), self.often)[0]
        return self.words[place], self.adds[place]


_ORIGIN = _Words(
    ("Search", "Referral", "Fair", "Advertisement", "Social media", "List"),
    (34, 12, 10, 22, 14, 8), (0.2, 1.1, 0.6, -0.2, -0.4, -1.0),
)  # fmt: skip
_CAMPAIGN = _Words(tuple(f"C{number}" for number in range(1, 9)), (20, 18, 15, 13, 12, 10, 7, 5), (0.0,) * 8)
_OCCUPATION = _Words(
    ("Employee", "Owner", "Student", "Retired", "Public service"),
    (44, 18, 16, 12, 10),
    (0.2, 0.1, -0.9, 0.1, 0.3),
)
_INDUSTRY = _Words(
    ("Housing", "Hotels", "Retail", "Offices", "Schools", "Health", "Other"),
    (24, 12, 16, 20, 8, 8, 12), (0.3, 0.5, -0.2, 0.2, 0.1, 0.0, -0.3),
)  # fmt: skip
_SIZE = _Words(("1", "2-9", "10-49", "50-249", "250+"), (30, 28, 22, 14, 6), (-0.2, 0.0, 0.2, 0.4, 0.1))
_CITY = _Words(
    tuple(f"City {letter}" for letter in "ABCDEFGHIJ"), (20, 16, 14, 12, 10, 8, 7, 6, 4, 3), (0.0,) * 10
)
_DEVICE = _Words(("Phone", "Desktop", "Tablet"), (55, 38, 7), (0.0, 0.0, 0.0))


def sample_rows(rows: int, *, seed: int) -> Iterator[list[str]]:
    """The lines of the file, without its header."""
    stream = random.Random(seed)  # noqa: S311 repeatable, not secret
    for number in range(1, rows + 1):
        yield _row(number, stream)


def _row(number: int, stream: random.Random) -> list[str]:
    drawn = [w.draw(stream) for w in (_ORIGIN, _CAMPAIGN, _OCCUPATION, _INDUSTRY, _SIZE, _CITY, _DEVICE)]
    quote, newsletter, phone = (stream.random() < share for share in (0.22, 0.35, 0.6))
    visits = min(40, int(stream.expovariate(0.25)))
    minutes = round(stream.lognormvariate(1.6, 0.9), 1)
    pages = round(1 + stream.expovariate(0.5), 1)
    budget = round(stream.lognormvariate(8.6, 0.8), -2) if stream.random() < 0.7 else None
    distance, words = round(stream.expovariate(1 / 40), 1), int(stream.lognormvariate(3, 0.8))
    days = int(stream.expovariate(0.1))
    logit = _INTERCEPT + sum(adds for _word, adds in drawn)
    logit += 1.0 * quote + 0.5 * phone + 0.9 * math.log1p(minutes) - 0.012 * distance
    logit += 0.35 * math.sin(visits / 4) - 0.02 * days
    if drawn[2][0] == "Owner" and (budget or 0) > 6_000:
        logit += 1.4
    chance = 1 / (1 + math.exp(-logit))
    numbers = (visits, minutes, pages, "" if budget is None else int(budget), distance, words, days)
    won = stream.random() < chance
    return [
        f"S{number:06d}",
        *(word for word, _adds in drawn),
        *("yes" if one else "no" for one in (quote, newsletter, phone)),
        *map(str, numbers),
        "yes" if won else "no",
        f"{chance:.4f}",
    ]
