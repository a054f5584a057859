"""What calls cost. ModelPrice rows win over this table; the provider's own figure wins over both.

USD per million tokens. Sources, read 2025: deepinfra.com and novita.ai model pages, api-docs.deepseek.com.
Prices move; an operator corrects them in the admin (ModelPrice), with the date from which they hold.
"""

from dataclasses import dataclass
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
UNKNOWN = price("2", "2", "8")  # dear on purpose: a model nobody priced must not outrun the budget
KNOWN = {
    "deepseek-ai/DeepSeek-V3-0324": price("0.27", "0.27", "1.12"),
    "deepseek-ai/DeepSeek-V3.2": price("0.27", "0.216", "0.40"),
    "deepseek-v4-flash": price("0.14", "0.0028", "0.28"),
    "deepseek-v4-pro": price("0.435", "0.435", "0.87"),
}


def shipped_price(provider: str, model: str) -> Price:
    """The price we ship for a model; scripted answers are free."""
    return FREE if provider == "scripted" else KNOWN.get(model, UNKNOWN)


def estimate_tokens(text: str) -> int:
    """Our own count, for reservations and for answers that come without usage."""
    return len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN + 8
