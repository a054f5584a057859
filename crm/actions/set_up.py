"""What an admin sets up: people, teams, sources, own fields. Every rule here holds for all doors."""

from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from crm.actions.audit import audit
from crm.actions.base import check_version
from crm.actions.custom_fields import MOST_FIELDS
from crm.actions.leaving import end_access
from crm.errors import InvalidValue, PermissionRefused
from crm.models import (
    Actor,
    CustomField,
    FieldTarget,
    LeadSource,
    Pipeline,
    Role,
    Stage,
    StageKind,
    Team,
    TeamMember,
    TeamRole,
    User,
)
from crm.models.base import VersionedRecord
from crm.permissions import Verb, require

USER_FIELDS = {
    "email",
    "name",
    "role",
    "is_active",
    "time_zone",
    "locale",
    "working_hours",
    "capacity",
    "is_accepting",
}
TEAM_FIELDS = {"name", "parent", "hides_addresses"}
SOURCE_FIELDS = {
    "code",
    "name",
    "kind",
    "campaign",
    "monthly_cost",
    "currency",
    "default_team",
    "default_country",
    "default_pipeline",
    "default_stage",
    "answer_minutes",
}
CUSTOM_FIELD_FIELDS = {
    "target",
    "key",
    "label",
    "type",
    "options",
    "position",
    "is_required",
    "is_active",
    "is_scored",
    "read_from",
    "write_from",
}
Kept = TypeVar("Kept", bound=VersionedRecord)


@transaction.atomic
def update_user(user_id: int, *, by: Actor, version: int | None = None, **changes: Any) -> User:
    """Change a user. Deactivating ends their access at once and hands their work to their teams' pools.

    Raises User.DoesNotExist, PermissionRefused (own role, own account, the last admin), VersionConflict,
    InvalidValue. Publishes UserDeactivated.
    """
    require(by, Verb.SET_UP)
    # every admin row, in order: two admins must not take each other's role away at the same moment
    admins = User.objects.select_for_update().filter(role=Role.ADMIN, is_active=True).order_by("pk")
    admin_ids = set(admins.values_list("pk", flat=True))
    user = User.objects.select_for_update().get(pk=user_id)
    check_version(user, version)
    changes = _known(changes, USER_FIELDS)
    loses_rights = {
        "role": changes.get("role", user.role),
        "is_active": changes.get("is_active", user.is_active),
    }
    if by.user and by.user.pk == user.pk and loses_rights != {"role": user.role, "is_active": user.is_active}:
        raise PermissionRefused(_("Another admin has to change your own role or account."), field="role")
    stays_admin = loses_rights == {"role": Role.ADMIN, "is_active": True}
    if admin_ids == {user.pk} and not stays_admin:
        raise PermissionRefused(_("This is the last admin. Make somebody else an admin first."), field="role")
    if "email" in changes:
        changes["email"] = changes["email"].strip().lower()
    before = {"role": user.role, "is_active": user.is_active}
    if user.is_active and not loses_rights["is_active"]:
        end_access(user, by=by)
        user.save(update_fields=["password", "is_accepting"])
        changes.pop("is_accepting", None)
    changed = change_record(user, changes)
    _audit_rights(user, before, by=by)
    if rest := sorted(set(changed) - set(before)):
        audit("user.changed", f"Changed {', '.join(rest)}", by=by, target=user, fields=rest)
    return user


def _audit_rights(user: User, before: dict[str, Any], *, by: Actor) -> None:
    if user.role != before["role"]:
        words = {"before": before["role"], "after": user.role}
        audit("user.role_changed", "Changed a role", by=by, target=user, **words)
    if user.is_active and not before["is_active"]:
        audit("user.reactivated", "Reactivated; a new password comes by mail", by=by, target=user)


def save_team(team_id: int | None, *, by: Actor, version: int | None = None, **changes: Any) -> Team:
    """Make or change a team. Raises PermissionRefused, VersionConflict, InvalidValue (circles)."""
    parent = changes.get("parent")
    while parent is not None:
        if parent.pk == team_id:
            raise InvalidValue(_("A team cannot stand above itself."), field="parent")
        parent = parent.parent
    return save_record(Team, team_id, _known(changes, TEAM_FIELDS), by=by, version=version)


@transaction.atomic
def set_member(team: Team, user: User, *, by: Actor, role: str = TeamRole.MEMBER) -> TeamMember:
    """Take a user into a team, or change their part in it. Raises PermissionRefused, InvalidValue."""
    require(by, Verb.SET_UP)
    if role not in TeamRole.values:
        raise InvalidValue(_("There is no such part in a team."), field="role")
    member, is_new = TeamMember.objects.update_or_create(team=team, user=user, defaults={"role": role})
    audit(
        "team.member_set",
        "took somebody into a team" if is_new else "changed somebody's part in a team",
        by=by,
        target=team,
        user=str(user.public_id),
        role=role,
    )
    return member


@transaction.atomic
def remove_member(team: Team, user: User, *, by: Actor) -> None:
    """Take a user out of a team; their leads stay theirs. Raises PermissionRefused."""
    require(by, Verb.SET_UP)
    if TeamMember.objects.filter(team=team, user=user).delete()[0]:
        audit(
            "team.member_removed", "took somebody out of a team", by=by, target=team, user=str(user.public_id)
        )


