"""What goes wrong around a command, in one line that says what to do."""

import os
import re

from django.db import DatabaseError
from psycopg.errors import UndefinedColumn, UndefinedTable


def database_line(error: DatabaseError) -> str:
    """The driver's reason, without address or user name, and where to look."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else error.__class__.__name__
    reason = re.sub(r"^.*(?:failed: |FATAL: +|ERROR: +)", "", reason)
    reason = re.sub(r"""\s*("[^"]*"|'[^']*')""", "", reason)
    is_own = os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE")
    advice = (
        "check DATABASE_URL, that its server runs, and that it lets this machine in"
        if is_own
        else "see postgres.log in the data directory; `manage.py doctor` says more"
    )
    return f"database: {reason}; {advice}"


def tables_line(error: DatabaseError) -> str:
    """What to do when the tables are not those of this build; empty when the error means something else."""
    if not isinstance(error.__cause__, UndefinedTable | UndefinedColumn):
        return ""
    return "database: its tables are not those of this build; run manage.py migrate"
