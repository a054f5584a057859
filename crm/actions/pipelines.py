"""Pipelines and their stages: what an admin sets up, and the stage that a new opportunity begins in."""

from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from crm.actions.base import check_version
from crm.actions.set_up import change_record, check_record
from crm.errors import InvalidValue, TransitionRefused
from crm.models import Actor, CustomField, FieldTarget, Opportunity, Pipeline, Stage, StageKind
from crm.permissions import Verb, require

PIPELINE_LOCK = 7_301_002  # advisory: two first users must not make two default pipelines
MOST_STAGES = 30
PIPELINE_FIELDS = {"name", "position"}
STAGE_FIELDS = {"name", "kind", "probability", "rot_days", "wip_limit", "exit_rules"}
EXIT_FIELDS = ("amount", "expected_close", "account", "primary_contact", "source", "owner", "next_action_at")
FIXED_PROBABILITY = {StageKind.WON: 100, StageKind.LOST: 0}


def _first_stages() -> list[dict[str, Any]]:
    """What a new pipeline begins with; names in the language of whoever makes it."""
    return [
        {"name": _("Qualified"), "probability": 20, "rot_days": 14},
        {"name": _("Proposal"), "probability": 50, "rot_days": 14},
        {"name": _("Negotiation"), "probability": 75, "rot_days": 7},
        {"name": _("Won"), "kind": StageKind.WON, "probability": 100},
        {"name": _("Lost"), "kind": StageKind.LOST, "probability": 0},
    ]


def _make(name: str, *, position: int, is_default: bool) -> Pipeline:
    pipeline = Pipeline(name=name, position=position, is_default=is_default)
    check_record(pipeline)
    pipeline.save()
    Stage.objects.bulk_create(
        Stage(pipeline=pipeline, position=position, **values)
        for position, values in enumerate(_first_stages(), start=1)
    )
    return pipeline


@transaction.atomic
def default_pipeline() -> Pipeline:
    """The pipeline that opportunities go to unless one says otherwise; made on its first use."""
    found = Pipeline.objects.filter(is_default=True).first()
    if found:
        return found
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [PIPELINE_LOCK])
    found = Pipeline.objects.filter(is_default=True).first()
    return found or _make(_("Sales"), position=0, is_default=True)


def first_stage(pipeline: Pipeline | None = None, kind: StageKind = StageKind.OPEN) -> Stage:
    """The first stage of this kind in use, in this pipeline or in the default one.

    Raises TransitionRefused when the pipeline has none.
    """
    pipeline = pipeline or default_pipeline()
    stages = Stage.objects.filter(pipeline=pipeline, kind=kind, is_active=True)
    stage = stages.select_related("pipeline").order_by("position").first()
    if stage is None:
        words = _("The pipeline “%(pipeline)s” has no stage of the kind “%(kind)s”.")
        raise TransitionRefused(words % {"pipeline": pipeline, "kind": StageKind(kind).label})
    return stage


@transaction.atomic
def save_pipeline(
    pipeline_id: int | None, *, by: Actor, version: int | None = None, **changes: Any
) -> Pipeline:
    """Make a pipeline, with stages to begin with, or change one: its name, its place among the others.

    Raises Pipeline.DoesNotExist, PermissionRefused, VersionConflict, InvalidValue.
    """
    require(by, Verb.SET_UP)
    _known(changes, PIPELINE_FIELDS)
    if pipeline_id is None:
        default_pipeline()  # so that the first one somebody makes does not stand in for the default
        last = Pipeline.objects.aggregate(last=Max("position"))["last"] or 0
        return _make(changes.get("name", ""), position=changes.get("position", last + 1), is_default=False)
    pipeline = _pipeline_for_change(pipeline_id, version)
    change_record(pipeline, changes)
    return pipeline


@transaction.atomic
def set_default_pipeline(pipeline_id: int, *, by: Actor) -> Pipeline:
    """Make this one the default. Raises PermissionRefused, TransitionRefused (archived)."""
    require(by, Verb.SET_UP)
    list(Pipeline.objects.select_for_update().order_by("pk"))  # a handful; two must not become the default
    pipeline = Pipeline.objects.get(pk=pipeline_id)
    if not pipeline.is_active:
        raise TransitionRefused(_("This pipeline is archived; take it out of the archive first."))
    for other in Pipeline.objects.filter(is_default=True).exclude(pk=pipeline_id):
        other.is_default = False
        other.save_changed("is_default")
    if not pipeline.is_default:
        pipeline.is_default = True
        pipeline.save_changed("is_default")
    return pipeline


