"""The engine on the scripted model, as its own tests have it."""

from tests.ai_agents.engine.conftest import _scripted_session, engine, scripted

__all__ = ["_scripted_session", "engine", "scripted"]
