"""The product's settings, with the addresses of tests/bench/urls.py in front of its own."""

from gardenos.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.urls"
