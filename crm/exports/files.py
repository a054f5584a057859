"""Exports on disk: random names under MEDIA_ROOT/exports/, readable by us alone.

Whoever erases a person empties the folder, archives leave it out, and the sweep deletes what is a day old.
"""

import contextlib
import csv
import io
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import xlsxwriter
from django.conf import settings

from crm.imports.values import guard

FOLDER = "exports"
XLSX_MOST = 1_048_575  # rows under the header: what a sheet can hold
CELL_MOST = 32_767  # characters of a cell of a sheet
TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_ID_BYTES = 8


def new_name() -> str:
    """A name that nobody can guess, without ending."""
    return f"{FOLDER}/{uuid4().hex}"


def path_of(name: str) -> Path:
    return Path(settings.MEDIA_ROOT) / name


def create(name: str) -> None:
    """An empty file of that name; one that is there is emptied."""
    path = path_of(name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))


def remove(*names: str) -> None:
    """Delete these files; one that is gone is no error."""
    for name in filter(None, names):
        with contextlib.suppress(FileNotFoundError):
            path_of(name).unlink()


def old_files(before: float) -> Iterator[Path]:
    """Files of the folder that were last written before that time (seconds since 1970)."""
    folder = path_of(FOLDER)
    for path in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and path.stat().st_mtime < before:
                yield path


def write_ids(name: str, ids: Iterable[int]) -> int:
    """Write down keys of records, in order. Returns how many."""
    create(name)
    count, some = 0, array("q")
    with path_of(name).open("r+b") as file:
        for pk in ids:
            some.append(pk)
            if len(some) == 10_000:
                count += len(some)
                some.tofile(file)
                some = array("q")
        some.tofile(file)
    return count + len(some)


def read_ids(name: str, start: int, most: int) -> list[int]:
    """The keys from place `start` on. Raises FileNotFoundError."""
    with path_of(name).open("rb") as file:
        file.seek(start * _ID_BYTES)
        some = array("q")
        some.frombytes(file.read(most * _ID_BYTES))
    return some.tolist()


def append_lines(name: str, size: int, rows: Iterable[Sequence[str]]) -> int:
    """Write rows behind the first `size` bytes; what a worker that died wrote behind them is cut off.

    Cells that a spreadsheet would run get an apostrophe. Returns the new size. Raises FileNotFoundError.
    """
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([guard(cell) for cell in row] for row in rows)
    begin = "" if size else "\ufeff"  # without the mark, spreadsheets take UTF-8 for something else
    with path_of(name).open("r+b") as file:
        file.truncate(size)
        file.seek(size)
        file.write((begin + text.getvalue()).encode())
        return file.tell()


def pack_xlsx(lines: str, book: str, *, title: str, alive: Callable[[], object]) -> int:
    """Make a workbook of a file of lines; every cell is text, nothing is ever a formula or a link.

    `alive` is called now and then. Returns the size in bytes. Raises FileNotFoundError.
    """
    create(book)
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_numbers": False,
        "strings_to_urls": False,
    }
    with path_of(lines).open(encoding="utf-8-sig", newline="") as file:
        workbook = xlsxwriter.Workbook(path_of(book), options)
        workbook.use_zip64()
        as_text = workbook.add_format({"num_format": "@"})
        sheet = workbook.add_worksheet(title)
        sheet.freeze_panes(1, 0)
        for number, row in enumerate(csv.reader(file)):
            for place, cell in enumerate(row):
                if cell:
                    sheet.write_string(number, place, cell[:CELL_MOST], as_text)
            if number % 5_000 == 0:
                alive()
        workbook.close()
    path_of(book).chmod(0o600)
    return path_of(book).stat().st_size
