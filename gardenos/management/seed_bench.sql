-- Made-up leads from number `first` to `last`, the same in every run. Parameters are psycopg's.
-- Names are syllables: about 4,600 surnames and 16 first names, lower-cased for the search text.
CREATE TEMP TABLE bench_row ON COMMIT DROP AS
WITH syllables AS (SELECT
    '{Ana,Ben,Cara,Dan,Eva,Finn,Gita,Hugo,Ida,Jon,Kim,Lea,Max,Nora,Omar,Pia}'::text[] AS first,
    '{Abel,Bren,Cald,Dorn,Eng,Falk,Gran,Hart,Ivers,Jans,Kell,Lind,Mort,Nord,Oster,Pell}'::text[] AS one,
    '{a,e,i,o,u,an,en,er,in,on,ar,or,ul,em,is,ol}'::text[] AS two,
    '{son,berg,dahl,feld,gren,holm,land,man,quist,rup,sen,stad,strom,ton,vik,wood,worth,ley}'::text[] AS three)
SELECT i, first[1 + i %% 16] || ' ' || one[1 + (i * 7) %% 16] || two[1 + (i / 16) %% 16]
           || three[1 + (i / 256) %% 18] AS name,
       one[1 + (i / 5) %% 16] || three[1 + (i / 80) %% 18] || ' Gardens ' || i %% 977 AS company,
       'lead' || i || '@firm' || i %% 977 || '.example' AS email,
       '+4420' || lpad((70000000 + i)::text, 8, '0') AS phone,
       now() - make_interval(secs => (i * 2654435761 %% 1000003) / 1000003.0 * 86400 * %(days)s) AS at,
       (ARRAY['new','new','working','working','nurturing','converted','disqualified'])[1 + i %% 7] AS status,
       (i * 37) %% 101 AS score,
       CASE WHEN i %% 5 > 0 THEN (%(people)s::bigint[])[1 + i %% array_length(%(people)s::bigint[], 1)] END AS owner
FROM generate_series(%(first)s::bigint, %(last)s::bigint) i, syllables;

INSERT INTO crm_lead (public_id, created_at, updated_at, version, name, company, title, kind, mailing_address,
    physical_address, country, interest, est_value, currency, status, status_changed_at, disqualify_reason,
    outcome, outcome_at, outcome_from, next_action_at, next_action_kind, snoozed_until, attempts, max_attempts,
    last_inbound_at, score, score_source, converted_at, custom, is_ai_off, search_text, owner_id, source_id, team_id)
SELECT gen_random_uuid(), at, at, 1, name, company, 'Head of Estates', 'person', i || ' Mill Lane', '', 'GB',
    'Courtyard planting ' || i %% 50, (i %% 900) * 100, 'EUR', status, at,
    CASE status WHEN 'disqualified' THEN 'No budget' ELSE '' END,
    CASE status WHEN 'converted' THEN 'won' WHEN 'disqualified' THEN 'lost' ELSE 'unknown' END,
    CASE WHEN status IN ('converted', 'disqualified') THEN at END,
    CASE WHEN status IN ('converted', 'disqualified') THEN 'import' ELSE '' END,
    CASE status WHEN 'working' THEN at + interval '3 days' END,
    CASE status WHEN 'working' THEN 'call' ELSE '' END,
    CASE status WHEN 'nurturing' THEN at + interval '90 days' END, 0, 6, at,
    score, 'rules', CASE status WHEN 'converted' THEN at END, '{}', false,
    lower(name) || ' ' || lower(company) || ' ' || email || ' ' || ltrim(phone, '+'),
    owner, %(source)s, %(team)s
FROM bench_row ORDER BY i;
CREATE TEMP TABLE bench_lead ON COMMIT DROP AS
SELECT r.*, l.id AS lead FROM bench_row r JOIN LATERAL (
    SELECT id FROM crm_lead WHERE source_id = %(source)s AND mailing_address = r.i || ' Mill Lane'
    AND created_at = r.at) l ON true;

INSERT INTO crm_contactpoint (public_id, created_at, updated_at, lead_id, kind, raw, norm, is_primary, state)
SELECT gen_random_uuid(), at, at, lead, kind, norm, norm, true, 'unverified'
FROM bench_lead, LATERAL (VALUES ('email', email), ('phone', phone)) p(kind, norm);
INSERT INTO crm_matchkey (lead_id, kind, value)
SELECT lead, kind, value FROM bench_lead, LATERAL (VALUES ('email', email), ('phone', phone),
    ('domain', split_part(email, '@', 2)), ('name_company', lower(name) || '|' || lower(company))) k(kind, value);
INSERT INTO crm_inquiry (public_id, created_at, updated_at, source_id, channel, payload, message, utm, spam_score,
    spam_reasons, state, lead_id, received_at)
SELECT gen_random_uuid(), at, at, %(source)s, 'api', '{}', 'Please call me about a courtyard.', '{}', 0, '[]', 'created',
    lead, at FROM bench_lead;
INSERT INTO crm_timelineevent (public_id, created_at, updated_at, lead_id, occurred_at, kind, actor_kind,
    actor_label, summary, data)
SELECT gen_random_uuid(), at, at, lead, at + step * interval '1 hour', kind, 'system', 'GardenOS', summary, '{}'
FROM bench_lead, LATERAL (VALUES (0, 'lead.created', 'Came in by API'), (1, 'lead.scored', 'Scored by rules'),
    (2, 'lead.assigned', 'Assigned')) e(step, kind, summary);
INSERT INTO crm_score (public_id, created_at, updated_at, lead_id, kind, value, base, band, is_current, blended_from,
    provider, model, version, summary, recommended_action, timeline, risks, missing, dropped_factors)
SELECT gen_random_uuid(), at, at, lead, kind, score, 0,
    CASE WHEN score >= 75 THEN 'hot' WHEN score >= 50 THEN 'warm' ELSE 'cool' END, true,
    CASE kind WHEN 'blend' THEN 'rules' ELSE '' END, '', '', 'rules.1', '', '', '', '[]', '[]', 0
FROM bench_lead, LATERAL (VALUES ('rules'), ('blend')) k(kind);
