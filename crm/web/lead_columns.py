"""The columns of the list of leads: what they are called, and what they need beside the lead's own row.

Their cells are written by the tag `lead_rows`; the names are crm.actions.lead_lists.COLUMNS.
"""

from typing import Any

from django.db.models import F, OuterRef, Subquery
from django.utils.translation import gettext_lazy as _

from crm.actions.lead_lists import COLUMNS
from crm.actions.tags import tags_of
from crm.models import ContactPoint

NAME = "name"  # always there: it is the way to the lead
DEFAULT = ("score", NAME, "status", "owner", "source", "value", "next_step", "created")
HEADS = {  # label, class
    "score": (_("Score"), "c"),
    NAME: (_("Name"), ""),
    "company": (_("Company"), "hide-sm"),
    "status": (_("Status"), "hide-sm"),
    "owner": (_("Owner"), "hide-sm"),
    "source": (_("Source"), "hide-md"),
    "value": (_("Value"), "r"),
    "next_step": (_("Next step"), "hide-sm"),
    "created": (_("Came in"), "r hide-md"),
    "email": (_("E-mail"), "hide-sm"),
    "phone": (_("Phone"), "hide-sm"),
    "country": (_("Country"), "hide-md"),
    "tags": (_("Tags"), "hide-sm"),
}


def read_columns(text: str) -> tuple[str, ...]:
    """The columns of an address, in its order, the name among them; () for those that are shown anyhow.

    Raises ValueError with the name of what is no column.
    """
    names = tuple(dict.fromkeys(name for name in text.split(",") if name))
    for name in names:
        if name not in COLUMNS:
            raise ValueError(name)
    if names and NAME not in names:
        names = (NAME, *names)
    return () if names == DEFAULT else names


def needed_by(columns: tuple[str, ...]) -> dict[str, Any]:
    """What `.values()` of the list asks for besides the usual columns."""
    needed: dict[str, Any] = {"tags": tags_of("lead")}
    for kind in ("email", "phone"):
        if kind in columns:
            points = ContactPoint.objects.filter(lead=OuterRef("pk"), kind=kind, is_primary=True)
            needed[kind] = Subquery(points.values("raw")[:1])
    if "country" in columns:
        needed["nation"] = F("country")
    return needed
