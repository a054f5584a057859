"""Which model provider is used. Chosen from the settings alone; keys never leave for another address than
theirs.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

DEEPINFRA_MOST = 190  # it allows 200 concurrent requests a model and account (its documentation, 2025)
DEEPINFRA_URL = "https://api.deepinfra.com/v1/openai"
SCRIPTED_URL = "http://127.0.0.1:8111/v1"
SCRIPTED_MODEL = "scripted-gardener"
PROBE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenAI-compatible address. `models` in the order in which they are wanted."""

    name: str  # deepinfra, openai_compatible, scripted or off
    base_url: str = ""
    api_key: str = ""
    models: tuple[str, ...] = ()
    most_in_flight: int = 0  # calls that all our pumps may have in flight there together, 0 = no limit

    @property
    def is_on(self) -> bool:
        return self.name != "off"

    @property
    def is_sample(self) -> bool:
        """Scripted answers: every screen says that scores and drafts are samples."""
        return self.name == "scripted"

    def __repr__(self) -> str:  # the key stays out of logs and tracebacks
        return f"Provider({self.name!r}, {self.base_url!r}, models={self.models!r})"


OFF = Provider("off")


def current_provider() -> Provider:
    """The provider that the settings ask for. An OPENAI_API_KEY alone is for nobody and goes nowhere."""
    chosen = settings.AI_PROVIDER
    if chosen == "auto":
        chosen = _first_with_a_key()
    models = (settings.AI_MODEL, *settings.AI_FALLBACK_MODELS)
    if chosen == "deepinfra":
        return Provider(
            "deepinfra", DEEPINFRA_URL, settings.DEEPINFRA_API_KEY, models, most_in_flight=DEEPINFRA_MOST
        )
    if chosen == "openai_compatible":
        return Provider("openai_compatible", settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY, models)
    if chosen == "scripted":
        return Provider("scripted", settings.SCRIPTED_LLM_URL or SCRIPTED_URL, "scripted", (SCRIPTED_MODEL,))
    return OFF


def _first_with_a_key() -> str:
    if settings.DEEPINFRA_API_KEY:
        return "deepinfra"
    if settings.OPENAI_BASE_URL and settings.OPENAI_API_KEY:
        return "openai_compatible"
    return "scripted"


def pick_model(wanted: Sequence[str], offered: Sequence[str]) -> str:
    """The first wanted model that is offered; the first wanted when the provider offers none of them by
    name.
    """
    return next((model for model in wanted if model in offered), wanted[0])


@dataclass(frozen=True, slots=True)
class Probe:
    """What GET /models said. `trouble` is one sentence, empty when all is well."""

    provider: str
    model: str
    trouble: str = ""


def probe(provider: Provider | None = None, *, timeout_s: float = PROBE_TIMEOUT_S) -> Probe:
    """Ask the provider once which of our models it has. Never raises; for `doctor` and start-up lines."""
    provider = provider or current_provider()
    if not provider.is_on:
        return Probe("off", "")
    request = urllib.request.Request(  # noqa: S310  the address comes from the settings, which allow http(s) only
        provider.base_url.rstrip("/") + "/models", headers={"Authorization": f"Bearer {provider.api_key}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
            offered = model_ids(json.loads(answer.read(4_000_000)))
    except urllib.error.HTTPError as error:
        return Probe(provider.name, provider.models[0], f"GET /models answered {error.code}.")
    except (OSError, ValueError) as error:
        return Probe(provider.name, provider.models[0], f"GET /models failed ({error.__class__.__name__}).")
    model = pick_model(provider.models, offered)
    if model not in offered:
        return Probe(
            provider.name, model, "None of AI_MODEL and AI_FALLBACK_MODELS is in the provider's list."
        )
    return Probe(provider.name, model)


def model_ids(body: Any) -> list[str]:
    """The ids in an answer of GET /models; raises ValueError for anything else."""
    rows = body.get("data") if isinstance(body, dict) else None
    if not isinstance(rows, list):
        raise ValueError("not a list of models")
    return [row["id"] for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]
