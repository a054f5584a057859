"""Cells as people write them: numbers, dates, money, yes and no."""

import csv
import io
from datetime import date
from decimal import Decimal

import pytest

from crm.errors import InvalidValue
from crm.imports.countries import country_code
from crm.imports.values import (
    DateStyle,
    NumberStyle,
    clean,
    date_style,
    guard,
    is_formula,
    number_style,
    parse_outcome,
    split_money,
    typed_amount,
)

FORMULAS = [
    "=1+1", "=HYPERLINK(\"http://evil\")", "+cmd|' /C calc'!A0", "-2+3+cmd", "@SUM(1)", "\t=1", "\r=1",
    "＝1+1", "＋1", "－1", "＠SUM(A1)", "=cmd|'/c calc'!A1", "+49301234567", "-5", "=IMPORTXML(A1)",
    "=WEBSERVICE(1)", "@A1", "+1 234", "=1", "-A1", "=\"a\"&\"b\"", "+HYPERLINK(1)", "-1+1", "@x", "=A1:A9",
    "=DDE(1)", "+1+1", "=now()", "-cmd", "=2^10",
]  # fmt: skip


@pytest.mark.parametrize(
    ("decimal", "text", "value"),
    [
        (",", "1.234,56", "1234.56"),
        (".", "1,234.56", "1234.56"),
        (",", "12.500,00", "12500.00"),
        (".", "1 234.5", "1234.5"),
        (",", "1\u202f234,5", "1234.5"),
        (".", "1'234.50", "1234.50"),
        (".", "-7", "-7"),
    ],
)
def test_numbers_are_read_in_the_columns_style(decimal: str, text: str, value: str):
    assert NumberStyle(decimal).parse(text) == Decimal(value)


@pytest.mark.parametrize("text", ["1,2,3", "12.34.56", "1.234,56", "abc", "١٢", "1e5", "", "1" * 60, "NaN"])
def test_what_is_no_number_in_that_style_is_refused(text: str):
    with pytest.raises(InvalidValue):
        NumberStyle(".").parse(text)


def test_the_style_of_a_column_is_settled_by_any_value_that_allows_one_reading():
    assert number_style(["1.234", "1.234,50"], fallback=".") == (NumberStyle(","), False)
    assert number_style(["1,234", "1,234.50"], fallback=",") == (NumberStyle("."), False)
    assert number_style(["1.234", "12"], fallback=",") == (NumberStyle(","), True)
    assert number_style(["1.234,5", "1,234.5"], fallback=".") == (None, False)


@pytest.mark.parametrize(
    ("text", "number", "currency"),
    [
        ("€ 1.200,50", "1.200,50", "EUR"),
        ("18,400 USD", "18,400", "USD"),
        ("£99", "99", "GBP"),
        ("7", "7", ""),
    ],
)
def test_money_may_carry_its_currency(text: str, number: str, currency: str):
    assert split_money(text) == (number, currency)


def test_dates_are_read_day_first_unless_that_cannot_be():
    assert date_style(["01/02/2026", "03/04/2026"]) == DateStyle(True)
    assert date_style(["01/02/2026", "03/28/2026"]) == DateStyle(False)
    assert date_style(["28.02.2026", "2026-03-01"]) == DateStyle(True)
    assert date_style(["soon"]) is None
    assert DateStyle().parse("1.2.2026") == date(2026, 2, 1)


@pytest.mark.parametrize("text", ["31.02.2026", "2026-13-01", "1.2.26", "00.00.0000", "2026/02-01"])
def test_dates_that_the_calendar_lacks_are_refused(text: str):
    with pytest.raises(InvalidValue):
        DateStyle().parse(text)


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_that_we_write_starts_a_formula_and_reading_it_again_gives_the_text(text: str):
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL).writerow([guard(text)])
    file.seek(0)
    (cell,) = next(csv.reader(file))
    assert not is_formula(cell)
    assert clean(cell) == text


def test_an_apostrophe_that_guards_nothing_stays():
    assert clean("'t Hooft") == "'t Hooft"
    assert clean("  '+4930123 ") == "+4930123"


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("1", "won"),
        ("Closed Won", "won"),
        ("ja", "won"),
        ("0", "lost"),
        ("closed_lost", "lost"),
        ("open", ""),
    ],
)
def test_outcomes_are_understood(text: str, outcome: str):
    assert parse_outcome(text) == outcome


def test_an_outcome_that_says_neither_is_refused():
    with pytest.raises(InvalidValue):
        parse_outcome("maybe")


def test_countries_are_known_by_code_and_by_name_in_several_languages():
    names = ["de", "Deutschland", "ALLEMAGNE", "Côte d'Ivoire", "U.S.A.", "Österreich", "Atlantis", "Germany"]
    assert [country_code(name) for name in names] == ["DE", "DE", "DE", "CI", "US", "AT", "", "DE"]


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("12.500,50", "12500.50", ""),
        ("12,500.50", "12500.50", ""),
        ("12.500", "12500", ""),
        ("12,500", "12500", ""),
        ("1.250.000", "1250000", ""),
        ("12,5", "12.5", ""),
        ("12.50", "12.50", ""),
        ("€ 1 200", "1200", "EUR"),
        ("900 chf".upper(), "900", "CHF"),
    ],
)
def test_a_typed_amount_is_read_as_its_writer_means_it(text: str, amount: str, currency: str):
    assert typed_amount(text) == (Decimal(amount), currency)


@pytest.mark.parametrize("text", ["1.2.3", "0.123", "0,500", "1.234,5.6", "lots", "1e5"])
def test_a_typed_amount_that_could_mean_two_things_is_refused(text: str):
    with pytest.raises(InvalidValue):
        typed_amount(text)
