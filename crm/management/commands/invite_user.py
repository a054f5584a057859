"""Let somebody in."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from crm.actions.invitations import LIFE, invite_user
from crm.errors import CRMError
from crm.models import Actor, Role, Team


class Command(BaseCommand):
    help = "Invite somebody by mail, and print the link, once. It works once and expires."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True, help="where the link goes, and what they sign in with")
        parser.add_argument("--role", required=True, choices=Role.values, help="what they may do")
        parser.add_argument("--team", help="name of the team they join (default: none)")
        parser.add_argument("--name", default="", help="their name, which they may change")

    def handle(self, *, email: str, role: str, team: str | None, name: str, **options: Any) -> None:
        joins = Team.objects.filter(name=team).first() if team else None
        if team and joins is None:
            raise CommandError(f"There is no team {team}.", returncode=2)
        try:
            invitation, link = invite_user(
                email, by=Actor.system("manage.py"), role=role, team=joins, name=name
            )
        except CRMError as refused:
            raise CommandError(str(refused), returncode=2) from None
        self.stderr.write(
            f"Invited {invitation.email} as {role}, for {LIFE.days} days. The link, shown once:"
        )
        self.stdout.write(link)
