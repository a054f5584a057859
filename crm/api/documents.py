"""The JSON forms of records, built from `.values()` rows: a page of 50 costs little more than its query.

Beside each form stands the serializer that describes it in the OpenAPI document; tests compare the two.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import Prefetch
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from crm.models import (
    ActorKind,
    Band,
    ContactPoint,
    FactorSource,
    FollowUpState,
    LeadKind,
    LeadStatus,
    MessageState,
    NextActionKind,
    Outcome,
    PointKind,
    Purpose,
    Score,
    ScoreFactor,
    ScoreKind,
    ScoreSource,
    band_of,
)

Row = dict[str, Any]


class PersonSerializer(serializers.Serializer):
    """A user, by public id and name."""

    id = serializers.UUIDField()
    name = serializers.CharField()


class NamedSerializer(serializers.Serializer):
    """Another record, by public id and name."""

    id = serializers.UUIDField()
    name = serializers.CharField()


class SourceSerializer(serializers.Serializer):
    """Where a lead came from."""

    code = serializers.CharField()
    name = serializers.CharField()


def named(row: Row, relation: str) -> dict[str, Any] | None:
    """`{"id", "name"}` of a related row, or None."""
    public_id = row[f"{relation}__public_id"]
    return None if public_id is None else {"id": public_id, "name": row[f"{relation}__name"]}


# --- leads ------------------------------------------------------------------------------------------------

_LEAD_PLAIN = (
    "name",
    "company",
    "title",
    "kind",
    "country",
    "interest",
    "est_value",
    "currency",
    "status",
    "disqualify_reason",
    "score",
    "score_source",
    "next_action_at",
    "next_action_kind",
    "snoozed_until",
    "last_inbound_at",
    "last_outbound_at",
    "outcome",
    "version",
    "created_at",
    "updated_at",
)
LEAD_COLUMNS = (
    "id",
    "public_id",
    *_LEAD_PLAIN,
    "owner__public_id",
    "owner__name",
    "team__public_id",
    "team__name",
    "source__code",
    "source__name",
)
LEAD_DETAIL_COLUMNS = (*LEAD_COLUMNS, "mailing_address", "physical_address", "custom")


def lead_documents(rows: Sequence[Row]) -> list[Row]:
    """Rows of LEAD_COLUMNS as documents. One query, for the ways to reach all of them."""
    points = _primary_points([row["id"] for row in rows])
    return [_lead_document(row, points) for row in rows]


def _lead_document(row: Row, points: dict[tuple[int, str], str]) -> Row:
    document = {"id": row["public_id"]}
    for name in _LEAD_PLAIN:
        document[name] = row[name]
    document["band"] = band_of(row["score"])
    document["email"] = points.get((row["id"], PointKind.EMAIL), "")
    document["phone"] = points.get((row["id"], PointKind.PHONE), "")
    document["owner"] = named(row, "owner")
    document["team"] = named(row, "team")
    document["source"] = {"code": row["source__code"], "name": row["source__name"]}
    return document


def _primary_points(lead_ids: Iterable[int]) -> dict[tuple[int, str], str]:
    points = ContactPoint.objects.filter(lead_id__in=list(lead_ids), is_primary=True)
    return {(lead, kind): norm for lead, kind, norm in points.values_list("lead_id", "kind", "norm")}


def lead_detail(row: Row) -> Row:
    """One row of LEAD_DETAIL_COLUMNS as a document, with its current scores. Three queries."""
    document = lead_documents([row])[0]
    for name in ("mailing_address", "physical_address", "custom"):
        document[name] = row[name]
    scores = Score.objects.filter(lead_id=row["id"], is_current=True).order_by("kind")
    factors = Prefetch("factors", ScoreFactor.objects.order_by("position"))
    document["scores"] = [_score_document(score) for score in scores.prefetch_related(factors)]
    return document


def _score_document(score: Score) -> Row:
    return {
        "kind": score.kind,
        "value": score.value,
        "band": score.band,
        "provider": score.provider,
        "model": score.model,
        "is_sample": score.is_sample,
        "summary": score.summary,
        "created_at": score.created_at,
        "factors": [
            {
                "points": factor.points,
                "label": factor.label,
                "quote": factor.quote,
                "source_kind": factor.source_kind,
                "verified": factor.verified,
            }
            for factor in score.factors.all()
        ],
    }


class LeadSerializer(serializers.Serializer):
    """A lead as lists show it."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    company = serializers.CharField(allow_blank=True)
    title = serializers.CharField(allow_blank=True)
    kind = serializers.ChoiceField(LeadKind.choices)
    email = serializers.CharField(allow_blank=True)
    phone = serializers.CharField(allow_blank=True, help_text=_("E.164"))
    country = serializers.CharField(allow_blank=True)
    interest = serializers.CharField(allow_blank=True)
    est_value = serializers.DecimalField(max_digits=14, decimal_places=2, allow_null=True)
    currency = serializers.CharField()
    status = serializers.ChoiceField(LeadStatus.choices)
    disqualify_reason = serializers.CharField(allow_blank=True)
    score = serializers.IntegerField(allow_null=True, min_value=0, max_value=100)
    score_source = serializers.ChoiceField(ScoreSource.choices, allow_blank=True)
    band = serializers.ChoiceField([*Band.values, "none"])
    next_action_at = serializers.DateTimeField(allow_null=True)
    next_action_kind = serializers.ChoiceField(NextActionKind.choices, allow_blank=True)
    snoozed_until = serializers.DateTimeField(allow_null=True)
    last_inbound_at = serializers.DateTimeField(allow_null=True)
    last_outbound_at = serializers.DateTimeField(allow_null=True)
    outcome = serializers.ChoiceField(Outcome.choices)
    owner = PersonSerializer(allow_null=True)
    team = NamedSerializer(allow_null=True)
    source = SourceSerializer()
    version = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class FactorSerializer(serializers.Serializer):
    """One reason of a score. A verified one quotes the record word for word."""

    points = serializers.IntegerField()
    label = serializers.CharField()
    quote = serializers.CharField(allow_blank=True)
    source_kind = serializers.ChoiceField(FactorSource.choices, allow_blank=True)
    verified = serializers.BooleanField()


