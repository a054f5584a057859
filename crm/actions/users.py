"""Setting up people."""

import secrets

from django.db import transaction

from crm.models import Role, Team, TeamMember, TeamRole, User

FIRST_ADMIN = "admin@gardenos.local"
FIRST_TEAM = "Sales"


@transaction.atomic
def create_first_admin(email: str = FIRST_ADMIN) -> tuple[User, str] | None:
    """The first admin, their team, and a generated password (shown once). None when an admin exists."""
    if User.objects.filter(role=Role.ADMIN).exists():
        return None
    password = secrets.token_urlsafe(15)
    admin = User.objects.create_superuser(email, password, name="Admin")
    team, _made = Team.objects.get_or_create(name=FIRST_TEAM)
    TeamMember.objects.create(team=team, user=admin, role=TeamRole.LEAD)
    return admin, password
