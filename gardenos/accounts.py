"""How people get an account."""

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class InvitedOnlyAdapter(DefaultAccountAdapter):
    """Nobody signs up by themselves: admins make the accounts."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False
