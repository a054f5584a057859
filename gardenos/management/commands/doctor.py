"""Looks at everything GardenOS needs, and says for each complaint what to do."""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from gardenos.checkup import Finding, examine


class Command(BaseCommand):
    help = "Look at everything GardenOS needs. Exit code 1 when there is a complaint."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="as JSON, for programs")

    def handle(self, *, as_json: bool, **options: Any) -> None:
        findings = []
        for finding in examine():
            findings.append(finding)
            if not as_json:
                self.stdout.write(self.line(finding))
                self.stdout.flush()
        if as_json:
            self.stdout.write(json.dumps([finding.as_dict() for finding in findings], indent=2))
        sys.exit(0 if all(finding.is_ok for finding in findings) else 1)

    def line(self, finding: Finding) -> str:
        if finding.is_ok:
            return f"{self.style.SUCCESS('ok ')} {finding.name:<14} {finding.text}"
        return f"{self.style.ERROR('BAD')} {finding.name:<14} {finding.text}\n{'':<19}-> {finding.fix}"
