"""The JSON forms of records.

Beside each form stands the serializer that describes it in the OpenAPI document; tests compare the two.
"""

from typing import Any

import orjson
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from crm.models import (
    Actor,
    ActorKind,
    Band,
    FactorSource,
    FollowUpState,
    Language,
    Lead,
    LeadKind,
    LeadStatus,
    Length,
    MessageState,
    NextActionKind,
    Outcome,
    Purpose,
    ScoreKind,
    ScoreSource,
    Tone,
)
from crm.models.hidden import DocumentField
from crm.permissions import without_kept_fields

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
# PostgreSQL writes this JSON itself, in the query that chooses the rows (and checks rights), at a fraction of
# the cost of ORM rows and a Python encoder. The text is constant; it knows the row by its table's name.


def _utc(column: str) -> str:
    """A timestamptz as RFC 3339 text in UTC."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


def _point(kind: str) -> str:
    return (
        f"coalesce((SELECT norm FROM crm_contactpoint WHERE lead_id = crm_lead.id AND kind = '{kind}'"  # noqa: S608
        " AND is_primary), '')"
    )


_LEAD = f"""
    crm_lead.public_id AS id, crm_lead.name, crm_lead.company, crm_lead.title, crm_lead.kind,
    {_point("email")} AS email, {_point("phone")} AS phone,
    crm_lead.country, crm_lead.interest, crm_lead.est_value::text AS est_value, crm_lead.currency,
    crm_lead.status, crm_lead.disqualify_reason, crm_lead.score, crm_lead.score_source,
    CASE WHEN crm_lead.score >= 75 THEN 'hot' WHEN crm_lead.score >= 50 THEN 'warm'
         WHEN crm_lead.score IS NULL THEN 'none' ELSE 'cool' END AS band,
    {_utc("crm_lead.next_action_at")} AS next_action_at, crm_lead.next_action_kind,
    {_utc("crm_lead.snoozed_until")} AS snoozed_until,
    {_utc("crm_lead.last_inbound_at")} AS last_inbound_at,
    {_utc("crm_lead.last_outbound_at")} AS last_outbound_at,
    {_utc("crm_lead.answer_due_at")} AS answer_due_at,
    crm_lead.outcome,
    (SELECT coalesce(json_agg(tag.name ORDER BY tag.name), '[]') FROM crm_tagging
        JOIN crm_tag AS tag ON tag.id = tag_id WHERE lead_id = crm_lead.id) AS tags,
    (SELECT json_build_object('id', public_id, 'name', name) FROM crm_user WHERE id = crm_lead.owner_id)
        AS owner,
    (SELECT json_build_object('id', public_id, 'name', name) FROM crm_team WHERE id = crm_lead.team_id)
        AS team,
    (SELECT json_build_object('code', code, 'name', name) FROM crm_leadsource WHERE id = crm_lead.source_id)
        AS source,
    crm_lead.version, {_utc("crm_lead.created_at")} AS created_at, {_utc("crm_lead.updated_at")} AS updated_at
"""  # noqa: S608
_LEAD_DETAIL = f"""
    crm_lead.mailing_address, crm_lead.physical_address, crm_lead.custom,
    (SELECT coalesce(json_agg(row_to_json(current)), '[]') FROM (
        SELECT score.kind, score.value, score.band, score.provider, score.model,
               score.provider = 'scripted' AS is_sample, score.summary,
               {_utc("score.created_at")} AS created_at,
               (SELECT coalesce(json_agg(json_build_object(
                    'points', points, 'label', label, 'quote', quote, 'source_kind', source_kind,
                    'verified', verified) ORDER BY position), '[]')
                FROM crm_scorefactor WHERE score_id = score.id) AS factors
        FROM crm_score AS score WHERE score.lead_id = crm_lead.id AND score.is_current ORDER BY score.kind
    ) AS current) AS scores,
    (SELECT row_to_json(set_by_hand) FROM (
        SELECT override.value, override.reason, {_utc("override.until")} AS until,
               json_build_object('id', person.public_id, 'name', person.name) AS by,
               {_utc("override.created_at")} AS created_at
        FROM crm_score AS score
        JOIN crm_scoreoverride AS override
            ON override.lead_id = score.lead_id AND override.public_id::text = score.version
        JOIN crm_user AS person ON person.id = override.user_id
        WHERE score.lead_id = crm_lead.id AND score.is_current AND score.blended_from = 'override'
    ) AS set_by_hand) AS override
