"""Questions about what lies in no schema: casts, languages, publications, foreign servers, comments.

They answer as those of ``tables`` do. From 16384 on, OIDs are of what somebody made (``FirstNormalObjectId``).
"""

_CASTS = """
SELECT 'pg_cast'::regclass::oid, c.oid, 'cast',
  '{}'::text[], format('%s as %s', c.castsource::regtype, c.casttarget::regtype),
  concat_ws(' ', nullif(c.castfunc, 0)::regprocedure, c.castcontext, c.castmethod)
FROM pg_cast c WHERE c.oid >= 16384
"""
_LANGUAGES = """
SELECT 'pg_language'::regclass::oid, l.oid, 'language', '{}'::text[], l.lanname::text,
  concat_ws(' ', l.lanpltrusted, nullif(l.lanplcallfoid, 0)::regprocedure, nullif(l.laninline, 0)::regprocedure,
    nullif(l.lanvalidator, 0)::regprocedure)
FROM pg_language l WHERE l.oid >= 16384
"""
_TRANSFORMS = """
SELECT 'pg_transform'::regclass::oid, t.oid, 'transform',
  '{}'::text[], format('for %s language %s', t.trftype::regtype, l.lanname),
  concat_ws(' ', nullif(t.trffromsql, 0)::regprocedure, nullif(t.trftosql, 0)::regprocedure)
FROM pg_transform t JOIN pg_language l ON l.oid = t.trflang
"""
_ACCESS_METHODS = """
SELECT 'pg_am'::regclass::oid, a.oid, 'access method',
  '{}'::text[], a.amname::text, concat_ws(' ', a.amtype, a.amhandler)
FROM pg_am a WHERE a.oid >= 16384
"""
_EVENT_TRIGGERS = """
SELECT 'pg_event_trigger'::regclass::oid, e.oid, 'event trigger', '{}'::text[], e.evtname::text,
  concat_ws(' ', e.evtevent, array_to_string(e.evttags, ', '), e.evtfoid::regprocedure, e.evtenabled)
FROM pg_event_trigger e
"""
# Columns differ from release to release.
_PUBLICATIONS = """
SELECT 'pg_publication'::regclass::oid, p.oid, 'publication', '{}'::text[], p.pubname::text,
  (to_jsonb(p) - '{oid,pubname,pubowner}'::text[])::text
FROM pg_publication p
"""
_PUBLISHED_TABLES = """
SELECT 'pg_publication_rel'::regclass::oid, r.oid, 'published table',
  ARRAY[p.pubname]::text[], r.prrelid::regclass::text, ''
FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
"""
# Since 15 with a condition and columns, and whole schemas.
_PUBLISHED_PARTS = """
SELECT 'pg_publication_rel'::regclass::oid, r.oid, 'published table',
  ARRAY[p.pubname]::text[], r.prrelid::regclass::text,
  concat_ws(' ', pg_get_expr(r.prqual, r.prrelid),
    (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname) FROM pg_attribute a
     WHERE a.attrelid = r.prrelid AND a.attnum = ANY(r.prattrs)))
FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
"""
_PUBLISHED_SCHEMAS = """
SELECT 'pg_publication_namespace'::regclass::oid, r.oid, 'published schema',
  ARRAY[p.pubname]::text[], r.pnnspid::regnamespace::text, ''
FROM pg_publication_namespace r JOIN pg_publication p ON p.oid = r.pnpubid
"""
# Options may hold what is secret: their digest alone.
_WRAPPERS = """
SELECT 'pg_foreign_data_wrapper'::regclass::oid, w.oid, 'foreign-data wrapper', '{}'::text[], w.fdwname::text,
  concat_ws(' ', nullif(w.fdwhandler, 0)::regprocedure, nullif(w.fdwvalidator, 0)::regprocedure,
    'options ' || sha256(convert_to(array_to_string(w.fdwoptions, ', '), 'UTF8')))
FROM pg_foreign_data_wrapper w
"""
_SERVERS = """
SELECT 'pg_foreign_server'::regclass::oid, s.oid, 'foreign server', '{}'::text[], s.srvname::text,
  concat_ws(' ', w.fdwname, s.srvtype, s.srvversion,
    'options ' || sha256(convert_to(array_to_string(s.srvoptions, ', '), 'UTF8')))
FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
"""
_USER_MAPPINGS = """
SELECT 'pg_user_mapping'::regclass::oid, umid, 'user mapping',
  ARRAY[srvname]::text[], usename::text, '' FROM pg_user_mappings
"""
# The comment of public is dumped since 15, subscriptions and theirs are not restored.
_COMMENTS = """
SELECT d.classoid, d.objoid, 'comment', '{}'::text[], format('on %s %s', i.type, i.identity),
  d.description
FROM pg_description d, LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) i
WHERE (d.objoid >= 16384
       OR d.objoid = to_regnamespace('public') AND i.type = 'schema' AND d.description <> 'standard public schema'
          AND current_setting('server_version_num')::int >= 150000)
  AND i.identity IS NOT NULL AND i.schema IS DISTINCT FROM 'pg_toast' AND i.type <> 'subscription'
"""
_LABELS = """
SELECT d.classoid, d.objoid, 'security label', '{}'::text[],
  format('of %s on %s %s', d.provider, i.type, i.identity), d.label
FROM pg_seclabel d, LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) i
WHERE d.objoid >= 16384 AND i.identity IS NOT NULL
"""
OUTSIDE = (
    ("pg_cast", _CASTS),
    ("pg_language", _LANGUAGES),
    ("pg_transform", _TRANSFORMS),
    ("pg_am", _ACCESS_METHODS),
    ("pg_event_trigger", _EVENT_TRIGGERS),
    ("pg_publication", _PUBLICATIONS),
    ("pg_foreign_data_wrapper", _WRAPPERS),
    ("pg_foreign_server", _SERVERS),
    ("pg_foreign_server", _USER_MAPPINGS),
)
PUBLISHED = (
    ("pg_publication_rel", _PUBLISHED_PARTS),
    ("pg_publication_namespace", _PUBLISHED_SCHEMAS),
)
PUBLISHED_UNTIL_14 = (("pg_publication_rel", _PUBLISHED_TABLES),)
REMARKS = (_COMMENTS, _LABELS)
