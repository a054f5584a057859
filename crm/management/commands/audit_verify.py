"""`manage.py audit_verify`: does the audit log still fit its seals?"""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from crm.actions.sealing import verify_audit_log


class Command(BaseCommand):
    help = (
        "Read the audit log against its seals. Exit 1 names the first entry that was changed or is gone. "
        "Keep the last hash elsewhere: it shows whether the end of the log was cut off."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="answer as JSON")

    def handle(self, *, as_json: bool, **options: Any) -> None:
        found = verify_audit_log()
        if as_json:
            self.stdout.write(json.dumps(asdict(found) | {"is_ok": not found.trouble}))
        else:
            self.stdout.write(
                f"{found.entries} entries under {found.seals} seals fit; {found.tail} not sealed yet"
            )
            self.stdout.write(f"last hash: {found.last_hash or 'none'}")
            if found.trouble:
                self.stderr.write(found.trouble)
        if found.trouble:
            sys.exit(1)
