"""How tests of the screens look at pages."""

from django.conf import settings
from django.test import Client

from crm.models import User


def signed_in(user: User) -> Client:
    """A browser of this person."""
    client = Client()
    client.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[0])
    return client


HTMX = {"HTTP_HX_REQUEST": "true"}
