"""Tags: words that people stick on records."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db import transaction
from django.db.models import OuterRef, QuerySet
from django.db.models.functions import JSONObject, Lower
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from crm import events
from crm.actions.base import Subject, check_version, record_for_change
from crm.actions.steps import Step, take, undoable_step
from crm.errors import InvalidValue
from crm.models import Account, Actor, Contact, Lead, Opportunity, Tag, TagColour, Tagging, Undo
from crm.permissions import Verb, require

MOST_TAGS = 500
MOST_PER_RECORD = 30
MODELS: dict[str, type[Subject]] = {
    "lead": Lead,
    "contact": Contact,
    "account": Account,
    "opportunity": Opportunity,
}


@transaction.atomic
def save_tag(tag_id: int | None, *, by: Actor, version: int | None = None, **changes: Any) -> Tag:
    """Make a tag, or change its name or colour.

    Raises Tag.DoesNotExist, PermissionRefused, VersionConflict, InvalidValue (`name`, `colour`).
    """
    require(by, Verb.SET_UP)
    unknown = sorted(set(changes) - {"name", "colour"})
    if unknown:
        raise InvalidValue(_("There is no field “%s” to change.") % unknown[0], field=unknown[0])
    tag = Tag.objects.select_for_update().get(pk=tag_id) if tag_id is not None else Tag()
    if tag_id is None and Tag.objects.count() >= MOST_TAGS:
        raise InvalidValue(_("There are %d tags already; merge or delete some.") % MOST_TAGS, field="name")
    if tag_id is not None:
        check_version(tag, version)
    tag.name = _checked_name(changes.get("name", tag.name))
    tag.colour = changes.get("colour", tag.colour)
    if tag.colour not in TagColour.values:
        raise InvalidValue(_("There is no such colour."), field="colour")
    if Tag.objects.filter(name__iexact=tag.name).exclude(pk=tag.pk).exists():
        raise InvalidValue(_("There is a tag of this name already; merge the two instead."), field="name")
    if tag_id is None:
        tag.save()
    else:
        tag.save_changed("name", "colour")
    return tag


def _checked_name(text: Any) -> str:
    if not isinstance(text, str) or "\0" in text:
        raise InvalidValue(_("Write text here."), field="name")
    name = " ".join(text.split())
    if not name or len(name) > 60:
        raise InvalidValue(_("A tag's name has 1 to 60 characters."), field="name")
    if "," in name or ";" in name:
        raise InvalidValue(
            _("A tag's name holds no comma or semicolon; they part several tags."), field="name"
        )
    return name


@transaction.atomic
def merge_tags(loser_id: int, winner_id: int, *, by: Actor) -> Tag:
    """Give all records of the first tag the second one, and delete the first.

    Raises Tag.DoesNotExist, PermissionRefused, InvalidValue (`winner`) for one and the same.
    """
    require(by, Verb.SET_UP)
    if loser_id == winner_id:
        raise InvalidValue(_("Choose another tag to merge into."), field="winner")
    both = {
        tag.pk: tag
        for tag in Tag.objects.select_for_update().filter(pk__in=[loser_id, winner_id]).order_by("pk")
    }
    if len(both) < 2:
        raise Tag.DoesNotExist
    theirs = Tagging.objects.filter(tag=winner_id)
    for name in MODELS:
        taken = theirs.filter(**{f"{name}__isnull": False}).values(name)
        Tagging.objects.filter(tag=loser_id, **{f"{name}__isnull": False}).exclude(
            **{f"{name}__in": taken}
        ).update(tag=winner_id)
    both[loser_id].delete()
    return both[winner_id]


@transaction.atomic
def delete_tag(tag_id: int, *, by: Actor) -> int:
    """Take a tag off every record and delete it. Returns how many records had it.

    Raises Tag.DoesNotExist, PermissionRefused.
    """
    require(by, Verb.SET_UP)
    tag = Tag.objects.select_for_update().get(pk=tag_id)
    count = tag.taggings.count()
    tag.delete()
    return count


@transaction.atomic
def tag_record(target: str, record_id: int, *, by: Actor, tag: Tag) -> Subject:
    """Stick a tag on a lead, contact, account or opportunity; one that is there already stays.

    Raises the record's DoesNotExist, PermissionRefused, InvalidValue (`target`, `tag`). Publishes LeadChanged
    for a lead. Undoable.
    """
    record = record_for_change(_model(target), record_id, by=by)
    hold_tag(tag)
    take([tagging(record, tag, Tagged(target, [record_id]))], by=by)
    return record


@transaction.atomic
def untag_record(target: str, record_id: int, *, by: Actor, tag: Tag) -> Subject:
    """Take a tag off. Raises the record's DoesNotExist, PermissionRefused, InvalidValue (`target`).
    Publishes LeadChanged for a lead. Undoable.
    """
    record = record_for_change(_model(target), record_id, by=by)
    take([untagging(record, tag, Tagged(target, [record_id]))], by=by)
    return record


def hold_tag(tag: Tag) -> None:
    """Keep the tag from being deleted or merged meanwhile. Raises InvalidValue (`tag`) when it is gone."""
    if not Tag.objects.select_for_update(no_key=True).filter(pk=tag.pk).exists():
        raise InvalidValue(_("This tag is gone."), field="tag")


class Tagged:
    """The tags of some locked records, read at the first question."""

    def __init__(self, target: str, keys: Sequence[int]) -> None:
        self._target, self._keys = target, keys

    def on(self, record: Subject) -> dict[int, Tagging]:
        """By the key of the tag."""
        return self._all.get(record.pk, {})

    @cached_property
    def _all(self) -> dict[int, dict[int, Tagging]]:
        found: dict[int, dict[int, Tagging]] = defaultdict(dict)
        for row in Tagging.objects.filter(**{f"{self._target}__in": self._keys}):
            found[getattr(row, f"{self._target}_id")][row.tag_id] = row
        return found


class LeadTags:
    """Sticks tags on leads by their names, without a line in the story: what came in with them. Names that
    there are not, and those for which a lead has no room, are left out.
    """

    def __init__(self, lead_ids: Iterable[int], names: Iterable[str]) -> None:
        tags = _called(names)
        self._tags = {tag.name.lower(): tag for tag in tags.order_by("pk").select_for_update(no_key=True)}
        self._have: dict[int, set[int]] = defaultdict(set)
        self.new: list[dict[str, int]] = []  # fields of the taggings to come
        if self._tags:
            rows = Tagging.objects.filter(lead__in=lead_ids)
            for lead_id, tag_id in rows.values_list("lead", "tag"):
                self._have[lead_id].add(tag_id)

    def add(self, lead_id: int, names: Iterable[str]) -> list[int]:
        """The keys of the tags that the lead gets by it."""
        added = []
        for name in names:
            tag, have = self._tags.get(name.lower()), self._have[lead_id]
            if tag and tag.pk not in have and len(have) < MOST_PER_RECORD:
                have.add(tag.pk)
                added.append(tag.pk)
                self.new.append({"lead": lead_id, "tag": tag.pk})
        return added

    def save(self) -> None:
        Tagging.objects.bulk_create(Tagging(lead_id=one["lead"], tag_id=one["tag"]) for one in self.new)


def refuse_unknown_tags(names: Iterable[str]) -> None:
    """Raises InvalidValue (`tags`) naming the first that there is not."""
    names = list(names)
    known = {name.lower() for name in _called(names).values_list("name", flat=True)}
    for name in names:
        if name.lower() not in known:
            raise InvalidValue(_("There is no tag “%s”.") % name, field="tags")


def _called(names: Iterable[str]) -> QuerySet[Tag]:
    """The tags of these names, whatever their case. No names, no query."""
    lower = {name.lower() for name in names}
    return Tag.objects.annotate(lower=Lower("name")).filter(lower__in=lower) if lower else Tag.objects.none()


def tags_of(target: str) -> ArraySubquery:
    """For `.values()` of a list: each record's tags as [{"name", "colour"}, ...], by name."""
    rows = Tagging.objects.filter(**{target: OuterRef("pk")}).order_by("tag__name")
    return ArraySubquery(rows.values(found=JSONObject(name="tag__name", colour="tag__colour")))


