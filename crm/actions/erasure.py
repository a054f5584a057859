"""Forgetting a person: what is known of them goes, what is counted stays, and a ledger can do it again.

The ledger's rows hold public ids and keyed hashes, no name and no address. Each is also appended to a file
outside of the database (ERASURE_LEDGER), because a restored backup knows nothing of later erasures.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.audit import audit
from crm.actions.consents import address_hash
from crm.actions.identity import IMPORT_LOCK
from crm.actions.maintenance import maintenance
from crm.actions.person_addresses import ways_in
from crm.actions.person_files import forget_waiting_files, hold_imports, ways_waiting
from crm.actions.personal_data import ERASED, HELD, Held, Person, scrubs
from crm.errors import InvalidValue, TransitionRefused
from crm.models import (
    OPEN_STATUSES,
    Actor,
    Attachment,
    Contact,
    ContactPoint,
    ErasureLedger,
    ImportRow,
    Inquiry,
    Lead,
    LeadStatus,
    LeadStatusChange,
    Message,
    MessageState,
    Outcome,
    PrivacyRequest,
    ReachChannel,
    Suppression,
    SuppressionReason,
)
from crm.permissions import Verb, require


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure did: numbers of rows by table, and the ledger's entry."""

    counts: dict[str, int]
    entry: ErasureLedger


@transaction.atomic
def erase_person(
    person: Person,
    *,
    by: Actor,
    request: PrivacyRequest | None = None,
    entry: ErasureLedger | None = None,
    with_files: bool = True,
) -> Erasure:
    """Anonymise everything about this person, their history included. It cannot be undone. `with_files`: look
    into files that wait for their import, too.

    Addresses are banned (by hash), open leads end, files go. `entry` is given when an old erasure is
    replayed. Raises PermissionRefused, InvalidValue when nobody is meant, TransitionRefused while a message
    to them is being sent. Publishes PersonErased for each lead.
    """
    require(by, Verb.PRIVACY_APPROVE)
    if person.is_nobody:
        raise InvalidValue(_("There is nobody of that kind to erase."), field="person")
    list(hold_imports())
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [IMPORT_LOCK])
    leads = list(Lead.objects.filter(pk__in=person.leads).select_for_update().order_by("pk"))
    contacts = list(Contact.objects.filter(pk__in=person.contacts).select_for_update().order_by("pk"))
    if Message.objects.filter(lead__in=leads, state=MessageState.SENDING).exists():
        raise TransitionRefused(_("A message to this person is being sent. Try again in a minute."))
    files = list(_attachments(person))
    is_new = entry is None
    entry = entry or _entered(leads, contacts, person, request)
    with maintenance("erase", "erased a person", by=by, target=entry):
        counts = _run_scrubs(person)
        if with_files:
            counts.update(forget_waiting_files(person))
        _end_open(leads, by=by)
        for lead in leads:
            events.publish(events.PersonErased(lead.pk))
        for held in HELD:
            counts[held.model._meta.label_lower] += _blank(held, person)
        _forget_history(person)
    _ban(entry.address_hashes)
    transaction.on_commit(lambda: remove_files(files))
    if is_new:
        transaction.on_commit(lambda: note_in_ledger(entry))
    return Erasure({table: n for table, n in sorted(counts.items()) if n}, entry)


def _entered(
    leads: list[Lead], contacts: list[Contact], person: Person, request: PrivacyRequest | None
) -> ErasureLedger:
    """The ledger's entry, made while the addresses are still known."""
    points = ContactPoint.objects.filter(lead__in=person.leads) | ContactPoint.objects.filter(
        contact__in=person.contacts
    )
    return ErasureLedger.objects.create(
        lead_ids=[str(lead.public_id) for lead in leads],
        contact_ids=[str(contact.public_id) for contact in contacts],
        address_hashes=sorted({known_as(point.kind, point.norm) for point in points} | _hashes(person.ways)),
        erased_at=clock.now(),
        request=request,
    )


def erased_ways() -> dict[str, datetime]:
    """When whoever had an address was last erased, by how the ledger remembers it."""
    erased: dict[str, datetime] = {}
    for entry in ErasureLedger.objects.order_by("erased_at"):
        erased |= dict.fromkeys(entry.address_hashes, entry.erased_at)
    return erased


def known_as(kind: str, norm: str) -> str:
    """How the ledger remembers an address: "email:<keyed hash>"."""
    return f"{kind}:{address_hash(kind, norm)}"


