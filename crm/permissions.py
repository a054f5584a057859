"""Who may do what: one table of role and verb. Which rows a person sees at all is `visible_to`.

Deny by default. A superuser flag, Django permissions and groups decide nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm.errors import PermissionRefused
from crm.models import (
    Account,
    Actor,
    ActorKind,
    Contact,
    CustomField,
    Lead,
    Opportunity,
    Role,
    Task,
    Team,
    TeamMember,
    User,
)

Owned = Lead | Contact | Account | Opportunity  # records with an owner and a team


class Verb(StrEnum):
    """What people do. A verb that no row of RIGHTS names for a role is refused to it."""

    SEE = "see"
    CREATE = "create"  # leads, contacts, accounts, opportunities, tasks, notes, calls, tags on a record
    EDIT = "edit"  # the same; also snooze, stage, disqualify, convert, tag
    REASSIGN = "reassign"
    SEND = "send"  # edit, approve, dismiss a follow-up
    DELETE = "delete"  # soft
    RESTORE = "restore"
    MERGE = "merge"  # duplicates, and undoing that
    IMPORT = "import"
    EXPORT = "export"  # how much and how often: EXPORT_LIMITS
    UNDO_OTHERS = "undo_others"  # take back what somebody else did
    SHARE = "share"  # saved views with a team (TEAM) or with all (ALL)
    INVITE = "invite"  # new people; TEAM: reps and readers, into one's own teams
    TOKENS = "tokens"  # API tokens; OWN: one's own
    AUDIT = "audit"  # read the audit log; TEAM: of the team's people, OWN: one's own acts
    PRIVACY_REQUEST = "privacy_request"  # ask for a person's export or erasure
    PRIVACY_APPROVE = "privacy_approve"  # let it happen; a second person is needed above PRIVACY_ALONE
    SET_UP = "set_up"  # users, teams, sources, forms, pipelines, fields, tags, rules, pools


class Reach(StrEnum):
    ALL = "all"
    TEAM = "team"  # leads of the person's teams, and own ones
    OWN = "own"
    OWN_OR_POOL = "own_or_pool"  # own ones, and unassigned ones of the person's teams
    NONE = "none"


RIGHTS: dict[Role, dict[Verb, Reach]] = {
    Role.ADMIN: dict.fromkeys(Verb, Reach.ALL),
    Role.MANAGER: {
        Verb.SEE: Reach.TEAM,
        Verb.CREATE: Reach.TEAM,
        Verb.EDIT: Reach.TEAM,
        Verb.REASSIGN: Reach.TEAM,
        Verb.SEND: Reach.TEAM,
        Verb.DELETE: Reach.TEAM,
        Verb.RESTORE: Reach.TEAM,
        Verb.MERGE: Reach.TEAM,
        Verb.IMPORT: Reach.TEAM,
        Verb.EXPORT: Reach.TEAM,
        Verb.SHARE: Reach.TEAM,
        Verb.INVITE: Reach.TEAM,
        Verb.TOKENS: Reach.OWN,
        Verb.AUDIT: Reach.TEAM,
        Verb.PRIVACY_REQUEST: Reach.TEAM,
    },
    Role.REP: {
        Verb.SEE: Reach.OWN_OR_POOL,
        Verb.CREATE: Reach.OWN,
        Verb.EDIT: Reach.OWN,
        Verb.REASSIGN: Reach.OWN_OR_POOL,
        Verb.SEND: Reach.OWN,
        Verb.MERGE: Reach.OWN,
        Verb.IMPORT: Reach.OWN,
        Verb.EXPORT: Reach.OWN,
        Verb.TOKENS: Reach.OWN,
        Verb.AUDIT: Reach.OWN,
        Verb.PRIVACY_REQUEST: Reach.OWN_OR_POOL,
    },
    Role.READ_ONLY: {Verb.SEE: Reach.TEAM},
}
# A token acts with its owner's role, cut down to its scopes; without "read" it reads nothing. A verb that is
# not here is none for programs: they neither delete nor merge, read no audit log and let nobody in.
SCOPE_OF_VERB = {
    Verb.SEE: "read",
    Verb.CREATE: "write",
    Verb.EDIT: "write",
    Verb.SEND: "send",
    Verb.REASSIGN: "leads:assign",
    Verb.IMPORT: "import",
    Verb.EXPORT: "export",
    Verb.SET_UP: "agents",
}
SCOPES = tuple(sorted(set(SCOPE_OF_VERB.values())))
DEFAULT_SCOPES = ("read", "write")
# What the system does by itself or by a command of the operator. It never sends.
SYSTEM_VERBS = frozenset(Verb) - {Verb.SEND, Verb.SET_UP, Verb.SHARE, Verb.TOKENS}
HIDDEN_FROM = frozenset({Role.READ_ONLY})  # roles to whom a team may choose to show no addresses
PRIVACY_ALONE = 100  # records one admin may erase without a second one


@dataclass(frozen=True, slots=True)
class ExportLimit:
    """How much leaves at once and how often. None: no limit."""

    rows: int | None = None
    per_hour: int | None = None


EXPORT_LIMITS: dict[Role, ExportLimit] = {
    Role.ADMIN: ExportLimit(),
    Role.MANAGER: ExportLimit(per_hour=5),
    Role.REP: ExportLimit(rows=500),
}


def export_limit(who: User | Actor) -> ExportLimit:
    """What `who` may take out at once. Raises PermissionRefused for who may not export at all."""
    require(who, Verb.EXPORT)
    user = who.user if isinstance(who, Actor) else who
    return ExportLimit() if user is None else EXPORT_LIMITS[Role(user.role)]


def reach(who: User | Actor, verb: Verb) -> Reach:
    """How far `who` may go with this verb. An agent may only read; sending is always a person's act."""
    actor = Actor.of(who) if isinstance(who, User) else who
    if actor.kind == ActorKind.AGENT:
        return Reach.ALL if verb == Verb.SEE else Reach.NONE
    if actor.user is None:
        return Reach.ALL if verb in SYSTEM_VERBS else Reach.NONE
    if not actor.user.is_active:
        return Reach.NONE
    if actor.kind == ActorKind.API and SCOPE_OF_VERB.get(verb) not in actor.scopes:
        return Reach.NONE
    return RIGHTS[Role(actor.user.role)].get(verb, Reach.NONE)


