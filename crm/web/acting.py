"""Whose request it is: for the history that the database writes, and for what is hidden from them."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from crm.models import Actor, ApiToken, acting_as
from crm.models.hidden import hiding


class ActingMiddleware:
    """Puts a request's changes down to its token, else to the person signed in, else to a visitor.

    Nothing is hidden until somebody is known: PersonalMiddleware and the API's authentication say from whom.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with acting_as(lambda: _actor(request)), hiding(False):
            return self.get_response(request)


def _actor(request: HttpRequest) -> Actor:
    """Asked at the first change, when the API has long known the token."""
    user, token = getattr(request, "user", None), getattr(request, "auth", None)
    if user is None or not user.is_authenticated:
        return Actor.customer("web")
    if isinstance(token, ApiToken):
        return Actor.api(user, label=token.name, scopes=frozenset(token.scopes))
    return Actor.of(user)
