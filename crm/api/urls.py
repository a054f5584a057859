"""/api/v1/ of the CRM. The agents' addresses come first, see gardenos/urls.py."""

from django.urls import path

from crm.api.bulk import BulkRowViewSet, BulkViewSet
from crm.api.events import EventsView
from crm.api.exports import ExportViewSet
from crm.api.follow_ups import FollowUpViewSet
from crm.api.imports import ImportRowViewSet, ImportViewSet
from crm.api.leads import LeadViewSet, TimelineViewSet
from crm.api.schema import DocsView, OpenApiView
from crm.api.today import TodayView
from crm.api.undo import UndoView

app_name = "crm_api"

_bulk = BulkViewSet.as_view
_export = ExportViewSet.as_view
_follow_up = FollowUpViewSet.as_view
_import = ImportViewSet.as_view
_lead = LeadViewSet.as_view
urlpatterns = [
    path("leads/", _lead({"get": "list", "post": "create"}), name="lead_list"),
    path("leads/<uuid:public_id>/", _lead({"get": "retrieve", "patch": "partial_update"}), name="lead"),
    path(
        "leads/<uuid:public_id>/assign/",
        _lead({"post": "assign"}, write_scope="leads:assign"),
        name="lead_assign",
    ),
    path("leads/<uuid:public_id>/disqualify/", _lead({"post": "disqualify"}), name="lead_disqualify"),
    path("leads/<uuid:public_id>/snooze/", _lead({"post": "snooze"}), name="lead_snooze"),
    path("leads/<uuid:public_id>/override/", _lead({"post": "override"}), name="lead_override"),
    path(
        "leads/<uuid:public_id>/lift-override/",
        _lead({"post": "lift_override"}),
        name="lead_lift_override",
    ),
    path("leads/<uuid:public_id>/tag/", _lead({"post": "tag"}), name="lead_tag"),
    path("leads/<uuid:public_id>/untag/", _lead({"post": "untag"}), name="lead_untag"),
    path("leads/<uuid:public_id>/timeline/", TimelineViewSet.as_view({"get": "list"}), name="lead_timeline"),
    path("follow-ups/", _follow_up({"get": "list", "post": "create"}), name="follow_up_list"),
    path(
        "follow-ups/<uuid:public_id>/",
        _follow_up({"get": "retrieve", "patch": "partial_update"}),
        name="follow_up",
    ),
    path("follow-ups/<uuid:public_id>/approve/", _follow_up({"post": "approve"}), name="follow_up_approve"),
    path("follow-ups/<uuid:public_id>/reject/", _follow_up({"post": "reject"}), name="follow_up_reject"),
    path("imports/", _import({"get": "list", "post": "create"}), name="import_list"),
    path("imports/<uuid:public_id>/", _import({"get": "retrieve", "patch": "partial_update"}), name="import"),
    path("imports/<uuid:public_id>/run/", _import({"post": "run"}), name="import_run"),
    path("imports/<uuid:public_id>/cancel/", _import({"post": "cancel"}), name="import_cancel"),
    path("imports/<uuid:public_id>/errors/", _import({"get": "errors"}), name="import_errors"),
    path("imports/<uuid:public_id>/rows/", ImportRowViewSet.as_view({"get": "list"}), name="import_rows"),
    path("exports/", _export({"get": "list", "post": "create"}), name="export_list"),
    path("exports/<uuid:public_id>/", _export({"get": "retrieve"}), name="export"),
    path("exports/<uuid:public_id>/cancel/", _export({"post": "cancel"}), name="export_cancel"),
    path("exports/<uuid:public_id>/file/", _export({"get": "file"}), name="export_file"),
    path("bulk/", _bulk({"get": "list", "post": "create"}), name="bulk_list"),
    path("bulk/<uuid:public_id>/", _bulk({"get": "retrieve"}), name="bulk"),
    path("bulk/<uuid:public_id>/cancel/", _bulk({"post": "cancel"}), name="bulk_cancel"),
    path("bulk/<uuid:public_id>/rows/", BulkRowViewSet.as_view({"get": "list"}), name="bulk_rows"),
    path("today/", TodayView.as_view(), name="today"),
    path("events/", EventsView.as_view(), name="events"),
    path("undo/<uuid:public_id>/", UndoView.as_view(), name="undo"),
    path("openapi.json", OpenApiView.as_view(), name="openapi"),
    path("docs/", DocsView.as_view(), name="docs"),
]
