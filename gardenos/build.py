"""Which commit this is."""

import functools
import subprocess
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent


@functools.cache
def build_sha() -> str:
    """The commit: of the file BUILD_SHA, which an image's build writes, or of the checkout, or "unknown"."""
    written = BASE_DIR / "BUILD_SHA"
    if written.exists():
        return written.read_text().strip()
    try:
        said = subprocess.run(  # noqa: S603
            ["git", "-C", BASE_DIR, "rev-parse", "HEAD"],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return said.stdout.strip() or "unknown"
