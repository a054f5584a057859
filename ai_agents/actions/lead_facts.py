"""What the statistical score looks at, read for many leads in one query."""

import json
from collections.abc import Collection
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection

from ai_agents.scoring.facts import EARLY, FEATURES, Facts, Feature, custom_feature
from crm.models import Channel, CustomField, FieldTarget, Role
from crm.plaintext import normalised

RAW_TEXT = 4_000  # characters of the first message

# What came first, and how often they wrote in their first week, never past the outcome.
_FACTS = """
SELECT l.id, s.name, coalesce(first.channel, s.kind), l.country, first.given,
       EXISTS (SELECT 1 FROM crm_matchkey k WHERE k.lead_id = l.id AND k.kind = 'domain'),
       l.est_value, coalesce(first.message, ''), coalesce(first.received_at, l.created_at),
       (SELECT count(*) FROM crm_inquiry i WHERE i.lead_id = l.id AND i.state <> 'spam'
           AND i.received_at <= early.until),
       (SELECT count(*) FROM crm_message m WHERE m.lead_id = l.id AND m.direction = 'in'
           AND m.occurred_at <= early.until),
       l.custom::text
FROM crm_lead l JOIN crm_leadsource s ON s.id = l.source_id
LEFT JOIN LATERAL (
    SELECT i.channel, i.message, i.received_at, CASE WHEN jsonb_typeof(i.payload) = 'object' THEN
        ARRAY(SELECT key FROM jsonb_each_text(i.payload) WHERE value <> '') END AS given
    FROM crm_inquiry i WHERE i.lead_id = l.id AND i.state <> 'spam' ORDER BY i.received_at, i.id LIMIT 1
) AS first ON true
CROSS JOIN LATERAL (
    SELECT least(coalesce(first.received_at, l.created_at) + %(early)s::interval, l.outcome_at) AS until
) AS early
WHERE l.id = ANY(%(leads)s) AND l.deleted_at IS NULL AND l.merged_into_id IS NULL
"""


def features_now() -> list[Feature]:
    """The table, and the custom fields of leads that count for the score. One query."""
    fields = CustomField.objects.filter(
        target=FieldTarget.LEAD, is_active=True, is_scored=True, read_from=Role.READ_ONLY
    )
    return [*FEATURES, *(custom_feature(one.key, one.label, one.type) for one in fields)]


def facts_of(lead_ids: Collection[int]) -> dict[int, Facts]:
    """Lead id -> what is known of it; leads that are gone are left out. One query."""
    zone = ZoneInfo(settings.TIME_ZONE)
    with connection.cursor() as cursor:
        cursor.execute(_FACTS, {"leads": list(lead_ids), "early": f"{EARLY.days} days"})
        rows = cursor.fetchall()
    found = {}
    for lead_id, source, channel, country, given, has_domain, value, message, at, asked, replied, own in rows:
        found[lead_id] = Facts(
            source=source,
            channel=channel,
            country=country,
            given=frozenset(given or ()),
            has_company_mail=has_domain,
            est_value=None if value is None else float(value),
            message=normalised(message[:RAW_TEXT]),
            inquiries=max(asked, 1),
            replies=replied,
            arrived_at=None if channel == Channel.CSV else at.astimezone(zone),
            custom=json.loads(own),
        )
    return found
