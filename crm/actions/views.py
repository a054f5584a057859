"""Saved views: a list's filters, columns and order under a name, for oneself, a team or everybody."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from crm.actions.base import check_version
from crm.actions.record_lists import LISTS, checked_list_filters
from crm.errors import InvalidValue, PermissionRefused
from crm.models import Actor, SavedView, Sharing, Team, TeamMember, User
from crm.permissions import Reach, Verb, reach

MOST_VIEWS = 100  # of one person
FIELDS = {"name", "target", "filters", "columns", "sort", "layout", "shared_with", "team"}


@transaction.atomic
def save_view(view_id: int | None, *, by: Actor, version: int | None = None, **values: Any) -> SavedView:
    """Make a view of one's own, or change one. An admin may change any that they see.

    `team` is a Team, needed exactly when `shared_with` is "team"; a manager shares with their own teams, an
    admin with any and with everybody. Raises SavedView.DoesNotExist, PermissionRefused, VersionConflict,
    InvalidValue naming the field.
    """
    unknown = sorted(set(values) - FIELDS)
    if unknown:
        raise InvalidValue(_("There is no field “%s” to change.") % unknown[0][:60], field=unknown[0][:60])
    if view_id is None:
        view = _new(by)
    else:
        view = _own(view_id, by=by)
        check_version(view, version)
    shared_before = (view.shared_with, view.team_id)
    for name, value in values.items():
        setattr(view, name, value)
    _check(view)
    if (view.shared_with, view.team_id) != shared_before:
        _may_share(view, by=by)
    if view_id is None:
        view.save()
    else:
        view.save_changed(*FIELDS)
    return view


def _new(by: Actor) -> SavedView:
    if by.user is None or reach(by, Verb.SEE) == Reach.NONE:
        raise PermissionRefused(_("Only a person saves views."))
    # the owner's row is the lock: two requests must not both take the last place or one position
    User.objects.select_for_update(no_key=True).get(pk=by.user.pk)
    places = list(
        SavedView.objects.filter(owner=by.user).order_by("position").values_list("position", flat=True)
    )
    if len(places) >= MOST_VIEWS:
        raise InvalidValue(_("You have %d views already; delete some.") % MOST_VIEWS, field="name")
    return SavedView(owner=by.user, position=min(places[-1] + 1, 32_767) if places else 0)


def _own(view_id: int, *, by: Actor) -> SavedView:
    visible = SavedView.objects.visible_to(by).filter(pk=view_id).values("pk")
    view = SavedView.objects.select_for_update().get(pk__in=visible)
    if view.owner_id != (by.user and by.user.pk) and reach(by, Verb.SHARE) != Reach.ALL:
        raise PermissionRefused(_("Only its owner or an admin may change a shared view."))
    return view


def _check(view: SavedView) -> None:
    if not isinstance(view.name, str) or "\0" in view.name:
        raise InvalidValue(_("Write text here."), field="name")
    view.name = " ".join(view.name.split())
    if not view.name or len(view.name) > 120:
        raise InvalidValue(_("A view's name has 1 to 120 characters."), field="name")
    if view.target not in LISTS:
        raise InvalidValue(_("Choose one of: %s.") % ", ".join(LISTS), field="target")
    offered = LISTS[view.target]
    same = SavedView.objects.filter(owner=view.owner, target=view.target, name__iexact=view.name)
    if same.exclude(pk=view.pk).exists():
        raise InvalidValue(_("You have a view of this name already."), field="name")
    view.filters = checked_list_filters(view.target, view.filters)
    if not isinstance(view.columns, list) or not all(
        isinstance(c, str) and c in offered.columns for c in view.columns
    ):
        raise InvalidValue(_("Choose columns among: %s.") % ", ".join(offered.columns), field="columns")
    view.columns = list(dict.fromkeys(view.columns))
    if view.sort not in {"", *offered.sorts}:
        raise InvalidValue(_("Choose an order among: %s.") % ", ".join(offered.sorts), field="sort")
    if view.layout not in offered.layouts:
        raise InvalidValue(_("There is no such layout."), field="layout")
    if view.shared_with not in Sharing.values:
        raise InvalidValue(_("Share with nobody, a team or everybody."), field="shared_with")
    if view.shared_with != Sharing.TEAM:
        view.team = None
    elif not isinstance(view.team, Team):
        raise InvalidValue(_("Choose the team."), field="team")


def _may_share(view: SavedView, *, by: Actor) -> None:
    if view.shared_with == Sharing.USER:
        return
    allowed = reach(by, Verb.SHARE)
    if allowed == Reach.ALL:
        return
    is_in_team = TeamMember.objects.filter(user=by.user, team=view.team).exists() if view.team else False
    if allowed == Reach.TEAM and view.shared_with == Sharing.TEAM and is_in_team:
        return
    raise PermissionRefused(
        _("A manager may share views with their own team, an admin with everybody."), field="shared_with"
    )


@transaction.atomic
def delete_view(view_id: int, *, by: Actor) -> None:
    """Raises SavedView.DoesNotExist, PermissionRefused."""
    _own(view_id, by=by).delete()


@transaction.atomic
def order_views(order: Iterable[UUID | str], *, by: Actor) -> int:
    """Put one's own views into this order (public ids); those not named follow. Returns how many moved.

    Raises InvalidValue (`order`) for what is no view of one's own.
    """
    own = {
        str(view.public_id): view
        for view in SavedView.objects.select_for_update().filter(owner=by.user).order_by("pk")
    }
    wanted = list(dict.fromkeys(map(str, order)))
    if not set(wanted) <= set(own):
        raise InvalidValue(_("Only your own views can be put in order."), field="order")
    rest = sorted((v for k, v in own.items() if k not in wanted), key=lambda view: (view.position, view.name))
    moved = 0
    for position, view in enumerate([*(own[key] for key in wanted), *rest]):
        if view.position != position:
            view.position = position
            view.save_changed("position")
            moved += 1
    return moved
