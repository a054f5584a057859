"""Their pipelines and stages. One of ours of the same name is it; a new one gets exactly their stages."""

from typing import Any

from django.utils.translation import gettext as _

from crm.actions.pipelines import add_stage, archive_stage, reorder_stages, save_pipeline, update_stage
from crm.errors import InvalidValue
from crm.imports.legacy.mapping import Part
from crm.imports.legacy.work import Report, Work, text
from crm.models import Actor, Pipeline, Stage, StageKind


class Pipelines:
    """`usual`: the stages that a pipeline made by us began with and that none of theirs has taken yet."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._usual: dict[int, list[Stage]] = {}
        self._places: dict[int, float] = {}  # stage -> place over there

    def bring_pipeline(self, part: Part, row: dict[str, Any], report: Report) -> bool:
        """Whether it is new. Raises CRMError."""
        name, became = text(row["name"])[:120], self.work.became["pipelines"]
        found = Pipeline.objects.filter(name__iexact=name).order_by("pk").first()
        if found:
            became[str(row["id"])] = found.pk
            return False
        if not name:
            raise InvalidValue(_("A pipeline needs a name."), field="name")
        if self.work.is_dry:
            became[str(row["id"])] = None
            return True
        made = save_pipeline(None, by=self._admin(), name=name)
        self._usual[made.pk] = list(made.stages.order_by("position"))
        became[str(row["id"])] = made.pk
        return True

    def bring_stage(self, part: Part, row: dict[str, Any], report: Report) -> bool:
        """Whether it is new. Raises CRMError."""
        pipeline_id = self._pipeline(row["pipeline"])
        name, became = text(row["name"])[:120], self.work.became["stages"]
        found = Stage.objects.filter(pipeline=pipeline_id, name__iexact=name, is_active=True).first()
        if found and found not in self._usual.get(pipeline_id or 0, []):
            became[str(row["id"])] = found.pk
            self.work.kinds[str(row["id"])] = found.kind
            return False
        kind = self.work.word(part, row, "kind", report) or StageKind.OPEN
        values: dict[str, Any] = {"name": name, "kind": kind, **_probability(row, kind)}
        if not name:
            raise InvalidValue(_("A stage needs a name."), field="name")
        self.work.kinds[str(row["id"])] = kind
        if pipeline_id is None or self.work.is_dry:
            became[str(row["id"])] = None
            return True
        taken = next((one for one in self._usual.get(pipeline_id, []) if one.kind == kind), None)
        if taken:
            self._usual[pipeline_id].remove(taken)
            made = update_stage(taken.pk, by=self._admin(), **values)
        else:
            made = add_stage(pipeline_id, by=self._admin(), **values)
        if isinstance(row.get("position"), int | float):
            self._places[made.pk] = row["position"]
        became[str(row["id"])] = made.pk
        return True

    def finish(self) -> None:
        """Put the stages of new pipelines in their order, and the usual open ones aside if theirs came."""
        for pipeline_id, usual in self._usual.items():
            stages = list(Stage.objects.filter(pipeline=pipeline_id, is_active=True).order_by("position"))
            left = [stage for stage in usual if stage.kind == StageKind.OPEN]
            if len(left) < sum(stage.kind == StageKind.OPEN for stage in stages):
                for stage in left:
                    archive_stage(stage.pk, by=self._admin())
            stages.sort(
                key=lambda s: (s.kind != StageKind.OPEN, s in left, self._places.get(s.pk, 1e9), s.position)
            )
            reorder_stages(pipeline_id, by=self._admin(), order=[stage.pk for stage in stages])
        self._usual.clear()

    def _pipeline(self, their_id: Any) -> int | None:
        """Ours for theirs; None: a dry run would make it."""
        became = self.work.became["pipelines"]
        if str(their_id) not in became:
            raise InvalidValue(_("Its pipeline %s did not come in.") % text(their_id), field="pipeline")
        return became[str(their_id)]

    def _admin(self) -> Actor:
        assert self.work.admin is not None  # the command asks for one when there are pipelines to set up
        return self.work.admin


def _probability(row: dict[str, Any], kind: str) -> dict[str, int]:
    """Whole percents; a share such as 0.25 is 25. Raises InvalidValue."""
    theirs = row.get("probability")
    if theirs is None or kind != StageKind.OPEN:
        return {}
    try:
        number = float(theirs)
    except (TypeError, ValueError):
        raise InvalidValue(_("This is no number."), field="probability") from None
    return {"probability": round(number * 100 if 0 < number < 1 else number)}
