"""Search by the beginnings of words: an index on the words of every search text.

The trigram index answers for parts of words; for beginnings it reads whole posting lists. Built beside
running traffic.
"""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.contrib.postgres.search import SearchVectorField
from django.db import migrations
from django.db.models import F, Func


def words() -> Func:
    return Func(
        F("search_text"),
        template="array_to_tsvector(array_remove(string_to_array(%(expressions)s, ' '), ''))",
        output_field=SearchVectorField(),
    )


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("crm", "0008_history_stays")]

    operations = [
        AddIndexConcurrently(table, GinIndex(words(), name=f"crm_{table}_search_words"))
        for table in ("lead", "contact", "account", "opportunity")
    ]
