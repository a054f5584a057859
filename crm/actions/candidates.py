"""Leads that may be one person though no strong key proves it: noted for people to decide.

Looked for only where an index leads: leads of the same company (as written), the same name, or the same mail
domain. `receive_inquiry` and imports run the same statement, so both note the same pairs: keys are written in
the order of the rows, and a lead is compared with keys older than its own.
"""

from collections.abc import Sequence

from django.db import connection
from django.utils.translation import gettext as _

from crm.models import CandidateState, DuplicateCandidate, MergeLog, MergeTarget

ALIKE = 0.6  # pg_trgm similarity from which two names may be one person's
LOOKED_AT = 20  # newest leads of each company, name or domain
NOTED = 5  # candidates of one new lead
_PART = "split_part({key}.value, '|', {place})"
_BLOCK = """(
    SELECT o.lead_id, o.value FROM crm_matchkey o
    WHERE o.kind = '{kind}' AND {other} = {mine} 
      AND o.lead_id < lead.id AND o.id < k.id
    ORDER BY {other} DESC, o.lead_id DESC LIMIT %(looked_at)s
)"""
# LATERAL, one index each: an import fills tables of which the planner knows nothing yet.
_KEYS = "SELECT id, value FROM crm_matchkey WHERE lead_id = lead.id AND kind = '{kind}' OFFSET 0"
_FOLDED = "regexp_replace(normalize({name}, NFKD), '[\u0300-\u036f]', '', 'g')"


def _same(place: int) -> str:
    parts = {alias: _PART.format(key=alias, place=place) for alias in ("o", "k")}
    return _BLOCK.format(kind="name_company", other=parts["o"], mine=parts["k"])


_FIND = f"""
WITH pairs AS (
    SELECT lead.id, other.lead_id AS other_id, similarity(k.value, other.value) AS alike, 'name' AS reason
    FROM unnest(%(leads)s::bigint[]) AS lead (id)
    CROSS JOIN LATERAL ({_KEYS.format(kind="name_company")}) AS k
    CROSS JOIN LATERAL ({_same(1)} UNION {_same(2)}) AS other
  UNION ALL
    SELECT lead.id, known.id,
           similarity({_FOLDED.format(name="own.name")}, {_FOLDED.format(name="known.name")})
           AS alike, 'domain'
    FROM unnest(%(leads)s::bigint[]) AS lead (id)
    CROSS JOIN LATERAL (SELECT name FROM crm_lead WHERE crm_lead.id = lead.id OFFSET 0) AS own
    CROSS JOIN LATERAL ({_KEYS.format(kind="domain")}) AS k
    CROSS JOIN LATERAL {_BLOCK.format(kind="domain", other="o.value", mine="k.value")} AS other
    CROSS JOIN LATERAL (SELECT id, name FROM crm_lead WHERE crm_lead.id = other.lead_id OFFSET 0) AS known
), best AS (
    SELECT pairs.id, other_id, max(alike) AS alike, array_agg(DISTINCT reason ORDER BY reason) AS reasons,
           row_number() OVER (PARTITION BY pairs.id ORDER BY max(alike) DESC, other_id) AS place
    FROM pairs
    CROSS JOIN LATERAL (SELECT contact_id FROM crm_lead WHERE crm_lead.id = pairs.id OFFSET 0) AS lead
    CROSS JOIN LATERAL (
        SELECT contact_id, deleted_at, merged_into_id FROM crm_lead WHERE crm_lead.id = other_id OFFSET 0
    ) AS known
    WHERE alike >= %(alike)s AND known.deleted_at IS NULL AND known.merged_into_id IS NULL
      AND (lead.contact_id IS NULL OR lead.contact_id IS DISTINCT FROM known.contact_id)
    GROUP BY pairs.id, other_id
)
SELECT id, other_id, alike, reasons FROM best WHERE place <= %(noted)s ORDER BY id, place
"""  # noqa: S608 our own words only


def note_candidates(lead_ids: Sequence[int]) -> int:
    """Note for these new leads which older ones they may be the same person as. Two statements at most.

    Returns how many pairs were found; what is noted, or was decided, already stays.
    """
    if not lead_ids:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            _FIND, {"leads": list(lead_ids), "looked_at": LOOKED_AT, "alike": ALIKE, "noted": NOTED}
        )
        found = cursor.fetchall()
    words = {
        "name": _("Name and company are alike."),
        "domain": _("Same mail domain, and the names are alike."),
    }
    DuplicateCandidate.objects.bulk_create(
        [
            DuplicateCandidate(
                target=MergeTarget.LEAD,
                lead_a_id=min(lead, other),
                lead_b_id=max(lead, other),
                score=round(alike * 100),
                reasons=[words[reason] for reason in reasons],
            )
            for lead, other, alike, reasons in found
        ],
        ignore_conflicts=True,
    )
    return len(found)


def note_pair(first_lead_id: int, second_lead_id: int, *, score: int, reason: str) -> None:
    """Note one pair for people to decide; if it is noted already, it stays as it is."""
    a, b = sorted((first_lead_id, second_lead_id))
    DuplicateCandidate.objects.bulk_create(
        [DuplicateCandidate(lead_a_id=a, lead_b_id=b, score=score, reasons=[reason])], ignore_conflicts=True
    )


def were_taken_apart(lead_ids: Sequence[int]) -> set[frozenset[int]]:
    """Pairs of these leads that people called not the same, or whose merge they undid."""
    dismissed = DuplicateCandidate.objects.filter(
        target=MergeTarget.LEAD, state=CandidateState.DISMISSED, lead_a__in=lead_ids, lead_b__in=lead_ids
    ).values_list("lead_a_id", "lead_b_id")
    undone = MergeLog.objects.filter(
        undone_at__isnull=False, winner_lead__in=lead_ids, loser_lead__in=lead_ids
    ).values_list("winner_lead_id", "loser_lead_id")
    return {frozenset(pair) for pair in (*dismissed, *undone)}
