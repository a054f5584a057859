"""Files as people really send them: read right, or refused with one clear sentence."""

import resource
import time
from pathlib import Path

import pytest

from crm.errors import ImportRefused
from crm.imports.reading import MAX_COLUMNS, Row, Table
from crm.imports.sniffing import Dialect, sniff
from tests.crm.imports.files import csv_of

NAMES = ("Name,Stadt", "Jörg Müller,Köln", "Zoë Brontë,São Paulo")


@pytest.fixture
def file(tmp_path: Path):
    def make(content: bytes) -> Path:
        path = tmp_path / "leads.csv"
        path.write_bytes(content)
        return path

    return make


def rows_in(path: Path, **given: str) -> list[Row]:
    with Table(path, sniff(path, **given)) as table:
        return list(table)


def cells_in(path: Path) -> list[list[str]]:
    return [row.cells for row in rows_in(path)]


@pytest.mark.parametrize(
    ("encoding", "rows"),
    [
        ("latin-1", ["Hélène Lefèvre;Orléans", "François Bêche;Nîmes"]),
        ("latin-1", ["Begoña Muñoz;Málaga", "Íñigo Peña;Córdoba"]),
        ("latin-1", ["João Conceição;São Paulo", "António Simões;Évora"]),
        ("latin-1", ["Søren Ærø;Århus", "Bjørn Ågård;Ålborg"]),
        ("latin-1", ["Jürgen Müß;Köln", "Zoë O'Neil;Lüttich"]),
        ("cp1250", ["Łukasz Żółć;Gdańsk", "Małgorzata Wiśniewska;Łódź"]),
        ("cp1250", ["Jiří Dvořák;Plzeň", "Žofie Nováková;Ústí"]),
    ],
)
def test_a_few_names_tell_western_from_central_european_letters(file, encoding: str, rows: list[str]):
    content = csv_of("Name;City", *rows, encoding=encoding)
    assert [";".join(row.cells) for row in rows_in(file(content))] == rows


@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("cp1252", "cp1252"),
        ("latin-1", "cp1252"),  # the same for these letters
    ],
)
def test_encodings_are_found_out(file, encoding: str, found: str):
    path = file(csv_of(*NAMES, encoding=encoding))
    assert sniff(path).encoding == found
    assert cells_in(path) == [["Jörg Müller", "Köln"], ["Zoë Brontë", "São Paulo"]]


def test_other_alphabets_in_old_encodings_are_found_out(file):
    russian = csv_of("Имя,Город", *["Александр Пушкин,Санкт-Петербург"] * 20, encoding="cp1251")
    assert cells_in(file(russian))[0] == ["Александр Пушкин", "Санкт-Петербург"]
    japanese = csv_of("氏名,都市", *["山田太郎,東京都港区です"] * 20, encoding="cp932")
    assert cells_in(file(japanese))[0] == ["山田太郎", "東京都港区です"]


