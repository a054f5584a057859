"""The app's role may not ANALYZE a table it does not own (before PostgreSQL 17 nobody could allow it).

An import's rows come to the stage all at once. Until autovacuum has passed, the planner knows the stage as it
was before, empty, and then compared each row with all others: a slice of 5,000 took ten minutes.
"""

from django.db import migrations

ANALYZE_STAGE = """
CREATE FUNCTION crm_analyze_import_stage() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog AS $$
BEGIN
    ANALYZE public.crm_importstage;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("crm", "0022_score_overrides")]

    operations = [migrations.RunSQL(ANALYZE_STAGE, "DROP FUNCTION crm_analyze_import_stage()")]
