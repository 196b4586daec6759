"""Questions about given relations, tables and views and sequences: what they are, and all that hangs on them.

Each gets their OIDs, and answers for each object with its catalogue's OID and its own, its kind, what it belongs
to, its name and its definition. What a restore does not bring back the same is left out: attribute numbers with
gaps, OIDs, names that PostgreSQL gives by itself, invalid indexes (pg_dump skips them).
"""

# Of tables and views alike.
_STORED = """'access method ' || (SELECT amname FROM pg_am WHERE oid = c.relam AND amname <> 'heap'),
    'with ' || array_to_string(c.reloptions, ', '),
    'toast with ' || (SELECT array_to_string(t.reloptions, ', ') FROM pg_class t WHERE t.oid = c.reltoastrelid),
    CASE WHEN c.relkind <> 'v' THEN
      CASE c.relreplident WHEN 'n' THEN 'replica identity nothing' WHEN 'f' THEN 'replica identity full' END END,
    (SELECT string_agg(concat_ws(' ', CASE WHEN indisreplident THEN 'replica identity' END,
                                 CASE WHEN indisclustered THEN 'clustered on' END, indexrelid::regclass),
                       '; ' ORDER BY indexrelid::regclass::text)
     FROM pg_index WHERE indrelid = c.oid AND (indisreplident OR indisclustered))"""
