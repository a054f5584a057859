"""The agents' app."""

from django.apps import AppConfig


class AIAgentsConfig(AppConfig):
    name = "ai_agents"
    verbose_name = "Agents"
