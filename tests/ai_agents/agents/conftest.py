"""The scripted model over real HTTP, shared with the engine's tests."""

from tests.ai_agents.engine.conftest import _scripted_session, scripted

__all__ = ["_scripted_session", "scripted"]
