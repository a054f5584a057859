"""For tests that start processes of the product: an environment that leads them to the test's database."""

import os
from urllib.parse import quote

from django.conf import settings
from django.db import connection


def environment(**more: str) -> dict[str, str]:
    """Everything they need, with the rights of the app."""
    db = connection.settings_dict
    url = (
        f"postgresql://{quote(db['USER'])}:{quote(db['PASSWORD'])}@{db['HOST']}:{db['PORT']}/{db['NAME']}"
        "?options=-c%20role%3Dgardenos_app"
    )
    return os.environ | {
        "DATABASE_URL": url,
        "DATABASE_OWNER_URL": url,
        "SECRET_KEY": settings.SECRET_KEY,
        "PYTHONPATH": str(settings.BASE_DIR),
        **more,
    }
