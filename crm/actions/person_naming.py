"""Whom somebody means by an id, an e-mail address or a telephone number."""

from uuid import UUID

from django.utils.translation import gettext as _

from crm.actions.identity import normalise_email, normalise_phone
from crm.actions.person_addresses import ways_in
from crm.actions.person_copies import rows_without_key
from crm.actions.person_files import lines_about
from crm.actions.personal_data import Person, person_of
from crm.errors import InvalidValue
from crm.models import Contact, ContactPoint, Inquiry, Lead, PointKind


def person_called(text: str) -> Person:
    """The person of the public id of a lead, contact or inquiry, of an e-mail address, or of a number with
    its country's code. Who never became a lead is known by their addresses alone.

    Raises InvalidValue (`person`) for nobody, and for a number that several people share.
    """
    try:
        return _of_id(UUID(text)) or _nobody(text)
    except ValueError:
        return _of_way(text.strip()) or _nobody(text)


def _nobody(text: str) -> Person:
    words = _("There is no lead, contact, inquiry, e-mail address or telephone number %s.")
    raise InvalidValue(words % text[:320], field="person")


def _of_id(public_id: UUID) -> Person | None:
    lead = Lead.objects.filter(public_id=public_id).first()
    contact = Contact.objects.filter(public_id=public_id).first()
    if lead or contact:
        return person_of(lead=lead, contact=contact)
    inquiry = Inquiry.objects.select_related("lead", "source").filter(public_id=public_id).first()
    if inquiry is None:
        return None
    if inquiry.lead:
        return person_of(lead=inquiry.lead)
    ways = ways_in(inquiry.payload, country=inquiry.source.default_country)
    if not ways:
        raise InvalidValue(
            _("This inquiry gives no address: nothing else of them can be found."), field="person"
        )
    return Person(frozenset(), frozenset(), ways)


def _of_way(text: str) -> Person | None:
    ways = _ways(text)
    if not ways:
        return None
    kind, norm = ways[0]
    points = ContactPoint.objects.select_related("lead", "contact").order_by("pk")
    owners = points.filter(kind=kind, norm=norm)
    people = {person_of(lead=point.lead, contact=point.contact) for point in owners}
    if len(people) > 1:
        shared = sorted({str((point.lead or point.contact).public_id) for point in owners})  # type: ignore[union-attr]
        words = _("Several people have this number; name one by its id: %s.")
        raise InvalidValue(words % ", ".join(shared[:10]), field="person")
    if people:
        found = people.pop()
        return Person(found.leads, found.contacts, frozenset(ways if kind == PointKind.EMAIL else ()))
    person = Person(frozenset(), frozenset(), frozenset(ways))
    is_known = any(rows.exists() for rows in rows_without_key(person)) or any(lines_about(person))
    return person if is_known else None


def _ways(text: str) -> list[tuple[str, str]]:
    """The normal forms of an e-mail address, the exact one first, or of a number; none for anything else."""
    try:
        return [(str(PointKind.EMAIL), form) for form in normalise_email(text)]
    except InvalidValue:
        pass
    try:
        return [(str(PointKind.PHONE), normalise_phone(text))]
    except InvalidValue:
        return []
