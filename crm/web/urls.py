"""The screens' addresses."""

from django.urls import path

from crm.web import (
    account,
    dev_mail,
    follow_ups,
    frame_pieces,
    imports,
    lead,
    lead_changes,
    leads,
    search,
    today,
)

app_name = "crm"
urlpatterns = [
    path("", today.today, name="today"),
    path("today/list/", today.today_list, name="today_list"),
    path("today/<uuid:public_id>/", today.today_peek, name="today_peek"),
    path("today/<uuid:public_id>/row/", today.today_row, name="today_row"),
    path("leads/", leads.lead_list, name="lead_list"),
    path("leads/filters/", leads.lead_filter_form, name="lead_filter_form"),
    path("leads/new/", leads.lead_new, name="lead_new"),
    path("leads/<uuid:public_id>/", lead.lead, name="lead"),
    path("leads/<uuid:public_id>/head/", lead.lead_head, name="lead_head"),
    path("leads/<uuid:public_id>/why/", lead.lead_why, name="lead_why"),
    path("leads/<uuid:public_id>/score/", lead.lead_score, name="lead_score"),
    path("leads/<uuid:public_id>/recent/", lead.lead_recent, name="lead_recent"),
    path("leads/<uuid:public_id>/timeline/", lead.lead_timeline, name="lead_timeline"),
    path("leads/<uuid:public_id>/details/", lead.lead_details, name="lead_details"),
    path("leads/<uuid:public_id>/draft/", follow_ups.lead_draft, name="lead_draft"),
    path("leads/<uuid:public_id>/write/", follow_ups.lead_write, name="lead_write"),
    path("leads/<uuid:public_id>/fields/<str:name>/", lead_changes.lead_field, name="lead_field"),
    path("leads/<uuid:public_id>/note/", lead_changes.lead_note, name="lead_note"),
    path("leads/<uuid:public_id>/snooze/", lead_changes.lead_snooze, name="lead_snooze"),
    path("leads/<uuid:public_id>/assign/", lead_changes.lead_assign, name="lead_assign"),
    path("leads/<uuid:public_id>/disqualify/", lead_changes.lead_disqualify, name="lead_disqualify"),
    path("leads/<uuid:public_id>/status/", lead_changes.lead_status, name="lead_status"),
    path("follow-ups/<uuid:public_id>/edit/", follow_ups.follow_up_edit, name="follow_up_edit"),
    path("follow-ups/<uuid:public_id>/approve/", follow_ups.follow_up_approve, name="follow_up_approve"),
    path("follow-ups/<uuid:public_id>/dismiss/", follow_ups.follow_up_dismiss, name="follow_up_dismiss"),
    path("follow-ups/<uuid:public_id>/settle/", follow_ups.follow_up_settle, name="follow_up_settle"),
    path("undo/<uuid:public_id>/", lead_changes.undo_view, name="undo"),
    path("search/", search.search, name="search"),
    path("imports/", imports.import_list, name="import_list"),
    path("agents-box/", frame_pieces.agents_box, name="agents_box"),
    path("dev/mail/", dev_mail.dev_mail_list, name="dev_mail_list"),
    path("dev/mail/<str:name>/", dev_mail.dev_mail, name="dev_mail"),
    path("me/", account.profile, name="profile"),
    path("me/theme/", account.theme, name="theme"),
]
