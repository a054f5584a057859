"""A row of every model that the admin shows: once of somebody in the caller's team, once of a stranger."""

from typing import Any

from django.contrib import admin
from django.db import Error, models, transaction

from crm.models import (
    Account,
    Consent,
    Contact,
    DuplicateCandidate,
    Invitation,
    Lead,
    MergeLog,
    Opportunity,
    Team,
    User,
)
from tests.crm.test_rights import World
from tests.crm.valid_rows import SPECIAL, a
from tests.factories import make_lead, make_team

MODELS: list[type[models.Model]] = sorted(admin.site._registry, key=lambda model: model._meta.label)
SUBJECTS = ("lead", "contact", "account", "opportunity")  # a row hangs on the first of them that it can


class Rows:
    """`rows["own"][Model]` and `rows["foreign"][Model]`, in the world of `test_rights`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rows: dict[str, dict[type[models.Model], models.Model]] = {}
        for whose in ("own", "foreign"):
            lead = world.leads[whose]
            owned = {"owner": lead.owner, "team": lead.team}
            self.rows[whose] = made = {
                Lead: lead,
                Opportunity: world.cards[whose],
                Contact: Contact.objects.create(full_name="Ada", **owned),
                Account: Account.objects.create(name="Firm", **owned),
                User: world.user if whose == "own" else lead.owner,
                Team: lead.team or make_team(),
            }
            pair = sorted((lead, make_lead(owner=lead.owner, team=lead.team)), key=lambda one: one.pk)
            made[DuplicateCandidate] = a(DuplicateCandidate, lead_a=pair[0], lead_b=pair[1])
            made[MergeLog] = a(MergeLog, winner_lead=pair[0], loser_lead=pair[1])
            made[Invitation] = a(Invitation, team=lead.team, invited_by=made[User])
            made[Consent] = a(Consent, lead=lead, state="given")
            for model in MODELS:
                if model not in made:
                    made[model] = _row(model, made)

    def __getitem__(self, whose: str) -> dict[type[models.Model], models.Model]:
        return self.rows[whose]


def _row(model: type[models.Model], made: dict[type[models.Model], models.Model]) -> models.Model:
    """A valid row that hangs on what belongs to its people; less of that where the database wants it so."""
    links: dict[str, Any] = {}
    special = SPECIAL[model]() if model in SPECIAL else {}
    for field in model._meta.local_concrete_fields:
        target = field.related_model if isinstance(field, models.ForeignKey) else None
        if target not in made or field.name in {"merged_into", "parent"} or target is model:
            continue
        if field.name in SUBJECTS and links.keys() & set(SUBJECTS):
            continue
        if field.name in special and field.name not in SUBJECTS:
            continue
        links[field.name] = made[target]
    for less in (links, {n: v for n, v in links.items() if n in SUBJECTS}, {}):
        try:
            with transaction.atomic():
                return a(model, **less)
        except (Error, TypeError):
            continue
    return a(model)
