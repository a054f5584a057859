"""Which provider the settings choose, and where a key never goes."""

import os
import subprocess
import sys

import pytest

from ai_agents.llm.providers import DEEPINFRA_URL, Provider, current_provider, probe
from tests.ai_agents.engine.conftest import ScriptedServer


@pytest.fixture(autouse=True)
def _nothing_set(settings):
    settings.AI_PROVIDER = "auto"
    settings.DEEPINFRA_API_KEY = settings.OPENAI_API_KEY = settings.OPENAI_BASE_URL = ""
    settings.SCRIPTED_LLM_URL = ""


def test_without_a_key_the_scripted_model_answers():
    assert current_provider().is_sample
    assert current_provider().base_url.startswith("http://127.0.0.1:")


def test_an_openai_key_alone_goes_nowhere(settings):
    settings.OPENAI_API_KEY = "sk-secret"
    assert current_provider().is_sample
    assert "sk-secret" not in current_provider().api_key


def test_a_deepinfra_key_goes_to_deepinfra_alone(settings):
    settings.DEEPINFRA_API_KEY = "di-secret"
    settings.OPENAI_BASE_URL = "http://elsewhere.example/v1"
    assert (current_provider().name, current_provider().base_url) == ("deepinfra", DEEPINFRA_URL)
    settings.AI_PROVIDER = "openai_compatible"
    settings.OPENAI_API_KEY = "sk-other"
    assert current_provider().api_key == "sk-other"


def test_address_and_key_together_choose_the_compatible_provider(settings):
    settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "sk-secret", "http://llm.example/v1"
    provider = current_provider()
    assert (provider.name, provider.base_url) == ("openai_compatible", "http://llm.example/v1")
    assert "sk-secret" not in repr(provider)


def test_off_is_off_whatever_keys_there_are(settings):
    settings.AI_PROVIDER, settings.DEEPINFRA_API_KEY = "off", "di-secret"
    assert not current_provider().is_on


def test_the_probe_says_which_model_is_used(scripted: ScriptedServer):
    assert probe(scripted.provider).trouble == ""
    scripted.script.set({"models": ["something else"]})
    assert "None of" in probe(scripted.provider).trouble


def test_the_probe_of_a_dead_address_is_a_sentence():
    assert "failed" in probe(Provider("scripted", "http://127.0.0.1:1/v1", "k", ("m",)), timeout_s=1).trouble


def test_processes_that_only_queue_do_not_load_the_model_client():
    script = "import django, sys; django.setup(); print('openai' in sys.modules)"
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings", "Q_CLUSTER_NAME": "default"}
    ran = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert ran.stdout.strip() == "False", ran.stderr
