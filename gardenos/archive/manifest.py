"""What an archive says of itself."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

FORMAT = 1
NAME = "manifest.json"
_MOST_BYTES = 16 * 1024 * 1024


class ArchiveRefused(Exception):
    """The archive, or the database that is to take it, is not fit; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """`tables`: name, columns, rows, sha256 of the CSV (uncompressed). `files`: name, bytes, sha256."""

    made_at: str
    build: str
    migrations: list[str]
    tables: list[dict[str, Any]]
    files: list[dict[str, Any]]
    format: int = FORMAT

    @property
    def rows(self) -> int:
        return sum(table["rows"] for table in self.tables)

    def as_bytes(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Raises ArchiveRefused."""
        try:
            values = json.loads(text)
            known = {name: values[name] for name in cls.__dataclass_fields__}
            manifest = cls(**known)
            for table in manifest.tables:
                _checked(table, name=str, columns=list, rows=int, sha256=str)
            for file in manifest.files:
                _checked(file, name=str, bytes=int, sha256=str)
        except (ValueError, KeyError, TypeError):
            raise ArchiveRefused("its manifest.json is damaged") from None
        if manifest.format != FORMAT:
            raise ArchiveRefused(f"its format is {manifest.format}; this release reads format {FORMAT}")
        return manifest


def _checked(row: dict[str, Any], **kinds: type) -> None:
    for name, kind in kinds.items():
        if not isinstance(row[name], kind):
            raise TypeError(name)
