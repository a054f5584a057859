"""Settings of the product's processes that these tests start: the real ones, without the cache's table."""

from gardenos.settings import *  # noqa: F403

CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