def save_source(
    source_id: int | None, *, by: Actor, version: int | None = None, **changes: Any
) -> LeadSource:
    """Make or change a source of leads. Raises PermissionRefused, VersionConflict, InvalidValue."""
    changes = _known(changes, SOURCE_FIELDS)
    if {"default_pipeline", "default_stage"} & set(changes):
        kept = LeadSource() if source_id is None else LeadSource.objects.get(pk=source_id)
        _refuse_unfit_stage(
            changes.get("default_pipeline", kept.default_pipeline),
            changes.get("default_stage", kept.default_stage),
        )
    return save_record(LeadSource, source_id, changes, by=by, version=version)


def _refuse_unfit_stage(pipeline: Pipeline | None, stage: Stage | None) -> None:
    """Where opportunities of a source begin must be in use, and one place."""
    if pipeline and not pipeline.is_active:
        raise InvalidValue(_("This pipeline is in the archive."), field="default_pipeline")
    if stage is None:
        return
    if stage.kind != StageKind.OPEN or not (stage.is_active and stage.pipeline.is_active):
        raise InvalidValue(_("Choose an open stage that is in use."), field="default_stage")
    if pipeline and stage.pipeline_id != pipeline.pk:
        raise InvalidValue(_("This stage is in another pipeline."), field="default_stage")


def save_custom_field(
    field_id: int | None, *, by: Actor, version: int | None = None, **changes: Any
) -> CustomField:
    """Make or change a field of the customer's own. Target, key and type stay, because records hold values by
    them; a choice that is in use may be taken out of the options, its values stay as they are. A field that
    is not active is retired: hidden and no filter, its values are kept.

    Raises PermissionRefused, VersionConflict, InvalidValue.
    """
    changes = _known(changes, CUSTOM_FIELD_FIELDS)
    if field_id is not None:
        kept = CustomField.objects.get(pk=field_id)
        for name in ("target", "key", "type"):
            if changes.get(name, getattr(kept, name)) != getattr(kept, name):
                raise InvalidValue(_("This stays as it is, because records hold values by it."), field=name)
    elif CustomField.objects.filter(target=changes.get("target", FieldTarget.LEAD)).count() >= MOST_FIELDS:
        raise InvalidValue(_("There are %d fields already.") % MOST_FIELDS, field="key")
    options = changes.get("options", [])
    if not (isinstance(options, list) and all(isinstance(o, str) and 0 < len(o) <= 120 for o in options)):
        raise InvalidValue(_("Write a list of words, such as [“Small”, “Large”]."), field="options")
    return save_record(CustomField, field_id, changes, by=by, version=version)


@transaction.atomic
def order_custom_fields(target: str, keys: list[str], *, by: Actor) -> int:
    """Put the fields of a target into this order; those not named follow. Returns how many moved.

    Raises PermissionRefused, InvalidValue (`keys`) for one that there is not.
    """
    require(by, Verb.SET_UP)
    fields = {f.key: f for f in CustomField.objects.select_for_update().filter(target=target).order_by("pk")}
    wanted = list(dict.fromkeys(keys))
    unknown = [key for key in wanted if key not in fields]
    if unknown:
        raise InvalidValue(_("There is no field “%s”.") % str(unknown[0])[:60], field="keys")
    rest = sorted((f for key, f in fields.items() if key not in wanted), key=lambda f: (f.position, f.label))
    moved = 0
    for position, kept in enumerate([*(fields[key] for key in wanted), *rest]):
        if kept.position != position:
            kept.position = position
            kept.save_changed("position")
            moved += 1
    return moved


def _known(values: dict[str, Any], names: set[str]) -> dict[str, Any]:
    unknown = sorted(set(values) - names)
    if unknown:
        raise InvalidValue(_("There is no field “%s” to change.") % unknown[0], field=unknown[0])
    return values


@transaction.atomic
def save_record(
    model: type[Kept], record_id: int | None, changes: dict[str, Any], *, by: Actor, version: int | None
) -> Kept:
    """Make or change a row of an admin's. Raises PermissionRefused, VersionConflict, InvalidValue."""
    require(by, Verb.SET_UP)
    if record_id is None:
        record = model(**changes)
        check_record(record)
        record.save()
        audit(f"{model._meta.model_name}.made", f"made a {model._meta.verbose_name}", by=by, target=record)
        return record
    record = model._default_manager.select_for_update(of=("self",)).get(pk=record_id)
    check_version(record, version)
    if changed := change_record(record, changes):
        audit(
            f"{model._meta.model_name}.changed",
            f"changed {', '.join(changed)}",
            by=by,
            target=record,
            fields=changed,
        )
    return record


def change_record(record: VersionedRecord, changes: dict[str, Any]) -> list[str]:
    """Change what differs, and return its names. Raises InvalidValue."""
    changed = [name for name, value in changes.items() if getattr(record, name) != value]
    for name in changed:
        setattr(record, name, changes[name])
    check_record(record)
    if changed:
        record.save_changed(*changed)
    return changed


def check_record(record: VersionedRecord) -> None:
    """Raises InvalidValue for the first field that the model refuses."""
    try:
        record.full_clean()
    except ValidationError as error:
        field, reasons = next(iter(error.message_dict.items()))
        raise InvalidValue(" ".join(reasons), field="" if field == "__all__" else field) from None
