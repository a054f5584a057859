"""The product's settings, with a queue cluster as one would set it up for one call a task."""

from gardenos import settings as product
from gardenos.settings import *  # noqa: F403

_CLUSTER = product.Q_CLUSTER["ALT_CLUSTERS"]["default"] | {"workers": 4, "queue_limit": 8, "bulk": 4}
Q_CLUSTER = {"name": "default", **_CLUSTER, "ALT_CLUSTERS": {"default": _CLUSTER}}