"""  # noqa: S608


def _document(columns: str) -> RawSQL:
    """A text of JSON beside the row, to be used in `.values()` of a Lead queryset."""
    statement = f"SELECT row_to_json(document)::text FROM (SELECT {columns}) AS document"  # noqa: S608 constant
    return RawSQL(statement, (), output_field=DocumentField())  # noqa: S611 constant


LEAD = _document(_LEAD)
LEAD_DETAIL = _document(f"{_LEAD}, {_LEAD_DETAIL}")


def lead_document(lead_id: int) -> dict[str, Any]:
    """One lead as LeadSerializer describes it, whoever may see it. One query."""
    return orjson.loads(Lead.objects.filter(pk=lead_id).values_list(LEAD, flat=True).get())


def as_readable(document: dict[str, Any], who: Actor) -> dict[str, Any]:
    """Without the own fields that `who` may not read. At most one query."""
    if document.get("custom"):
        document["custom"] = without_kept_fields(who, "lead", document["custom"])
    return document


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
    answer_due_at = serializers.DateTimeField(allow_null=True, help_text=_("null: nobody waits"))
    outcome = serializers.ChoiceField(Outcome.choices)
    tags = serializers.ListField(child=serializers.CharField(), help_text=_("names, in their order"))
    owner = PersonSerializer(allow_null=True)
    team = NamedSerializer(allow_null=True)
    source = SourceSerializer()  # type: ignore[assignment]
    version = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class FactorSerializer(serializers.Serializer):
    """One reason of a score. A verified one quotes the record word for word."""

    points = serializers.IntegerField()
    label = serializers.CharField()  # type: ignore[assignment]
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


class OverrideNoteSerializer(serializers.Serializer):
    """Who set the score that the lead shows, and why. Until `until`, or until it is lifted (null)."""

    value = serializers.IntegerField(min_value=0, max_value=100)
    reason = serializers.CharField()
    until = serializers.DateTimeField(allow_null=True)
    by = PersonSerializer()
    created_at = serializers.DateTimeField()


class LeadDetailSerializer(LeadSerializer):
    """A lead by itself."""

    mailing_address = serializers.CharField(allow_blank=True)
    physical_address = serializers.CharField(allow_blank=True)
    custom = serializers.DictField()
    scores = ScoreSerializer(many=True)
    override = OverrideNoteSerializer(allow_null=True, help_text="null: the score is judged")


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
    data = serializers.DictField()  # type: ignore[assignment]


# --- follow-ups -------------------------------------------------------------------------------------------

_FOLLOW_UP_PLAIN = (
    "channel",
    "purpose",
    "tone",
    "length",
    "language",
    "instruction",
    "to_address",
    "subject",
    "body",
    "state",
    "needs_writing",
    "provider",
    "model",
    "approved_at",
    "reject_reason",
    "reject_note",
    "edit_ratio",
    "version",
    "created_at",
    "updated_at",
)
FOLLOW_UP_COLUMNS = (
    "id",
    "public_id",
    *_FOLLOW_UP_PLAIN,
    "original_body",
    "marks",
    "facts_used",
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
    document["sentences"] = sentences_of(row["original_body"], row["marks"], row["facts_used"])
    document["approved_by"] = named(row, "approved_by")
    document["message"] = row["message__state"] and {
        "state": row["message__state"],
        "send_at": row["message__send_at"],
        "sent_at": row["message__sent_at"],
    }
    return document


def sentences_of(body: str, marks: list[Any], facts_used: list[Any]) -> list[Row]:
    """The agent's sentences that rest on facts, each with its facts."""
    known = {fact["id"]: fact for fact in facts_used if isinstance(fact, dict) and "id" in fact}
    return [
        {
            "text": body[mark["start"] : mark["end"]],
            "facts": [
                {"id": fact_id, "source_kind": known[fact_id]["kind"], "field": known[fact_id]["field"]}
                for fact_id in mark["facts"]
                if fact_id in known
            ],
        }
        for mark in marks
    ]


class FactSerializer(serializers.Serializer):
    """A text of the record: an inquiry, message, note or call by its id, or a field of the lead by name."""

    id = serializers.CharField()
    source_kind = serializers.ChoiceField(FactorSource.choices)
    field = serializers.CharField(allow_blank=True)


class SentenceSerializer(serializers.Serializer):
    """A sentence as the agent wrote it, and the facts that it rests on."""

    text = serializers.CharField()
    facts = FactSerializer(many=True)


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
    tone = serializers.ChoiceField(Tone.choices, allow_blank=True)
    length = serializers.ChoiceField(Length.choices, allow_blank=True)
    language = serializers.ChoiceField(Language.choices, allow_blank=True)
    instruction = serializers.CharField(allow_blank=True)
    to_address = serializers.CharField(allow_blank=True)
    subject = serializers.CharField(allow_blank=True)
    body = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(FollowUpState.choices)
    needs_writing = serializers.CharField(allow_blank=True)
    provider = serializers.CharField(allow_blank=True)
    model = serializers.CharField(allow_blank=True)
    is_sample = serializers.BooleanField()
    sentences = SentenceSerializer(many=True)
    approved_by = PersonSerializer(allow_null=True)
    approved_at = serializers.DateTimeField(allow_null=True)
    reject_reason = serializers.CharField(allow_blank=True)
    reject_note = serializers.CharField(allow_blank=True)
    edit_ratio = serializers.FloatField(
        allow_null=True, help_text="share of an agent's words that its approver changed, 0 to 1"
    )
    message = MessageSerializer(allow_null=True)
    version = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
