"""How people come in: by a link that is mailed, works once and expires. Only its hash is stored."""

import hashlib
import logging
import secrets
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.core.validators import validate_email
from django.db import transaction
from django.utils.translation import gettext as _

from crm import clock
from crm.actions.audit import audit
from crm.actions.identity import lock_identities
from crm.actions.rates import refuse_above
from crm.errors import InvalidValue, LinkExpired, PermissionRefused, TransitionRefused
from crm.models import Actor, Invitation, Role, Team, TeamMember, User
from crm.permissions import Reach, Verb, reach, require

logger = logging.getLogger(__name__)
LIFE = timedelta(days=7)
INVITED_BY_MANAGERS = {Role.REP, Role.READ_ONLY}
MAILS_A_DAY = 5  # to one address


@transaction.atomic
def invite_user(
    email: str, *, by: Actor, role: str = Role.REP, team: Team | None = None, name: str = ""
) -> tuple[Invitation, str]:
    """An invitation, mailed after the commit, and its link, which cannot be had again.

    An expired invitation of the same address is replaced. Raises PermissionRefused (managers invite reps and
    readers into their own teams), InvalidValue naming the field, RateLimited.
    """
    require(by, Verb.INVITE)
    email = _checked_email(email)
    if role not in Role.values:
        raise InvalidValue(_("There is no such role."), field="role")
    if len(name) > 120:
        raise InvalidValue(_("Use at most %d characters.") % 120, field="name")
    _require_reach(by, role, team)
    if User.objects.filter(email__iexact=email).exists():
        raise InvalidValue(_("There is an account with this address already."), field="email")
    lock_identities([("invitation", email)])  # of two who ask at once, the second sees the first
    open_one = Invitation.objects.open().select_for_update().filter(email__iexact=email).first()
    if open_one and open_one.expires_at > clock.now():
        raise InvalidValue(_("This address is invited already. Send that invitation again."), field="email")
    if open_one:
        _revoke(open_one, by=by)
    token = secrets.token_urlsafe(32)
    invitation = Invitation.objects.create(
        email=email,
        name=" ".join(name.split()),
        role=role,
        team=team,
        token_sha256=_hash(token),
        invited_by=by.user,
        expires_at=clock.now() + LIFE,
    )
    audit("user.invited", f"Invited as {role}", by=by, target=invitation, role=role)
    return invitation, _mail(invitation, token)


@transaction.atomic
def resend_invitation(invitation_id: int, *, by: Actor) -> tuple[Invitation, str]:
    """A new link with a new week; the old one stops working.

    Raises Invitation.DoesNotExist, PermissionRefused, TransitionRefused (used or revoked), RateLimited.
    """
    invitation = _for_change(invitation_id, by=by)
    token = secrets.token_urlsafe(32)
    invitation.token_sha256 = _hash(token)
    invitation.expires_at = clock.now() + LIFE
    invitation.save(update_fields=["token_sha256", "expires_at", "updated_at"])
    audit("user.invited_again", "Sent the invitation again", by=by, target=invitation)
    return invitation, _mail(invitation, token)


@transaction.atomic
def revoke_invitation(invitation_id: int, *, by: Actor) -> Invitation:
    """The link stops working. Raises Invitation.DoesNotExist, PermissionRefused, TransitionRefused."""
    return _revoke(_for_change(invitation_id, by=by), by=by)


def find_invitation(token: str) -> Invitation | None:
    """The invitation that this link opens now, or None, whatever the reason."""
    return Invitation.objects.valid(clock.now()).filter(token_sha256=_hash(token)).first()


@transaction.atomic
def accept_invitation(token: str, *, name: str, password: str) -> User:
    """Make the user that was invited. The link works once: of two at the same moment one wins.

    Raises LinkExpired (wrong, used, revoked, expired: all alike), InvalidValue for name or password.
    """
    found = Invitation.objects.select_for_update(of=("self",)).select_related("team", "invited_by")
    invitation = found.valid(clock.now()).filter(token_sha256=_hash(token)).first()
    if invitation is None or User.objects.filter(email__iexact=invitation.email).exists():
        raise LinkExpired(_("This invitation no longer works. Ask for a new one."))
    name = " ".join(name.split())
    if not 1 <= len(name) <= 120 or "\0" in name:
        raise InvalidValue(_("Write your name, in at most %d characters.") % 120, field="name")
    user = User(email=invitation.email, name=name, role=invitation.role)
    try:
        validate_password(password, user)
    except ValidationError as weak:
        raise InvalidValue(" ".join(weak.messages), field="password") from None
    user.set_password(password)
    user.save()
    if invitation.team:
        TeamMember.objects.create(team=invitation.team, user=user)
    invitation.accepted_at, invitation.accepted_by = clock.now(), user
    invitation.save(update_fields=["accepted_at", "accepted_by", "updated_at"])
    audit("user.joined", f"Joined as {user.role}", by=Actor.of(user), target=user, role=user.role)
    return user


def _checked_email(email: str) -> str:
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise InvalidValue(_("Write an e-mail address, such as jo@example.com."), field="email") from None
    return email


def _require_reach(by: Actor, role: str, team: Team | None) -> None:
    """What TEAM means for invitations."""
    if reach(by, Verb.INVITE) == Reach.ALL:
        return
    if role not in INVITED_BY_MANAGERS:
        raise PermissionRefused(_("Only an admin invites admins and managers."), field="role")
    if team is None or not team.members.filter(user=by.user).exists():
        raise PermissionRefused(_("Choose one of your own teams."), field="team")


def _for_change(invitation_id: int, *, by: Actor) -> Invitation:
    require(by, Verb.INVITE)
    rows = Invitation.objects.visible_to(by).select_for_update(of=("self",))
    invitation = rows.get(pk=invitation_id)
    _require_reach(by, invitation.role, invitation.team)
    if invitation.accepted_at or invitation.revoked_at:
        raise TransitionRefused(_("This invitation is used or revoked already."))
    return invitation


def _revoke(invitation: Invitation, *, by: Actor) -> Invitation:
    invitation.revoked_at = clock.now()
    invitation.save(update_fields=["revoked_at", "updated_at"])
    audit("user.invitation_revoked", "Revoked an invitation", by=by, target=invitation)
    return invitation


def _mail(invitation: Invitation, token: str) -> str:
    """Mail the link once the row is committed, past the queue, whose rows would hold the token. The link."""
    day = hashlib.sha256(invitation.email.encode()).hexdigest()[:32]
    refuse_above(f"invitation:{day}", limit=MAILS_A_DAY, window_s=86_400)
    link = f"{settings.SITE_URL}/invitation/{token}/"
    days = LIFE.days
    text = _(
        "You are invited to GardenOS. Open this link to set your name and password:\n\n%(link)s\n\n"
        "It works once, for %(days)d days. If you do not expect this, do nothing."
    ) % {"link": link, "days": days}

    def deliver() -> None:
        try:
            send_mail(_("Your invitation to GardenOS"), text, None, [invitation.email])
        except OSError as error:  # the link can be sent again; its text must not reach a log
            logger.warning("an invitation could not be mailed (%s)", type(error).__name__)

    transaction.on_commit(deliver, robust=True)
    return link


def _hash(token: str) -> str:
    """Of 256 random bits: a plain hash is enough."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
