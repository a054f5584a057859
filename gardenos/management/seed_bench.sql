-- Made-up leads from number `first` to `last`, the same in every run. Parameters are psycopg's.
-- Names are syllables: about 4,600 surnames and 16 first names, lower-cased for the search text. Twenty leads are
-- of one company. One lead in seven is converted, and has a contact, an account and an opportunity.
DROP TABLE IF EXISTS bench_row;
CREATE TEMP TABLE bench_row AS
WITH syllables AS (SELECT
    '{Ana,Ben,Cara,Dan,Eva,Finn,Gita,Hugo,Ida,Jon,Kim,Lea,Max,Nora,Omar,Pia}'::text[] AS first,
    '{Abel,Bren,Cald,Dorn,Eng,Falk,Gran,Hart,Ivers,Jans,Kell,Lind,Mort,Nord,Oster,Pell}'::text[] AS one,
    '{a,e,i,o,u,an,en,er,in,on,ar,or,ul,em,is,ol}'::text[] AS two,
    '{son,berg,dahl,feld,gren,holm,land,man,quist,rup,sen,stad,strom,ton,vik,wood,worth,ley}'::text[] AS three),
made AS (SELECT i, nextval(pg_get_serial_sequence('crm_lead', 'id')) AS lead,
       first[1 + i %% 16] || ' ' || one[1 + (i * 7) %% 16] || two[1 + (i / 16) %% 16]
           || three[1 + (i / 256) %% 18] AS name,
       one[1 + (i %% 49999 / 5) %% 16] || three[1 + (i %% 49999 / 80) %% 18] || ' Gardens ' || i %% 49999 AS company,
       'lead' || i || '@firm' || i %% 49999 || '.example' AS email,
       '+4420' || lpad((70000000 + i)::text, 8, '0') AS phone,
       now() - make_interval(secs => (i * 2654435761 %% 1000003) / 1000003.0 * 86400 * %(days)s) AS at,
       (ARRAY['new','new','working','working','nurturing','converted','disqualified'])[1 + i %% 7] AS status,
       (i * 37) %% 101 AS score,
       CASE WHEN i %% 5 > 0 THEN (%(people)s::bigint[])[1 + (i / 35) %% array_length(%(people)s::bigint[], 1)] END AS owner
FROM generate_series(%(first)s::bigint, %(last)s::bigint) i, syllables)
SELECT made.*, lower(name) || ' ' || lower(company) || ' ' || email || ' ' || ltrim(phone, '+') AS search_text,
       CASE status WHEN 'converted' THEN nextval(pg_get_serial_sequence('crm_contact', 'id')) END AS contact,
       CASE status WHEN 'converted' THEN nextval(pg_get_serial_sequence('crm_account', 'id')) END AS account,
       CASE status WHEN 'converted' THEN nextval(pg_get_serial_sequence('crm_opportunity', 'id')) END AS opportunity,
       1 + (i / 7) %% array_length(%(stages)s::bigint[], 1) AS step
FROM made;

INSERT INTO crm_account (id, public_id, created_at, updated_at, version, name, domain, industry, size_band, website,
    address, country, owner_id, team_id, custom, search_text)
SELECT account, gen_random_uuid(), at, at, 1, company, split_part(email, '@', 2), '', '', '', '', 'GB', owner,
    %(team)s, '{}', lower(company) || ' ' || split_part(email, '@', 2)
FROM bench_row WHERE account IS NOT NULL;
INSERT INTO crm_contact (id, public_id, created_at, updated_at, version, full_name, title, account_id, locale,
    time_zone, country, owner_id, team_id, do_not_contact, lifecycle, custom, search_text)
SELECT contact, gen_random_uuid(), at, at, 1, name, 'Head of Estates', account, '', '', 'GB', owner, %(team)s, false,
    'opportunity', '{}', search_text
FROM bench_row WHERE contact IS NOT NULL;

INSERT INTO crm_lead (id, public_id, created_at, updated_at, version, name, company, title, kind, mailing_address,
    physical_address, country, interest, est_value, currency, status, status_changed_at, disqualify_reason,
    outcome, outcome_at, outcome_from, next_action_at, next_action_kind, snoozed_until, attempts, max_attempts,
    last_inbound_at, last_outbound_at, score, score_source, converted_at, custom, is_ai_off, search_text,
    owner_id, source_id, team_id, contact_id, converted_account_id, converted_opportunity_id)
