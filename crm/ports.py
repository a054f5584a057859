"""What crm may ask of the agents. `ai_agents.apps` fills this in; unfilled means: there is no AI."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class AIStatus:
    """One line about the agents for every page. Money in USD."""

    provider: str = "off"  # deepinfra, openai_compatible, scripted or off
    model: str = ""
    is_on: bool = False
    is_sample: bool = False  # scripted answers: every screen says so
    running: int = 0  # agents at work or ready
    queued: int = 0  # counted to 1,000
    spent_today_usd: Decimal = Decimal(0)
    budget_usd: Decimal = Decimal(0)
    trouble: str = ""  # one sentence when people should know


@dataclass(frozen=True, slots=True)
class StatisticsStatus:
    """Whether a fit of the statistical score is active, and a sentence that says so or what is missing."""

    is_active: bool = False
    sentence: str = ""


@dataclass(slots=True)
class _Ports:
    price_of_analysis: Callable[[int], Decimal]
    ai_status: Callable[[], AIStatus]
    pending: Callable[[Iterable[int]], dict[int, str]]
    statistics_status: Callable[[], StatisticsStatus]


_ports = _Ports(
    price_of_analysis=lambda n: Decimal(0),
    ai_status=AIStatus,
    pending=lambda lead_ids: {},
    statistics_status=StatisticsStatus,
)


def fill(**functions: Callable) -> None:
    """Connect the agents; called once by ai_agents.apps."""
    for name, function in functions.items():
        setattr(_ports, name, function)


def price_of_analysis(n: int) -> Decimal:
    """Expected cost in USD of analysing `n` leads with the model in use; 0 when AI is off or scripted."""
    return _ports.price_of_analysis(n)


def ai_status() -> AIStatus:
    """What the agents do now, in at most three queries."""
    return _ports.ai_status()


def pending(lead_ids: Iterable[int]) -> dict[int, str]:
    """For those of the leads an agent works on: "scoring" or "drafting". One query."""
    return _ports.pending(lead_ids)


def statistics_status() -> StatisticsStatus:
    """What the statistical score is made of, or what it lacks. At most two queries."""
    return _ports.statistics_status()
