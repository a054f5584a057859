"""What calls cost. ModelPrice rows win over this table; the provider's own figure wins over both.

USD per million tokens, each with the day from which it holds and where it was read (docs/ai/costs.md says
more, and what is not verified). Prices move; an operator adds the next one in the admin (ModelPrice) or with
`manage.py agents price`.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

MILLION = Decimal(1_000_000)
BYTES_PER_TOKEN = 3  # English text is nearer 4; estimates of a worst case err upwards
MICRO = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens."""

    usd_in: Decimal
    usd_cached: Decimal
    usd_out: Decimal

    def cost(self, *, tokens_in: int, tokens_cached: int = 0, tokens_out: int) -> Decimal:
        """USD, rounded up to a millionth. `tokens_cached` are part of `tokens_in`."""
        cached = min(tokens_cached, tokens_in)
        usd = self.usd_in * (tokens_in - cached) + self.usd_cached * cached + self.usd_out * tokens_out
        return (usd / MILLION).quantize(MICRO, rounding="ROUND_UP")

    def worst(self, prompt_bytes: int, *, max_tokens: int) -> Decimal:
        """The most a call with a prompt of so many bytes may cost, in USD."""
        return self.cost(tokens_in=prompt_bytes // BYTES_PER_TOKEN + 8, tokens_out=max_tokens)


def price(usd_in: str, usd_cached: str, usd_out: str) -> Price:
    return Price(Decimal(usd_in), Decimal(usd_cached), Decimal(usd_out))


FREE = price("0", "0", "0")
UNKNOWN = price("2.50", "2.50", "10")  # dear on purpose: a model nobody priced must not outrun the budget


@dataclass(frozen=True, slots=True)
class Shipped:
    """A price we know of: whose model, from which day, and where that was read."""

    provider: str
    model: str
    since: date
    price: Price
    source: str


_DEEPSEEK = "api-docs.deepseek.com/quick_start/pricing"
# DeepSeek bills by the hour of the day since 2026-08-16. Here is the peak rate, so that no budget is outrun;
# off-peak is half of it.
SHIPPED = (
    Shipped(
        "deepinfra", "deepseek-ai/DeepSeek-V3-0324", date(2025, 3, 24), price("0.27", "0.27", "1.12"),
        "Novita's price, not DeepInfra's: novita.ai, read 2026-11; not verified",
    ),
    Shipped(
        "deepinfra", "deepseek-ai/DeepSeek-V3.2", date(2025, 12, 1), price("0.27", "0.216", "0.40"),
        "deepinfra.com model page, read 2026; resellers say 0.26 and 0.38",
    ),
    Shipped(
        "openai_compatible", "deepseek-v4-flash", date(2026, 4, 24), price("0.14", "0.0028", "0.28"),
        _DEEPSEEK,
    ),
    Shipped(
        "openai_compatible", "deepseek-v4-flash", date(2026, 8, 16), price("0.44", "0.014", "1.32"),
        f"{_DEEPSEEK}, peak",
    ),
    Shipped(
        "openai_compatible", "deepseek-v4-flash", date(2026, 9, 10), price("0.30", "0.006", "1.20"),
        f"{_DEEPSEEK}, peak; served by V4.1 Flash",
    ),
    Shipped(
        "openai_compatible", "deepseek-flash", date(2026, 9, 10), price("0.30", "0.006", "1.20"),
        f"{_DEEPSEEK}, peak",
    ),
    Shipped(
        "openai_compatible", "deepseek-v4-pro", date(2026, 4, 24), price("0.435", "0.435", "0.87"), _DEEPSEEK
    ),
    Shipped(
        "openai_compatible", "deepseek-v4-pro", date(2026, 8, 16), price("1.32", "0.044", "3.96"),
        f"{_DEEPSEEK}, peak",
    ),
    Shipped(
        "openai_compatible", "gpt-4o", date(2024, 10, 1), price("2.50", "1.25", "10"),
        "list price as quoted by others, 2026-05 and 2026-06",
    ),
    Shipped(
        "openai_compatible", "gpt-4.1", date(2025, 4, 14), price("2", "0.50", "8"),
        "list price as quoted by others, 2026-03 and 2026-06",
    ),
)  # fmt: skip


# Only to compare with: the list prices of the models that the claim "90 % cheaper than GPT-4" was made about.
COMPARED = (
    Shipped(
        "openai", "gpt-4", date(2023, 3, 14), price("30", "30", "60"),
        "0.03 and 0.06 a thousand, as quoted by others",
    ),
    Shipped(
        "openai", "gpt-4-turbo", date(2023, 11, 6), price("10", "10", "30"),
        "0.01 and 0.03 a thousand, as quoted by others",
    ),
)  # fmt: skip


def shipped_price(provider: str, model: str, on: date | None = None) -> Price:
    """The price we ship for a model on a day, without one the newest; scripted answers are free.

    A day before the first price we know has that one; a model that nobody priced is dear on purpose.
    """
    if provider == "scripted":
        return FREE
    known = [shipped for shipped in SHIPPED if shipped.model == model]
    held = [shipped for shipped in known if on is None or shipped.since <= on] or known[:1]
    return held[-1].price if held else UNKNOWN


def estimate_tokens(text: str) -> int:
    """Our own count, for reservations and for answers that come without usage."""
    return len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN + 8
