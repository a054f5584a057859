"""A person's own score of a lead: it is what the lead shows until it ends, whatever is judged meanwhile.

Rows of ScoreOverride are only ever added; the newest of a lead counts. Which one is shown is said by the
lead's current blend, whose `version` is the override's public id.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from crm import clock
from crm.actions.base import lead_for_change, moved_on, offer_undo, tell, undoable
from crm.actions.scores import blend_again
from crm.errors import InvalidValue, OutOfBounds, PermissionRefused, TransitionRefused
from crm.models import Actor, Lead, Score, ScoreKind, ScoreOverride, ScoreSource, Undo, User
from crm.plaintext import one_line

LONGEST = timedelta(days=366)
LONGEST_REASON = 300
ENDED_AT_ONCE = 500


@transaction.atomic
def override_score(
    lead_id: int, *, by: Actor, value: int, reason: str, until: datetime | None = None
) -> Lead:
    """Set the score that the lead shows, 0 to 100, with the reason; what agents and rules say is kept beside.

    It stays until `until` (None: until somebody lifts it), also when the lead is judged again. Only people
    set scores. Raises Lead.DoesNotExist, PermissionRefused, OutOfBounds, InvalidValue. Publishes LeadScored.
    Undoable.
    """
    lead = lead_for_change(lead_id, by=by)
    if by.user is None:
        raise PermissionRefused(_("Only a person may set a score."))
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100:
        raise OutOfBounds(_("Choose a score from 0 to 100."), field="value")
    now = clock.now()
    if until is not None and not now < until <= now + LONGEST:
        raise OutOfBounds(_("Choose an end within the next year."), field="until")
    before = override_of(lead)
    row = _add(lead, by.user, value=value, reason=reason, until=until)
    words = _("set the score to %(value)d: %(reason)s") % {"value": value, "reason": row.reason}
    _tell_and_offer(lead, row, before, words, by=by)
    return lead


@transaction.atomic
def lift_override(lead_id: int, *, by: Actor, reason: str) -> Lead:
    """Let the lead show again what agents and rules say.

    Raises Lead.DoesNotExist, PermissionRefused, InvalidValue, TransitionRefused when no person set its score.
    Publishes LeadScored. Undoable.
    """
    lead = lead_for_change(lead_id, by=by)
    if by.user is None:
        raise PermissionRefused(_("Only a person may set a score."))
    before = override_of(lead)
    if before is None:
        raise TransitionRefused(_("Nobody set this score."))
    row = _add(lead, by.user, value=None, reason=reason, until=None)
    _tell_and_offer(lead, row, before, _("let the score be judged again: %s") % row.reason, by=by)
    return lead


def override_of(lead: Lead) -> ScoreOverride | None:
    """What a person set and the lead shows, with the person; None while it is judged. At most two queries."""
    if lead.score_source != ScoreSource.OVERRIDE:
        return None
    shown = Score.objects.filter(lead=lead, kind=ScoreKind.BLEND, is_current=True)
    public_id = shown.values_list("version", flat=True).first() or ""
    if not public_id:
        return None
    return ScoreOverride.objects.select_related("user").filter(public_id=public_id).first()


def end_overrides(at: datetime) -> int:
    """Let scores be judged again whose override has ended, at most ENDED_AT_ONCE. Returns how many.

    Publishes LeadScored for each.
    """
    over = ScoreOverride.objects.filter(until__lte=at, lead__score_source=ScoreSource.OVERRIDE)
    lead_ids = sorted(set(over.order_by("until").values_list("lead", flat=True)[:ENDED_AT_ONCE]))
    return sum(_end(lead_id, at) for lead_id in lead_ids)


@transaction.atomic
def _end(lead_id: int, at: datetime) -> bool:
    lead = Lead.objects.select_for_update().get(pk=lead_id)
    row = override_of(lead)
    if row is None or row.until is None or row.until > at:
        return False
    blend_again(lead)
    words = _("%(value)d, set by %(name)s, has ended") % {"value": row.value or 0, "name": row.user}
    tell(lead, "lead.score_override_ended", words, by=Actor.system(), score=lead.score)
    return True


def _add(lead: Lead, user: User, *, value: int | None, reason: str, until: datetime | None) -> ScoreOverride:
    """Store the row and show it."""
    text = one_line(reason, LONGEST_REASON + 1)
    if not text:
        raise InvalidValue(_("Say why, in a few words."), field="reason")
    if len(text) > LONGEST_REASON:
        raise InvalidValue(_("A reason may have %d characters.") % LONGEST_REASON, field="reason")
    shown = Score.objects.filter(lead=lead, kind=ScoreKind.BLEND, is_current=True).first()
    row = ScoreOverride.objects.create(
        lead=lead, user=user, score=shown, value=value, reason=text, until=until
    )
    blend_again(lead, override=row if value is not None else None)
    return row


def _tell_and_offer(
    lead: Lead, row: ScoreOverride, before: ScoreOverride | None, words: str, *, by: Actor
) -> None:
    tell(
        lead, "lead.score_overridden", words, by=by, score=lead.score, source=lead.score_source,
        until=row.until.isoformat() if row.until else None,
    )  # fmt: skip
    notes = {"lead": lead.pk, "override": row.pk, "previous": before.pk if before else None}
    lead.undo_offer = offer_undo(  # type: ignore[attr-defined]
        "override_score", by=by, label=_("Score of %s") % lead.name, before=notes, rows=[]
    )


@undoable("override_score")
def _undo_override(row: Undo, by: Actor) -> None:
    """Adds a row that says what the one before said."""
    lead = lead_for_change(row.before["lead"], by=by)
    assert by.user is not None  # undo is offered to people only
    newest = ScoreOverride.objects.filter(lead=lead).order_by("-pk").first()
    if newest is None or newest.pk != row.before["override"]:
        raise moved_on(lead.name)
    previous = ScoreOverride.objects.filter(pk=row.before["previous"]).first()
    if previous and previous.until and previous.until <= clock.now():
        previous = None
    _add(
        lead, by.user,
        value=previous.value if previous else None,
        reason=previous.reason if previous else _("Taken back"),
        until=previous.until if previous else None,
    )  # fmt: skip
    tell(lead, "lead.score_overridden", _("took the score back"), by=by, score=lead.score)
