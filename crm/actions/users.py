"""Setting up people, and what they set for themselves."""

import secrets
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from crm.errors import InvalidValue
from crm.models import Actor, Role, Team, TeamMember, TeamRole, User

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


PROFILE_FIELDS = ("name", "time_zone", "theme", "has_shortcuts", "signature", "locale")


@transaction.atomic
def update_own_profile(*, by: Actor, **changes: Any) -> User:
    """Change what a person may set for themselves: PROFILE_FIELDS, never the role.

    Raises InvalidValue naming the field.
    """
    unknown = sorted(set(changes) - set(PROFILE_FIELDS))
    if by.user is None or unknown:
        raise InvalidValue(_("This cannot be changed here."), field=unknown[0] if unknown else "")
    user = User.objects.select_for_update().get(pk=by.user.pk)
    for name, value in changes.items():
        setattr(user, name, value)
    try:
        user.clean_fields(exclude=[f.name for f in User._meta.fields if f.name not in changes])
    except ValidationError as wrong:
        field, messages = next(iter(wrong.message_dict.items()))
        raise InvalidValue(messages[0], field=field) from None
    user.save_changed(*changes)
    return user