def may(
    who: User | Actor, verb: Verb, record: Owned | None = None, *, teams: Collection[int] | None = None
) -> bool:
    """Whether `who` may do this, to this record if one is given. At most one query, for the person's teams;
    none with their keys in `teams`.
    """
    allowed = reach(who, verb)
    if allowed in {Reach.NONE, Reach.ALL} or record is None:
        return allowed != Reach.NONE
    user = who.user if isinstance(who, Actor) else who
    if user is not None and record.owner_id == user.pk:
        return True
    if allowed == Reach.OWN or record.team_id is None or user is None:
        return False
    if allowed == Reach.OWN_OR_POOL and record.owner_id is not None:
        return False
    if teams is not None:
        return record.team_id in teams
    return TeamMember.objects.filter(user=user, team_id=record.team_id).exists()


def require(
    who: User | Actor, verb: Verb, record: Owned | None = None, *, teams: Collection[int] | None = None
) -> None:
    """Raises PermissionRefused with a sentence that names what is missing."""
    if may(who, verb, record, teams=teams):
        return
    if isinstance(who, Actor) and who.kind == ActorKind.API and SCOPE_OF_VERB.get(verb) not in who.scopes:
        raise PermissionRefused(_("This token lacks the scope “%s”.") % SCOPE_OF_VERB.get(verb))
    raise PermissionRefused(str(_SENTENCES.get(verb) or _("Your role does not allow this.")))


