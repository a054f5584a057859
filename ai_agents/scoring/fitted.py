"""A fit: features become columns, columns get weights, and a lead's chance comes with its reasons.

What is stored is readable: for each feature its words or bounds, and a weight in logits for each. A word that
the fit has not seen counts as an average lead's.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

from django.utils.translation import gettext as _

from ai_agents.scoring.facts import VERSION, Facts, Feature, Value
from ai_agents.scoring.logistic import Row, fit, sigmoid
from ai_agents.scoring.measures import quantiles

PENALTY = 3.0
TIE = 10.0  # bins next to each other are alike unless the leads say otherwise
BINS = 12
ROWS_A_BIN = 25  # no bin is made for fewer
SEEN_OFTEN = 10  # words of fewer leads share one weight
MOST_REASONS = 8  # the others are summed up in one line
NOT_GIVEN = ""


@dataclass(slots=True)
class Level:
    """One column: its weight, and the share of the fitted leads that have it."""

    share: float = 0.0
    weight: float = 0.0
    column: int = 0


@dataclass(slots=True)
class FittedFeature:
    """The columns of one feature. `bounds` cut a number; `rare` stands for all words seen too seldom."""

    key: str
    label: str
    is_number: bool
    bounds: list[float] = field(default_factory=list)
    levels: dict[str, Level] = field(default_factory=dict)
    rare: Level | None = None
    mean: float = 0.0  # weight of the average lead

    @classmethod
    def learn(cls, feature: Feature, values: Sequence[Value]) -> Self:
        """Which words or bins these values have; no weights yet."""
        fitted = cls(feature.key, str(feature.label), feature.is_number)
        if feature.is_number:
            fitted.bounds = _bounds([float(value) for value in values if value is not None])
        seen = Counter(fitted.word(value) for value in values)
        often = {word: number for word, number in seen.items() if number >= SEEN_OFTEN}
        fitted.levels = {word: Level(number / len(values)) for word, number in sorted(often.items())}
        if seldom := len(values) - sum(often.values()):
            fitted.rare = Level(seldom / len(values))
        return fitted

    def word(self, value: Value) -> str:
        """The name of a value's level: the word itself, "yes" or "no", or the number of its bin."""
        if value is None or value == "":
            return NOT_GIVEN
        if self.is_number:
            return str(bisect_right(self.bounds, float(value)))
        return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)

    def level(self, value: Value) -> Level | None:
        """None: nothing like it was seen."""
        return self.levels.get(self.word(value)) or self.rare

    @property
    def all_levels(self) -> list[Level]:
        return [*self.levels.values(), *([self.rare] if self.rare else [])]

    @property
    def neighbours(self) -> list[tuple[int, int]]:
        """The columns of bins that lie next to each other."""
        bins = [
            self.levels[word].column
            for place in range(len(self.bounds) + 1)
            if (word := str(place)) in self.levels
        ]
        return list(pairwise(bins)) if self.is_number else []

    def says(self, value: Value) -> str:
        """The value as people read it."""
        if value is None or value == "":
            return _("not given")
        if isinstance(value, bool):
            return _("yes") if value else _("no")
        return f"{value:,.6g}" if self.is_number else str(value)

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "key": self.key,
            "label": self.label,
            "weights": {word: round(level.weight, 6) for word, level in self.levels.items()},
            "shares": {word: round(level.share, 6) for word, level in self.levels.items()},
        }
        if self.is_number:
            found["bounds"] = self.bounds
        if self.rare:
            found |= {"rare_weight": round(self.rare.weight, 6), "rare_share": round(self.rare.share, 6)}
        return found

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> Self:
        weights, shares = stored["weights"], stored["shares"]
        fitted = cls(stored["key"], stored["label"], "bounds" in stored, list(stored.get("bounds", [])))
        fitted.levels = {word: Level(shares[word], weight) for word, weight in weights.items()}
        if "rare_weight" in stored:
            fitted.rare = Level(stored["rare_share"], stored["rare_weight"])
        fitted.mean = sum(level.share * level.weight for level in fitted.all_levels)
        return fitted


