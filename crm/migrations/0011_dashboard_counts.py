"""Dashboard counts kept by the writers' own batches, and two indexes for the board.

Statement triggers with transition tables add one row for each group that a statement changed, so that an
import of 5,000 leads pays for a handful of inserts, and no two writers wait for one counter. A statement that
changes nothing counted (a score, a name) adds nothing. The counts that are there already are taken in at the
end, after the triggers exist: writers are locked out by CREATE TRIGGER until this commits.
"""

from django.db import migrations, models

GROUPS = {
    "lead": (
        "'lead', status, owner_id, team_id, source_id, NULL::bigint, currency",
        "est_value",
        "deleted_at IS NULL AND merged_into_id IS NULL",
    ),
    "opportunity": (
        "'opportunity', state, owner_id, team_id, source_id, stage_id, currency",
        "amount",
        "deleted_at IS NULL",
    ),
}
COLUMNS = "(subject, status, owner_id, team_id, source_id, stage_id, currency, n, amount)"


def _insert(noun: str, *parts: tuple[str, int]) -> str:
    """Add the sums over these (table, sign)."""
    group, money, is_counted = GROUPS[noun]
    rows = " UNION ALL ".join(
        f"SELECT {group}, {sign}, {sign} * coalesce({money}, 0) FROM {table} WHERE {is_counted}"
        for table, sign in parts
    )
    return f"""
        INSERT INTO crm_dashboardcount {COLUMNS}
        SELECT subject, status, owner_id, team_id, source_id, stage_id, currency, sum(n), sum(amount)
          FROM ({rows}) AS changed {COLUMNS}
         GROUP BY subject, status, owner_id, team_id, source_id, stage_id, currency
        HAVING sum(n) <> 0 OR sum(amount) <> 0;"""


def _triggers(noun: str) -> str:
    table = f"crm_{noun}"
    return f"""
CREATE FUNCTION {table}_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN {_insert(noun, ("new_rows", 1))}
    ELSIF TG_OP = 'UPDATE' THEN {_insert(noun, ("new_rows", 1), ("old_rows", -1))}
    ELSE {_insert(noun, ("old_rows", -1))}
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER {table}_count_insert AFTER INSERT ON {table}
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION {table}_count();
CREATE TRIGGER {table}_count_update AFTER UPDATE ON {table}
    REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION {table}_count();
CREATE TRIGGER {table}_count_delete AFTER DELETE ON {table}
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION {table}_count();
{_insert(noun, (table, 1))}
"""


def _no_triggers(noun: str) -> str:
    table = f"crm_{noun}"
    drops = "".join(f"DROP TRIGGER {table}_count_{what} ON {table};\n" for what in ("insert", "update", "delete"))
    return f"{drops}DROP FUNCTION {table}_count();\nDELETE FROM crm_dashboardcount WHERE subject = '{noun}';\n"


class Migration(migrations.Migration):
    dependencies = [("crm", "0010_intake")]

    operations = [
        migrations.AddIndex(
            "opportunity",
            models.Index(
                models.F("stage"),
                models.F("last_event_at"),
                condition=models.Q(state="open", deleted_at=None),
                name="crm_opportunity_stalled",
            ),
        ),
        migrations.AddIndex(
            "opportunity",
            models.Index(
                models.F("stage"),
                condition=models.Q(state="open", deleted_at=None, probability_override__isnull=False),
                name="crm_opportunity_own_weight",
            ),
        ),
        *(migrations.RunSQL(_triggers(noun), _no_triggers(noun)) for noun in GROUPS),
    ]
