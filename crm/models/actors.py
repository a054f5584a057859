"""Who does something: a person, an agent, a rule, the system, a customer, or a program with a token."""

from dataclasses import dataclass, field
from typing import Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from crm.models.users import User


class ActorKind(models.TextChoices):
    USER = "user", _("User")
    AGENT = "agent", _("Agent")
    RULE = "rule", _("Rule")
    CUSTOMER = "customer", _("Customer")
    SYSTEM = "system", _("System")
    API = "api", _("API")


@dataclass(frozen=True, slots=True)
class Actor:
    """Passed to every action as `by`. `user` is the person on whose rights it acts, or None."""

    kind: ActorKind
    user: User | None = None
    label: str = ""
    scopes: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, user: User) -> Self:
        return cls(ActorKind.USER, user, user.name)

    @classmethod
    def api(cls, user: User, *, label: str, scopes: frozenset[str]) -> Self:
        return cls(ActorKind.API, user, label, scopes)

    @classmethod
    def agent(cls, label: str) -> Self:
        """An agent, e.g. "LeadAnalysisAgent". It may write scores and drafts, nothing else."""
        return cls(ActorKind.AGENT, None, label)

    @classmethod
    def system(cls, label: str = "GardenOS") -> Self:
        return cls(ActorKind.SYSTEM, None, label)

    @classmethod
    def customer(cls, label: str = "") -> Self:
        return cls(ActorKind.CUSTOMER, None, label)