def _bounds(values: list[float]) -> list[float]:
    """Inner bounds of bins that hold about equally many; none for numbers that are all alike."""
    parts = min(BINS, len(values) // ROWS_A_BIN)
    if parts < 2:
        return []
    return [bound for bound in sorted(set(quantiles(values, parts)[1:-1])) if bound > min(values)]


@dataclass(frozen=True, slots=True)
class Reason:
    """A share of the way from the average lead to this one, in points of 100."""

    key: str
    label: str
    points: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """`value` is the chance in points of 100; `base` + the points of all reasons is exactly the value."""

    chance: float
    value: int
    base: int
    reasons: tuple[Reason, ...]


@dataclass(slots=True)
class FittedModel:
    """The weights of all features, and the intercept. In logits."""

    intercept: float
    features: list[FittedFeature]
    readers: dict[str, Callable[[Facts], Value]] = field(default_factory=dict, repr=False)

    @classmethod
    def fit(cls, features: Sequence[Feature], facts: Sequence[Facts], outcomes: Sequence[int]) -> Self:
        """Learn from leads whose outcome (1 won, 0 not) is known.

        Features that are the same for everybody are left out. Raises NotFitted when only one outcome occurs.
        """
        learned = []
        columns: list[list[int]] = []  # of each kept feature, the column of each row
        neighbours: list[tuple[int, int]] = []
        next_column = 1
        for feature in features:
            values = [feature.read(one) for one in facts]
            fitted = FittedFeature.learn(feature, values)
            if len(fitted.all_levels) < 2:
                continue
            for level in fitted.all_levels:
                level.column, next_column = next_column, next_column + 1
            learned.append(fitted)
            neighbours += fitted.neighbours
            columns.append([known.column for value in values if (known := fitted.level(value))])
        rows: list[Row] = (
            [(0, *row) for row in zip(*columns, strict=True)] if columns else [(0,)] * len(facts)
        )
        weights = fit(rows, outcomes, columns=next_column, penalty=PENALTY, neighbours=neighbours, tie=TIE)
        for fitted in learned:
            for level in fitted.all_levels:
                level.weight = weights[level.column]
            fitted.mean = sum(level.share * level.weight for level in fitted.all_levels)
        return cls(weights[0], learned, {feature.key: feature.read for feature in features})

    def as_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "intercept": round(self.intercept, 6),
            "features": [fitted.as_json() for fitted in self.features],
        }

    @classmethod
    def of_json(cls, stored: Mapping[str, Any], features: Iterable[Feature]) -> Self:
        """`features`: how values are read now. One that is gone counts as an average lead's."""
        readers = {feature.key: feature.read for feature in features}
        fitted = [FittedFeature.of_json(one) for one in stored["features"]]
        return cls(stored["intercept"], fitted, readers)

    def chance(self, facts: Facts) -> float:
        """The probability that this lead is won."""
        return sigmoid(self._average + sum(share for _feature, _value, share in self._shares(facts)))

    def estimate(self, facts: Facts) -> Estimate:
        """The chance with its reasons, strongest first.

        The way from the average lead's logit to this lead's is straight; each feature gets its part of the
        probability gained along it (Aumann and Shapley's prices). Rounded so that nothing is lost.
        """
        shares = list(self._shares(facts))
        average, way = self._average, sum(share for _feature, _value, share in shares)
        chance, at_average = sigmoid(average + way), sigmoid(average)
        slope = (chance - at_average) / way if abs(way) > 1e-6 else chance * (1 - chance)
        exact = [
            (fitted.key, f"{fitted.label}: {fitted.says(given)}"[:120], 100 * slope * share)
            for fitted, given, share in shares
        ]
        base, value = round(100 * at_average), round(100 * chance)
        return Estimate(chance, value, base, _reasons(exact, gained=value - base))

    @property
    def _average(self) -> float:
        return self.intercept + sum(fitted.mean for fitted in self.features)

    def _shares(self, facts: Facts) -> Iterable[tuple[FittedFeature, Value, float]]:
        for fitted in self.features:
            read = self.readers.get(fitted.key)
            if read is None:
                continue
            value = read(facts)
            level = fitted.level(value)
            yield fitted, value, (level.weight - fitted.mean) if level else 0.0


def _reasons(exact: Sequence[tuple[str, str, float]], *, gained: int) -> tuple[Reason, ...]:
    """Whole points, the largest first, that sum to `gained`; what is not shown alone is one line."""
    ordered = sorted(exact, key=lambda one: -abs(one[2]))
    reasons = [
        Reason(key, label, points) for key, label, part in ordered[:MOST_REASONS] if (points := round(part))
    ]
    if left := gained - sum(reason.points for reason in reasons):
        reasons.append(Reason("", _("Everything else"), left))
    return tuple(reasons)
