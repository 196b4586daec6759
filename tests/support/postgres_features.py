"""All features of PostgreSQL beyond ``postgres_rich``, and for each what may be lost of it.

Not here, for the tests' servers lack what they need: collations of ICU, and security labels, which want a provider.
"""

from tests.support.postgres_relations import TABLES, VIEWS, Feature

KINDS = (
    Feature(
        """CREATE TYPE promised; CREATE TYPE raw; CREATE FUNCTION raw_in(cstring) RETURNS raw LANGUAGE internal IMMUTABLE STRICT AS 'textin';
        CREATE FUNCTION raw_out(raw) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
        CREATE TYPE raw (INPUT = raw_in, OUTPUT = raw_out, LIKE = text, CATEGORY = 'S', DEFAULT = 'x', DELIMITER = ';');
        CREATE TABLE raws (one raw DEFAULT 'y', many raw[]); INSERT INTO raws VALUES ('a', '{b;c}')""",
        "ALTER TYPE raw SET (STORAGE = external); DROP TYPE promised",
        (
            "type public.raw: expected ",
            "column public.raws.one: expected ",
            "type public.promised: missing",
            "access type public.promised: missing",
        ),
    ),
    Feature(
        """CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE DOMAIN small AS positive DEFAULT 3 CHECK (VALUE < 9);
        CREATE DOMAIN list AS text[] COLLATE "POSIX"; ALTER DOMAIN positive ADD CONSTRAINT later CHECK (VALUE <> 5) NOT VALID;
        CREATE TABLE domained (a small, b list, c positive)""",
        "ALTER DOMAIN positive VALIDATE CONSTRAINT later; ALTER DOMAIN small DROP DEFAULT",
        ("domain public.positive: expected ", "domain public.small: expected "),
    ),
    Feature(
        """CREATE FUNCTION apart(a float8, b float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT a - b';
        CREATE TYPE stretch AS RANGE (subtype = float8, subtype_diff = apart, multirange_type_name = stretches);
        CREATE TYPE words AS RANGE (subtype = text, collation = "POSIX"); CREATE TABLE stretched (a stretch, b stretches, c words);
        INSERT INTO stretched VALUES ('[1,2)', '{[1,2),[5,6)}', '[a,b]')""",
        "DROP TABLE stretched; DROP TYPE stretch",
        (
            "table public.stretched: missing",
            "range type public.stretch: missing",
            "access type public.stretch: missing",
            "function public.stretch",
            "access public.stretch",
            "cast public.stretch as public.stretches: missing",
        ),
    ),
    Feature(
        """CREATE OPERATOR <==> (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq, NEGATOR = <!!>, RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES);
        CREATE OPERATOR ## (RIGHTARG = text, FUNCTION = textlen)""",
        "ALTER OPERATOR <==> (text, text) SET (RESTRICT = NONE); DROP OPERATOR ## (NONE, text)",
        (
            "operator public.<==>(text, text): expected ",
            "operator public.##(, text): missing",
            "access operator public.##(NONE,pg_catalog.text): missing",
        ),
    ),
    Feature(
        """CREATE OPERATOR FAMILY wide USING hash; ALTER OPERATOR FAMILY wide USING hash ADD FUNCTION 1 (int, int) hashint4(int);
        CREATE OPERATOR FAMILY mixed USING btree; ALTER OPERATOR FAMILY mixed USING btree ADD OPERATOR 1 < (int, bigint);
        CREATE OPERATOR CLASS hashing FOR TYPE text USING hash FAMILY wide AS OPERATOR 1 =, FUNCTION 1 hashtext(text)""",
        "ALTER OPERATOR FAMILY wide USING hash DROP FUNCTION 1 (int, int); DROP OPERATOR FAMILY mixed USING btree",
        (
            "operator family public.wide using hash: expected ",
            "operator family public.mixed using btree: missing",
            "access operator family public.mixed USING btree: missing",
        ),
    ),
    Feature(
        """CREATE TYPE meters AS (m float8); CREATE FUNCTION measured(float8) RETURNS meters LANGUAGE sql IMMUTABLE AS 'SELECT ROW($1)::meters';
        CREATE CAST (float8 AS meters) WITH FUNCTION measured(float8) AS ASSIGNMENT; CREATE CAST (meters AS json) WITH INOUT AS IMPLICIT""",
        "DROP CAST (float8 AS meters); CREATE CAST (float8 AS meters) WITH FUNCTION measured(float8)",
        ("cast double precision as public.meters: expected ",),
    ),
    Feature(
        "CREATE CONVERSION latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8; COMMENT ON CONVERSION latin IS 'c'",
        "COMMENT ON CONVERSION latin IS NULL",
        ("comment on conversion public.latin: missing",),
    ),
    Feature(
        """CREATE FUNCTION again_call() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
        CREATE FUNCTION again_checked(oid) RETURNS void LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_validator';
        CREATE TRUSTED LANGUAGE again HANDLER again_call VALIDATOR again_checked; REVOKE USAGE ON LANGUAGE again FROM PUBLIC;
        CREATE FUNCTION spoken() RETURNS int LANGUAGE again AS 'BEGIN RETURN 1; END';
        CREATE TRANSFORM FOR text LANGUAGE again (FROM SQL WITH FUNCTION varchar_support(internal), TO SQL WITH FUNCTION textrecv(internal));
        COMMENT ON LANGUAGE again IS 'l'""",
        "DROP TRANSFORM FOR text LANGUAGE again; DROP FUNCTION spoken(); GRANT USAGE ON LANGUAGE again TO PUBLIC",
        (
            "transform for text language again: missing",
            "function public.spoken(): missing",
            "access public.spoken(): missing",
            "access language again: expected ",
        ),
    ),
    Feature(
        """CREATE ACCESS METHOD pile TYPE TABLE HANDLER heap_tableam_handler; CREATE ACCESS METHOD tree TYPE INDEX HANDLER bthandler;
        CREATE TABLE piled (id int) USING pile; CREATE MATERIALIZED VIEW piled_too USING pile AS SELECT 1 AS one;
        INSERT INTO piled VALUES (1); COMMENT ON ACCESS METHOD pile IS 'p'""",
        "DROP ACCESS METHOD tree; DROP MATERIALIZED VIEW piled_too; CREATE MATERIALIZED VIEW piled_too AS SELECT 1 AS one",
        ("access method tree: missing", "materialized view public.piled_too: expected "),
    ),
    Feature(
        """CREATE TEXT SEARCH PARSER word_parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype);
        CREATE TEXT SEARCH TEMPLATE same (INIT = dsimple_init, LEXIZE = dsimple_lexize);
        CREATE TEXT SEARCH DICTIONARY sames (TEMPLATE = same, ACCEPT = false); CREATE TEXT SEARCH CONFIGURATION ours (PARSER = word_parser);
        ALTER TEXT SEARCH CONFIGURATION ours ADD MAPPING FOR asciiword, word WITH sames, english_stem;
        COMMENT ON TEXT SEARCH PARSER word_parser IS 'p'; COMMENT ON TEXT SEARCH DICTIONARY sames IS 'd'""",
        "ALTER TEXT SEARCH CONFIGURATION ours DROP MAPPING FOR word; ALTER TEXT SEARCH DICTIONARY sames (ACCEPT = true)",
        ("text search configuration public.ours: expected ", "text search dictionary public.sames: expected "),
    ),
    Feature(
        """CREATE FUNCTION outs(a int, OUT b int, INOUT c text DEFAULT 'x') LANGUAGE sql COST 7 LEAKPROOF AS 'SELECT a, c';
        CREATE FUNCTION tabled(VARIADIC anycompatiblearray) RETURNS TABLE (n bigint, "Ad" text) LANGUAGE sql ROWS 5 AS 'SELECT 1, ''x''';
        CREATE PROCEDURE given(OUT done bool, a int) LANGUAGE plpgsql SET work_mem = '1MB' AS 'BEGIN done := true; END';
        CREATE TABLE countable (n int); CREATE FUNCTION counted_all() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM countable; END;
        COMMENT ON PROCEDURE given(OUT bool, int) IS 'p'""",
        "ALTER FUNCTION outs(int, text) NOT LEAKPROOF; ALTER PROCEDURE given(OUT bool, int) RESET ALL",
        ("function public.outs(a integer, ", "procedure public.given("),
    ),
    Feature(
        """CREATE FUNCTION last_of(text, text) RETURNS text LANGUAGE sql AS 'SELECT $2';
        CREATE AGGREGATE last_text(text) (SFUNC = last_of, STYPE = text, COMBINEFUNC = last_of, PARALLEL = SAFE);
        CREATE AGGREGATE moving(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0', MSFUNC = int4pl, MINVFUNC = int4mi, MSTYPE = int, MINITCOND = '0');
        CREATE AGGREGATE middle(float8 ORDER BY anyelement) (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA);
        CREATE AGGREGATE greatest_of(int) (SFUNC = int4larger, STYPE = int, SORTOP = >); COMMENT ON AGGREGATE moving(int) IS 'a'""",
        "CREATE OR REPLACE AGGREGATE greatest_of(int) (SFUNC = int4larger, STYPE = int); DROP AGGREGATE middle(float8 ORDER BY anyelement)",
        (
            "aggregate public.greatest_of(integer): expected ",
            "aggregate public.middle(double precision ORDER BY anyelement): missing",
            "access public.middle(double precision ORDER BY anyelement): missing",
        ),
    ),
    Feature(
        """CREATE TABLE measured_of (a int, b int, c text); CREATE STATISTICS by_expression (ndistinct) ON (a + b), lower(c) FROM measured_of;
        CREATE STATISTICS one_expression ON (a % 7) FROM measured_of; ALTER STATISTICS by_expression SET STATISTICS 50; COMMENT ON STATISTICS by_expression IS 's'""",
        "ALTER STATISTICS by_expression SET STATISTICS 60; DROP STATISTICS one_expression",
        (
            "statistics public.by_expression: expected ",
            "statistics public.one_expression: missing",
            "access statistics object public.one_expression: missing",
        ),
    ),
    Feature(
        "CREATE COLLATION built (provider = builtin, locale = 'C.UTF-8'); CREATE TABLE collated (a text COLLATE built)",
        'ALTER TABLE collated ALTER a TYPE text COLLATE "C"',
        ("column public.collated.a: expected ",),
        17,
    ),
    Feature(
        """CREATE FUNCTION watching() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
        CREATE EVENT TRIGGER rewritten ON table_rewrite EXECUTE FUNCTION watching(); ALTER EVENT TRIGGER rewritten ENABLE ALWAYS""",
        "ALTER EVENT TRIGGER rewritten ENABLE REPLICA",
        ("event trigger rewritten: expected ",),
    ),
    Feature(
        "CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert', publish_via_partition_root); COMMENT ON PUBLICATION everything IS 'p'",
        "ALTER PUBLICATION everything SET (publish_via_partition_root = false)",
        ("publication everything: expected ",),
    ),
)
RIGHTS = (
    Feature(
        "CREATE TABLE explicit (id int); GRANT ALL ON explicit TO postgres; CREATE TABLE closed (id int); REVOKE ALL ON closed FROM postgres",
        "REVOKE ALL ON explicit FROM postgres; GRANT ALL ON closed TO postgres",
        ("access public.explicit: expected ", "access public.closed: expected "),
    ),
    Feature(
        """CREATE TYPE owned AS ENUM ('a'); ALTER TYPE owned OWNER TO pg_monitor; CREATE DOMAIN narrow AS int; REVOKE USAGE ON DOMAIN narrow FROM PUBLIC;
        CREATE TYPE pair AS (a int, b int); GRANT USAGE ON TYPE pair TO pg_monitor WITH GRANT OPTION""",
        "ALTER TYPE owned OWNER TO postgres; GRANT USAGE ON DOMAIN narrow TO PUBLIC; REVOKE ALL ON TYPE pair FROM pg_monitor",
        (
            "access type public.owned: expected ",
            "access type public.narrow: expected ",
            "access type public.pair: expected ",
        ),
    ),
    Feature(
        """CREATE FOREIGN DATA WRAPPER near; CREATE SERVER there FOREIGN DATA WRAPPER near; GRANT USAGE ON FOREIGN SERVER there TO pg_monitor;
        GRANT USAGE ON FOREIGN DATA WRAPPER near TO pg_monitor; CREATE USER MAPPING FOR postgres SERVER there OPTIONS ("user" 'x');
        CREATE TABLE parted (id int) PARTITION BY LIST (id); CREATE FOREIGN TABLE parted_there PARTITION OF parted DEFAULT SERVER there""",
        "REVOKE ALL ON FOREIGN SERVER there FROM pg_monitor; REVOKE ALL ON FOREIGN DATA WRAPPER near FROM pg_monitor; DROP USER MAPPING FOR postgres SERVER there",
        (
            "access server there: expected ",
            "access foreign-data wrapper near: expected ",
            "user mapping there.postgres: missing",
        ),
    ),
    Feature(
        """CREATE SCHEMA theirs AUTHORIZATION pg_monitor; CREATE COLLATION theirs.c FROM "C"; ALTER COLLATION theirs.c OWNER TO pg_monitor;
        CREATE SEQUENCE theirs.s; GRANT USAGE ON SEQUENCE theirs.s TO PUBLIC""",
        "ALTER COLLATION theirs.c OWNER TO postgres; REVOKE ALL ON SEQUENCE theirs.s FROM PUBLIC",
        ("access collation theirs.c: expected ", "access theirs.s: expected "),
    ),
    Feature(
        """SELECT lo_from_bytea(81000, 'a'), lo_from_bytea(81001, 'b'); GRANT SELECT ON LARGE OBJECT 81000 TO pg_monitor;
        COMMENT ON LARGE OBJECT 81001 IS 'o'""",
        "REVOKE ALL ON LARGE OBJECT 81000 FROM pg_monitor",
        ("access large objects of postgres: expected ", "access large objects of postgres; pg_monitor=r/postgres"),
    ),
    Feature(
        "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC; ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT USAGE ON TYPES TO pg_monitor",
        "ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC",
        ("access by default of postgres f: missing",),
    ),
    Feature(
        """REVOKE CREATE, USAGE ON SCHEMA public FROM PUBLIC; GRANT CREATE ON SCHEMA public TO pg_monitor;
        REVOKE EXECUTE ON FUNCTION pg_sleep(float8) FROM PUBLIC; GRANT SELECT ON pg_authid TO pg_monitor""",
        "GRANT USAGE ON SCHEMA public TO PUBLIC; GRANT EXECUTE ON FUNCTION pg_sleep(float8) TO PUBLIC; REVOKE SELECT ON pg_authid FROM pg_monitor",
        (
            "access schema public: expected ",
            "access function pg_catalog.pg_sleep(double precision): missing",
            "access table pg_catalog.pg_authid: missing",
        ),
    ),
    Feature("COMMENT ON SCHEMA public IS 'left out in 14'", "COMMENT ON SCHEMA public IS NULL", ()),
    Feature(
        "COMMENT ON SCHEMA public IS 'ours'",
        "COMMENT ON SCHEMA public IS 'theirs'",
        ("comment on schema public: expected ",),
        15,
    ),
    Feature(
        "CREATE EXTENSION fuzzystrmatch; REVOKE EXECUTE ON FUNCTION soundex(text) FROM PUBLIC",
        "GRANT EXECUTE ON FUNCTION soundex(text) TO PUBLIC",
        ("access function public.soundex(pg_catalog.text): missing",),
    ),
)


def features(major: int) -> list[Feature]:
    """Those that this PostgreSQL has. Rights come last: they hold for what is made after them, too."""
    return [one for one in (*TABLES, *VIEWS, *KINDS, *RIGHTS) if one.since <= major]
