"""Configuration files from deploy/hosts, filled in: `@{name}` is replaced, nothing else is. The same values
always give the same bytes."""

import re
from pathlib import Path

HOSTS = Path(__file__).resolve().parents[1] / "hosts"
PLACE = re.compile(r"^(?P<indent>[ ]*)@\{(?P<line>[a-z_]+)\}$|@\{(?P<word>[a-z_]+)\}", re.MULTILINE)


class WrongTemplate(Exception):
    """A template asks for a value that nobody gave, or the reverse."""


def render(template: str, /, **values: str) -> str:
    """The file deploy/hosts/`template`. A value on a line of its own may have several; they keep the indent.

    Raises WrongTemplate.
    """
    used = set()

    def fill(found: re.Match[str]) -> str:
        key = found["line"] or found["word"]
        if key not in values:
            raise WrongTemplate(f"{template} wants {key}, which was not given")
        used.add(key)
        if found["line"]:
            return "\n".join(found["indent"] + line for line in values[key].splitlines())
        return values[key]

    text = PLACE.sub(fill, (HOSTS / template).read_text())
    if unused := set(values) - used:
        raise WrongTemplate(f"{template} has no place for {', '.join(sorted(unused))}")
    return text
