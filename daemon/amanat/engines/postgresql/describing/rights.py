"""Questions about owners and who was granted what, which a restore by a superuser brings back.

They answer as those of ``tables`` do. Rights that come to what PostgreSQL gives by itself are not printed, whether
somebody granted them once more or not: a dump makes no difference between the two.
"""

_PRINTED = """
concat_ws('; ', pg_get_userbyid({owner}), CASE WHEN NOT ({acl} @> {usual} AND {acl} <@ {usual})
  THEN coalesce((SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest({acl}) a), 'nobody') END)
"""
_RELATIONS = """
SELECT 'pg_class'::regclass::oid, c.oid, 'access', ARRAY[n.nspname]::text[], c.relname::text,
  concat_ws('; ', {rights},
    (SELECT string_agg(format('%%I %%s', a.attname, acl), ' ' ORDER BY a.attnum, acl::text)
     FROM pg_attribute a, unnest(a.attacl) acl WHERE a.attrelid = c.oid AND NOT a.attisdropped))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY(%s::oid[])
"""
_SCHEMAS = """
SELECT 'pg_namespace'::regclass::oid, n.oid, 'access', '{{}}'::text[], n.nspname::text, {rights}
FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'public')
"""
_FUNCTIONS = """
SELECT 'pg_proc'::regclass::oid, p.oid, 'access', ARRAY[n.nspname]::text[],
  format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)), {rights}
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_BY_DEFAULT = """
SELECT 'pg_default_acl'::regclass::oid, d.oid, 'access', '{}'::text[],
  concat_ws(' ', 'by default of', pg_get_userbyid(d.defaclrole), nullif(d.defaclnamespace, 0)::regnamespace,
    d.defaclobjtype),
  (SELECT string_agg(acl::text, ' ' ORDER BY acl::text) FROM unnest(d.defaclacl) acl)
FROM pg_default_acl d
"""
# There may be millions: one line for all that have the same rights.
_LARGE_OBJECTS = """
SELECT 'pg_largeobject_metadata'::regclass::oid, 0::oid, 'access', '{{}}'::text[], 'large objects of ' || l.rights,
  count(*) || ' ' || sha256(convert_to(string_agg(l.oid::text, ' ' ORDER BY l.oid), 'SQL_ASCII'))
FROM (SELECT oid, {rights} AS rights FROM pg_largeobject_metadata) l
GROUP BY l.rights
"""
_OTHERS = """
SELECT '{catalog}'::regclass::oid, o.oid, 'access', '{{}}'::text[], i.type || ' ' || i.identity, {rights}
FROM {catalog} o, LATERAL pg_identify_object('{catalog}'::regclass, o.oid, 0) i
WHERE o.oid >= 16384 AND {only}
"""
# Array types, multiranges and those that stand for the rows of a table belong to whom that belongs to.
_TYPES_OF_THEIR_OWN = """
o.typtype <> 'm' AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = o.oid)
AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = o.typrelid AND c.relkind <> 'c')
"""
# Rights that are other than initdb or an extension set them; pg_dump brings those as well.
_BROUGHT = """
SELECT '{catalog}'::regclass::oid, o.oid, 'access', '{{}}'::text[], i.type || ' ' || i.identity, {rights}
FROM {catalog} o JOIN pg_namespace n ON n.oid = o.{schema}
LEFT JOIN pg_init_privs p ON p.classoid = '{catalog}'::regclass AND p.objoid = o.oid AND p.objsubid = 0,
LATERAL (SELECT coalesce(p.initprivs, acldefault('{kind}', o.{prefix}owner)) AS acl) usual,
LATERAL pg_identify_object('{catalog}'::regclass, o.oid, 0) i
WHERE NOT (o.{prefix}acl @> usual.acl AND o.{prefix}acl <@ usual.acl)
AND (n.nspname = 'pg_catalog' AND o.oid < 16384
  OR EXISTS (SELECT FROM pg_depend e
             WHERE e.classid = '{catalog}'::regclass AND e.objid = o.oid AND e.deptype = 'e'))
