"""Grade the statistical score on a CSV file of leads whose outcome is known."""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ai_agents.scoring.chart import reliability_svg
from ai_agents.scoring.evaluation import TELLS_TOO_MUCH, Evaluation, cross_validated, graded, strongest
from ai_agents.scoring.files import Leads, read_leads
from ai_agents.scoring.logistic import NotFitted
from ai_agents.scoring.measures import Bin, Measures
from crm import clock
from crm.errors import ImportRefused

WRONG_USE = 2
MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class _Graded:
    name: str
    evaluation: Evaluation


class Command(BaseCommand):
    help = (
        "Fit the statistical score on a CSV file and grade it on rows held out in turn: AUC, Brier score, "
        "ECE, beside the base rate and the score by rules. Reads it as an import does; changes no table."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument(
            "--outcome", required=True, metavar="COLUMN", help="the column that tells won from lost"
        )
        parser.add_argument(
            "--leave-out",
            action="append",
            default=[],
            metavar="COLUMN",
            help="a column not to look at, such as one filled in after the outcome; may be repeated",
        )
        parser.add_argument(
            "--truth", default="", metavar="COLUMN", help="a column of known chances (0 to 1)"
        )
        parser.add_argument("--folds", type=int, default=5, help="parts of which one is held out (default 5)")
        parser.add_argument("--seed", type=int, default=0, help="how the rows are dealt out (default 0)")
        parser.add_argument(
            "--repeats", type=int, default=1, help="average over this many seeds, counting up (default 1)"
        )
        parser.add_argument("--svg", type=Path, metavar="FILE", help="write the reliability chart here")
        parser.add_argument(
            "--beside",
            type=Path,
            metavar="FILE",
            help="show another score too: JSON with its name, auc, brier, ece, and tenths as lists of "
            "leads, average chance, won",
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="for programs")

    def handle(self, *, file: Path, svg: Path | None, as_json: bool, **options: Any) -> None:
        folds, repeats, seed = options["folds"], options["repeats"], options["seed"]
        if not 2 <= folds <= 50:
            raise _wrong("--folds takes 2 to 50.")
        if not 1 <= repeats <= 100:
            raise _wrong("--repeats takes 1 to 100.")
        if not 0 <= seed < 2**32 - repeats:
            raise _wrong("--seed takes 0 to 4,294,967,295.")
        if svg and not svg.absolute().parent.is_dir():
            raise _wrong(f"There is no folder {svg.absolute().parent}.")
        others = [_beside(options["beside"])] if options["beside"] else []
        leads = self._leads(file, options, folds)
        seeds = range(seed, seed + repeats)
        try:
            found = cross_validated(leads.features, leads.facts, leads.outcomes, folds=folds, seeds=seeds)
        except NotFitted as error:
            raise _wrong(str(error)) from None
        all_ = [_Graded("statistics", found), _Graded("rules", graded(leads.outcomes, [leads.rules]))]
        if leads.truths:
            all_.append(_Graded("truth", graded(leads.outcomes, [leads.truths])))
        all_ += others
        if svg:
            shown = [(one.name, one.evaluation.by_tenth) for one in all_]
            _write(svg, reliability_svg(shown, title=f"Said and came: {len(leads.outcomes):,} leads"))
        if as_json:
            self.stdout.write(json.dumps(_document(leads, all_, folds, seeds), indent=2))
        else:
            self._print(leads, all_, folds, seeds)

    def _leads(self, file: Path, options: dict[str, Any], folds: int) -> Leads:
        try:
            leads = read_leads(
                file,
                outcome=options["outcome"],
                leave_out=options["leave_out"],
                truth=options["truth"],
                at=clock.now(),
            )
        except OSError as error:
            raise _wrong(f"{file}: {error.strerror}") from None
        except ImportRefused as refused:
            raise _wrong(str(refused)) from None
        won, count = sum(leads.outcomes), len(leads.outcomes)
        if not count:
            raise _wrong(f"No row has an outcome in the column “{options['outcome']}”.")
        if not 0 < won < count:
            raise _wrong(f"All {count:,} outcomes are {'won' if won else 'lost'}; nothing can be told apart.")
        if min(won, count - won) < folds:
            raise _wrong(
                f"{won:,} won and {count - won:,} lost leads are too few for {folds} folds; say --folds less."
            )
        if options["truth"] and len(leads.truths) != count:
            raise _wrong(f"The column “{options['truth']}” is not filled in every row.")
        return leads

    def _print(self, leads: Leads, all_: Sequence[_Graded], folds: int, seeds: range) -> None:
        first = all_[0].evaluation.measures
        turns = f"{folds} folds, seed {seeds[0]}" + (f" to {seeds[-1]}" if len(seeds) > 1 else "")
        self.stdout.write(f"{first.count:,} leads with an outcome, {first.base_rate:.1%} won; {turns}")
        for number, why in ((leads.without_outcome, "without an outcome"), (leads.unreadable, "unreadable")):
            if number:
                self.stdout.write(f"{number:,} rows {why} left out")
        wide = max(12, *(len(one.name) + 2 for one in all_))
        self.stdout.write(f"{'':{wide}}{'AUC':>8}{'Brier':>8}{'ECE':>8}")
        self.stdout.write(f"{'base rate':{wide}}{0.5:8.3f}{first.base_brier:8.3f}{0:8.3f}")
        for one in all_:
            m = one.evaluation.measures
            self.stdout.write(f"{one.name:{wide}}{m.auc:8.3f}{m.brier:8.3f}{m.ece:8.3f}")
        for one in all_:
            self._print_bins(f"{one.name}, by tenths of the leads", one.evaluation.by_tenth)
        self._print_bins(f"{all_[0].name}, by band: cool, warm, hot", all_[0].evaluation.by_band)
        told = strongest(leads.features, leads.facts, leads.outcomes)
        self.stdout.write("strongest alone (AUC): " + ", ".join(f"{n} {v:.2f}" for n, v in told[:MOST_NAMED]))
        for name, value in told:
            if value >= TELLS_TOO_MUCH:
                self.stdout.write(
                    self.style.WARNING(f"“{name}” alone tells {value:.2f}: was it filled in afterwards?")
                )

    def _print_bins(self, title: str, bins: Sequence[Bin]) -> None:
        self.stdout.write(f"\n{title}")
        self.stdout.write(f"{'from':>6}{'to':>6}{'leads':>8}{'said':>8}{'won':>8}   95 % interval")
        for one in bins:
            low, high = one.interval
            bounds = f"{one.low:6.2f}{one.high:6.2f}" if one.low < one.high else f"{'':12}"
            self.stdout.write(
                f"{bounds}{one.count:8,}{one.said:8.1%}{one.share:8.1%}   {low:.1%} to {high:.1%}"
            )


def _document(leads: Leads, all_: Sequence[_Graded], folds: int, seeds: range) -> dict[str, Any]:
    return {
        "leads": len(leads.outcomes),
        "without_outcome": leads.without_outcome,
        "unreadable": leads.unreadable,
        "left_out": leads.left_out,
        "folds": folds,
        "seeds": list(seeds),
        "scores": {one.name: one.evaluation.measures.as_json() for one in all_},
        "by_tenth": [one.as_json() for one in all_[0].evaluation.by_tenth],
        "by_band": [one.as_json() for one in all_[0].evaluation.by_band],
        "strongest_alone": [
            {"feature": name, "auc": round(value, 4)}
            for name, value in strongest(leads.features, leads.facts, leads.outcomes)
        ],
    }


def _beside(path: Path) -> _Graded:
    """Another score, as tests/bench/score_reference.py prints it. The bounds of its bins are not known."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        bins = [Bin(said, said, int(count), float(said), int(won)) for count, said, won in told["tenths"]]
        count = sum(one.count for one in bins)
        rate = sum(one.won for one in bins) / count
        measured = Measures(
            count=count,
            base_rate=rate,
            auc=float(told["auc"]),
            brier=float(told["brier"]),
            base_brier=rate * (1 - rate),
            ece=float(told["ece"]),
        )
        return _Graded(str(told["name"]), Evaluation(measured, [], bins, []))
    except OSError as error:
        raise _wrong(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, ZeroDivisionError):
        raise _wrong(f"{path} holds no name, auc, brier, ece and tenths.") from None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _wrong(f"{path}: {error.strerror}") from None


def _wrong(sentence: str) -> CommandError:
    return CommandError(sentence, returncode=WRONG_USE)
