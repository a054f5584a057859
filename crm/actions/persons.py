"""Whom the strong keys of an inquiry prove, and how what we have of one person is brought together.

A person is the leads that share a contact, or one lead that has none. A contact comes to be when it is needed
to hold two leads of one person together (one of them closed), and at convert; an only lead needs none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db import connection, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from crm.actions.candidates import ALIKE, note_pair, were_taken_apart
from crm.actions.identity import fold, lock_identities
from crm.actions.merging import merge_contacts, merge_leads
from crm.errors import CRMError
from crm.models import (
    STRONG_KEYS,
    Account,
    Actor,
    Contact,
    ContactPoint,
    KeyKind,
    Lead,
    Lifecycle,
    MatchKey,
)

Keys = Iterable[tuple[str, str]]
_TRIES = 6
_RANK = {KeyKind.EMAIL: 0, KeyKind.EXTERNAL: 1, KeyKind.PHONE: 2}  # which key is believed first


@dataclass(slots=True)
class Person:
    """One person as we have them. `leads` by id, oldest first; `proven`: ids of those that a key proves."""

    contact: Contact | None = None
    leads: list[Lead] = field(default_factory=list)
    proven: set[int] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        return self.leads[0].name if self.leads else self.contact.full_name if self.contact else ""

    @property
    def rank(self) -> tuple[int, int]:
        """E-mail before external id before phone, then the oldest."""
        return (
            min((_RANK[KeyKind(kind)] for kind in self.kinds), default=9),
            self.leads[0].pk if self.leads else self.contact.pk if self.contact else 0,
        )

    @property
    def open_leads(self) -> list[Lead]:
        """The open leads that keys prove; only when there are none, the oldest other open one."""
        opened = [lead for lead in self.leads if lead.is_open]
        return [lead for lead in opened if lead.pk in self.proven] or opened[:1]

    @property
    def is_one_open_lead(self) -> bool:
        """Nothing has to be brought together: an inquiry is attached, that is all."""
        return len(self.open_leads) == 1 and (self.contact is not None or len(self.leads) == 1)


@dataclass(frozen=True, slots=True)
class Proof:
    """Whom the keys prove: `person`, under lock; `others` share a key with them but are somebody else."""

    person: Person | None = None
    same: tuple[Person, ...] = ()
    others: tuple[Person, ...] = ()


class _MoreKeys(Exception):
    def __init__(self, keys: Keys) -> None:
        self.keys = set(keys)


def locked_proof(strong_keys: Sequence[tuple[str, str]], *, name: str = "") -> Proof:
    """Lock these keys, and those of all records that are to be brought together; then the records.

    Key locks are taken in one go and in order; when the look under lock shows that more are needed, the
    savepoint gives them back and the round starts again with more. Rows come last: contacts, then leads, by
    id. Must be called in a transaction. `name`: of whom these keys are.
    """
    wanted = set(strong_keys)
    asker = name if any(kind == KeyKind.EMAIL for kind, _value in strong_keys) else ""
    for _round in range(_TRIES):
        try:
            with transaction.atomic():
                lock_identities(wanted)
                persons = _find(strong_keys, lock=True)
                missing = _keys_needed(persons) - wanted
                if missing:
                    raise _MoreKeys(missing)
                return _decide(persons, asker)
        except _MoreKeys as more:
            wanted |= more.keys
    # in endless motion: take the first and merge nothing
    return _decide(_find(strong_keys, lock=True)[:1], asker)


def _find(strong_keys: Sequence[tuple[str, str]], *, lock: bool = False) -> list[Person]:
    """The persons that these keys prove, believed first."""
    wanted = set(strong_keys)
    hits = [
        hit
        for hit in MatchKey.objects.filter(
            Q(lead__isnull=False) | Q(contact__isnull=False),
            kind__in=STRONG_KEYS,
            value__in=[value for _kind, value in strong_keys],
        ).values_list("lead_id", "contact_id", "kind", "value")
        if hit[2:] in wanted
    ]
    if not hits:
        return []
    lead_ids = {lead for lead, *_rest in hits if lead}
    contact_ids = {contact for _lead, contact, *_rest in hits if contact}
    contact_ids |= set(
        Lead.objects.live()
        .filter(pk__in=lead_ids, contact__isnull=False)
        .values_list("contact_id", flat=True)
    )
    contacts, leads = Contact.objects.live().order_by("pk"), Lead.objects.live().order_by("pk")
    if lock:  # leads before contacts, as all actions do (see base.hold_parents)
        contacts, leads = contacts.select_for_update(of=("self",)), leads.select_for_update(of=("self",))
    of_person = Q(pk__in=lead_ids)
    if contact_ids:
        of_person |= Q(contact__in=contact_ids, contact__deleted_at=None, contact__merged_into=None)
    found = list(leads.filter(of_person))
    known = contacts.filter(pk__in=contact_ids).in_bulk() if contact_ids else {}
    return _grouped(hits, known, found)


def _grouped(
    hits: Sequence[tuple[int | None, int | None, str, str]],
    contacts: dict[int, Contact],
    leads: Sequence[Lead],
) -> list[Person]:
    persons: dict[tuple[str, int], Person] = {}
    of_lead: dict[int, Person] = {}
    for pk, contact in contacts.items():
        persons["contact", pk] = Person(contact)
    for lead in leads:
        place = ("contact", lead.contact_id) if lead.contact_id in contacts else ("lead", lead.pk)
        person = of_lead[lead.pk] = persons.setdefault(place, Person())
        person.leads.append(lead)
    for lead_id, contact_id, kind, _value in hits:
        hit = of_lead.get(lead_id or 0) or persons.get(("contact", contact_id or 0))
        if hit:
            hit.kinds.add(kind)
            hit.proven |= {lead_id} if lead_id else set()
    return sorted((person for person in persons.values() if person.kinds), key=lambda person: person.rank)


def _keys_needed(persons: Sequence[Person]) -> set[tuple[str, str]]:
    """All strong keys of what would be brought together; none when there is nothing to bring together."""
    if not persons or (len(persons) == 1 and persons[0].is_one_open_lead):
        return set()
    leads = [lead.pk for person in persons for lead in person.leads]
    contacts = [person.contact.pk for person in persons if person.contact]
    rows = MatchKey.objects.filter(Q(lead__in=leads) | Q(contact__in=contacts))
    return set(rows.values_list("kind", "value"))


def _decide(found: Sequence[Person], asker: str) -> Proof:
    """`asker`: the name of who has an e-mail address of their own. A number that they share with somebody of
    another name proves nothing: colleagues have one switchboard, families one telephone.
    """
    others = [one for one in found if one.kinds == {KeyKind.PHONE} and _differ(asker, one.name)]
    persons = [one for one in found if one not in others]
    if not persons:
        return Proof(others=tuple(others))
    first, rest = persons[0], persons[1:]
    apart = were_taken_apart([lead.pk for person in persons for lead in person.leads]) if rest else set()
    same = list[Person]()
    for person in rest:
        pairs = {frozenset((one.pk, two.pk)) for one in first.leads for two in person.leads}
        is_other = bool(pairs & apart) or (
            not (first.kinds & person.kinds) - {KeyKind.PHONE} and _differ(first.name, person.name)
        )
        (others if is_other else same).append(person)
    return Proof(first, tuple(same), tuple(others))


def _differ(one: str, two: str) -> bool:
    """Whether these are full names of two people. A first name or an initial proves nothing."""
    full = [_full_name(fold(name)) for name in (one, two)]
    if not all(full):
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT similarity(%s, %s) < %s", [*full, ALIKE])
        return bool(cursor.fetchone()[0])


def _full_name(folded: str) -> str:
    words = ["".join(c for c in word if c.isalnum()) for word in folded.split()]
    return folded if sum(len(word) > 1 for word in words) > 1 else ""


# --- bringing together -------------------------------------------------------------------------------------
def bring_together(proof: Proof) -> tuple[Lead | None, Contact | None]:
    """Make one person of what the proof says is one; the caller holds its locks.

    Open leads become the oldest of them, contacts the oldest contact; closed leads keep their end and are
    held by the contact, which is made if there is none. Returns the open lead, if any, and the contact.
    """
    first = proof.person
    if first is None:
        return None, None
    persons = (first, *proof.same)
    by, reason = Actor.system(), _("Their keys came in together with one inquiry.")
    contacts = sorted((person.contact for person in persons if person.contact), key=lambda one: one.pk)
    contact = contacts[0] if contacts else None
    for other in contacts[1:]:
        merge_contacts(contacts[0].pk, other.pk, by=by, reason=reason, lock_keys=False)
    opened = sorted((lead for person in persons for lead in person.open_leads), key=lambda one: one.pk)
    left = _merged(opened, reason)
    leads = [*left, *(lead for person in persons for lead in person.leads if lead not in opened)]
    if contact is None and (len(leads) > 1 or not opened):
        contact = contact_of(min(leads, key=lambda lead: lead.pk))
    if contact:
        _hold(contact, leads)
    return (left[0] if left else None), contact


def _merged(opened: list[Lead], reason: str) -> list[Lead]:
    """Merge these leads into the oldest. What refuses stays beside it, and people are asked."""
    if len(opened) < 2:
        return opened
    winner, left = opened[0], [opened[0]]
    for loser in opened[1:]:
        try:
            merge_leads(winner.pk, loser.pk, by=Actor.system(), reason=reason, lock_keys=False)
        except CRMError as refused:
            note_pair(winner.pk, loser.pk, score=100, reason=str(refused)[:200])
            left.append(loser)
    winner.refresh_from_db()
    return left


def contact_of(lead: Lead) -> Contact:
    """Make the contact of a lead that has none: its name, the ways to reach it, its keys. Locks are held."""
    domains = lead.match_keys.filter(kind=KeyKind.DOMAIN).values_list("value", flat=True)
    account = Account.objects.live().filter(domain__in=list(domains)).order_by("pk").first()
    contact = Contact.objects.create(
        full_name=lead.name,
        title=lead.title,
        account=account,
        country=lead.country,
        owner_id=lead.owner_id,
        team_id=lead.team_id,
        lifecycle=Lifecycle.LEAD,
        search_text=lead.search_text,
    )
    ContactPoint.objects.bulk_create(
        ContactPoint(
            contact=contact, kind=point.kind, raw=point.raw, norm=point.norm, is_primary=point.is_primary
        )
        for point in lead.contact_points.order_by("pk")
    )
    MatchKey.objects.bulk_create(
        MatchKey(contact=contact, kind=key.kind, value=key.value) for key in lead.match_keys.order_by("pk")
    )
    return contact


def _hold(contact: Contact, leads: Iterable[Lead]) -> None:
    for lead in leads:
        if lead.contact_id != contact.pk:
            lead.contact = contact
            lead.save_changed("contact")


def note_others(lead: Lead, proof: Proof) -> None:
    """Ask people about those who share a key with this lead but bear another name."""
    for person in proof.others:
        like = [other for other in person.leads if other.is_open] or person.leads
        if like and like[0].pk != lead.pk:
            note_pair(
                lead.pk,
                like[0].pk,
                score=50,
                reason=_("One inquiry carried a key of each, but their names differ."),
            )
