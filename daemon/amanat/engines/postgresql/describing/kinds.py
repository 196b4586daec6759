"""Questions about all that hangs on no relation: schemas, extensions, types, functions, operators and the rest.

They answer as those of ``tables`` do. What belongs to an extension comes with it, and is not told of.
"""

# Every database has public, and plpgsql; pg_dump brings neither.
SCHEMAS = """
SELECT 'pg_namespace'::regclass::oid, n.oid, 'schema', '{}'::text[], n.nspname::text, ''
FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'public')
"""
_EXTENSIONS = """
SELECT 'pg_extension'::regclass::oid, e.oid, 'extension',
  '{}'::text[], e.extname::text, e.extversion || ' in ' || n.nspname
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname <> 'plpgsql'
"""
_FUNCTIONS = """
SELECT 'pg_proc'::regclass::oid, p.oid, CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END,
  ARRAY[n.nspname]::text[], format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)),
  concat_ws('; ', pg_get_functiondef(p.oid))
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.prokind <> 'a' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_AGGREGATES = """
SELECT 'pg_proc'::regclass::oid, p.oid, 'aggregate',
  ARRAY[n.nspname]::text[], format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)),
  concat_ws(' ', a.aggkind, p.proparallel, pg_get_function_result(p.oid), a.aggtransfn, a.aggfinalfn,
    a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn,
    a.aggfinalextra, a.aggmfinalextra, a.aggfinalmodify, a.aggmfinalmodify, a.aggsortop::regoperator,
    a.aggtranstype::regtype, a.aggtransspace, a.aggmtranstype::regtype, a.aggmtransspace,
    quote_nullable(a.agginitval),
    quote_nullable(a.aggminitval))
FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_ENUMS = """
SELECT 'pg_type'::regclass::oid, t.oid, 'enum', ARRAY[n.nspname]::text[], t.typname::text,
  (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid)
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype = 'e' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_DOMAINS = """
SELECT 'pg_type'::regclass::oid, t.oid, 'domain', ARRAY[n.nspname]::text[], t.typname::text,
  concat_ws(' ', format_type(t.typbasetype, t.typtypmod),
    'collate ' || nullif(t.typcollation, b.typcollation)::regcollation,
    CASE WHEN t.typnotnull THEN 'not null' END, 'default ' || t.typdefault,
    (SELECT string_agg(format('%I %s', conname, pg_get_constraintdef(oid)), ' ' ORDER BY conname)
     FROM pg_constraint WHERE contypid = t.oid AND contype = 'c'))
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_type b ON b.oid = t.typbasetype
WHERE t.typtype = 'd' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_COMPOSITES = """
SELECT 'pg_type'::regclass::oid, t.oid, 'composite type', ARRAY[n.nspname]::text[], t.typname::text,
  (SELECT string_agg(concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
                               'collate ' || nullif(a.attcollation, e.typcollation)::regcollation),
                     ', ' ORDER BY a.attnum)
   FROM pg_attribute a JOIN pg_type e ON e.oid = a.atttypid
   WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_class c ON c.oid = t.typrelid
WHERE c.relkind = 'c' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_RANGES = """
SELECT 'pg_type'::regclass::oid, t.oid, 'range type', ARRAY[n.nspname]::text[], t.typname::text,
  concat_ws(' ', r.rngsubtype::regtype, nullif(r.rngcollation, 0)::regcollation, o.opcname, r.rngcanonical,
    r.rngsubdiff, r.rngmultitypid::regtype)
FROM pg_range r JOIN pg_type t ON t.oid = r.rngtypid JOIN pg_namespace n ON n.oid = t.typnamespace
JOIN pg_opclass o ON o.oid = r.rngsubopc
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
# Neither array types nor those that stand for the rows of a table.
_BASE_TYPES = """
SELECT 'pg_type'::regclass::oid, t.oid, 'type', ARRAY[n.nspname]::text[], t.typname::text,
  concat_ws(' ', t.typisdefined, t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin, t.typmodout,
    t.typanalyze, t.typlen, t.typbyval, t.typalign, t.typstorage, t.typcategory, t.typispreferred, t.typdelim,
    nullif(t.typelem, 0)::regtype, quote_nullable(t.typdefault), t.typcollation <> 0)
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype IN ('b', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
"""
# Columns differ from release to release; the version is told of apart. A copy of one for all encodings is one for
# the database's own after a restore.
_COLLATIONS = """
SELECT 'pg_collation'::regclass::oid, c.oid, 'collation', ARRAY[n.nspname]::text[], c.collname::text,
  (to_jsonb(c) - '{oid,collname,collnamespace,collowner,collversion,collencoding}'::text[])::text
FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
# Not those that were only named, as the commutator or negator of another, and never made.
_OPERATORS = """
SELECT 'pg_operator'::regclass::oid, o.oid, 'operator', ARRAY[n.nspname]::text[],
  format('%s(%s, %s)', o.oprname, nullif(o.oprleft, 0)::regtype, nullif(o.oprright, 0)::regtype),
  concat_ws(' ', o.oprcode, o.oprresult::regtype, o.oprcom::regoperator, o.oprnegate::regoperator, o.oprrest,
    o.oprjoin, o.oprcanmerge, o.oprcanhash)
FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE o.oprcode <> 0 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_OPERATOR_FAMILIES = """
SELECT 'pg_opfamily'::regclass::oid, f.oid, 'operator family',
  ARRAY[n.nspname]::text[], format('%s using %s', f.opfname, m.amname),
  concat_ws('; ',
  (SELECT string_agg(concat_ws(' ', amopstrategy, amopopr::regoperator, amoppurpose,
                               (SELECT opfname FROM pg_opfamily WHERE oid = amopsortfamily)), ', '
                     ORDER BY amopstrategy, amopopr::regoperator::text)
   FROM pg_amop WHERE amopfamily = f.oid),
  (SELECT string_agg(concat_ws(' ', amprocnum, amproc::regprocedure, amproclefttype::regtype,
                               amprocrighttype::regtype), ', '
                     ORDER BY amprocnum, amproc::regprocedure::text, amproclefttype::regtype::text)
   FROM pg_amproc WHERE amprocfamily = f.oid))
FROM pg_opfamily f JOIN pg_namespace n ON n.oid = f.opfnamespace JOIN pg_am m ON m.oid = f.opfmethod
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_OPERATOR_CLASSES = """
SELECT 'pg_opclass'::regclass::oid, c.oid, 'operator class',
  ARRAY[n.nspname]::text[], format('%s using %s', c.opcname, m.amname),
  concat_ws(' ', f.opfname, c.opcintype::regtype, c.opcdefault, nullif(c.opckeytype, 0)::regtype)
FROM pg_opclass c JOIN pg_namespace n ON n.oid = c.opcnamespace JOIN pg_am m ON m.oid = c.opcmethod
JOIN pg_opfamily f ON f.oid = c.opcfamily
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_CONVERSIONS = """
SELECT 'pg_conversion'::regclass::oid, c.oid, 'conversion', ARRAY[n.nspname]::text[], c.conname::text,
  concat_ws(' ', pg_encoding_to_char(c.conforencoding), pg_encoding_to_char(c.contoencoding), c.conproc,
    c.condefault)
FROM pg_conversion c JOIN pg_namespace n ON n.oid = c.connamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_TEXT_SEARCH_CONFIGURATIONS = """
SELECT 'pg_ts_config'::regclass::oid, c.oid, 'text search configuration',
  ARRAY[n.nspname]::text[], c.cfgname::text,
  concat_ws(' ', p.prsname, (SELECT string_agg(concat_ws(' ', maptokentype, mapdict::regdictionary), ', '
                                               ORDER BY maptokentype, mapseqno)
                             FROM pg_ts_config_map WHERE mapcfg = c.oid))
FROM pg_ts_config c JOIN pg_namespace n ON n.oid = c.cfgnamespace JOIN pg_ts_parser p ON p.oid = c.cfgparser
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_TEXT_SEARCH_DICTIONARIES = """
SELECT 'pg_ts_dict'::regclass::oid, d.oid, 'text search dictionary', ARRAY[n.nspname]::text[], d.dictname::text,
  concat_ws(' ', t.tmplname, d.dictinitoption)
FROM pg_ts_dict d JOIN pg_namespace n ON n.oid = d.dictnamespace JOIN pg_ts_template t ON t.oid = d.dicttemplate
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_TEXT_SEARCH_PARSERS = """
SELECT 'pg_ts_parser'::regclass::oid, p.oid, 'text search parser', ARRAY[n.nspname]::text[], p.prsname::text,
  concat_ws(' ', p.prsstart, p.prstoken, p.prsend, p.prsheadline, p.prslextype)
FROM pg_ts_parser p JOIN pg_namespace n ON n.oid = p.prsnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_TEXT_SEARCH_TEMPLATES = """
SELECT 'pg_ts_template'::regclass::oid, t.oid, 'text search template', ARRAY[n.nspname]::text[], t.tmplname::text,
  concat_ws(' ', t.tmplinit, t.tmpllexize)
FROM pg_ts_template t JOIN pg_namespace n ON n.oid = t.tmplnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
IN_SCHEMAS = (
    ("pg_namespace", SCHEMAS),
    ("pg_extension", _EXTENSIONS),
    ("pg_proc", _FUNCTIONS),
    ("pg_proc", _AGGREGATES),
    ("pg_type", _ENUMS),
    ("pg_type", _DOMAINS),
    ("pg_type", _COMPOSITES),
    ("pg_type", _RANGES),
    ("pg_type", _BASE_TYPES),
    ("pg_collation", _COLLATIONS),
    ("pg_operator", _OPERATORS),
    ("pg_opfamily", _OPERATOR_FAMILIES),
    ("pg_opclass", _OPERATOR_CLASSES),
    ("pg_conversion", _CONVERSIONS),
    ("pg_ts_config", _TEXT_SEARCH_CONFIGURATIONS),
    ("pg_ts_dict", _TEXT_SEARCH_DICTIONARIES),
    ("pg_ts_parser", _TEXT_SEARCH_PARSERS),
    ("pg_ts_template", _TEXT_SEARCH_TEMPLATES),
)
