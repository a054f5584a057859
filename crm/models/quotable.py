"""Fields of a lead that a score may quote, each as the one text in which a quote's place is counted."""

from crm.models.leads import Lead
from crm.plaintext import one_line

QUOTABLE_FIELDS = ("title", "interest", "est_value", "country")


def field_text(lead: Lead, field: str) -> str:
    """The field's value as normalised text of one line; "" when it is empty. `custom.<key>` reads a custom
    field.
    """
    if field.startswith("custom."):
        value = lead.custom.get(field.removeprefix("custom."))
        return "" if isinstance(value, (dict, list)) or value is None else one_line(str(value))
    value = getattr(lead, field)
    if field == "est_value":
        return "" if value is None else f"{value:.0f} {lead.currency}"
    return one_line(value or "")
