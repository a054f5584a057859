"""What columns are taken for, by name and content."""

from pathlib import Path

import pytest

from crm.imports.columns import Column, profile, warnings_for
from crm.imports.reading import Table
from crm.imports.sniffing import sniff
from tests.crm.imports.files import csv_of


def columns_of(tmp_path: Path, *lines: str) -> dict[str, Column]:
    path = tmp_path / "leads.csv"
    path.write_bytes(csv_of(*lines))
    with Table(path, sniff(path)) as table:
        return {column.name: column for column in profile(table).columns}


def guesses(tmp_path: Path, *lines: str) -> dict[str, str]:
    return {name: column.guess for name, column in columns_of(tmp_path, *lines).items()}


@pytest.mark.parametrize(
    ("header", "row", "fields"),
    [
        ("Full Name;E-Mail;Tel.;Firma", "Ann;a@b.de;+49 30 5550110;X", "name email phone company"),
        ("Vorname;Name;Mailadresse", "Ann;Berg;a@b.de", "first_name last_name email"),
        ("Nombre;Apellidos;Correo electrónico", "Ana;Gil;a@b.es", "first_name last_name email"),
        ("Nom;Société;Téléphone;Courriel", "Zoé;X;+33 1 70 18 99 00;z@x.fr", "name company phone email"),
        ("firstName;lastName;emailAddress", "Ann;Berg;a@b.de", "first_name last_name email"),
        ("Naam;Telefoonnummer;Bericht", "Ann;+31 10 555 0142;Hallo", "name phone message"),
        ("Cognome;Nome;Messaggio", "Rossi;Ada;Ciao", "last_name first_name message"),
    ],
)
def test_names_are_known_in_several_languages_and_spellings(tmp_path, header: str, row: str, fields: str):
    assert list(guesses(tmp_path, header, row).values()) == fields.split()


def test_a_name_that_its_values_belie_is_not_believed(tmp_path):
    found = guesses(tmp_path, "Name,Do Not Email,Mail,Title", "Ann,No,sent,Mrs", "Ben,Yes,opened,Mr")
    assert found["Mail"] == "custom:mail"
    assert found["Do Not Email"] == "custom:do_not_email"
    assert found["Title"] == "custom:title"


def test_addresses_are_found_under_any_name(tmp_path):
    assert guesses(tmp_path, "Name,Reach me", "Ann,a@b.de", "Ben,b@b.de")["Reach me"] == "email"


def test_an_id_is_an_id_only_when_all_values_differ(tmp_path):
    found = guesses(tmp_path, "Owner ID,Prospect ID,Android", "1,a7,x", "1,b8,y")
    assert found == {"Owner ID": "custom:owner_id", "Prospect ID": "external_id", "Android": "custom:android"}


def test_other_columns_are_typed_by_what_they_hold(tmp_path):
    words = ["roof", "patio", "pond"]
    lines = [
        f"P{n},{n},{'Yes' if n % 2 else 'No'},{n % 28 + 1}.02.2026,{words[n % 3]},note {n},0{n}"
        for n in range(1, 31)
    ]
    found = columns_of(tmp_path, "Name,Visits,Newsletter,Since,Garden,Remark x,Postcode", *lines)
    assert {name: str(column.type) for name, column in found.items() if name != "Name"} == {
        "Visits": "number",
        "Newsletter": "boolean",
        "Since": "date",
        "Garden": "choice",
        "Remark x": "text",
        "Postcode": "text",  # leading zeros are no quantity
    }


def test_words_that_say_nothing_are_found_and_told(tmp_path):
    path = tmp_path / "leads.csv"
    path.write_bytes(csv_of("Name,Kind", "Ann,Select", "Ben,roof"))
    with Table(path, sniff(path)) as table:
        seen = profile(table)
    assert seen.empty_words == ["Select"]
    assert any(
        "Select" in text for text in warnings_for({"Name": "name"}, seen.columns, seen.empty_words, {})
    )


def test_a_file_without_an_identifying_column_is_warned_of(tmp_path):
    found = columns_of(tmp_path, "Name,City", "Ann,York")
    warnings = warnings_for({"Name": "name"}, found.values(), [], {})
    assert "No column holds an e-mail address" in warnings[0]


def test_numbers_that_may_be_read_two_ways_are_told(tmp_path):
    found = columns_of(tmp_path, "Name;Wert", "Ann;12.500", "Ben;3.000")
    mapping = {name: column.guess for name, column in found.items()}
    assert mapping["Wert"] == "est_value"
    assert any(
        "“12.500” in column “Wert” is read as 12500." in w
        for w in warnings_for(mapping, found.values(), [], {})
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "cp1252"])
def test_how_many_rows_a_big_file_holds_is_told_about_and_of_a_small_one_exactly(tmp_path, encoding):
    for rows, slack in ((4_000, 0), (20_000, 3_000)):
        path = tmp_path / "leads.csv"
        path.write_bytes(csv_of("Name,City", *[f"Ann {row},Köln" for row in range(rows)], encoding=encoding))
        with Table(path, sniff(path)) as table:
            assert abs(profile(table).rows_in(path.stat().st_size) - rows) <= slack


def test_a_column_of_numbers_with_one_bad_cell_says_why_it_becomes_a_text(tmp_path):
    cells = [str(number) for number in range(1, 40)]
    for bad, is_told in (("about 12", True), ("12", False)):
        lines = [f"Person {n},{cell}" for n, cell in enumerate([*cells, bad])]
        column = columns_of(tmp_path, "Name,Points", *lines)["Points"]
        told = warnings_for({"Name": "name", "Points": "custom:points"}, [column], [], {})
        assert any("becomes a text" in words and "“about 12”" in words for words in told) is is_told
        assert column.type == ("text" if is_told else "number")
    assert not any("becomes a text" in words for words in warnings_for({"Name": "name"}, [column], [], {}))
