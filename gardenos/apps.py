"""The project's own app: commands and wiring."""

from django.apps import AppConfig


class GardenOSConfig(AppConfig):
    name = "gardenos"
    verbose_name = "GardenOS"
