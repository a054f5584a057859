"""Settings come from the environment, through here, and fail loudly.

`NAME` is read as it is; `NAME_FILE` names a file whose content, less one trailing newline, is the value.
A wrong or missing value ends the process with exit code 2 and one line that names the variable, never its
value.
"""

import ipaddress
import os
import sys
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit


class SettingRefused(SystemExit):
    """A variable is wrong or missing: exit code 2. `line` was already written to standard error."""

    def __init__(self, line: str) -> None:
        super().__init__(2)
        self.line = line

    def __str__(self) -> str:
        return self.line


@dataclass(frozen=True, slots=True)
class Reading:
    """Where one variable's value came from; `manage.py config` prints these."""

    name: str
    source: str  # "environment", "file", "default" or "not set"
    value: str
    is_secret: bool


class Env:
    """Typed access to one environment mapping. Every read is remembered in `readings`."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self.readings: dict[str, Reading] = {}

    def refuse(self, name: str, why: str) -> NoReturn:
        """End the process (exit 2) with one line. `why` must not hold the value."""
        line = f"{name}: {why}"
        sys.stderr.write(f"gardenos: configuration: {line}\n")
        raise SettingRefused(line)

    def text(self, name: str, default: str = "", *, secret: bool = False, required: bool = False) -> str:
        """The variable, its file, or the default. Refuses both forms at once, an unreadable file, and NUL."""
        in_file = self._environ.get(f"{name}_FILE")
        direct = self._environ.get(name)
        if in_file and direct:
            self.refuse(name, f"is set twice, as {name} and as {name}_FILE; keep one")
        value, source = (direct, "environment") if direct else (default, "default" if default else "not set")
        if in_file:
            try:
                value, source = (
                    Path(in_file).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r"),
                    "file",
                )
            except (OSError, UnicodeDecodeError) as error:
                self.refuse(
                    f"{name}_FILE",
                    f"cannot be read ({error.__class__.__name__}); check the path and its mode",
                )
        if value is None or "\0" in value:
            self.refuse(name, "holds a NUL character")
        if required and not value:
            self.refuse(name, "is required and not set")
        self.readings[name] = Reading(name, source, value, secret)
        return value

    def integer(self, name: str, default: int, *, least: int, most: int) -> int:
        raw = self.text(name, str(default))
        if not (raw.isascii() and raw.removeprefix("-").isdigit() and len(raw) < 19):
            self.refuse(name, "is not a whole number")
        if not least <= int(raw) <= most:
            self.refuse(name, f"must lie between {least} and {most}")
        return int(raw)

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        raw = self.text(name, str(default))
        try:
            value = float(raw)
        except ValueError:
            self.refuse(name, "is not a number")
        if not least <= value <= most:  # NaN fails both comparisons
            self.refuse(name, f"must lie between {least} and {most}")
        return value

    def switch(self, name: str, default: bool) -> bool:
        raw = self.text(name, "on" if default else "off").lower()
        if raw not in {"on", "off", "1", "0", "true", "false", "yes", "no"}:
            self.refuse(name, "must be on or off")
        return raw in {"on", "1", "true", "yes"}

    def choice(self, name: str, default: str, among: Iterable[str]) -> str:
        raw = self.text(name, default)
        allowed = list(among)
        if raw not in allowed:
            self.refuse(name, f"must be one of {', '.join(a or '(empty)' for a in allowed)}")
        return raw

    def items(self, name: str, default: str = "") -> list[str]:
        return [item.strip() for item in self.text(name, default).split(",") if item.strip()]

    def url(self, name: str, default: str = "", *, schemes: tuple[str, ...], secret: bool = False) -> str:
        """An address with one of these schemes, or empty. Refuses spaces, quotes and a port that is none."""
        raw = self.text(name, default, secret=secret)
        if not raw:
            return ""
        if any(c.isspace() or c in "'\"" for c in raw):
            self.refuse(name, "holds a space or a quote; write the address alone")
        try:
            parts = urlsplit(raw)
            parts.port  # noqa: B018  reading it checks it
        except ValueError:
            self.refuse(name, "is not an address that can be read")
        if parts.scheme not in schemes:
            self.refuse(name, f"must start with {' or '.join(s + '://' for s in schemes)}")
        return raw

    def checked(self, name: str, value: str, rule: Callable[[str], str | None]) -> str:
        """Refuse `value` when `rule` returns a reason."""
        reason = rule(value)
        if reason:
            self.refuse(name, reason)
        return value

    def refuse_unknown(self, known: Iterable[str], prefix: str = "GARDENOS_") -> None:
        """A misspelt variable of ours is an error, not a silent default."""
        allowed = {*known, *(f"{name}_FILE" for name in known)}
        for name in sorted(self._environ):
            if name.startswith(prefix) and name not in allowed:
                self.refuse(name, "is not a setting of GardenOS; `manage.py config` lists those that are")


def why_no_time_zone(name: str) -> str | None:
    """A rule for `Env.checked`: the zone's name is in the IANA database."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return "is not a time zone; write one such as Europe/Berlin"
    return None


def why_no_network(text: str) -> str | None:
    """A rule for `Env.checked`: an IP address, or a network in CIDR notation."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return "must hold IP addresses or networks, such as 10.0.0.0/8, with commas"
    return None
