"""What models cost from which day: the prices that come with us, and those that people add."""

from datetime import date
from decimal import Decimal

from django.db import transaction
from django.utils.translation import gettext as _

from ai_agents.actions.budget import refuse_finer
from ai_agents.llm.prices import SHIPPED
from ai_agents.models import ModelPrice
from crm.actions.audit import audit
from crm.errors import InvalidValue, OutOfBounds
from crm.models import Actor, ActorKind
from crm.permissions import Verb, require
from crm.plaintext import one_line

SHIPPED_NOTE = "shipped: "
MOST_USD = Decimal(10_000)  # per million tokens
PLACES = 4
PROVIDERS = ("deepinfra", "openai_compatible")


def keep_prices() -> None:
    """Add the prices that come with this release. Models that a person wrote a price for are left to them."""
    kept = set(ModelPrice.objects.values_list("provider", "model", "valid_from"))
    by_people = set(
        ModelPrice.objects.exclude(note__startswith=SHIPPED_NOTE).values_list("provider", "model")
    )
    ModelPrice.objects.bulk_create(
        [
            ModelPrice(
                provider=one.provider,
                model=one.model,
                valid_from=one.since,
                usd_in=one.price.usd_in,
                usd_cached=one.price.usd_cached,
                usd_out=one.price.usd_out,
                note=SHIPPED_NOTE + one.source,
            )
            for one in SHIPPED
            if (one.provider, one.model) not in by_people and (one.provider, one.model, one.since) not in kept
        ],
        ignore_conflicts=True,
    )


@transaction.atomic
def set_price(
    provider: str,
    model: str,
    *,
    valid_from: date,
    usd_in: Decimal,
    usd_out: Decimal,
    by: Actor,
    usd_cached: Decimal | None = None,
    note: str = "",
) -> ModelPrice:
    """Say what a model costs from a day on, in USD per million tokens; `usd_cached` None: as `usd_in`.

    Prices of other days stay, so that what was booked can be explained. A running pump takes a new price up
    with its next slice. Raises PermissionRefused, InvalidValue, OutOfBounds.
    """
    if by.kind != ActorKind.SYSTEM:
        require(by, Verb.SET_UP)
    if provider not in PROVIDERS:
        raise InvalidValue(_("Choose one of: %s.") % ", ".join(PROVIDERS), field="provider")
    model = one_line(model, 121)
    if not model or len(model) > 120:
        raise InvalidValue(_("Name the model, in up to 120 characters."), field="model")
    prices = {
        "usd_in": usd_in,
        "usd_cached": usd_in if usd_cached is None else usd_cached,
        "usd_out": usd_out,
    }
    for field, usd in prices.items():
        if not (usd.is_finite() and 0 <= usd <= MOST_USD):
            raise OutOfBounds(_("Choose an amount from 0 to 10,000 USD per million tokens."), field=field)
        refuse_finer(usd, places=PLACES, field=field)
    text = one_line(note, 200).removeprefix(SHIPPED_NOTE)
    row, _made = ModelPrice.objects.update_or_create(
        provider=provider, model=model, valid_from=valid_from, defaults={**prices, "note": text}
    )
    audit(
        "modelprice.set",
        f"set the price of {model} from {valid_from}",
        by=by,
        target=row,
        **{name: str(usd) for name, usd in prices.items()},
    )
    return row
