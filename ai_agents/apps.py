"""The agents' app."""

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from crm import ports


class AIAgentsConfig(AppConfig):
    name = "ai_agents"
    verbose_name = "Agents"

    def ready(self) -> None:
        """Connect the agents to crm's events and ports, and load the model client early where it is
        needed.
        """
        import_module("crm.models.hidden").hide_addresses(self.get_models())
        import_module("ai_agents.checks")
        import_module("ai_agents.listeners")
        import_module("ai_agents.personal_data")
        status = import_module("ai_agents.actions.status")
        ports.fill(
            price_of_analysis=status.price_of_analysis,
            ai_status=status.ai_status,
            pending=status.pending,
            statistics_status=import_module("ai_agents.actions.fitting").statistics_status,
        )
        post_migrate.connect(_keep_rows, sender=self)
        if os.environ.get("Q_CLUSTER_NAME") == "ai":
            import_module("ai_agents.pump")  # before the cluster forks, so that its workers share the memory


def _keep_rows(*, plan: Sequence[tuple[object, bool]] = (), **kwargs: Any) -> None:
    """Not after going back: the tables lack what the models of this release name."""
    if any(is_backwards for _migration, is_backwards in plan):
        return
    from ai_agents.actions.pools import keep_pools
    from ai_agents.actions.prices import keep_prices

    keep_pools()
    keep_prices()
