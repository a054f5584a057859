"""The verdict on staged rows, set-based: which make a lead, which meet one we have, which are left alone.

Nothing here writes outside the stage. The same statement looks ahead (check) and decides (run, under the
import lock), so what people saw is what happens unless the leads changed meanwhile.
"""

import json
from dataclasses import dataclass

from django.db import connection
from django.utils.translation import gettext_lazy

from crm.actions.candidates import ALIKE
from crm.actions.identity import fold_sql
from crm.models import OPEN_STATUSES, Actor, ImportJob, ImportPolicy, ImportStage, TeamMember
from crm.permissions import Reach, Verb, reach

ROW_KEY = "row:"  # an imported row's idempotency key is this and its hash


@dataclass(frozen=True, slots=True)
class Reachable:
    """Which leads an import may change: those of the person who imports."""

    is_all: bool
    user_id: int | None
    team_ids: tuple[int, ...]

    @classmethod
    def of(cls, by: Actor) -> "Reachable":
        allowed = reach(by, Verb.EDIT)
        teams = (
            TeamMember.objects.filter(user=by.user).values_list("team_id", flat=True)
            if by.user and allowed == Reach.TEAM
            else ()
        )
        return cls(allowed == Reach.ALL, by.user.pk if by.user else None, tuple(teams))


# A row with a final verdict from staging (an error, an empty row) has `raw` and is not looked at.
# All by LATERAL, one index look-up a key. The planner knows nothing about rows written a moment ago: joins
# took minutes. “The first at or after, in the order of the index” and OFFSET 0 leave it no choice.
_FIRST_WITH = """(
    SELECT '{reason}' AS reason, t.line_no, t.{key} = s.{key} AND t.row_no < s.row_no AS is_twin
    FROM crm_importstage t
    WHERE t.job_id = %(job)s AND (t.{key}, t.row_no) >= (s.{key}, 0) AND t.{key} <> '' AND s.{key} <> ''
    ORDER BY t.{key}, t.row_no LIMIT 1
)"""
_KEYS = {"external": "external_key", "email": "email_plain_key", "phone": "phone_key", "row": "row_hash"}
_UNION = " UNION ALL ".join(_FIRST_WITH.format(reason=reason, key=key) for reason, key in _KEYS.items())
_TWIN = f"""  -- an earlier row of the file with the same key
SELECT reason, line_no FROM ({_UNION}) AS first_with_key WHERE is_twin LIMIT 1
"""  # noqa: S608
_SEEN = """  -- this very row came in before, with whatever file
SELECT true AS is_seen FROM crm_inquiry
WHERE source_id = %(source)s AND idempotency_key = %(row_key)s || s.row_hash LIMIT 1
"""
# Whether these are full names of two people, as `_differ` of crm.actions.persons says it. No cheaper and
# wider rule would do: nobody asks of a doubtful row what the policy says of known leads, and whose they are.
_OURS, _THEIRS = fold_sql("coalesce(lead.name, contact.full_name)"), fold_sql("s.fields ->> 'name'")
_FULL = r"'[[:alnum:]]\S*[[:alnum:]]\S*\s.*[[:alnum:]]\S*[[:alnum:]]'"
_DIFFER = f"({_OURS} ~ {_FULL} AND {_THEIRS} ~ {_FULL} AND similarity({_OURS}, {_THEIRS}) < %(alike)s)"
_KNOWN = f"""  -- whom the strong keys prove: the open lead, by e-mail first, then the oldest, as intake does
SELECT (array_agg(lead_id ORDER BY NOT is_open, kind <> 'email', lead_id)
            FILTER (WHERE is_open OR %(with_closed)s))[1] AS lead_id,
       coalesce(CASE WHEN %(with_closed)s
                     THEN (array_agg(is_mine ORDER BY NOT is_open, kind <> 'email', lead_id)
                               FILTER (WHERE lead_id IS NOT NULL))[1]
                     ELSE bool_and(is_mine) FILTER (WHERE is_open) END, true) AS may_change,
       CASE WHEN %(with_closed)s THEN count(lead_id) = 0 AND count(contact_id) > 0
            ELSE count(*) > 0
                 AND NOT (count(DISTINCT lead_id) = 1 AND bool_and(is_open) FILTER (WHERE lead_id IS NOT NULL)
                          AND (count(contact_id) = 0
                               OR (min(contact_id) = max(contact_id)
                                   AND min(contact_id) IS NOT DISTINCT FROM min(leads_contact)))) END
           AS is_alone,
           -- a number that is shared with somebody of another name: the row is written alone, where `persons`
           -- says the same of it and notes the pair
           coalesce(s.email_key <> '' AND bool_and(kind = 'phone') AND bool_and(is_other), false)
               AS is_doubtful
FROM (
    SELECT CASE WHEN match.kind = 'phone' AND s.email_key <> '' THEN {_DIFFER} END AS is_other,
           lead.id AS lead_id, match.kind, lead.contact_id AS leads_contact, contact.id AS contact_id,
           coalesce(lead.status = ANY(%(open)s), false) AS is_open,
           coalesce(%(is_all)s OR lead.owner_id = %(user)s OR lead.team_id = ANY(%(teams)s), false) AS is_mine
    FROM (VALUES ('external', s.external_key), ('email', s.email_key), ('email', s.email_plain_key),
                 ('phone', s.phone_key)) AS wanted (kind, value)
    CROSS JOIN LATERAL (
        SELECT lead_id, contact_id, kind FROM crm_matchkey
        WHERE kind = wanted.kind AND value = wanted.value OFFSET 0
    ) AS match
    LEFT JOIN LATERAL (
        SELECT * FROM crm_lead
        WHERE id = match.lead_id AND deleted_at IS NULL AND merged_into_id IS NULL OFFSET 0
    ) AS lead ON true
    LEFT JOIN LATERAL (
        SELECT id, full_name FROM crm_contact
        WHERE id = match.contact_id AND deleted_at IS NULL AND merged_into_id IS NULL OFFSET 0
    ) AS contact ON true
    WHERE wanted.value <> '' AND (lead.id IS NOT NULL OR contact.id IS NOT NULL)
) AS hit
"""  # noqa: S608  our own words only
_JUDGE = """
WITH judged AS MATERIALIZED (
    SELECT s.id, s.row_no, CASE WHEN NOT known.is_doubtful THEN known.lead_id END AS lead_id, twin.line_no,
           coalesce(known.is_alone OR known.is_doubtful, false) AS is_alone,
           CASE WHEN s.verdict = 'create' OR s.is_alone THEN s.lead_id END AS drawn_id,
           CASE WHEN twin.reason IS NOT NULL THEN 'twin_' || twin.reason
                WHEN seen.is_seen THEN 'seen'
                WHEN known.is_doubtful THEN 'new'
                WHEN NOT known.may_change THEN 'not_mine'
                WHEN known.lead_id IS NULL THEN 'new'
                WHEN %(policy)s = 'skip' THEN 'known'
                ELSE 'to_update' END AS reason
    FROM crm_importstage s
    LEFT JOIN LATERAL ({twin}) AS twin ON true
    LEFT JOIN LATERAL ({seen}) AS seen ON true
    LEFT JOIN LATERAL ({known}) AS known ON true
    WHERE s.job_id = %(job)s AND s.row_no BETWEEN %(first)s AND %(last)s AND s.raw IS NULL {only}
),
decided AS (
    SELECT id, row_no, lead_id, drawn_id, line_no, reason,
           is_alone AND reason IN ('new', 'to_update') AS is_alone,
           CASE reason WHEN 'new' THEN 'create' WHEN 'to_update' THEN 'update' ELSE 'skip' END AS verdict
    FROM judged ORDER BY row_no OFFSET 0
),
verdicts AS MATERIALIZED (  -- ids in the order of the rows: who is older decides whom others are merged into
    SELECT id, line_no, reason, is_alone, verdict,
           CASE WHEN verdict = 'create' OR is_alone
                THEN coalesce(drawn_id, nextval(pg_get_serial_sequence('crm_lead', 'id')))
                WHEN verdict = 'update' THEN lead_id END AS lead_id
    FROM decided
)
UPDATE crm_importstage stage
SET verdict = verdicts.verdict,
    is_alone = verdicts.is_alone,
    lead_id = verdicts.lead_id,
    field = coalesce(%(columns)s::jsonb ->> verdicts.reason, ''),
    message = CASE WHEN verdicts.verdict = 'skip'
                   THEN format(%(messages)s::jsonb ->> verdicts.reason, verdicts.line_no)
                   ELSE stage.message END
FROM verdicts
WHERE stage.id = verdicts.id
  AND NOT (stage.verdict = verdicts.verdict AND stage.is_alone = verdicts.is_alone
           AND stage.lead_id IS NOT DISTINCT FROM verdicts.lead_id)
"""  # our own words only; values are parameters
_CHECK = _JUDGE.format(twin=_TWIN, seen=_SEEN, known=_KNOWN, only="")
# Whoever is written has been checked: no twin, and a row that was to be skipped stays so.
_NO_TWIN = "SELECT NULL::text AS reason, NULL::int AS line_no"
_DECIDE = _JUDGE.format(twin=_NO_TWIN, seen=_SEEN, known=_KNOWN, only="AND s.verdict IN ('create', 'update')")