def sees_addresses(who: User | Actor) -> bool:
    """Whether `who` is shown phone numbers and e-mail addresses of leads, contacts and accounts.

    One of HIDDEN_FROM is not as soon as one team of theirs hides them: what they read in one team they would
    know in the other. One query for these, none for others. `crm.models.hidden` does the hiding.
    """
    user = who.user if isinstance(who, Actor) else who
    if user is None or user.role not in HIDDEN_FROM:
        return True
    return not Team.objects.of(user).filter(hides_addresses=True).exists()


def require_addresses(who: User | Actor) -> None:
    """For what cannot be shown without them, such as a file. Raises PermissionRefused."""
    if not sees_addresses(who):
        raise PermissionRefused(_("Your team does not show phone numbers and e-mail addresses to readers."))


def without_kept_fields(who: User | Actor, target: str, values: dict[str, Any]) -> dict[str, Any]:
    """The values of own fields of a `target` (lead, contact, account, opportunity) that `who` may read.

    A value without a field stays: it came before the field was taken away. One query, none for admins.
    """
    user = who.user if isinstance(who, Actor) else who
    if user is None or not values or (user.is_active and user.role == Role.ADMIN):
        return values
    fields = CustomField.objects.filter(target=target, key__in=list(values))
    kept = set(fields.exclude(pk__in=fields.visible_to(user)).values_list("key", flat=True))
    return {key: value for key, value in values.items() if key not in kept}


def may_work_on(who: User | Actor, task: Task) -> bool:
    """Whether `who` may change this task: the one who has it to do, the one who gave it, the manager of
    either, and whoever may edit the record that it is about. At most three queries.
    """
    allowed = reach(who, Verb.EDIT)
    if allowed in {Reach.NONE, Reach.ALL}:
        return allowed == Reach.ALL
    user = who.user if isinstance(who, Actor) else who
    concerned = [key for key in (task.assignee_id, task.created_by_id) if key is not None]
    if user is not None and user.pk in concerned:
        return True
    if allowed == Reach.TEAM and shares_team(user, concerned):
        return True
    about = task.lead or task.opportunity or task.contact
    return about is not None and may(who, Verb.EDIT, about)


def shares_team(user: User | None, others: Collection[int]) -> bool:
    """Whether one of these people (by key) is in a team with this one. One query."""
    if user is None or not others:
        return False
    return TeamMember.objects.filter(user__in=others, team__members__user=user).exists()


_SENTENCES = {
    Verb.EDIT: gettext_lazy("You can read this record, but only its owner or their manager may change it."),
    Verb.SEND: gettext_lazy("Only the lead's owner or their manager may approve or dismiss its messages."),
    Verb.REASSIGN: gettext_lazy("You may give away your own leads and take leads from your team's pool."),
    Verb.DELETE: gettext_lazy("Only a manager of the team or an admin may delete this."),
    Verb.RESTORE: gettext_lazy("Only a manager of the team or an admin may bring this back."),
    Verb.MERGE: gettext_lazy("You may merge records that you may change."),
    Verb.IMPORT: gettext_lazy("Your role does not allow imports."),
    Verb.EXPORT: gettext_lazy("Your role does not allow exports."),
    Verb.UNDO_OTHERS: gettext_lazy("Only an admin may take back what somebody else did."),
    Verb.SHARE: gettext_lazy("Only a manager may share with the team, and only an admin with all."),
    Verb.INVITE: gettext_lazy("Managers invite reps and readers into their own teams, admins anybody."),
    Verb.TOKENS: gettext_lazy("Only an admin may do this with somebody else's tokens."),
    Verb.AUDIT: gettext_lazy("Your role does not allow reading the audit log."),
    Verb.PRIVACY_REQUEST: gettext_lazy("Only who works with this person may ask for that."),
    Verb.PRIVACY_APPROVE: gettext_lazy("Only an admin may let this happen."),
    Verb.SET_UP: gettext_lazy("Only an admin may change this."),
}
