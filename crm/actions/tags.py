"""Tags: words that people stick on records."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from crm import events
from crm.actions.base import Subject, check_version, offer_undo, record_for_change, tell, undoable
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
    if "," in name:
        raise InvalidValue(_("A tag's name holds no comma; commas part several tags."), field="name")
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
    if not Tag.objects.select_for_update(no_key=True).filter(pk=tag.pk).exists():
        raise InvalidValue(_("This tag is gone."), field="tag")
    if Tagging.objects.filter(**{target: record}).count() >= MOST_PER_RECORD:
        raise InvalidValue(_("A record holds at most %d tags.") % MOST_PER_RECORD, field="tag")
    if not Tagging.objects.get_or_create(tag=tag, **{target: record})[1]:
        return record
    _changed(record, target, tag, by=by, kind="tagged", words=_("tagged “%s”") % tag.name)
    return record


@transaction.atomic
def untag_record(target: str, record_id: int, *, by: Actor, tag: Tag) -> Subject:
    """Take a tag off. Raises the record's DoesNotExist, PermissionRefused, InvalidValue (`target`).
    Publishes LeadChanged for a lead. Undoable.
    """
    record = record_for_change(_model(target), record_id, by=by)
    if not Tagging.objects.filter(tag=tag, **{target: record}).delete()[0]:
        return record
    _changed(record, target, tag, by=by, kind="untagged", words=_("took the tag “%s” off") % tag.name)
    return record


def _model(target: str) -> type[Any]:
    if target not in MODELS:
        raise InvalidValue(_("Only leads, contacts, accounts and opportunities have tags."), field="target")
    return MODELS[target]


def _changed(record: Any, target: str, tag: Tag, *, by: Actor, kind: str, words: str) -> None:
    record.save_changed()
    tell(record, f"{target}.{kind}", words, by=by, tag=str(tag.public_id))
    before: dict[str, Any] = {"target": target, "record": record.pk, "tag": tag.pk}
    if target == "lead":
        before["lead"] = record.pk
        events.publish(events.LeadChanged(record.pk, fields=("tags",)))
    action = "tag_record" if kind == "tagged" else "untag_record"
    offer_undo(action, by=by, label=words[:1].upper() + words[1:], before=before, rows=[record])


@undoable("tag_record")
def _undo_tag(row: Undo, by: Actor) -> None:
    tag = Tag.objects.filter(pk=row.before["tag"]).first()
    if tag:
        untag_record(row.before["target"], row.before["record"], by=by, tag=tag)


@undoable("untag_record")
def _undo_untag(row: Undo, by: Actor) -> None:
    tag = Tag.objects.filter(pk=row.before["tag"]).first()
    if tag:
        tag_record(row.before["target"], row.before["record"], by=by, tag=tag)
