"""The API's callers, as for the CRM's own addresses."""

from tests.crm.api.conftest import _only_the_api, admin, api, token_caller

__all__ = ["_only_the_api", "admin", "api", "token_caller"]
