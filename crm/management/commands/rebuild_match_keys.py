"""manage.py rebuild_match_keys: are people still recognised by what they have?"""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from crm.actions.match_keys import Difference, put_right, wrong_match_keys
from crm.models import Actor

AT_ONCE = 200  # records of one transaction
SHOWN = 20


class Command(BaseCommand):
    help = (
        "Work out the match keys of all leads, contacts and accounts again and say which differ. "
        "Writes nothing without --write. Ends with 1 when keys differ and were not written."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--write", action="store_true", help="put right what differs")
        parser.add_argument("--json", action="store_true", dest="as_json", help="one JSON object per record")

    def handle(self, *, write: bool, as_json: bool, **options: Any) -> None:
        by, wrong, left = Actor.system("manage.py rebuild_match_keys"), 0, 0
        for found in wrong_match_keys():
            for number, difference in enumerate(found, start=wrong + 1):
                if as_json:
                    self.stdout.write(json.dumps(_plain(difference)))
                elif number <= SHOWN:
                    self.stdout.write(_line(difference))
            wrong += len(found)
            if write:
                pieces = [found[start : start + AT_ONCE] for start in range(0, len(found), AT_ONCE)]
                left += sum(put_right(piece, by=by) for piece in pieces)
        if not as_json:
            done = wrong - left if write else 0
            self.stdout.write(f"{wrong:,} records with other keys than their data says, {done:,} put right")
        if wrong and not write:
            raise CommandError("Add --write to put this right.", returncode=1)
        if left:
            raise CommandError(f"{left:,} records changed meanwhile; run it again.", returncode=1)


def _plain(difference: Difference) -> dict[str, Any]:
    return {
        "model": str(difference.model._meta.model_name),
        "id": difference.public_id,
        "missing": [list(key) for key in sorted(difference.missing)],
        "stale": [list(key) for key in sorted(difference.stale)],
    }


def _line(difference: Difference) -> str:
    parts = [f"lacks {kind} {value}" for kind, value in sorted(difference.missing)]
    parts += [f"has {kind} {value} of nowhere" for kind, value in sorted(difference.stale)]
    return f"{difference.model._meta.model_name} {difference.public_id}: {', '.join(parts)}"
