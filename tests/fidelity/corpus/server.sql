-- SPDX-FileCopyrightText: pgfleet maintainers
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What belongs to the whole server: the roles that the corpus refers to, and a tablespace. Loaded once a server.

SET client_min_messages = error;

DO $$
DECLARE
    wanted CONSTANT text[] := ARRAY['fidelity_owner', 'fidelity_reader', 'fidelity_group', 'Fidelity "the" Röle'];
    name text;
BEGIN
    FOREACH name IN ARRAY wanted LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I', name);
        END IF;
    END LOOP;
END $$;
ALTER ROLE fidelity_reader LOGIN CONNECTION LIMIT 7 VALID UNTIL '2042-01-01 00:00:00+00';
ALTER ROLE "Fidelity ""the"" Röle" CREATEDB NOINHERIT;
COMMENT ON ROLE fidelity_reader IS 'Reads, and has ''quotes''';
GRANT fidelity_group TO fidelity_reader WITH ADMIN OPTION;