def test_a_foreign_letter_late_in_a_big_file_counts(file):
    content = b"Name,City\r\n" + b"Ann,York\r\n" * 200_000 + "Jörg,Köln\r\n".encode("cp1252")
    assert rows_in(file(content))[-1].cells == ["Jörg", "Köln"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_are_found_out(file, delimiter: str):
    lines = [delimiter.join(cells) for cells in (["Name", "Value"], ["Ann", "a,b"], ["Ben", "c"])]
    if delimiter == ",":
        lines[1] = 'Ann,"a,b"'
    assert cells_in(file(csv_of(*lines))) == [["Ann", "a,b"], ["Ben", "c"]]


def test_decimal_commas_do_not_make_a_comma_file(file):
    path = file(csv_of("Name;Wert;Rate", "Ann;1,50;2,5", "Ben;2,50;3,5"))
    assert sniff(path).delimiter == ";"


def test_excels_hint_of_the_delimiter_is_followed(file):
    path = file(csv_of("sep=;", "Name;City", "Ann;York"))
    assert sniff(path) == Dialect("utf-8", ";", skip_lines=1)
    assert [(row.line, row.cells) for row in rows_in(path)] == [(3, ["Ann", "York"])]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_line_ends_are_read(file, end: str):
    path = file(end.join(["Name,City", "Ann,York", "Ben,Bath", ""]).encode())
    assert cells_in(path) == [["Ann", "York"], ["Ben", "Bath"]]


def test_rows_know_their_line_also_after_line_breaks_in_cells(file):
    path = file(b'Name,Note\nAnn,"one\ntwo\nthree"\nBen,x\n')
    assert [(row.number, row.line) for row in rows_in(path)] == [(1, 2), (2, 5)]


def test_emoji_and_marks_of_direction_survive(file):
    assert cells_in(file(csv_of("Name,Note", "Ann,🌿 שלום \u200f!")))[0][1] == "🌿 שלום \u200f!"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf\r\n  \r\n", "empty"),
        (b"PK\x03\x04" + b"x" * 100, "Excel workbook or a ZIP"),
        (b"\xd0\xcf\x11\xe0" + b"x" * 100, "old Excel workbook"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"a,b\0\1\2\0\0\3\0\0\0" * 50, "not a text file"),
        (b"ann@example.com,Ann\nben@example.com,Ben\n", "looks like data"),
        (b"12,400,7.5\n13,500,8.5\n", "looks like data"),
        (b",,,\n1,2,3,4\n", "looks like data"),
        (b'"Name,City\nAnn,York\n', "quotes are not closed"),
    ],
)
def test_what_is_no_table_with_a_header_is_refused_with_a_reason(file, content: bytes, reason: str):
    with pytest.raises(ImportRefused, match=reason):
        rows_in(file(content))


def test_ten_thousand_columns_are_refused(file):
    path = file(csv_of(",".join(f"c{n}" for n in range(10_000)), "x"))
    with pytest.raises(ImportRefused, match=f"10,000 columns; at most {MAX_COLUMNS}"):
        rows_in(path)


def test_a_line_of_100_mb_is_refused_quickly_and_in_little_memory(file):
    path = file(b"Name,Note\nAnn," + b"x" * 100_000_000 + b"\n")
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(ImportRefused, match="Line 2 is longer"):
        rows_in(path)
    assert time.monotonic() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_a_header_of_100_mb_is_refused(file):
    with pytest.raises(ImportRefused, match="Line 1 is longer"):
        rows_in(file(b"x" * 100_000_000))


def test_a_quote_that_swallows_the_rest_names_its_line(file):
    content = b'Name,Note\nAnn,x\nBen,"open\n' + b"Cleo,y\n" * 400_000
    with pytest.raises(ImportRefused, match="opens on line 3 is never closed"):
        rows_in(file(content))


def test_rows_with_wrong_quotes_or_widths_are_told_and_the_others_read(file):
    path = file(csv_of("Name,City", 'Ann,"Yo"rk', "Ben", "Cleo,Bath,x,", "Dan,Ely,,", "", "Eve,Hull"))
    problems = {row.line: row.problem for row in rows_in(path) if row.problem}
    assert problems == {
        2: "The quotes of this row are not closed properly (lines 2 to 2).",
        3: "This row has 1 cells, the header has 2.",
        4: "This row has 4 cells, the header has 2.",
    }
    assert [row.line for row in rows_in(path) if row.is_blank] == [6]
    assert rows_in(path)[-1].cells == ["Eve", "Hull"]


def test_columns_get_names_of_their_own(file):
    path = file(csv_of("Name,,Email,EMAIL,\u200fCity ,,", "a,b,c,d,e,,"))
    with Table(path, sniff(path)) as table:
        assert table.header.names == ["Name", "Column 2", "Email", "EMAIL (2)", "City"]
        assert len(table.header.warnings) == 2


def test_a_given_encoding_is_taken_and_a_wrong_one_refused(file):
    path = file(csv_of(*NAMES, encoding="cp1252"))
    assert rows_in(path, encoding="cp1252")[0].cells[1] == "Köln"
    for wrong in ("utf-8", "utf-7000"):
        with pytest.raises(ImportRefused, match="encoding"):
            rows_in(path, encoding=wrong)
