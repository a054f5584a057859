"""What listens where while `manage.py up` runs, so that commands in another terminal find it, too.

Notes in the data directory, written when something starts and taken away when it ends.
"""

from pathlib import Path

SCRIPTED_LLM = "scripted_llm_url"
SITE = "site_url"


def note_address(directory: Path, name: str, address: str) -> None:
    """Write it into the data directory; an empty address takes the note away."""
    if address:
        (directory / name).write_text(address)
    else:
        (directory / name).unlink(missing_ok=True)


def noted_address(directory: Path, name: str) -> str:
    """The address, empty when no `up` has one."""
    try:
        return (directory / name).read_text().strip()
    except OSError:
        return ""


def own_address(bind: str, port: int) -> str:
    """How people on this machine reach what listens there."""
    host = "localhost" if bind in {"0.0.0.0", "::", ""} else bind  # noqa: S104  compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