_TABLES = """
SELECT 'pg_class'::regclass::oid, c.oid, CASE c.relkind WHEN 'f' THEN 'foreign table' ELSE 'table' END,
  ARRAY[n.nspname]::text[], c.relname::text,
  concat_ws('; ',
    CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
    'of type ' || nullif(c.reloftype, 0)::regtype,
    'partitioned by ' || pg_get_partkeydef(c.oid),
    CASE WHEN c.relispartition THEN 'partition of ' ELSE 'inherits ' END || above.names,
    pg_get_expr(c.relpartbound, c.oid),
    {stored},
    CASE WHEN c.relrowsecurity THEN 'row security' END,
    CASE WHEN c.relforcerowsecurity THEN 'row security forced' END,
    (SELECT 'server ' || s.srvname || ' ' || coalesce(array_to_string(f.ftoptions, ', '), '')
     FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
LATERAL (SELECT string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno) AS names
         FROM pg_inherits WHERE inhrelid = c.oid) above
WHERE c.relkind IN ('r', 'p', 'f') AND c.oid = ANY(%s::oid[])
"""
# Inherited columns stand first after a restore, wherever they stood before: heirs have no places of columns.
# Columns of a view follow from its definition, but for defaults of its own. In 18 NOT NULL is a constraint too;
# here it stays with its column, as before.
_COLUMNS = """
SELECT 'pg_class'::regclass::oid, a.attrelid, 'column', ARRAY[n.nspname, c.relname]::text[], a.attname::text,
  concat_ws(' ',
    CASE WHEN c.relispartition OR NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid)
         THEN row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) || ':' END,
    format_type(a.atttypid, a.atttypmod),
    'collate ' || nullif(a.attcollation, t.typcollation)::regcollation,
    CASE WHEN a.attnotnull THEN 'not null' END,
    CASE WHEN o.connoinherit THEN 'no inherit' END,
    CASE WHEN NOT o.convalidated THEN 'not valid' END,
    CASE a.attidentity WHEN 'a' THEN 'identity always' WHEN 'd' THEN 'identity by default' END,
    CASE a.attgenerated WHEN '' THEN 'default' WHEN 's' THEN 'generated stored' ELSE 'generated virtual' END
      || ' ' || pg_get_expr(d.adbin, d.adrelid),
    CASE WHEN a.attstorage <> t.typstorage THEN 'storage ' || a.attstorage::text END,
    'compression ' || nullif(a.attcompression, '')::text,
    'statistics ' || nullif(a.attstattarget, -1),
    'options ' || array_to_string(a.attoptions, ', '),
    'foreign options ' || array_to_string(a.attfdwoptions, ', '))
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_constraint o ON o.conrelid = a.attrelid AND o.contype = 'n' AND o.conkey = ARRAY[a.attnum]
WHERE (c.relkind IN ('r', 'p', 'f', 'm') OR c.relkind = 'v' AND a.atthasdef)
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attrelid = ANY(%s::oid[])
"""
# Foreign keys of partitions follow from that of the whole, and PostgreSQL names them.
_CONSTRAINTS = """
SELECT 'pg_constraint'::regclass::oid, o.oid, 'constraint', ARRAY[n.nspname, c.relname]::text[], o.conname::text,
  concat_ws('; ', pg_get_constraintdef(o.oid), 'with ' || array_to_string(x.reloptions, ', '))
FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class x ON x.oid = o.conindid AND o.contype <> 'f'
WHERE o.contype IN ('c', 'p', 'u', 'x', 'f') AND (o.contype <> 'f' OR o.conparentid = 0)
  AND o.conrelid = ANY(%s::oid[])
"""
# Without the head, which only repeats the names. Those of constraints stand with these.
_INDEXES = """
SELECT 'pg_class'::regclass::oid, i.indexrelid, 'index', ARRAY[n.nspname, c.relname]::text[], x.relname::text,
  concat_ws('; ',
    regexp_replace(pg_get_indexdef(i.indexrelid), '^CREATE (UNIQUE )?INDEX .*? USING ', '\\1'),
    CASE WHEN NOT i.indisvalid THEN 'invalid' END,
    (SELECT string_agg(concat_ws(' ', 'statistics', a.attnum, a.attstattarget), ', ' ORDER BY a.attnum)
     FROM pg_attribute a WHERE a.attrelid = i.indexrelid AND a.attstattarget >= 0),
    (SELECT 'partition of ' || inhparent::regclass FROM pg_inherits WHERE inhrelid = i.indexrelid))
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (i.indisvalid OR x.relkind = 'I') AND i.indrelid = ANY(%s::oid[])
  AND NOT EXISTS (SELECT FROM pg_constraint o
                  WHERE o.conindid = i.indexrelid AND o.conrelid = i.indrelid AND o.contype IN ('p', 'u', 'x'))
"""
# A partition's copy of a trigger follows from that of the whole, unless it was set to fire otherwise.
_TRIGGERS = """
SELECT 'pg_trigger'::regclass::oid, t.oid, 'trigger', ARRAY[n.nspname, c.relname]::text[], t.tgname::text,
  concat_ws('; ', pg_get_triggerdef(t.oid),
    CASE t.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always' END)
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_trigger u ON u.oid = t.tgparentid
WHERE (t.tgparentid = 0 AND NOT t.tgisinternal
       OR t.tgparentid <> 0 AND t.tgconstraint = 0 AND t.tgenabled <> u.tgenabled)
  AND t.tgrelid = ANY(%s::oid[])
"""
_RULES = """
SELECT 'pg_rewrite'::regclass::oid, r.oid, 'rule', ARRAY[n.nspname, c.relname]::text[], r.rulename::text,
  concat_ws('; ', pg_get_ruledef(r.oid),
    CASE r.ev_enabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always' END)
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE r.rulename <> '_RETURN' AND r.ev_class = ANY(%s::oid[])
"""
_POLICIES = """
SELECT 'pg_policy'::regclass::oid, p.oid, 'policy', ARRAY[n.nspname, c.relname]::text[], p.polname::text,
  concat_ws(' ', CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, 'for ' || p.polcmd::text,
    'to ' || array_to_string(ARRAY(SELECT CASE r WHEN 0 THEN 'public' ELSE pg_get_userbyid(r) END
                                   FROM unnest(p.polroles) r ORDER BY 1), ', '),
    'using ' || pg_get_expr(p.polqual, p.polrelid), 'with check ' || pg_get_expr(p.polwithcheck, p.polrelid))
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.polrelid = ANY(%s::oid[])
"""
_STATISTICS = """
SELECT 'pg_statistic_ext'::regclass::oid, s.oid, 'statistics', ARRAY[n.nspname]::text[], s.stxname::text,
  concat_ws('; ', pg_get_statisticsobjdef(s.oid), nullif(s.stxstattarget, -1))
FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
WHERE s.stxrelid = ANY(%s::oid[])
"""
# deptype: a = serial column, i = identity column (manual, pg_depend).
_SEQUENCES = """
SELECT 'pg_class'::regclass::oid, c.oid, 'sequence', ARRAY[n.nspname]::text[], c.relname::text,
  concat_ws(' ', CASE c.relpersistence WHEN 'u' THEN 'unlogged' END, format_type(s.seqtypid, NULL),
    'start ' || s.seqstart, 'by ' || s.seqincrement, 'from ' || s.seqmin, 'to ' || s.seqmax,
    'cache ' || s.seqcache,
    CASE WHEN s.seqcycle THEN 'cycle' END,
    (SELECT format('of %%s.%%I', o.refobjid::regclass, a.attname)
     FROM pg_depend o JOIN pg_attribute a ON a.attrelid = o.refobjid AND a.attnum = o.refobjsubid
     WHERE o.classid = 'pg_class'::regclass AND o.objid = c.oid AND o.refclassid = 'pg_class'::regclass
       AND o.deptype IN ('a', 'i') AND o.refobjid = ANY(given.oids)))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence s ON s.seqrelid = c.oid,
(SELECT %s::oid[] AS oids) given
WHERE c.oid = ANY(given.oids)
"""
_VIEWS = """
SELECT 'pg_class'::regclass::oid, c.oid, CASE c.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END,
  ARRAY[n.nspname]::text[], c.relname::text,
  concat_ws('; ', {stored},
    CASE WHEN c.relkind = 'm' AND NOT c.relispopulated THEN 'without data' END, pg_get_viewdef(c.oid))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') AND c.oid = ANY(%s::oid[])
"""
OF_RELATIONS = (
    _TABLES.format(stored=_STORED),
    _COLUMNS,
    _INDEXES,
    _SEQUENCES,
    _VIEWS.format(stored=_STORED),
    _CONSTRAINTS,
    _TRIGGERS,
    _RULES,
    _POLICIES,
    _STATISTICS,
)