"""
# Somebody may have dropped the schema public and made it anew, which a restore does not: what initdb gives it is
# no different for that. pg_dump of 14 tells nothing of one that was made anew and has the rights it began with.
_PUBLIC = """
SELECT 'pg_namespace'::regclass::oid, n.oid, 'access', '{{}}'::text[], 'schema public', {rights}
FROM pg_namespace n
LEFT JOIN pg_init_privs p ON p.classoid = 'pg_namespace'::regclass AND p.objoid = n.oid AND p.objsubid = 0,
LATERAL (SELECT coalesce(p.initprivs, CASE WHEN current_setting('server_version_num')::int >= 150000
    THEN '{{pg_database_owner=UC/pg_database_owner,=U/pg_database_owner}}'
    ELSE format('{{%1$I=UC/%1$I,=UC/%1$I}}', pg_get_userbyid(10)) END::aclitem[]) AS acl) usual,
LATERAL (SELECT coalesce(n.nspacl, CASE WHEN current_setting('server_version_num')::int >= 150000
    THEN acldefault('n', n.nspowner) END) AS acl) given
WHERE n.nspname = 'public' AND NOT (given.acl @> usual.acl AND given.acl <@ usual.acl)
"""


def _rights(owner: str, acl: str, kind: str) -> str:
    """``kind``: the letter that ``acldefault`` knows it by (manual, "System Information Functions")."""
    return _PRINTED.format(owner=owner, acl=acl, usual=f"acldefault({kind}, {owner})")


def _others(catalog: str, prefix: str, kind: str = "", only: str = "true") -> tuple[str, str]:
    """``prefix``: of the catalogue's columns. Without a ``kind`` there are owners and no rights."""
    owner = f"o.{prefix}owner"
    rights = _rights(owner, f"o.{prefix}acl", f"'{kind}'") if kind else f"pg_get_userbyid({owner})"
    return catalog, _OTHERS.format(catalog=catalog, rights=rights, only=only)


def _brought(catalog: str, prefix: str, kind: str, *, schema: str) -> str:
    rights = _PRINTED.format(owner=f"o.{prefix}owner", acl=f"o.{prefix}acl", usual="usual.acl")
    return _BROUGHT.format(catalog=catalog, prefix=prefix, kind=kind, schema=schema, rights=rights)


OF_RELATIONS = _RELATIONS.format(
    rights=_rights("c.relowner", "c.relacl", """CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END""")
)
"""Gets the OIDs of relations."""
OF_THE_REST = (
    ("pg_namespace", _SCHEMAS.format(rights=_rights("n.nspowner", "n.nspacl", "'n'"))),
    ("pg_proc", _FUNCTIONS.format(rights=_rights("p.proowner", "p.proacl", "'f'"))),
    ("pg_default_acl", _BY_DEFAULT),
    ("pg_largeobject_metadata", _LARGE_OBJECTS.format(rights=_rights("lomowner", "lomacl", "'L'"))),
    _others("pg_type", "typ", "T", _TYPES_OF_THEIR_OWN),
    _others("pg_language", "lan", "l"),
    _others("pg_foreign_data_wrapper", "fdw", "F"),
    _others("pg_foreign_server", "srv", "S"),
    _others("pg_operator", "opr", only="o.oprcode <> 0"),
    _others("pg_opclass", "opc"),
    _others("pg_opfamily", "opf"),
    _others("pg_collation", "coll"),
    _others("pg_conversion", "con"),
    _others("pg_ts_dict", "dict"),
    _others("pg_ts_config", "cfg"),
    _others("pg_statistic_ext", "stx"),
    _others("pg_event_trigger", "evt"),
    _others("pg_publication", "pub"),
)
OF_WHAT_WAS_BROUGHT = (
    _brought("pg_class", "rel", "r", schema="relnamespace"),
    _brought("pg_proc", "pro", "f", schema="pronamespace"),
    _brought("pg_namespace", "nsp", "n", schema="oid"),
    _PUBLIC.format(rights=_PRINTED.format(owner="n.nspowner", acl="given.acl", usual="usual.acl")),
)
"""Also of an extension's members."""
