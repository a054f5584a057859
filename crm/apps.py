"""The CRM app."""

from importlib import import_module

from django.apps import AppConfig


class CRMConfig(AppConfig):
    name = "crm"
    verbose_name = "CRM"

    def ready(self) -> None:
        """Connect what listens to events: reactions of the domain, the queue's tasks, the live feed."""
        import_module("crm.models.hidden").hide_addresses(self.get_models())
        for module in (
            "actions.reactions",
            "actions.person_copies",
            "actions.scores",
            "tasks",
            "live.broadcast",
        ):
            import_module(f"crm.{module}")
