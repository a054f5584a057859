"""How people get an account."""

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class InvitedOnlyAdapter(DefaultAccountAdapter):
    """Nobody signs up by themselves: admins make the accounts."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def is_safe_url(self, url: str) -> bool:
        """As allauth, which stumbles over an address that cannot be read ("//[")."""
        try:
            return super().is_safe_url(url)
        except ValueError:
            return False
