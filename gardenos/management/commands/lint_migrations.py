"""`manage.py lint_migrations`: part of `make check`."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from gardenos.migration_lint import lint_migrations


class Command(BaseCommand):
    help = "Exit 1 and say why when a migration could stop or lose something while the last release runs."
    requires_system_checks: list[str] = []

    def handle(self, **options: Any) -> None:
        found = lint_migrations()
        for line in found:
            self.stderr.write(line)
        if found:
            sys.exit(1)
        self.stdout.write("migrations can be applied beside the release before them")