SELECT lead, gen_random_uuid(), at, at, 1, name, company, 'Head of Estates', 'person', i || ' Mill Lane', '', 'GB',
    'Courtyard planting ' || i %% 50, (i %% 900) * 100, 'EUR', status, at,
    CASE status WHEN 'disqualified' THEN 'No budget' ELSE '' END,
    CASE status WHEN 'converted' THEN 'won' WHEN 'disqualified' THEN 'lost' ELSE 'unknown' END,
    CASE WHEN status IN ('converted', 'disqualified') THEN at END,
    CASE WHEN status IN ('converted', 'disqualified') THEN 'import' ELSE '' END,
    CASE status WHEN 'working' THEN now() + (i * 7919 %% 60 - 6) * interval '1 day' END,
    CASE status WHEN 'working' THEN 'call' ELSE '' END,
    CASE status WHEN 'nurturing' THEN now() + (1 + i %% 90) * interval '1 day' END, 0, 6, at,
    CASE WHEN status <> 'new' THEN at + interval '1 hour' END,
    score, 'rules', CASE status WHEN 'converted' THEN at END, '{}', false, search_text,
    owner, %(source)s, %(team)s, contact, account, opportunity
FROM bench_row ORDER BY i;
INSERT INTO crm_leadstatuschange (public_id, created_at, updated_at, lead_id, from_status, to_status, at, actor_kind,
    seconds_in_from)
SELECT gen_random_uuid(), at, at, lead, from_status, to_status, at + coalesce(seconds, 0) * interval '1 second',
    'system', seconds
FROM bench_row, LATERAL (VALUES ('', 'new', NULL), ('new', status, 3600)) c(from_status, to_status, seconds)
WHERE from_status <> to_status;

INSERT INTO crm_opportunity (id, public_id, created_at, updated_at, version, name, stage_id, state, stage_entered_at,
    account_id, primary_contact_id, lead_id, source_id, amount, currency, probability_override, forecast,
    expected_close, closed_at, lost_reason, next_action_at, next_action_kind, last_event_at, rank, owner_id, team_id,
    custom, search_text)
SELECT opportunity, gen_random_uuid(), at, at, 1, 'Courtyard of ' || company, (%(stages)s::bigint[])[step], kind, at,
    account, contact, lead, %(source)s, 500 + (i %% 900) * 100, 'EUR', CASE WHEN i %% 49 = 5 THEN 35 END, 'pipeline',
    (at + interval '90 days')::date, CASE WHEN kind <> 'open' THEN at + interval '20 days' END,
    CASE kind WHEN 'lost' THEN 'Price' ELSE '' END, NULL, '', at, i * 1048576, owner, %(team)s, '{}',
    'courtyard of ' || lower(company) || ' ' || lower(name)
FROM bench_row, LATERAL (SELECT (%(kinds)s::text[])[step] AS kind) k WHERE opportunity IS NOT NULL;
INSERT INTO crm_stagechange (public_id, created_at, updated_at, opportunity_id, to_stage_id, at, actor_kind)
SELECT gen_random_uuid(), at, at, opportunity, (%(stages)s::bigint[])[step], at, 'system'
FROM bench_row WHERE opportunity IS NOT NULL;

INSERT INTO crm_contactpoint (public_id, created_at, updated_at, lead_id, contact_id, kind, raw, norm, is_primary,
    state)
SELECT gen_random_uuid(), at, at, CASE WHEN of_lead THEN lead END, CASE WHEN NOT of_lead THEN contact END, kind, norm,
    norm, true, 'unverified'
FROM bench_row, LATERAL (VALUES ('email', email), ('phone', phone)) p(kind, norm),
    LATERAL (VALUES (true), (false)) o(of_lead) WHERE of_lead OR contact IS NOT NULL;
INSERT INTO crm_matchkey (lead_id, contact_id, account_id, kind, value)
SELECT lead, NULL::bigint, NULL::bigint, kind, value FROM bench_row, LATERAL (VALUES ('email', email), ('phone', phone),
    ('domain', split_part(email, '@', 2)), ('name_company', lower(name) || '|' || lower(company))) k(kind, value)