class ScoreSerializer(serializers.Serializer):
    """A current judgement; `is_sample` marks answers of the scripted model."""

    kind = serializers.ChoiceField(ScoreKind.choices)
    value = serializers.IntegerField(min_value=0, max_value=100)
    band = serializers.ChoiceField(Band.choices)
    provider = serializers.CharField(allow_blank=True)
    model = serializers.CharField(allow_blank=True)
    is_sample = serializers.BooleanField()
    summary = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    factors = FactorSerializer(many=True)


class LeadDetailSerializer(LeadSerializer):
    """A lead by itself."""

    mailing_address = serializers.CharField(allow_blank=True)
    physical_address = serializers.CharField(allow_blank=True)
    custom = serializers.DictField()
    scores = ScoreSerializer(many=True)


# --- timeline ---------------------------------------------------------------------------------------------

TIMELINE_COLUMNS = (
    "id",
    "public_id",
    "occurred_at",
    "kind",
    "actor_kind",
    "actor__public_id",
    "actor__name",
    "actor_label",
    "summary",
    "data",
)


def timeline_document(row: Row) -> Row:
    """One row of TIMELINE_COLUMNS."""
    return {
        "id": row["public_id"],
        "occurred_at": row["occurred_at"],
        "kind": row["kind"],
        "actor_kind": row["actor_kind"],
        "actor": named(row, "actor"),
        "actor_label": row["actor_label"],
        "summary": row["summary"],
        "data": row["data"],
    }


class TimelineEventSerializer(serializers.Serializer):
    """One line of a lead's story."""

    id = serializers.UUIDField()
    occurred_at = serializers.DateTimeField()
    kind = serializers.CharField()
    actor_kind = serializers.ChoiceField(ActorKind.choices)
    actor = PersonSerializer(allow_null=True)
    actor_label = serializers.CharField(allow_blank=True)
    summary = serializers.CharField(allow_blank=True)
    data = serializers.DictField()


# --- follow-ups -------------------------------------------------------------------------------------------

_FOLLOW_UP_PLAIN = (
    "channel",
    "purpose",
    "to_address",
    "subject",
    "body",
    "state",
    "needs_writing",
    "provider",
    "model",
    "approved_at",
    "reject_reason",
    "version",
    "created_at",
    "updated_at",
)
FOLLOW_UP_COLUMNS = (
    "id",
    "public_id",
    *_FOLLOW_UP_PLAIN,
    "lead__public_id",
    "lead__name",
    "approved_by__public_id",
    "approved_by__name",
    "message__state",
    "message__send_at",
    "message__sent_at",
)


def follow_up_document(row: Row) -> Row:
    """One row of FOLLOW_UP_COLUMNS."""
    document = {"id": row["public_id"], "lead": named(row, "lead")}
    for name in _FOLLOW_UP_PLAIN:
        document[name] = row[name]
    document["is_sample"] = row["provider"] == "scripted"
    document["approved_by"] = named(row, "approved_by")
    document["message"] = row["message__state"] and {
        "state": row["message__state"],
        "send_at": row["message__send_at"],
        "sent_at": row["message__sent_at"],
    }
    return document


class MessageSerializer(serializers.Serializer):
    """What became of the mail that carries a follow-up."""

    state = serializers.ChoiceField(MessageState.choices)
    send_at = serializers.DateTimeField(allow_null=True)
    sent_at = serializers.DateTimeField(allow_null=True)


class FollowUpSerializer(serializers.Serializer):
    """A message to a lead. It is sent only as a person approved it."""

    id = serializers.UUIDField()
    lead = NamedSerializer()
    channel = serializers.CharField()
    purpose = serializers.ChoiceField(Purpose.choices)
    to_address = serializers.CharField(allow_blank=True)
    subject = serializers.CharField(allow_blank=True)
    body = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(FollowUpState.choices)
    needs_writing = serializers.CharField(allow_blank=True)
    provider = serializers.CharField(allow_blank=True)
    model = serializers.CharField(allow_blank=True)
    is_sample = serializers.BooleanField()
    approved_by = PersonSerializer(allow_null=True)
    approved_at = serializers.DateTimeField(allow_null=True)
    reject_reason = serializers.CharField(allow_blank=True)
    message = MessageSerializer(allow_null=True)
    version = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
