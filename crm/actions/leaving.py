"""When somebody leaves: what ends at once, and where their work goes."""

from collections.abc import Iterator
from typing import Any

from django.db import models, transaction
from django.db.models import Exists, F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.audit import audit
from crm.models import (
    Account,
    Actor,
    ApiToken,
    Contact,
    Invitation,
    Lead,
    Opportunity,
    Task,
    TaskStatus,
    TeamMember,
    TimelineEvent,
    Undo,
    User,
)

AT_A_TIME = 500
HANDED_BACK: tuple[type[models.Model], ...] = (Lead, Opportunity, Contact, Account)


def work_of(user: User) -> dict[str, int]:
    """How much would be handed back: open leads and opportunities, contacts, accounts, open tasks."""
    names = (_("leads"), _("opportunities"), _("contacts"), _("accounts"))
    counts = {name: _owned(model, user.pk).count() for name, model in zip(names, HANDED_BACK, strict=True)}
    return counts | {_("tasks"): _tasks(user.pk).count()}


def end_access(user: User, *, by: Actor) -> None:
    """In the caller's transaction: sessions, sockets, tokens, own invitations and undo offers end, for good.

    The password goes, and with it the key of every session: who comes back sets a new one by mail, and no
    old session or token wakes up. Publishes UserDeactivated, whose worker hands back their work.
    """
    now = clock.now()
    user.set_unusable_password()
    user.is_accepting = False
    tokens = ApiToken.objects.filter(user=user, revoked_at=None).update(revoked_at=now)
    invitations = Invitation.objects.open().filter(invited_by=user).update(revoked_at=now)
    Undo.objects.filter(by=user, undone_at=None).update(expires_at=now)
    audit("user.deactivated", "Deactivated", by=by, target=user, tokens=tokens, invitations=invitations)
    events.publish(events.UserDeactivated(user.pk))


def hand_back_work(user_id: int, *, by: Actor | None = None) -> dict[str, int]:
    """Put the open work of somebody who left into their teams' pools, AT_A_TIME rows a transaction.

    Safe to run twice. Does nothing for who is active (again). Publishes LeadAssigned for each lead.
    """
    by = by or Actor.system()
    handed: dict[str, int] = {}
    if User.objects.filter(pk=user_id, is_active=True).exists():
        return handed
    for model in HANDED_BACK:
        handed[model._meta.model_name or ""] = sum(_hand_back(model, user_id, by=by))
    with transaction.atomic():
        handed["task"] = _tasks(user_id).update(
            assignee=None, version=F("version") + 1, updated_at=clock.now()
        )
        counts: dict[str, Any] = {**handed}
        audit("user.work_handed_back", "Handed the work back", by=by, target=_user(user_id), **counts)
    return handed


def unfinished_leavers() -> models.QuerySet[User]:
    """Who left while anything that is handed back is still theirs: the hand-back was lost on its way."""
    has_work = Q(Exists(_tasks(OuterRef("pk"))))
    for model in HANDED_BACK:
        has_work |= Q(Exists(_owned(model, OuterRef("pk"))))
    return User.objects.filter(has_work, is_active=False)


def _hand_back(model: Any, user_id: int, *, by: Actor) -> Iterator[int]:
    """The numbers handed back, transaction by transaction."""
    first_team = TeamMember.objects.filter(user_id=OuterRef("owner_id")).order_by("pk").values("team")[:1]
    while True:
        with transaction.atomic():
            rows = _owned(model, user_id).select_for_update(of=("self",)).order_by("pk")
            ids = list(rows.values_list("pk", flat=True)[:AT_A_TIME])
            model._base_manager.filter(pk__in=ids).update(
                team=Coalesce("team", Subquery(first_team)),
                owner=None,
                version=F("version") + 1,
                updated_at=clock.now(),
            )
            _tell_each(model, ids, by=by)
            if model is Lead:
                for pk in ids:
                    events.publish(events.LeadAssigned(pk, None, user_id))
        yield len(ids)
        if len(ids) < AT_A_TIME:
            return


def _tell_each(model: Any, ids: list[int], *, by: Actor) -> None:
    """As `tell` does, for many."""
    name = model._meta.model_name
    TimelineEvent.objects.bulk_create(
        TimelineEvent(
            **{f"{name}_id": pk},
            kind=f"{name}.assigned",
            summary=_("put back into the team's pool"),
            actor_kind=by.kind,
            actor=by.user,
            actor_label=by.label[:120],
            occurred_at=clock.now(),
        )
        for pk in ids
    )


def _owned(model: Any, user_id: int | OuterRef) -> Any:
    rows = model.objects.filter(owner_id=user_id)
    return rows.open() if hasattr(rows, "open") else rows.live()


def _tasks(user_id: int | OuterRef) -> Any:
    return Task.objects.filter(assignee_id=user_id, state=TaskStatus.OPEN)


def _user(user_id: int) -> User:
    return User.objects.get(pk=user_id)
