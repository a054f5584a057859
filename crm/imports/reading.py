"""Rows of a CSV file, one at a time, with their line numbers. Memory stays flat whatever the file holds."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from django.utils.translation import gettext as _

from crm.errors import ImportRefused
from crm.imports.sniffing import Dialect

MAX_COLUMNS = 500
MAX_LINE_CHARS = 2 * 1024 * 1024
MAX_NAME_CHARS = 120
csv.field_size_limit(MAX_LINE_CHARS)  # of the whole process: a cell longer than a line cannot be read anyway

_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\0]")
_LOOKS_LIKE_DATA = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+|[-+]?[0-9][0-9 .,/:()-]*")


@dataclass(frozen=True, slots=True)
class Row:
    """One record. `problem` says why its cells cannot be trusted; then they are as far as they were read."""

    number: int  # the first record after the header is 1
    line: int  # of the file, where the record begins, the first line is 1
    cells: list[str]
    problem: str = ""

    @property
    def is_blank(self) -> bool:
        return not self.problem and not any(cell.strip() for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Header:
    """The names of the columns, all different, and what had to be done to make them so."""

    names: list[str]
    warnings: list[str]


class Table:
    """A CSV file that is open for reading. Use as a context manager, then iterate once."""

    def __init__(self, path: Path, dialect: Dialect) -> None:
        self.path = path
        self.dialect = dialect

    def __enter__(self) -> "Table":
        """Raises ImportRefused when the first record is no header."""
        self._file: TextIO = io.TextIOWrapper(
            self.path.open("rb", buffering=262_144), encoding=self.dialect.encoding, newline=""
        )
        self._line = 0
        self._lines = self._read_lines()
        for _skipped in range(self.dialect.skip_lines):
            next(self._lines)
        self._csv = csv.reader(self._lines, delimiter=self.dialect.delimiter, strict=True)
        self.header = read_header(self._first_record())
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def _read_lines(self) -> Iterator[str]:
        while True:
            self._line += 1
            try:
                line = self._file.readline(MAX_LINE_CHARS + 1)
            except (UnicodeDecodeError, UnicodeError):
                raise ImportRefused(
                    _("The file is not written in the encoding %(encoding)s (near line %(line)d).")
                    % {"encoding": self.dialect.encoding, "line": self._line}
                ) from None
            if not line:
                return
            if len(line) > MAX_LINE_CHARS:
                raise ImportRefused(
                    _("Line %d is longer than 2 million characters. Is this a CSV file?") % self._line
                )
            yield line

    def _first_record(self) -> list[str]:
        try:
            return next((cells for cells in self._csv if any(cell.strip() for cell in cells)), [])
        except csv.Error:
            raise ImportRefused(
                _("The first line is not a list of column names: its quotes are not closed properly.")
            ) from None

    def __iter__(self) -> Iterator[Row]:
        """The records after the header. Raises ImportRefused when the rest cannot be told apart."""
        width = len(self.header.names)
        number = 0
        while True:
            line = self._line + 1
            number += 1
            try:
                cells = next(self._csv)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(number, line, [], self._explain(str(error), line))
                continue
            yield Row(number, line, cells, _width_problem(cells, width) if len(cells) != width else "")

    def _explain(self, error: str, line: int) -> str:
        """Why csv gave up on one record. Raises ImportRefused when it swallowed the rest of the file."""
        if "unexpected end" in error or "field limit" in error:
            raise ImportRefused(_("A quote that opens on line %d is never closed.") % line)
        return _("The quotes of this row are not closed properly (lines %(first)d to %(last)d).") % {
            "first": line,
            "last": self._line,
        }


def _width_problem(cells: list[str], width: int) -> str:
    if not any(cell.strip() for cell in cells) or (len(cells) > width and not any(cells[width:])):
        return ""
    return _("This row has %(cells)d cells, the header has %(names)d.") % {
        "cells": len(cells),
        "names": width,
    }


def clean_name(name: str) -> str:
    """A column's name as people read it: no invisible signs, single spaces, at most 120 characters."""
    return " ".join(_INVISIBLE.sub("", name).split())[:MAX_NAME_CHARS]


def read_header(cells: list[str]) -> Header:
    """Give every column a name of its own.

    Raises ImportRefused for more than 500 columns, and for a first record that looks like data.
    """
    if len(cells) > MAX_COLUMNS:
        raise ImportRefused(
            _("The file has %(found)s columns; at most %(most)d can be imported.")
            % {"found": f"{len(cells):,}", "most": MAX_COLUMNS}
        )
    names = [clean_name(cell) for cell in cells]
    while names and not names[-1]:
        names.pop()
    given = [name for name in names if name]
    if not given:
        raise ImportRefused(_("The first line holds no column names."))
    data = [name for name in given if _LOOKS_LIKE_DATA.fullmatch(name)]
    if any("@" in name for name in data) or len(data) * 2 > len(given):
        raise ImportRefused(
            _("The first line looks like data, not like column names. Add a line that names the columns.")
        )
    return _distinct(names)


def _distinct(names: list[str]) -> Header:
    warnings, seen, distinct = [], Counter[str](), []
    for position, given in enumerate(names, start=1):
        name = given or _("Column %d") % position
        if not given:
            warnings.append(_("Column %d has no name.") % position)
        seen[name.casefold()] += 1
        if seen[name.casefold()] > 1:
            again = f"{name} ({seen[name.casefold()]})"
            warnings.append(
                _("Two columns are called “%(name)s”; the later one is read as “%(again)s”.")
                % {"name": name, "again": again}
            )
            name = again
        distinct.append(name)
    return Header(distinct, warnings)
