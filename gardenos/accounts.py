"""How people get an account."""

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest
from django.utils.translation import gettext_lazy


class InvitedOnlyAdapter(DefaultAccountAdapter):
    """Nobody signs up by themselves: admins make the accounts."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "email_password_mismatch": gettext_lazy(
            "E-mail address or password is wrong. Try again, or set a new password."
        ),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def is_safe_url(self, url: str) -> bool:
        """As allauth, which stumbles over an address that cannot be read ("//[")."""
        try:
            return super().is_safe_url(url)
        except ValueError:
            return False
