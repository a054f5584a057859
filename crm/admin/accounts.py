"""Organisations and people that are known beyond a lead."""

from django.contrib import admin

from crm.admin.duplicates import MergeTwo
from crm.models import Account, Contact


@admin.register(Account)
class AccountAdmin(MergeTwo):
    """Organisations."""

    list_display = ("name", "domain", "industry", "country", "owner", "team")
    list_select_related = ("owner", "team")
    list_filter = ("size_band", "owner")
    search_fields = ("search_text",)
    fields = (
        "name",
        "domain",
        "industry",
        "size_band",
        "website",
        "address",
        "country",
        "owner",
        "team",
        "custom",
        "created_at",
        "updated_at",
    )


@admin.register(Contact)
class ContactAdmin(MergeTwo):
    """People."""

    list_display = ("full_name", "title", "account", "lifecycle", "do_not_contact", "owner", "team")
    list_select_related = ("account", "owner", "team")
    list_filter = ("lifecycle", "do_not_contact", "owner")
    search_fields = ("search_text",)
    fields = (
        "full_name",
        "title",
        "account",
        "country",
        "locale",
        "time_zone",
        "lifecycle",
        "do_not_contact",
        "owner",
        "team",
        "custom",
        "created_at",
        "updated_at",
    )