def _hashes(ways: Iterable[tuple[str, str]]) -> set[str]:
    return {known_as(kind, norm) for kind, norm in ways}


def _run_scrubs(person: Person) -> Counter[str]:
    counts: Counter[str] = Counter()
    for function in scrubs():
        counts.update(function(person))
    return counts


def _end_open(leads: list[Lead], *, by: Actor) -> None:
    """An erased lead is nobody's work any more."""
    for lead in leads:
        if lead.status not in OPEN_STATUSES or lead.merged_into_id:
            continue
        before, since, now = lead.status, lead.status_changed_at, clock.now()
        lead.status, lead.status_changed_at = LeadStatus.DISQUALIFIED, now
        lead.disqualify_reason = ERASED
        lead.snoozed_until, lead.next_action_at, lead.next_action_kind = None, None, ""
        lead.outcome, lead.outcome_at, lead.outcome_from = Outcome.UNKNOWN, None, ""
        lead.save()
        LeadStatusChange.objects.create(
            lead=lead,
            from_status=before,
            to_status=lead.status,
            at=now,
            actor_kind=by.kind,
            by=by.user,
            seconds_in_from=max(0, int((now - since).total_seconds())),
        )


def _blank(held: Held, person: Person) -> int:
    """Blank or delete the rows. Returns how many rows."""
    rows = held.rows(person)
    if held.blank is None:
        return sum(rows.delete()[1].values())
    return rows.update(**held.blank) if held.blank else 0


def _forget_history(person: Person) -> None:
    """Old versions go last: blanking the rows has written another one."""
    for held in HELD:
        for history in held.histories():
            held.rows_in(history, person).delete()


def _attachments(person: Person) -> Iterator[str]:
    held = next(held for held in HELD if held.model is Attachment)
    yield from held.rows(person).values_list("stored_as", flat=True)


def remove_files(names: list[str]) -> None:
    """Delete attached files, by what they are stored as. One that is gone already is no error."""
    for name in names:
        (Path(settings.MEDIA_ROOT) / name).unlink(missing_ok=True)


def _ban(known: list[str]) -> None:
    """Nobody writes to these addresses any more; a ban that was there forgets what it is about."""
    pairs = [entry.split(":", 1) for entry in known]
    Suppression.objects.bulk_create(
        [
            Suppression(channel=channel, norm_hash=found, reason=SuppressionReason.ERASED)
            for channel, found in pairs
            if channel in ReachChannel.values
        ],
        ignore_conflicts=True,
    )
    hashes = [found for _channel, found in pairs]
    Suppression.objects.filter(norm_hash__in=hashes).exclude(norm="", note="").update(norm="", note="")


# --- the ledger's file -------------------------------------------------------------------------------------
def note_in_ledger(entry: ErasureLedger) -> None:
    """Append the entry to the file, on disk before this returns. What cannot be written now is found by
    `sync_ledger`.
    """
    path = Path(settings.ERASURE_LEDGER)
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(
        {
            "id": str(entry.public_id),
            "erased_at": entry.erased_at.isoformat(),
            "leads": entry.lead_ids,
            "contacts": entry.contact_ids,
            "addresses": entry.address_hashes,
        }
    )
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w") as file:
        file.write(f"{line}\n")
        file.flush()
        os.fsync(file.fileno())


def read_ledger(path: Path) -> list[dict[str, Any]]:
    """The file's entries; none when it is not there. Raises InvalidValue naming a line that is damaged."""
    if not path.exists():
        return []
    entries = []
    with path.open() as file:
        for number, line in enumerate(file, 1):
            try:
                entry = json.loads(line)
                entry["erased_at"] = datetime.fromisoformat(entry["erased_at"])
                entry["id"] = UUID(entry["id"])
                entries.append(entry | {key: [str(v) for v in entry[key]] for key in _LISTS})
            except (ValueError, KeyError, TypeError, AttributeError):
                raise InvalidValue(
                    _("Line %d of the ledger cannot be read.") % number, field="ledger"
                ) from None
    return entries


_LISTS = ("leads", "contacts", "addresses")


def sync_ledger() -> int:
    """Append what the file lacks, after a crash between commit and file. Returns how many."""
    there = {entry["id"] for entry in read_ledger(Path(settings.ERASURE_LEDGER))}
    missing = [row for row in ErasureLedger.objects.order_by("pk") if row.public_id not in there]
    for row in missing:
        note_in_ledger(row)
    return len(missing)


