"""Where personal data lies: one entry for every table that a lead or a contact leads to.

Export and erasure walk this list, and a test fails when a table that points at a person is on neither of the
two lists below. ai_agents adds its own tables when it starts (ai_agents/personal_data.py).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any

from django.apps import apps
from django.db.models import Case, F, Model, Q, QuerySet, Value, When
from django.db.models.functions import Now

from crm import models as crm
from crm.models import ActorKind, Contact, Lead

ERASED = "(erased)"
Blank = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Person:
    """One human being: all the leads and contacts that are them, merged ones included (keys). `ways`: what
    they are named by besides, (email or phone, normal form); it may be all that there is of them.
    """

    leads: frozenset[int]
    contacts: frozenset[int]
    ways: frozenset[tuple[str, str]] = frozenset()

    @property
    def is_nobody(self) -> bool:
        return not (self.leads or self.contacts or self.ways)


@dataclass(frozen=True, slots=True)
class Held:
    """A table with rows about people. `lead` and `contact` are lookups from a row to the person.

    `blank`: what erasure writes into the row's columns; None: it deletes the row. `hidden`: columns that no
    export shows, because they are hashes of secrets.
    """

    model: type[Model]
    lead: tuple[str, ...] = ()
    contact: tuple[str, ...] = ()
    blank: Blank | None = None
    hidden: frozenset[str] = field(default_factory=frozenset)

    def rows(self, person: Person) -> QuerySet[Any]:
        """The rows about this person."""
        return self.rows_in(self.model, person)

    def rows_in(self, model: type[Model], person: Person) -> QuerySet[Any]:
        """The same in a table with the same columns: that of the model's history."""
        key = "pk" if model is self.model else "pgh_obj"
        found = [Q(**{f"{key if lookup == 'pk' else lookup}__in": person.leads}) for lookup in self.lead]
        found += [
            Q(**{f"{key if lookup == 'pk' else lookup}__in": person.contacts}) for lookup in self.contact
        ]
        return model._default_manager.filter(reduce(or_, found))

    def histories(self) -> Iterator[type[Model]]:
        """The tables in which old versions of these rows lie."""
        for model in apps.get_models():
            if getattr(model, "pgh_tracked_model", None) is self.model:
                yield model


_NO_TEXT: Blank = {
    "summary": ERASED,
    "data": {},
    # what customers do is told under their name
    "actor_label": Case(When(actor_kind=ActorKind.CUSTOMER, then=Value("")), default=F("actor_label")),
}


def _own_words(column: str) -> Case:
    """Blank what somebody wrote there; where the column has to hold something, it still does."""
    return Case(When(**{column: ""}, then=Value("")), default=Value(ERASED))


_LEAD, _CONTACT = ("lead",), ("contact",)
# What hangs on an opportunity of theirs may speak of them, too.
_LEAD_TOO, _CONTACT_TOO = ("lead", "opportunity__lead"), ("contact", "opportunity__primary_contact")

