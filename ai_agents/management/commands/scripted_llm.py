"""Run the scripted model: an OpenAI-compatible server whose answers follow from the request alone."""

from argparse import ArgumentParser
from urllib.parse import urlsplit

import uvicorn
from django.core.management.base import BaseCommand, CommandError

from ai_agents.llm.providers import current_provider
from ai_agents.llm.scripted import Script, ScriptedModel


class Command(BaseCommand):
    help = "Serve scripted answers in OpenAI's format on this machine; the default provider without a key."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--bind", default="127.0.0.1", help="address (default: 127.0.0.1; it asks for no key)"
        )
        parser.add_argument("--port", type=int, help="port (default: the one in SCRIPTED_LLM_URL, else 8111)")
        parser.add_argument(
            "--latency", type=float, default=0.4, help="seconds before each answer (default: 0.4)"
        )

    def handle(self, *, bind: str, port: int | None, latency: float, **options: object) -> None:
        if not 0 <= latency <= 600:
            raise CommandError("--latency must lie between 0 and 600 seconds.", returncode=2)
        if port is not None and not 1 <= port <= 65_535:
            raise CommandError("--port must lie between 1 and 65535.", returncode=2)
        if port is None:
            provider = current_provider()
            port = urlsplit(provider.base_url).port if provider.is_sample else 8111
        app = ScriptedModel(Script(latency_s=latency))
        self.stdout.write(f"scripted model on http://{bind}:{port}/v1 (control: /control)")
        self.stdout.flush()
        config = uvicorn.Config(app, host=bind, port=port or 80, log_level="warning", access_log=False)
        config.timeout_keep_alive = 75  # as providers do; a busy caller must not meet a closing connection
        uvicorn.Server(config).run()