def tagging(record: Subject, tag: Tag, tagged: Tagged) -> Step | None:
    """The step of `tag_record`, with its refusals."""
    tags = tagged.on(record)
    if tag.pk in tags:
        return None
    if len(tags) >= MOST_PER_RECORD:
        raise InvalidValue(_("A record holds at most %d tags.") % MOST_PER_RECORD, field="tag")
    row = Tagging(tag=tag, **{str(record._meta.model_name): record})
    return _step(record, tag, "tag_record", "tagged", _("tagged “%s”") % tag.name, added=[row])


def untagging(record: Subject, tag: Tag, tagged: Tagged) -> Step | None:
    """The step of `untag_record`."""
    row = tagged.on(record).get(tag.pk)
    words = _("took the tag “%s” off") % tag.name
    return _step(record, tag, "untag_record", "untagged", words, gone=[row]) if row else None


def _model(target: str) -> type[Any]:
    if target not in MODELS:
        raise InvalidValue(_("Only leads, contacts, accounts and opportunities have tags."), field="target")
    return MODELS[target]


def _step(
    record: Subject,
    tag: Tag,
    action: str,
    kind: str,
    words: str,
    *,
    added: Sequence[Tagging] = (),
    gone: Sequence[Tagging] = (),
) -> Step:
    target = str(record._meta.model_name)
    before: dict[str, Any] = {"target": target, "record": record.pk, "tag": tag.pk}
    return Step(
        record,
        (),
        kind=f"{target}.{kind}",
        summary=words,
        label=words[:1].upper() + words[1:],
        undo=action,
        before=before | ({"lead": record.pk} if target == "lead" else {}),
        data={"tag": str(tag.public_id)},
        added=added,
        gone=gone,
        happened=[events.LeadChanged(record.pk, fields=("tags",))] if target == "lead" else [],
    )


@dataclass(frozen=True, slots=True)
class _Stuck:
    tags: dict[int, Tag]
    tagged: Tagged


def _prepare(rows: Sequence[Undo], keys: Sequence[int]) -> _Stuck:
    tags = Tag.objects.filter(pk__in={row.before["tag"] for row in rows}).select_for_update(no_key=True)
    return _Stuck({tag.pk: tag for tag in tags.order_by("pk")}, Tagged(rows[0].before["target"], keys))


@undoable_step("tag_record", prepare=_prepare)
def _undo_tag(row: Undo, record: Subject, by: Actor, given: _Stuck) -> Step | None:
    tag = given.tags.get(row.before["tag"])
    return untagging(record, tag, given.tagged) if tag else None


@undoable_step("untag_record", prepare=_prepare)
def _undo_untag(row: Undo, record: Subject, by: Actor, given: _Stuck) -> Step | None:
    tag = given.tags.get(row.before["tag"])
    return tagging(record, tag, given.tagged) if tag else None