@transaction.atomic
def archive_pipeline(pipeline_id: int, *, by: Actor, version: int | None = None) -> Pipeline:
    """Take a pipeline out of use. Raises TransitionRefused for the default and while something is open."""
    require(by, Verb.SET_UP)
    pipeline = _pipeline_for_change(pipeline_id, version)
    if pipeline.is_default:
        raise TransitionRefused(_("The default pipeline stays. Make another one the default first."))
    list(Stage.objects.select_for_update().filter(pipeline=pipeline).order_by("pk"))  # nothing may enter
    if Opportunity.objects.open().filter(stage__pipeline=pipeline).exists():
        raise TransitionRefused(
            _("Open opportunities lie in “%s”. Move or close them first.") % pipeline.name
        )
    change_record(pipeline, {"is_active": False})
    return pipeline


@transaction.atomic
def restore_pipeline(pipeline_id: int, *, by: Actor, version: int | None = None) -> Pipeline:
    """Take a pipeline into use again. Raises PermissionRefused, VersionConflict."""
    require(by, Verb.SET_UP)
    pipeline = _pipeline_for_change(pipeline_id, version)
    change_record(pipeline, {"is_active": True})
    return pipeline


@transaction.atomic
def add_stage(pipeline_id: int, *, by: Actor, **values: Any) -> Stage:
    """A new stage behind the last open one (`kind` open), or at the end. Raises InvalidValue."""
    require(by, Verb.SET_UP)
    pipeline = _pipeline_for_change(pipeline_id, None)
    stages = list(Stage.objects.select_for_update().filter(pipeline=pipeline).order_by("position"))
    if len(stages) >= MOST_STAGES:
        raise InvalidValue(_("A pipeline has at most %d stages.") % MOST_STAGES, field="name")
    stage = Stage(pipeline=pipeline, position=max((s.position for s in stages), default=0) + 1)
    _set(stage, values)
    stage.save()
    place = len(stages)
    if stage.kind == StageKind.OPEN:
        place = max((i for i, s in enumerate(stages, start=1) if s.kind == StageKind.OPEN), default=0)
    _place([*stages[:place], stage, *stages[place:]])
    return stage


@transaction.atomic
def update_stage(stage_id: int, *, by: Actor, version: int | None = None, **changes: Any) -> Stage:
    """Change STAGE_FIELDS of a stage.

    Raises Stage.DoesNotExist, PermissionRefused, VersionConflict, InvalidValue; TransitionRefused when the
    kind would change under opportunities, or the last stage of a kind would go.
    """
    require(by, Verb.SET_UP)
    stage = _stage_for_change(stage_id, version)
    if changes.get("kind", stage.kind) != stage.kind:
        if Opportunity.objects.filter(stage=stage).exists():
            raise TransitionRefused(
                _("Opportunities lie in “%s”, so what kind of stage it is stays as it is.") % stage.name
            )
        _refuse_last_of_kind(stage)
    before = {name: getattr(stage, name) for name in STAGE_FIELDS}
    _set(stage, changes)
    changed = [name for name in before if getattr(stage, name) != before[name]]
    if changed:
        stage.save_changed(*changed)
    return stage


@transaction.atomic
def reorder_stages(pipeline_id: int, *, by: Actor, order: Sequence[int]) -> list[Stage]:
    """Put the stages in this order (keys, each once). Raises PermissionRefused, InvalidValue (`order`)."""
    require(by, Verb.SET_UP)
    pipeline = _pipeline_for_change(pipeline_id, None)
    stages = {s.pk: s for s in Stage.objects.select_for_update().filter(pipeline=pipeline).order_by("pk")}
    if sorted(order) != sorted(stages):
        raise InvalidValue(_("Name every stage of this pipeline once."), field="order")
    ordered = [stages[pk] for pk in order]
    _place(ordered)
    return ordered


