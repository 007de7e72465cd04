-- SPDX-FileCopyrightText: pgfleet maintainers
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What belongs to the database itself, and is in no archive.

DO $$
DECLARE name CONSTANT text := current_database();
BEGIN
    EXECUTE format('ALTER DATABASE %I SET search_path TO %s', name, '"$user", public, "we ird", types');
    EXECUTE format('ALTER DATABASE %I SET datestyle TO %L', name, 'SQL, DMY');
    EXECUTE format('ALTER DATABASE %I SET intervalstyle TO %L', name, 'postgres_verbose');
    EXECUTE format('ALTER DATABASE %I SET bytea_output TO escape', name);
    EXECUTE format('ALTER DATABASE %I SET extra_float_digits TO %L', name, '-10');
    EXECUTE format('ALTER DATABASE %I SET timezone TO %L', name, 'Asia/Kathmandu');
    EXECUTE format('ALTER DATABASE %I SET client_encoding TO %L', name, 'LATIN1');
    EXECUTE format('ALTER DATABASE %I SET standard_conforming_strings TO off', name);
    EXECUTE format('ALTER DATABASE %I SET xmloption TO document', name);
    EXECUTE format('ALTER DATABASE %I SET quote_all_identifiers TO on', name);
    EXECUTE format('ALTER DATABASE %I SET default_table_access_method TO fidelity_heap', name);
    EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only TO on', name);
    EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation TO serializable', name);
    EXECUTE format('ALTER DATABASE %I SET statement_timeout TO %L', name, '10min');
    EXECUTE format('ALTER DATABASE %I SET check_function_bodies TO on', name);
    EXECUTE format('ALTER DATABASE %I SET my.setting TO %L', name, 'it''s "odd", \ isn''t it');
    EXECUTE format('ALTER ROLE fidelity_reader IN DATABASE %I SET temp_tablespaces TO %L', name, '');
    EXECUTE format('ALTER ROLE "Fidelity ""the"" Röle" IN DATABASE %I SET work_mem TO %L', name, '7MB');
    EXECUTE format('ALTER ROLE "Fidelity ""the"" Röle" IN DATABASE %I SET local_preload_libraries TO %L', name, '');
    EXECUTE format('COMMENT ON DATABASE %I IS %L', name, E'it''s the corpus,\nof "everything" — ünïcode');
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO fidelity_group WITH GRANT OPTION', name);
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', name);
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', name);
    EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 42', name);
    EXECUTE format('ALTER DATABASE %I OWNER TO fidelity_owner', name);
END $$;
