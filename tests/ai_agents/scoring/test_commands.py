"""`manage.py score_evaluate` and `score_sample`: what they print, refuse, and leave alone."""

import io
import json
import os
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from django.core.management import CommandError, call_command

REAL_LEADS = Path(os.environ.get("GARDENOS_TEST_DATA") or "/nonexistent") / "leads-with-outcomes.csv"
UNFAIR = (  # filled in when the outcome could be seen, or unclear
    "Tags", "Lead Quality", "Lead Profile", "Asymmetrique Activity Index", "Asymmetrique Profile Index",
    "Asymmetrique Activity Score", "Asymmetrique Profile Score", "Last Activity", "Last Notable Activity",
    "Lead Number",
)  # fmt: skip


def sample(rows: int, seed: int = 0) -> str:
    out = io.StringIO()
    call_command("score_sample", rows=rows, seed=seed, stdout=out)
    return out.getvalue()


def evaluate(path: Path, **options: Any) -> str:
    out = io.StringIO()
    call_command("score_evaluate", str(path), stdout=out, **{"outcome": "Won", **options})
    return out.getvalue()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("leads") / "leads.csv"
    path.write_text(sample(1_200, seed=1))
    return path


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(CommandError) as caught:
        evaluate(path, **options)
    assert caught.value.returncode == 2
    return str(caught.value)


def test_the_sample_is_the_same_for_the_same_seed_and_another_for_another():
    assert sample(50, seed=4) == sample(50, seed=4)
    assert sample(50, seed=4) != sample(50, seed=5)
    assert sample(50, seed=4).count("\n") == 51


def test_the_score_finds_what_is_known_of_the_sample(path: Path):
    """These tests touch no database: pytest-django would refuse it."""
    found = json.loads(evaluate(path, truth="True probability", as_json=True))
    statistics, truth = found["scores"]["statistics"], found["scores"]["truth"]
    assert found["leads"] == 1_200
    assert 0.10 < statistics["base_rate"] < 0.18
    assert 0.68 < statistics["auc"] < truth["auc"] < 0.85
    assert truth["brier"] < statistics["brier"] < statistics["base_brier"]
    assert statistics["ece"] < 0.04
    assert "True probability" not in [one["feature"] for one in found["strongest_alone"]]


def test_it_prints_tables_and_draws_the_chart(path: Path, tmp_path: Path):
    svg = tmp_path / "chart.svg"
    other = tmp_path / "other.json"
    other.write_text(
        '{"name": "Trees", "auc": 0.7, "brier": 0.1, "ece": 0.09, "tenths": [[600, 0.1, 50], [600, 0.2, 90]]}'
    )
    printed = evaluate(path, svg=svg, repeats=2, folds=2, beside=other)
    assert "1,200 leads with an outcome" in printed
    assert "2 folds, seed 0 to 1" in printed
    for line in ("base rate", "statistics", "rules, by tenths", "Trees, by tenths", "by band: cool, warm"):
        assert line in printed
    assert "Trees: said 20.0%, won 90 of 600" in svg.read_text()
    points = ElementTree.parse(svg).getroot().iter("{http://www.w3.org/2000/svg}circle")
    assert len(list(points)) >= 10 + 1 + 2 + 3  # tenths (rules give few values), and the legend
    assert re.search(r"^Trees +0\.700 +0\.100 +0\.090$", printed, re.MULTILINE)


def test_a_column_that_tells_everything_is_named(tmp_path: Path):
    path = tmp_path / "told.csv"
    rows = [f"{n % 7},{('yes', 'no')[n % 2]},{('bought', 'too busy')[n % 2]}" for n in range(60)]
    path.write_text("\n".join(["Visits,Won,Last call", *rows]))
    warning = "“Last call” alone tells 1.00: was it filled in afterwards?"
    assert warning in evaluate(path)
    assert warning not in evaluate(path, leave_out=["Last call"])


@pytest.mark.parametrize(
    ("content", "options", "sentence"),
    [
        ("", {}, "The file is empty."),
        ("Name,Won\n", {}, "No row has an outcome in the column “Won”."),
        ("Name,Won\nAda,\nBen,\n", {}, "No row has an outcome"),
        ("Name,Won\nAda,yes\nBen,yes\n", {}, "All 2 outcomes are won"),
        ("Name,Won\nAda,no\nBen,no\n", {}, "All 2 outcomes are lost"),
        ("Name,Won\nAda,no\nBen,yes\n", {}, "too few for 5 folds"),
        ("Name,Won\nAda,no\nBen,yes\n", {"outcome": "Sold"}, "no column “Sold”. It has “Name”, “Won”."),
        ("Name,Won\nAda,no\nBen,yes\n", {"leave_out": ["Tags"]}, "no column “Tags”"),
        ("Name,Won\nAda,no\nBen,yes\n", {"truth": "Name"}, "“Name” does not hold numbers"),
        ("Name,Won,T\nAda,no,3\nBen,yes,4\n", {"truth": "T"}, "not all between 0 and 1"),
        ("Name,Won\n", {"folds": 1}, "--folds takes"),
        ("Name,Won\n", {"repeats": 0}, "--repeats takes"),
        ("Name,Won\n", {"seed": -1}, "--seed takes"),
        ("Name,Won\n", {"svg": Path("/nonexistent/a.svg")}, "There is no folder /nonexistent."),
        ("PK\x03\x04", {}, "Excel"),
        (
            "V,Won\n1,no\n2,yes\n3,no\n4,yes\n",
            {"folds": 2, "beside": Path(__file__), "svg": Path("a")},
            "holds no name, auc",
        ),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_2(
    tmp_path: Path, content: str, options: dict[str, Any], sentence: str
):
    path = tmp_path / "leads.csv"
    path.write_text(content)
    assert sentence in refused(path, **options)


def test_a_file_that_is_not_there_is_exit_2(tmp_path: Path):
    assert "No such file" in refused(tmp_path / "missing.csv")
    with pytest.raises(CommandError) as caught:
        call_command("score_sample", rows=0)
    assert caught.value.returncode == 2


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not REAL_LEADS.exists(), reason="needs GARDENOS_TEST_DATA")
def test_real_leads_are_judged_as_well_as_by_the_reference():
    options: dict[str, Any] = {"outcome": "Converted", "leave_out": UNFAIR, "repeats": 5, "as_json": True}
    found = json.loads(evaluate(REAL_LEADS, **options))["scores"]["statistics"]
    assert found["auc"] >= 0.871
    assert found["brier"] <= 0.138
    assert found["ece"] <= 0.020