# Children first: what is deleted may not be held by a row that stays.
HELD: list[Held] = [
    Held(
        crm.FormConfirmation,
        lead=("inquiry__lead",),
        hidden=frozenset({"token_sha256"}),
    ),
    Held(
        crm.Inquiry,
        lead=("lead",),
        blank={
            "payload": {},
            "message": "",
            "utm": {},
            "spam_reasons": [],
            "error": "",  # quotes what could not be read
            "idempotency_key": None,
        },
    ),
    Held(crm.ScoreFactor, lead=("score__lead",)),
    Held(crm.Score, lead=("lead",), blank={"summary": "", "risks": [], "missing": [], "would_change": []}),
    Held(crm.ScoreOutcome, lead=("lead",), blank={}),
    Held(crm.ScoreOverride, lead=("lead",), blank={"reason": ERASED}),
    Held(crm.StepRun, lead=("enrollment__lead",), contact=("enrollment__contact",)),
    Held(crm.Enrollment, lead=_LEAD, contact=_CONTACT),
    Held(crm.ReplyTriage, lead=("lead",)),
    Held(crm.Message, lead=("lead",)),
    Held(crm.FollowUp, lead=("lead",)),
    Held(crm.Note, lead=_LEAD_TOO, contact=_CONTACT_TOO),
    Held(crm.CallLog, lead=_LEAD_TOO, contact=_CONTACT_TOO, blank={"body": ""}),
    Held(crm.Notification, lead=("lead", "task__lead"), contact=("task__contact",)),
    Held(crm.Task, lead=_LEAD_TOO, contact=_CONTACT_TOO, blank={"title": ERASED, "notes": "", "outcome": ""}),
    Held(crm.Attachment, lead=_LEAD_TOO, contact=_CONTACT_TOO),
    Held(crm.Tagging, lead=_LEAD, contact=_CONTACT),
    Held(crm.AssignmentLog, lead=("lead",), blank={"reason": ERASED}),
    Held(crm.LeadStatusChange, lead=("lead",), blank={}),
    Held(crm.DuplicateCandidate, lead=("lead_a", "lead_b"), contact=("contact_a", "contact_b")),
    Held(
        crm.MergeLog,
        lead=("winner_lead", "loser_lead"),
        contact=("winner_contact", "loser_contact"),
        blank={
            "winner_before": {},
            "winner_after": {},
            "loser": {},
            "moved": {},
            "removed": {},
            "altered": {},
            "created": {},
            "keys": {},
            "reason": "",
            "expires_at": Now(),  # there is nothing left to undo it with
        },
    ),
    Held(crm.ImportRow, lead=("lead",), blank={"raw": None, "before": None, "message": ""}),
    Held(
        crm.Consent,
        lead=_LEAD,
        contact=_CONTACT,
        blank={"norm": "", "evidence": {}},
        hidden=frozenset({"norm_hash"}),
    ),
    Held(crm.TimelineEvent, lead=_LEAD_TOO, contact=_CONTACT_TOO, blank=_NO_TEXT),
    Held(crm.ContactPoint, lead=_LEAD, contact=_CONTACT),
    Held(crm.MatchKey, lead=_LEAD, contact=_CONTACT),
    Held(
        crm.OpportunityRisk,
        lead=("review__opportunity__lead",),
        contact=("review__opportunity__primary_contact",),
    ),
    Held(
        crm.OpportunityReview,
        lead=("opportunity__lead",),
        contact=("opportunity__primary_contact",),
    ),
    Held(
        crm.Opportunity,
        lead=("lead",),
        contact=("primary_contact",),
        blank={
            "name": ERASED,
            "lost_reason": _own_words("lost_reason"),
            "version": F("version") + 1,
            "custom": {},
            "search_text": "",
        },
    ),
    Held(
        crm.Lead,
        lead=("pk",),
        contact=("contact",),
        blank={
            "name": ERASED,
            "company": "",
            "title": "",
            "mailing_address": "",
            "physical_address": "",
            "interest": "",
            "disqualify_reason": _own_words("disqualify_reason"),
            "custom": {},
            "search_text": "",
            "is_ai_off": True,
            "version": F("version") + 1,
        },
    ),
    Held(
        crm.Contact,
        contact=("pk",),
        blank={
            "full_name": ERASED,
            "title": "",
            "locale": "",
            "time_zone": "",
            "custom": {},
            "search_text": "",
            "do_not_contact": True,
            "account": None,
            "version": F("version") + 1,
        },
    ),
]
# Tables that point at a person or at a row about one, and hold nothing about them.
HOLDS_NOTHING = {
    "crm.StageChange": "stages, times and colleagues; its opportunity loses its name",
    "ai_agents.ReplayAnswer": "a number and an act; what was asked and answered is in the task's calls",
}

Scrub = Callable[[Person], dict[str, int]]
_scrubs: list[Scrub] = []


def also_held(*entries: Held) -> None:
    """Add tables of the layers above, before the first export; called by their apps' ready()."""
    HELD[:0] = entries


def scrub(function: Scrub) -> Scrub:
    """Register what cleans copies that no foreign key leads to. Returns numbers by table."""
    _scrubs.append(function)
    return function


def scrubs() -> list[Scrub]:
    return list(_scrubs)


def person_of(*, lead: Lead | None = None, contact: Contact | None = None) -> Person:
    """Everything that is the same human being: linked by contact, by merging, or by an e-mail address.

    A shared telephone number alone does not make two leads one person here: families share one.
    """
    leads, contacts = {lead.pk} if lead else set(), {contact.pk} if contact else set()
    while True:
        more_leads, more_contacts = _neighbours(leads, contacts)
        if more_leads <= leads and more_contacts <= contacts:
            return Person(frozenset(leads), frozenset(contacts))
        leads |= more_leads
        contacts |= more_contacts


def _neighbours(leads: set[int], contacts: set[int]) -> tuple[set[int], set[int]]:
    """One step further. Six queries."""
    mine = Q(lead__in=leads) | Q(contact__in=contacts)
    mails = crm.ContactPoint.objects.filter(mine, kind="email").values_list("norm", flat=True)
    points = crm.ContactPoint.objects.filter(kind="email", norm__in=list(mails))
    linked = Lead.objects.filter(Q(pk__in=leads) | Q(contact__in=contacts) | Q(merged_into__in=leads))
    pairs = list(linked.values_list("pk", "contact_id", "merged_into_id"))
    merged = Contact.objects.filter(Q(pk__in=contacts) | Q(merged_into__in=contacts))
    merged_pairs = list(merged.values_list("pk", "merged_into_id"))
    point_owners = list(points.values_list("lead_id", "contact_id"))
    found_leads = {pk for row in pairs for pk in (row[0], row[2]) if pk} | {
        pk for pk, _contact in point_owners if pk
    }
    found_contacts = {
        pk for pk in (*(row[1] for row in pairs), *(pk for row in merged_pairs for pk in row)) if pk
    }
    found_contacts |= {pk for _lead, pk in point_owners if pk}
    return found_leads, found_contacts
