"""Make a program's way in."""

from argparse import ArgumentParser
from datetime import UTC, datetime, time

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_date

from crm.actions.tokens import create_token
from crm.models import Actor, User
from crm.permissions import DEFAULT_SCOPES, SCOPES

LAST_YEAR = 9998  # a day later no zone east of UTC could show the time


class Command(BaseCommand):
    help = (
        "Make an API token for a user and print it, once. It acts with this user's role, cut to its scopes."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True, help="whose rights the token has")
        parser.add_argument("--name", required=True, help="what it is for; shown as the actor of its changes")
        parser.add_argument(
            "--scope",
            action="append",
            choices=SCOPES,
            help=f"may be repeated (default: {' and '.join(DEFAULT_SCOPES)})",
        )
        parser.add_argument("--expires", help="last day it works, as YYYY-MM-DD in UTC (default: never)")

    def handle(
        self, *, email: str, name: str, scope: list[str] | None, expires: str | None, **options
    ) -> None:
        user = User.objects.active().filter(email__iexact=email).first()
        if user is None:
            raise CommandError(f"There is no active user {email}.", returncode=2)
        if not 1 <= len(name.strip()) <= 120:
            raise CommandError("The name needs 1 to 120 characters.", returncode=2)
        token, text = create_token(
            user,
            name=name.strip(),
            scopes=scope or DEFAULT_SCOPES,
            expires_at=_end_of(expires),
            by=Actor.system("manage.py"),
        )
        self.stderr.write(f"Token “{token.name}” of {user.email}; scopes: {', '.join(token.scopes)}.")
        self.stderr.write("It is shown this once; keep it like a password:")
        self.stdout.write(text)


def _end_of(day: str | None) -> datetime | None:
    """The end of that day in UTC. Raises CommandError for no date, and for one that has passed."""
    if day is None:
        return None
    try:
        date = parse_date(day)
    except ValueError:
        date = None
    if date is None:
        raise CommandError(f"{day} is not a date; write YYYY-MM-DD.", returncode=2)
    end = datetime.combine(date, time.max, tzinfo=UTC)
    if end <= timezone.now():
        raise CommandError(f"{day} has passed.", returncode=2)
    if end.year > LAST_YEAR:
        raise CommandError(f"{day} is too far off; leave --expires out for never.", returncode=2)
    return end
