-- SPDX-FileCopyrightText: pgfleet maintainers
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Who may do what: large objects, row-level security, grants of every kind, default privileges.

CREATE SCHEMA rights AUTHORIZATION fidelity_owner;

-- Large objects: empty, of more than one page, with holes, owned and granted.
SELECT lo_from_bytea(4200001, '') \g /dev/null
SELECT lo_from_bytea(4200002, decode(repeat('00ff5c0a', 50000), 'hex')) \g /dev/null
SELECT lo_from_bytea(4200003, 'x') \g /dev/null
SELECT lo_put(4200003, 300000, 'after a hole') \g /dev/null
SELECT lo_from_bytea(4294967295, 'the last number there is') \g /dev/null
ALTER LARGE OBJECT 4200002 OWNER TO fidelity_owner;
GRANT SELECT ON LARGE OBJECT 4200002 TO PUBLIC;
GRANT UPDATE ON LARGE OBJECT 4200003 TO fidelity_reader WITH GRANT OPTION;
REVOKE ALL ON LARGE OBJECT 4200001 FROM CURRENT_USER;
CREATE TABLE rights.scans (id integer, scan oid);
INSERT INTO rights.scans VALUES (1, 4200001), (2, 4200002), (3, 4294967295);

-- Row-level security, forced on the owner too. The rows must be all there, whoever they are hidden from.
CREATE TABLE rights.secrets (id integer PRIMARY KEY, of_role name, what text);
INSERT INTO rights.secrets SELECT i, (ARRAY['fidelity_reader', 'nobody'])[1 + i % 2], 'secret ' || i FROM generate_series(1, 50) AS i;
ALTER TABLE rights.secrets OWNER TO fidelity_owner;
ALTER TABLE rights.secrets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON rights.secrets TO PUBLIC USING (of_role = CURRENT_USER);
CREATE POLICY "add, not more" ON rights.secrets AS RESTRICTIVE FOR INSERT TO fidelity_reader, "Fidelity ""the"" Röle" WITH CHECK (id > 100 AND what <> 'it''s');
CREATE POLICY change ON rights.secrets FOR UPDATE TO fidelity_group USING (true) WITH CHECK (EXISTS (SELECT FROM rights.scans AS s WHERE s.id = secrets.id));
CREATE TABLE rights.without_policy (id integer);
ALTER TABLE rights.without_policy ENABLE ROW LEVEL SECURITY;
INSERT INTO rights.without_policy VALUES (1);
CREATE TABLE rights.policies_off (id integer);
CREATE POLICY idle ON rights.policies_off USING (id > 1);
ALTER TABLE rights.policies_off FORCE ROW LEVEL SECURITY;

-- Grants: to all, by the owner and by others, on columns, with grant options, and taken away from the owner.
GRANT USAGE, CREATE ON SCHEMA rights TO fidelity_reader;
CREATE TABLE rights.granted (a integer, "b B" text, c text);
ALTER TABLE rights.granted OWNER TO fidelity_owner;
GRANT SELECT ON rights.granted TO PUBLIC;
GRANT INSERT, REFERENCES ON rights.granted TO fidelity_reader WITH GRANT OPTION;
GRANT SELECT (a, "b B"), UPDATE ("b B") ON rights.granted TO "Fidelity ""the"" Röle" WITH GRANT OPTION;
\if :since_17
-- Of an owner who lacks one, a newer server has more privileges that an older one could not list.
REVOKE TRUNCATE ON rights.granted FROM fidelity_owner;
\endif
SET ROLE fidelity_reader;
GRANT INSERT ON rights.granted TO fidelity_group;
RESET ROLE;
CREATE TABLE rights.closed (a integer);
REVOKE ALL ON rights.closed FROM CURRENT_USER;
CREATE TABLE rights.everything (a integer);
GRANT ALL ON rights.everything TO fidelity_group;
CREATE SEQUENCE rights.numbers;
GRANT USAGE ON SEQUENCE rights.numbers TO fidelity_reader;
REVOKE UPDATE ON SEQUENCE rights.numbers FROM CURRENT_USER;
CREATE FUNCTION rights.run() RETURNS integer LANGUAGE sql AS 'SELECT 1';
REVOKE EXECUTE ON FUNCTION rights.run() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rights.run() TO fidelity_reader;
CREATE PROCEDURE rights.proceed() LANGUAGE sql AS '';
REVOKE ALL ON PROCEDURE rights.proceed() FROM PUBLIC, CURRENT_USER;
REVOKE USAGE ON LANGUAGE fidelity_pl FROM PUBLIC;
GRANT USAGE ON SCHEMA rights, types TO fidelity_group WITH GRANT OPTION;
CREATE SCHEMA closed;
REVOKE ALL ON SCHEMA closed FROM CURRENT_USER;
GRANT CREATE ON SCHEMA public TO fidelity_reader;
COMMENT ON SCHEMA public IS 'not the standard one';

-- What the system's own objects allow.
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_sleep(double precision) TO fidelity_reader;
GRANT SELECT ON pg_catalog.pg_authid TO fidelity_owner;
GRANT SELECT (rolpassword) ON pg_catalog.pg_authid TO fidelity_reader;

-- Default privileges: of the database, of a schema, of every kind.
ALTER DEFAULT PRIVILEGES FOR ROLE fidelity_owner GRANT SELECT ON TABLES TO fidelity_reader WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES FOR ROLE fidelity_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE fidelity_owner IN SCHEMA rights GRANT USAGE ON SEQUENCES TO fidelity_group;
ALTER DEFAULT PRIVILEGES FOR ROLE "Fidelity ""the"" Röle" REVOKE USAGE ON TYPES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE fidelity_owner GRANT CREATE ON SCHEMAS TO fidelity_group;
ALTER DEFAULT PRIVILEGES IN SCHEMA rights GRANT ALL ON TABLES TO PUBLIC;