def judge(job: ImportJob, *, first: int, last: int, who: Reachable, is_decision: bool) -> None:
    """Give the rows `first` to `last` their verdicts, and those that will make a lead its id. One statement.

    With `is_decision` the caller holds the import lock and is about to write: rows are looked at again, in
    case the leads have changed since the check.
    """
    columns = {target: column for column, target in job.mapping.items() if target}
    parameters = {
        "job": job.pk,
        "first": first,
        "last": last,
        "source": job.source_id,
        "row_key": ROW_KEY,
        "policy": job.policy,
        "alike": ALIKE,
        "open": list(OPEN_STATUSES),
        "with_closed": job.policy != ImportPolicy.CREATE,
        "is_all": who.is_all,
        "user": who.user_id,
        "teams": list(who.team_ids),
        "columns": json.dumps(
            {f"twin_{kind}": columns[field] for kind, field in _KEY_FIELDS.items() if field in columns}
        ),
        "messages": json.dumps({reason: str(text) for reason, text in _MESSAGES.items()}),
    }
    with connection.cursor() as cursor:
        cursor.execute(_DECIDE if is_decision else _CHECK, parameters)


def first_alone(job: ImportJob, *, first: int, last: int) -> int | None:
    """The first of these rows that must be written by itself: it brings records together, or finds a person
    who is known but has no open lead.
    """
    rows = ImportStage.objects.filter(job_id=job.pk, row_no__range=(first, last), is_alone=True)
    return rows.order_by("row_no").values_list("row_no", flat=True).first()


_KEY_FIELDS = {"external": "external_id", "email": "email", "phone": "phone"}
_MESSAGES = {
    "twin_external": gettext_lazy("Same id as line %s."),
    "twin_email": gettext_lazy("Same e-mail address as line %s."),
    "twin_phone": gettext_lazy("Same phone number as line %s."),
    "twin_row": gettext_lazy("Same as line %s."),
    "seen": gettext_lazy("This row was imported before."),
    "known": gettext_lazy("There is such a lead already."),
    "not_mine": gettext_lazy("A colleague has this lead already."),
}
