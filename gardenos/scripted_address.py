"""Where the scripted model of `manage.py up` listens, so that every other command finds it, too."""

from pathlib import Path

_NAME = "scripted_llm_url"


def note_scripted_address(directory: Path, address: str) -> None:
    """Write it into the data directory; an empty address takes the note away."""
    if address:
        (directory / _NAME).write_text(address)
    else:
        (directory / _NAME).unlink(missing_ok=True)


def scripted_address(directory: Path) -> str:
    """The address, empty when no `up` runs one."""
    try:
        return (directory / _NAME).read_text().strip()
    except OSError:
        return ""
