"""What is known of a person, for the person: every row of every table, and the files beside them."""

import json
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import BinaryField, ForeignKey, Model, QuerySet

from crm import clock
from crm.actions.audit import audit
from crm.actions.person_copies import rows_without_key
from crm.actions.person_files import FILES, lines_about
from crm.actions.personal_data import HELD, Held, Person
from crm.models import Actor, Attachment, Contact, Lead
from crm.permissions import Verb, require

NEVER_SHOWN = {"password", "token_sha256", "secret_sha256", "norm_hash", "search_text"}
README = """This archive holds what the CRM knows of one person.

person.json    "tables": the rows of every table that concern them, by table; "history": older versions of
               these rows. Times are UTC.
attachments/   the files that belong to them.
"""


def export_person(person: Person, *, by: Actor) -> dict[str, Any]:
    """All rows about this person, by table, ready for JSON. Raises PermissionRefused.

    References are public ids where the other row has one. Models' prompts and answers are among the rows.
    """
    require(by, Verb.PRIVACY_APPROVE)
    tables: dict[str, list[dict[str, Any]]] = {}
    history: dict[str, list[dict[str, Any]]] = {}
    for held in reversed(HELD):
        rows = _rows(held.rows(person), held)
        if rows:
            tables[held.model._meta.label_lower] = rows
        for model in held.histories():
            old = _rows(held.rows_in(model, person), held)
            if old:
                history[held.model._meta.label_lower] = old
    for keyless in rows_without_key(person):
        held = next(held for held in HELD if held.model is keyless.model)
        if more := _rows(keyless, held):
            tables.setdefault(held.model._meta.label_lower, []).extend(more)
    files = [{"import": job.public_id, **line} for job, line in lines_about(person)]
    if files:
        tables[FILES] = files
    audit(
        "person.exported",
        "wrote out what is known of a person",
        by=by,
        leads=_public(Lead, person.leads),
        contacts=_public(Contact, person.contacts),
        rows={table: len(rows) for table, rows in tables.items()},
    )
    return {"made_at": clock.now(), "tables": tables, "history": history}


def write_person(person: Person, target: BinaryIO, *, by: Actor) -> dict[str, int]:
    """The export as a ZIP file with the attachments. Returns numbers of rows by table."""
    known = export_person(person, by=by)
    held = next(held for held in HELD if held.model is Attachment)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", README)
        archive.writestr(
            "person.json", json.dumps(known, cls=DjangoJSONEncoder, indent=1, ensure_ascii=False)
        )
        for attachment in held.rows(person).order_by("pk"):
            path = Path(settings.MEDIA_ROOT) / attachment.stored_as
            if path.is_file():
                archive.write(path, f"attachments/{attachment.pk}-{Path(attachment.file_name).name}")
    return {table: len(rows) for table, rows in known["tables"].items()}


def _rows(rows: QuerySet[Any], held: Held) -> list[dict[str, Any]]:
    fields = [
        field
        for field in rows.model._meta.local_concrete_fields
        if field.name not in NEVER_SHOWN | held.hidden and not isinstance(field, BinaryField)
    ]
    lookups = {field.attname: _lookup(field) for field in fields}
    found = []
    for row in rows.order_by("pk").values(*lookups.values()):
        found.append({name: row[lookup] for name, lookup in lookups.items()})
    return found


def _lookup(field: Any) -> str:
    """A reference is shown by the public id of what it points at."""
    is_reference = isinstance(field, ForeignKey) and getattr(field, "db_constraint", True)
    if is_reference and any(f.name == "public_id" for f in field.related_model._meta.local_concrete_fields):
        return f"{field.name}__public_id"
    return field.attname


def _public(model: type[Model], keys: frozenset[int]) -> list[str]:
    ids = model._default_manager.filter(pk__in=keys).values_list("public_id", flat=True)
    return [str(public_id) for public_id in ids.order_by("pk")]
