"""Who can get in."""

import json
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Prefetch, Q

from crm import clock
from crm.models import ApiToken, Invitation, TeamMember, User


class Command(BaseCommand):
    help = "Who may sign in with which role, in which teams, with which API tokens; who is invited."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="as JSON, for programs")

    def handle(self, *, as_json: bool, **options: Any) -> None:
        report = {"people": _people(), "open_invitations": _invitations()}
        if as_json:
            self.stdout.write(json.dumps(report, indent=2))
            return
        for one in report["people"]:
            state = one["role"] if one["is_active"] else "deactivated"
            teams = ", ".join(one["teams"]) or "no team"
            self.stdout.write(
                f"{one['email']:<34} {state:<12} last sign-in {one['last_sign_in'] or 'never'}; {teams}"
            )
            for token in one["tokens"]:
                ends = token["expires_at"] or "never"
                self.stdout.write(f"    token {token['name']}: {', '.join(token['scopes'])}; ends {ends}")
        for invited in report["open_invitations"]:
            self.stdout.write(
                f"{invited['email']:<34} invited as {invited['role']} until {invited['expires_at']}"
            )


def _people() -> list[dict[str, Any]]:
    is_open = Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=clock.now()))
    people = User.objects.order_by("email").prefetch_related(
        Prefetch("memberships", TeamMember.objects.select_related("team")),
        Prefetch("api_tokens", ApiToken.objects.filter(is_open)),
    )
    return [
        {
            "email": user.email,
            "name": user.name,
            "role": user.role,
            "is_active": user.is_active,
            "last_sign_in": _text(user.last_login),
            "teams": sorted(member.team.name for member in user.memberships.all()),
            "tokens": [
                {
                    "name": token.name,
                    "scopes": token.scopes,
                    "expires_at": _text(token.expires_at),
                    "last_used_at": _text(token.last_used_at),
                }
                for token in user.api_tokens.all()
            ],
        }
        for user in people
    ]


def _invitations() -> list[dict[str, Any]]:
    rows = Invitation.objects.valid(clock.now()).select_related("team", "invited_by").order_by("email")
    return [
        {
            "email": row.email,
            "role": row.role,
            "team": row.team.name if row.team else None,
            "invited_by": row.invited_by.email if row.invited_by else None,
            "expires_at": _text(row.expires_at),
        }
        for row in rows
    ]


def _text(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None