UNION ALL
SELECT NULL, contact, NULL::bigint, kind, value FROM bench_row, LATERAL (VALUES ('email', email), ('phone', phone))
    k(kind, value) WHERE contact IS NOT NULL
UNION ALL
SELECT NULL::bigint, NULL::bigint, account, 'domain', split_part(email, '@', 2) FROM bench_row WHERE account IS NOT NULL;
INSERT INTO crm_inquiry (public_id, created_at, updated_at, source_id, channel, payload, message, utm, spam_score,
    spam_reasons, state, error, lead_id, received_at)
SELECT gen_random_uuid(), at, at, %(source)s, 'api', '{}', 'Please call me about a courtyard.', '{}', 0, '[]', 'created',
    '', lead, at FROM bench_row;
INSERT INTO crm_timelineevent (public_id, created_at, updated_at, lead_id, occurred_at, kind, actor_kind,
    actor_label, summary, data)
SELECT gen_random_uuid(), at, at, lead, at + e.step * interval '1 hour', kind, 'system', 'GardenOS', summary, '{}'
FROM bench_row, LATERAL (VALUES (0, 'lead.created', 'Came in by API'), (1, 'lead.scored', 'Scored by rules'),
    (2, 'lead.assigned', 'Assigned'), (3, 'lead.changed', 'Changed the interest'),
    (4, 'lead.next_action_planned', 'Planned a call'), (5, 'lead.changed', 'Changed the estimated value'))
    e(step, kind, summary) WHERE e.step < 2 + i %% 5;
INSERT INTO crm_timelineevent (public_id, created_at, updated_at, lead_id, contact_id, account_id, opportunity_id,
    occurred_at, kind, actor_kind, actor_label, summary, data)
SELECT gen_random_uuid(), at, at, lead, contact, account, opportunity, at + interval '7 hours', 'opportunity.created',
    'system', 'GardenOS', 'Opened an opportunity', '{}' FROM bench_row WHERE opportunity IS NOT NULL;
INSERT INTO crm_score (public_id, created_at, updated_at, lead_id, kind, value, base, band, is_current, blended_from,
    provider, model, version, summary, recommended_action, timeline, risks, missing, would_change, dropped_factors)
SELECT gen_random_uuid(), at, at, lead, kind, score, 0,
    CASE WHEN score >= 75 THEN 'hot' WHEN score >= 50 THEN 'warm' ELSE 'cool' END, true,
    CASE kind WHEN 'blend' THEN 'rules' ELSE '' END, '', '', 'rules.1', '', '', '', '[]', '[]', '[]', 0
FROM bench_row, LATERAL (VALUES ('rules'), ('blend')) k(kind);
INSERT INTO crm_task (public_id, created_at, updated_at, version, title, notes, kind, due_at, priority, state, done_at,
    outcome, assignee_id, lead_id, origin, recurrence, recurs_every)
SELECT gen_random_uuid(), at, at, 1, 'Ring about the courtyard', '', 'call', now() + (i * 31 %% 60 - 10) * interval '1 day',
    2, state, CASE state WHEN 'done' THEN at END, '', owner, lead, 'human', '', 1
FROM bench_row, LATERAL (SELECT CASE WHEN i %% 20 = 3 THEN 'done' ELSE 'open' END AS state) s WHERE i %% 10 = 3;
INSERT INTO crm_followup (public_id, created_at, updated_at, version, lead_id, channel, purpose, to_address, subject,
    body, body_sha256, original_subject, original_body, facts_used, provider, model, cost_usd, state, needs_writing,
    approved_sha256, reject_reason)
SELECT gen_random_uuid(), at, at, 1, lead, 'email', 'first_answer', email, subject, body,
    encode(sha256(convert_to(email || E'\n' || subject || E'\n\n' || body, 'UTF8')), 'hex'), subject, body, '[]', '', '',
    0, 'generated', '', '', ''
FROM bench_row, LATERAL (VALUES ('Your courtyard', 'Thank you for writing. When may we come and look?')) m(subject, body)
WHERE i %% 70 = 1