def replay_ledger(path: Path, *, by: Actor, dry_run: bool = False) -> Iterator[tuple[UUID, int]]:
    """Erase again whom a restored backup has brought back. Yields (entry, persons' records found).

    Leads and contacts are found by public id, and by an address with a hash of the entry if they are older
    than the erasure: who came back afterwards stays. Raises InvalidValue, PermissionRefused.
    """
    require(by, Verb.PRIVACY_APPROVE)
    entries = read_ledger(path)
    wanted = {found for entry in entries for found in entry["addresses"]}
    by_hash, ways = _owners_by_hash(wanted), _ways_by_hash(wanted)
    for entry in entries:
        person = _whom(entry, by_hash, ways)
        found = len(person.leads) + len(person.contacts) + len(person.ways)
        if not dry_run:
            _replay(entry, person, by=by)
        yield entry["id"], found


@transaction.atomic
def _replay(entry: dict[str, Any], person: Person, *, by: Actor) -> None:
    row, _is_new = ErasureLedger.objects.get_or_create(
        public_id=entry["id"],
        defaults={
            "lead_ids": entry["leads"],
            "contact_ids": entry["contacts"],
            "address_hashes": entry["addresses"],
            "erased_at": entry["erased_at"],
        },
    )
    _ban(row.address_hashes)  # the restored database knows nothing of it
    if not person.is_nobody:
        erase_person(person, by=by, entry=row)
        audit("person.erased_again", "replayed the ledger after a restore", by=by, target=row)
        row.replayed_at = clock.now()
        row.save(update_fields=["replayed_at", "updated_at"])


def _whom(
    entry: dict[str, Any],
    by_hash: dict[str, list[ContactPoint]],
    ways: dict[str, tuple[datetime, tuple[str, str]]],
) -> Person:
    """Who of the entry is there with data in it."""
    at = entry["erased_at"]
    leads = set(
        Lead.objects.filter(public_id__in=entry["leads"]).exclude(name=ERASED).values_list("pk", flat=True)
    )
    contacts = set(
        Contact.objects.filter(public_id__in=entry["contacts"])
        .exclude(full_name=ERASED)
        .values_list("pk", flat=True)
    )
    for found in entry["addresses"]:
        for point in by_hash.get(found, ()):
            if point.lead and point.lead.created_at < at:
                leads.add(point.lead.pk)
            if point.contact and point.contact.created_at < at:
                contacts.add(point.contact.pk)
    known = (ways[found] for found in entry["addresses"] if found in ways)
    return Person(frozenset(leads), frozenset(contacts), frozenset(way for first, way in known if first < at))


def _ways_by_hash(wanted: set[str]) -> dict[str, tuple[datetime, tuple[str, str]]]:
    """Since when an address with one of these hashes stands in what made no lead: inquiries, refused rows,
    files that wait. Reads all of these once, in pieces.
    """
    found: dict[str, tuple[datetime, tuple[str, str]]] = {}
    for at, ways in _ways_without_lead() if wanted else ():
        for way in ways:
            known = known_as(*way)
            if known in wanted and (known not in found or at < found[known][0]):
                found[known] = (at, way)
    return found


def _ways_without_lead() -> Iterator[tuple[datetime, frozenset[tuple[str, str]]]]:
    inquiries = Inquiry.objects.filter(lead=None).exclude(payload={})
    values = inquiries.values_list("received_at", "payload", "source__default_country")
    for at, payload, country in values.iterator(chunk_size=2_000):
        yield at, ways_in(payload, country=country)
    rows = ImportRow.objects.filter(lead=None, raw__isnull=False)
    cells = rows.values_list("job__created_at", "raw", "job__source__default_country")
    for at, raw, country in cells.iterator(chunk_size=2_000):
        yield at, ways_in(raw, country=country or "")
    yield from ways_waiting()


def _owners_by_hash(wanted: set[str]) -> dict[str, list[ContactPoint]]:
    """The contact points that have one of these hashes. Reads all of them once, in pieces."""
    found: dict[str, list[ContactPoint]] = {}
    points = ContactPoint.objects.select_related("lead", "contact").exclude(kind="url")
    for point in points.iterator(chunk_size=5_000) if wanted else ():
        known = known_as(point.kind, point.norm)
        if known in wanted:
            found.setdefault(known, []).append(point)
    return found
