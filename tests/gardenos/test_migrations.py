"""Migrations go forward, back and forward again."""

import pytest
from django.core.management import call_command
from django.db import connection

CATALOGUE = """
    SELECT 'column', c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
           || a.attnotnull || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
      LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')
       AND attnum > 0 AND NOT attisdropped
    UNION ALL SELECT 'constraint', conrelid::regclass || conname || pg_get_constraintdef(oid)
      FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT 'index', indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT 'trigger', pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'function', proname || prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'grant', c.relname || ' ' || a.grantee::regrole || ' ' || a.privilege_type
      FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = 'public'::regnamespace
"""


def catalogue() -> set[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(CATALOGUE)
        return set(cursor.fetchall())


@pytest.mark.timeout(600)
@pytest.mark.django_db(transaction=True)
def test_back_to_the_first_release_and_forward_again_leaves_the_same_catalogue():
    before = catalogue()
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
    try:
        call_command("migrate", "crm", "0002", verbosity=0)
        assert catalogue() != before
    finally:
        call_command("migrate", verbosity=0)
    assert catalogue() == before
