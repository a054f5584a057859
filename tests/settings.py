# ruff: noqa: E402  the worker's server is started before the settings ask where it is
"""Settings of the test suite: a real PostgreSQL, fast hashing, nothing leaves the machine."""

import json
import os

os.environ.setdefault("AI_PROVIDER", "off")  # tests that want the scripted provider start it themselves

from tests.workers import start_own_server

start_own_server()

from gardenos.databases import owner_database
from gardenos.settings import *  # noqa: F403
from gardenos.settings import DATABASES, GARDENOS_DATA_DIR, env

# The owner makes the test database and its tables; tests then run as gardenos_app (tests/conftest.py).
DATABASES["default"] = owner_database(env, GARDENOS_DATA_DIR)
DATABASES["default"]["TEST"] = {"NAME": f"test_gardenos{os.environ.get('TEST_DB_SUFFIX', '')}"}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
AI_TIMING = json.loads(os.environ.get("TEST_AI_TIMING", "{}"))  # for clusters that tests start
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