@transaction.atomic
def archive_stage(stage_id: int, *, by: Actor, version: int | None = None) -> Stage:
    """Take a stage out of use. Raises TransitionRefused while opportunities lie there, and for the last stage
    of its kind.
    """
    require(by, Verb.SET_UP)
    stage = _stage_for_change(stage_id, version)
    if Opportunity.objects.live().filter(stage=stage).exists():
        raise TransitionRefused(_("Opportunities lie in “%s”. Move them first.") % stage.name)
    _refuse_last_of_kind(stage)
    change_record(stage, {"is_active": False})
    return stage


@transaction.atomic
def restore_stage(stage_id: int, *, by: Actor, version: int | None = None) -> Stage:
    """Take a stage into use again. Raises PermissionRefused, VersionConflict."""
    require(by, Verb.SET_UP)
    stage = _stage_for_change(stage_id, version)
    change_record(stage, {"is_active": True})
    return stage


def _pipeline_for_change(pipeline_id: int, version: int | None) -> Pipeline:
    pipeline = Pipeline.objects.select_for_update().get(pk=pipeline_id)
    check_version(pipeline, version)
    return pipeline


def _stage_for_change(stage_id: int, version: int | None) -> Stage:
    stage = Stage.objects.select_for_update(of=("self",)).select_related("pipeline").get(pk=stage_id)
    check_version(stage, version)
    return stage


def _refuse_last_of_kind(stage: Stage) -> None:
    others = Stage.objects.filter(pipeline=stage.pipeline_id, kind=stage.kind, is_active=True)
    if stage.is_active and not others.exclude(pk=stage.pk).exists():
        words = _("“%(stage)s” is the last stage of the kind “%(kind)s”; a pipeline needs one.")
        raise TransitionRefused(words % {"stage": stage.name, "kind": stage.get_kind_display()})


def _known(values: dict[str, Any], names: set[str]) -> None:
    unknown = sorted(set(values) - names)
    if unknown:
        raise InvalidValue(_("There is no field “%s” to change.") % unknown[0], field=unknown[0])


def _set(stage: Stage, values: dict[str, Any]) -> None:
    """Put checked values into the stage. A won stage is 100 %, a lost one 0, whatever it was before."""
    _known(values, STAGE_FIELDS)
    for name, value in values.items():
        setattr(stage, name, value)
    if stage.kind not in StageKind.values:
        raise InvalidValue(_("Choose open, won or lost."), field="kind")
    fixed = FIXED_PROBABILITY.get(StageKind(stage.kind))
    if fixed is not None and values.get("probability", fixed) not in {fixed, None}:
        words = _("A stage of the kind “%(kind)s” has the probability %(percent)d %%.")
        label = StageKind(stage.kind).label
        raise InvalidValue(words % {"kind": label, "percent": fixed}, field="probability")
    if fixed is not None:
        stage.probability = fixed
    _check_number(stage.probability, "probability", 0, 100)
    for name in ("rot_days", "wip_limit"):
        if getattr(stage, name) is not None:
            _check_number(getattr(stage, name), name, 1, 32_767)
    _check_exit_rules(stage.exit_rules)
    check_record(stage)


def _check_number(value: Any, field: str, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        words = _("Write a whole number from %(least)d to %(most)d.")
        raise InvalidValue(words % {"least": least, "most": most}, field=field)


def _check_exit_rules(rules: Any) -> None:
    if not isinstance(rules, list) or not all(isinstance(rule, str) for rule in rules):
        raise InvalidValue(_("Write a list of fields, such as [“amount”]."), field="exit_rules")
    own = {
        f"custom.{key}"
        for key in CustomField.objects.filter(target=FieldTarget.OPPORTUNITY).values_list("key", flat=True)
    }
    wrong = [rule for rule in rules if rule not in EXIT_FIELDS and rule not in own]
    if wrong or len(set(rules)) < len(rules):
        words = _("“%(wrong)s” is no field that can be asked for. There are: %(known)s.")
        known = ", ".join([*EXIT_FIELDS, *sorted(own)])
        raise InvalidValue(words % {"wrong": (wrong or rules)[0], "known": known}, field="exit_rules")


def _place(stages: Sequence[Stage]) -> None:
    """Number the stages from 1 on; the unique constraint is looked at when the transaction ends."""
    for position, stage in enumerate(stages, start=1):
        if stage.position != position:
            stage.position = position
            stage.save_changed("position")
