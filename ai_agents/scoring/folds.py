"""Which rows are held out in which turn, the same for everybody who names the same seed."""

import random
from collections import Counter
from collections.abc import Sequence

_WORDS = 624  # of the Mersenne Twister's state


def stratified_folds(outcomes: Sequence[int], *, folds: int, seed: int) -> list[int]:
    """The fold (0 to folds - 1) of each row, each outcome spread evenly.

    These are the folds of scikit-learn's StratifiedKFold(folds, shuffle=True, random_state=seed), so that
    figures can be compared with it row by row.
    """
    stream = _numbers(seed)
    kinds = list(dict.fromkeys(outcomes))  # in the order in which they appear
    place_of = {kind: place for place, kind in enumerate(kinds)}
    places = [place_of[outcome] for outcome in outcomes]
    in_order = sorted(places)
    shares = [Counter(in_order[fold::folds]) for fold in range(folds)]
    result = [0] * len(places)
    for place in range(len(kinds)):
        mixed = [fold for fold in range(folds) for _row in range(shares[fold][place])]
        _shuffle(mixed, stream)
        mine = iter(mixed)
        for row, other in enumerate(places):
            if other == place:
                result[row] = next(mine)
    return result


def _numbers(seed: int) -> random.Random:
    """The stream of numpy's RandomState(seed), whose way of seeding differs from Python's."""
    state = [seed & 0xFFFFFFFF]
    for word in range(1, _WORDS):
        state.append((1_812_433_253 * (state[-1] ^ (state[-1] >> 30)) + word) & 0xFFFFFFFF)
    stream = random.Random()  # noqa: S311 not a secret
    stream.setstate((3, (*state, _WORDS), None))
    return stream


def _shuffle(values: list[int], stream: random.Random) -> None:
    """Fisher and Yates, drawing below a power of two until the number fits."""
    for last in range(len(values) - 1, 0, -1):
        mask = (1 << last.bit_length()) - 1
        while (chosen := stream.getrandbits(32) & mask) > last:
            pass
        values[last], values[chosen] = values[chosen], values[last]
