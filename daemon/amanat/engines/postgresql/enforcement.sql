-- Runs as one transaction; what stands in braces is filled in by enforcing.py.
--
-- Which event: at ddl_command_start nothing is locked or done yet, but only the command's tag is known. So what can
-- be about no temporary object is refused there, before an ALTER TABLE queues for its lock. The rest, such as
-- CREATE TABLE, ALTER TABLE in a session that has temporary tables, and DROP TABLE IF EXISTS of what may not be
-- there, is judged at ddl_command_end and sql_drop, which know the schema of what was made, changed or dropped; an
-- error there takes the command back as well.
-- What commits on its way (CONCURRENTLY) it could not take back: that is refused at the start too.
CREATE SCHEMA amanat;
COMMENT ON SCHEMA amanat IS 'Enforcement by Amanat. It is removed by: DROP SCHEMA amanat CASCADE';
CREATE TABLE amanat.installation (version int NOT NULL, database text NOT NULL, issuer name NOT NULL);
CREATE TABLE amanat.exempt (role name PRIMARY KEY);
CREATE TABLE amanat.passes (
    id text PRIMARY KEY,
    role name NOT NULL,
    database oid NOT NULL,
    issued_at timestamptz NOT NULL,
    valid_until timestamptz NOT NULL,
    issued_by text NOT NULL,
    purpose text NOT NULL
);
INSERT INTO amanat.installation VALUES ({version}, {database}, {issuer});
INSERT INTO amanat.exempt SELECT unnest({exempt}::name[]);

-- With the rights of who changes the schema, so that it knows current_user; hence everybody may read the tables.
CREATE FUNCTION amanat.enforce() RETURNS event_trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $enforce$
DECLARE
    refused boolean;
    known_as text;
BEGIN
    IF tg_tag IN ('REFRESH MATERIALIZED VIEW', 'REINDEX') OR EXISTS (
        SELECT FROM pg_roles WHERE rolname IN (current_user, session_user) AND rolsuper)
    THEN
        RETURN;
    END IF;
    CASE tg_event
    WHEN 'ddl_command_start' THEN
        -- What runs CONCURRENTLY runs alone, so its text is that of the whole query.
        refused := NOT (
            tg_tag IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE VIEW', 'CREATE SEQUENCE',
                       'CREATE FUNCTION', 'CREATE PROCEDURE', 'CREATE TYPE', 'CREATE DOMAIN')
            OR tg_tag ~ '^(ALTER|DROP) (TABLE|VIEW|SEQUENCE|INDEX|FUNCTION|PROCEDURE|TYPE|DOMAIN)$'
                       '|^(CREATE|ALTER|DROP) (TRIGGER|STATISTICS|RULE|POLICY)$|^CREATE INDEX$|^COMMENT$'
            AND current_query() !~* 'concurrently'
            AND (pg_my_temp_schema() <> 0 OR tg_tag ~ '^DROP' AND current_query() ~* 'if[[:space:]]+exists'));
    WHEN 'ddl_command_end' THEN
        refused := EXISTS (
            SELECT FROM pg_event_trigger_ddl_commands() c
            LEFT JOIN LATERAL pg_identify_object_as_address(c.classid, c.objid, c.objsubid) a ON true
            WHERE coalesce(c.schema_name, a.object_names[1]) IS DISTINCT FROM 'pg_temp');
    WHEN 'sql_drop' THEN
        refused := EXISTS (
            SELECT FROM pg_event_trigger_dropped_objects() d
            WHERE NOT d.is_temporary AND d.address_names[1] IS DISTINCT FROM 'pg_temp');
    END CASE;
    IF NOT refused THEN
        RETURN;
    END IF;
    BEGIN
        SELECT i.database, NOT EXISTS (
            SELECT FROM (
                SELECT role FROM amanat.exempt
                UNION ALL
                SELECT p.role FROM amanat.passes p JOIN pg_database d ON d.oid = p.database
                WHERE d.datname = current_database() AND p.valid_until > clock_timestamp()) allowed
            JOIN pg_roles r ON r.rolname = allowed.role
            WHERE pg_has_role(current_user, r.oid, 'MEMBER') OR pg_has_role(session_user, r.oid, 'MEMBER'))
        INTO STRICT known_as, refused FROM (SELECT database FROM amanat.installation LIMIT 1) i;
    EXCEPTION
        -- A copy that was restored without the rights, the rows or some of the tables: it locks nobody out.
        WHEN insufficient_privilege OR no_data_found OR undefined_table OR undefined_column THEN
            RAISE WARNING 'Amanat enforces nothing here, for not all of it is there: %', sqlerrm
                USING HINT = 'As a superuser: amanat enforce install; or be rid of it: DROP SCHEMA amanat CASCADE';
            RETURN;
    END;
    IF refused THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('role %s may not change the schema of database %s now: it has no valid pass',
                             current_user, current_database()),
            DETAIL = format('%s was refused.', tg_tag),
            HINT = format('Run it by: amanat migrate %1$s --purpose "WHY" -- COMMAND; or ask for a pass: '
                          'amanat gate %1$s --issue-pass %2$s', known_as, quote_ident(current_user));
    END IF;
END
$enforce$;
CREATE EVENT TRIGGER enforced_by_amanat_at_start ON ddl_command_start EXECUTE FUNCTION amanat.enforce();
CREATE EVENT TRIGGER enforced_by_amanat_at_end ON ddl_command_end EXECUTE FUNCTION amanat.enforce();
CREATE EVENT TRIGGER enforced_by_amanat_at_drop ON sql_drop EXECUTE FUNCTION amanat.enforce();
GRANT USAGE ON SCHEMA amanat TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA amanat TO PUBLIC;
GRANT INSERT, DELETE ON amanat.passes TO {issuer_role};
