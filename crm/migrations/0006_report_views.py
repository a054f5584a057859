"""What people may build their own reports on: views with names that stay, and a role that reads them alone.

The role was made to read every table, password hashes included; it loses that here.
"""

from django.db import migrations

_OWNED = "owner.name AS owner, owner.email AS owner_email, team.name AS team"
_OWNERS = "LEFT JOIN crm_user owner ON owner.id = {0}.owner_id LEFT JOIN crm_team team ON team.id = {0}.team_id"

VIEWS = {
    "report_users": """
        SELECT public_id AS user_id, name, email, role, is_active, created_at FROM crm_user
    """,
    "report_teams": """
        SELECT team.name AS team, member.name, member.email, link.role
          FROM crm_team team
          LEFT JOIN crm_teammember link ON link.team_id = team.id
          LEFT JOIN crm_user member ON member.id = link.user_id
    """,
    "report_sources": """
        SELECT code AS source, name, kind, campaign, monthly_cost, currency FROM crm_leadsource
    """,
    "report_leads": f"""
        SELECT lead.public_id AS lead_id, lead.name, lead.company, lead.title, lead.kind, lead.country,
               lead.interest, lead.est_value AS estimated_value, lead.currency, lead.status,
               lead.status_changed_at, lead.disqualify_reason, lead.outcome, lead.outcome_at,
               source.code AS source, source.campaign, {_OWNED}, lead.score, lead.score_source,
               lead.next_action_at, lead.next_action_kind, lead.snoozed_until, lead.attempts,
               lead.last_inbound_at, lead.last_outbound_at, contact.public_id AS contact_id,
               lead.converted_at, lead.custom, lead.created_at, lead.updated_at
          FROM crm_lead lead
          JOIN crm_leadsource source ON source.id = lead.source_id
          LEFT JOIN crm_contact contact ON contact.id = lead.contact_id
          {_OWNERS.format("lead")}
         WHERE lead.merged_into_id IS NULL AND lead.deleted_at IS NULL
    """,
    "report_lead_status_changes": """
        SELECT lead.public_id AS lead_id, change.from_status, change.to_status, change.at,
               change.seconds_in_from, change.actor_kind, person.name AS by
          FROM crm_leadstatuschange change
          JOIN crm_lead lead ON lead.id = change.lead_id
          LEFT JOIN crm_user person ON person.id = change.by_id
    """,
    "report_inquiries": """
        SELECT inquiry.public_id AS inquiry_id, lead.public_id AS lead_id, source.code AS source,
               inquiry.channel, inquiry.state, inquiry.utm ->> 'source' AS utm_source,
               inquiry.utm ->> 'medium' AS utm_medium, inquiry.utm ->> 'campaign' AS utm_campaign,
               inquiry.received_at
          FROM crm_inquiry inquiry
          JOIN crm_leadsource source ON source.id = inquiry.source_id
          LEFT JOIN crm_lead lead ON lead.id = inquiry.lead_id
    """,
    "report_accounts": f"""
        SELECT account.public_id AS account_id, account.name, account.domain, account.industry,
               account.size_band, account.website, account.country, {_OWNED}, account.custom,
               account.created_at, account.updated_at
          FROM crm_account account {_OWNERS.format("account")}
         WHERE account.merged_into_id IS NULL AND account.deleted_at IS NULL
    """,
    "report_contacts": f"""
        SELECT contact.public_id AS contact_id, contact.full_name, contact.title,
               account.public_id AS account_id, contact.country, contact.lifecycle, contact.do_not_contact,
               {_OWNED}, contact.custom, contact.created_at, contact.updated_at
          FROM crm_contact contact
          LEFT JOIN crm_account account ON account.id = contact.account_id
          {_OWNERS.format("contact")}
         WHERE contact.merged_into_id IS NULL AND contact.deleted_at IS NULL
    """,
    "report_contact_points": """
        SELECT lead.public_id AS lead_id, contact.public_id AS contact_id, point.kind, point.norm AS value,
               point.is_primary, point.state
          FROM crm_contactpoint point
          LEFT JOIN crm_lead lead ON lead.id = point.lead_id
          LEFT JOIN crm_contact contact ON contact.id = point.contact_id
    """,
    "report_opportunities": f"""
        SELECT opportunity.public_id AS opportunity_id, opportunity.name, pipeline.name AS pipeline,
               stage.name AS stage, opportunity.state, opportunity.stage_entered_at,
               account.public_id AS account_id, contact.public_id AS contact_id, lead.public_id AS lead_id,
               source.code AS source, opportunity.amount, opportunity.currency,
               coalesce(opportunity.probability_override, stage.probability) AS probability,
               opportunity.forecast, opportunity.expected_close, opportunity.closed_at,
               opportunity.lost_reason, opportunity.next_action_at, opportunity.next_action_kind, {_OWNED},
               opportunity.custom, opportunity.created_at, opportunity.updated_at
          FROM crm_opportunity opportunity
          JOIN crm_stage stage ON stage.id = opportunity.stage_id
          JOIN crm_pipeline pipeline ON pipeline.id = stage.pipeline_id
          LEFT JOIN crm_account account ON account.id = opportunity.account_id
          LEFT JOIN crm_contact contact ON contact.id = opportunity.primary_contact_id
          LEFT JOIN crm_lead lead ON lead.id = opportunity.lead_id
          LEFT JOIN crm_leadsource source ON source.id = opportunity.source_id
          {_OWNERS.format("opportunity")}
         WHERE opportunity.deleted_at IS NULL
    """,
    "report_stage_changes": """
        SELECT opportunity.public_id AS opportunity_id, pipeline.name AS pipeline, old.name AS from_stage,
               new.name AS to_stage, change.at, change.seconds_in_from, change.actor_kind, person.name AS by
          FROM crm_stagechange change
          JOIN crm_opportunity opportunity ON opportunity.id = change.opportunity_id
          JOIN crm_stage new ON new.id = change.to_stage_id
          JOIN crm_pipeline pipeline ON pipeline.id = new.pipeline_id
          LEFT JOIN crm_stage old ON old.id = change.from_stage_id
          LEFT JOIN crm_user person ON person.id = change.by_id
    """,
    "report_tasks": """
        SELECT task.public_id AS task_id, task.title, task.kind, task.state, task.priority, task.due_at,
               task.done_at, task.outcome, task.origin, assignee.name AS assignee,
               lead.public_id AS lead_id, contact.public_id AS contact_id,
               opportunity.public_id AS opportunity_id, task.created_at
          FROM crm_task task
          LEFT JOIN crm_user assignee ON assignee.id = task.assignee_id
          LEFT JOIN crm_lead lead ON lead.id = task.lead_id
          LEFT JOIN crm_contact contact ON contact.id = task.contact_id
          LEFT JOIN crm_opportunity opportunity ON opportunity.id = task.opportunity_id
    """,
    "report_calls": """
        SELECT call.public_id AS call_id, lead.public_id AS lead_id, contact.public_id AS contact_id,
               opportunity.public_id AS opportunity_id, call.direction, call.disposition, call.seconds,
               author.name AS author, call.occurred_at
          FROM crm_calllog call
          LEFT JOIN crm_user author ON author.id = call.author_id
          LEFT JOIN crm_lead lead ON lead.id = call.lead_id
          LEFT JOIN crm_contact contact ON contact.id = call.contact_id
          LEFT JOIN crm_opportunity opportunity ON opportunity.id = call.opportunity_id
    """,
    "report_messages": """
        SELECT message.public_id AS message_id, lead.public_id AS lead_id, message.direction, message.state,
               message.sent_at, message.received_at, message.occurred_at
          FROM crm_message message JOIN crm_lead lead ON lead.id = message.lead_id
    """,
    "report_events": """
        SELECT event.public_id AS event_id, event.occurred_at, event.kind, event.actor_kind,
               person.name AS actor, lead.public_id AS lead_id, contact.public_id AS contact_id,
               account.public_id AS account_id, opportunity.public_id AS opportunity_id
          FROM crm_timelineevent event
          LEFT JOIN crm_user person ON person.id = event.actor_id
          LEFT JOIN crm_lead lead ON lead.id = event.lead_id
          LEFT JOIN crm_contact contact ON contact.id = event.contact_id
          LEFT JOIN crm_account account ON account.id = event.account_id
          LEFT JOIN crm_opportunity opportunity ON opportunity.id = event.opportunity_id
    """,
    "report_scores": """
        SELECT lead.public_id AS lead_id, score.kind, score.value, score.probability, score.band,
               score.is_current, score.provider, score.model, score.version, score.created_at
          FROM crm_score score JOIN crm_lead lead ON lead.id = score.lead_id
    """,
    "report_tags": """
        SELECT tag.name AS tag, lead.public_id AS lead_id, contact.public_id AS contact_id,
               account.public_id AS account_id, opportunity.public_id AS opportunity_id
          FROM crm_tagging tagging
          JOIN crm_tag tag ON tag.id = tagging.tag_id
          LEFT JOIN crm_lead lead ON lead.id = tagging.lead_id
          LEFT JOIN crm_contact contact ON contact.id = tagging.contact_id
          LEFT JOIN crm_account account ON account.id = tagging.account_id
          LEFT JOIN crm_opportunity opportunity ON opportunity.id = tagging.opportunity_id
    """,
    "report_exchange_rates": """
        SELECT base, quote, date, rate FROM crm_exchangerate
    """,
}

GRANTS = f"""
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gardenos_readonly') THEN
        ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM gardenos_readonly;
        REVOKE ALL ON ALL TABLES IN SCHEMA public FROM gardenos_readonly;
        GRANT SELECT ON {", ".join(VIEWS)} TO gardenos_readonly;
    END IF;
END $$;
"""
NO_GRANTS = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gardenos_readonly') THEN
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO gardenos_readonly;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO gardenos_readonly;
    END IF;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("crm", "0005_merge_undo")]

    operations = [
        *(
            migrations.RunSQL(f"CREATE VIEW {name} AS {query}", f"DROP VIEW {name}")
            for name, query in VIEWS.items()
        ),
        migrations.RunSQL(GRANTS, NO_GRANTS),
    ]
