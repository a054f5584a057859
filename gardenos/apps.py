"""The project's own app: commands and wiring."""

from importlib import import_module

from django.apps import AppConfig


class GardenOSConfig(AppConfig):
    name = "gardenos"
    verbose_name = "GardenOS"

    def ready(self) -> None:
        """Connect what listens to sign-ins."""
        import_module("gardenos.accounts")
