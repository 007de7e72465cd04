-- SPDX-FileCopyrightText: pgfleet maintainers
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Comments and security labels on one of everything.

COMMENT ON SCHEMA types IS E'a comment with ''quotes'', "more",\n a line, a tab\t and a \\';
COMMENT ON TABLE types.text IS '';
COMMENT ON TABLE types.bytea IS 'ünïcode 🙂';
COMMENT ON COLUMN types.text.v IS 'of a column';
COMMENT ON TYPE kinds.mood IS 'of an enum';
COMMENT ON TYPE kinds.pair IS 'of a composite';
COMMENT ON COLUMN kinds.pair.a IS 'of an attribute';
COMMENT ON DOMAIN kinds.percent IS 'of a domain';
COMMENT ON CONSTRAINT in_bounds ON DOMAIN kinds.percent IS 'of a domain''s constraint';
COMMENT ON CONSTRAINT never ON tables.parents IS 'of a constraint';
COMMENT ON INDEX tables.settings_odd IS 'of an index';
COMMENT ON SEQUENCE tables.huge IS 'of a sequence';
COMMENT ON STATISTICS tables.two_kinds IS 'of statistics';
COMMENT ON ACCESS METHOD fidelity_heap IS 'of an access method';
COMMENT ON FUNCTION code.add(integer, integer, integer[]) IS 'of a function';
COMMENT ON PROCEDURE code.work(integer, text) IS 'of a procedure';
COMMENT ON AGGREGATE code.total(integer) IS 'of an aggregate';
COMMENT ON OPERATOR code.<# (kinds.pair, kinds.pair) IS 'of an operator';
COMMENT ON OPERATOR CLASS code.pair_ops USING btree IS 'of an operator class';
COMMENT ON OPERATOR FAMILY code.pairs USING btree IS 'of an operator family';
COMMENT ON CAST (kinds.pair AS integer) IS 'of a cast';
COMMENT ON CONVERSION code.odd_conversion IS 'of a conversion';
COMMENT ON TRANSFORM FOR kinds.label LANGUAGE sql IS 'of a transform';
COMMENT ON LANGUAGE fidelity_pl IS 'of a language';
COMMENT ON VIEW code.plain IS 'of a view';
COMMENT ON MATERIALIZED VIEW code.z_first IS 'of a materialised view';
COMMENT ON RULE never ON code.ruled IS 'of a rule';
COMMENT ON TRIGGER a_row ON code.watched IS 'of a trigger';
COMMENT ON EVENT TRIGGER fidelity_notes IS 'of an event trigger';
COMMENT ON POLICY own ON rights.secrets IS 'of a policy';
COMMENT ON LARGE OBJECT 4200002 IS 'of a large object';
COMMENT ON COLLATION search.plain IS 'of a collation';
COMMENT ON TEXT SEARCH CONFIGURATION search."Deutsch" IS 'of a configuration';
COMMENT ON TEXT SEARCH DICTIONARY search.words IS 'of a dictionary';
COMMENT ON TEXT SEARCH TEMPLATE search.template IS 'of a template';
COMMENT ON TEXT SEARCH PARSER search.parser IS 'of a parser';
COMMENT ON FOREIGN DATA WRAPPER fidelity_wrapper IS 'of a wrapper';
COMMENT ON SERVER fidelity_server IS 'of a server';
COMMENT ON FOREIGN TABLE "foreign".rows IS 'of a foreign table';
COMMENT ON PUBLICATION fidelity_some IS 'of a publication';
COMMENT ON SUBSCRIPTION fidelity_subscription IS 'of a subscription';

\if :has_labels
SECURITY LABEL FOR fidelity ON SCHEMA types IS E'a label with ''quotes'', "more" and a \\';
SECURITY LABEL FOR fidelity ON TABLE types.text IS 'ünïcode 🙂';
SECURITY LABEL FOR fidelity ON COLUMN types.text.v IS 'of a column';
SECURITY LABEL FOR fidelity ON TYPE kinds.mood IS 'of an enum';
SECURITY LABEL FOR fidelity ON DOMAIN kinds.percent IS 'of a domain';
SECURITY LABEL FOR fidelity ON SEQUENCE tables.huge IS 'of a sequence';
SECURITY LABEL FOR fidelity ON FUNCTION code.add(integer, integer, integer[]) IS 'of a function';
SECURITY LABEL FOR fidelity ON PROCEDURE code.work(integer, text) IS 'of a procedure';
SECURITY LABEL FOR fidelity ON AGGREGATE code.total(integer) IS 'of an aggregate';
SECURITY LABEL FOR fidelity ON LANGUAGE fidelity_pl IS 'of a language';
SECURITY LABEL FOR fidelity ON VIEW code.plain IS 'of a view';
SECURITY LABEL FOR fidelity ON MATERIALIZED VIEW code.z_first IS 'of a materialised view';
SECURITY LABEL FOR fidelity ON EVENT TRIGGER fidelity_notes IS 'of an event trigger';
SECURITY LABEL FOR fidelity ON LARGE OBJECT 4200002 IS 'of a large object';
SECURITY LABEL FOR fidelity ON FOREIGN TABLE "foreign".rows IS 'of a foreign table';
SECURITY LABEL FOR fidelity ON PUBLICATION fidelity_some IS 'of a publication';
SECURITY LABEL FOR fidelity ON SUBSCRIPTION fidelity_subscription IS 'of a subscription';
DO $$ BEGIN EXECUTE format('SECURITY LABEL FOR fidelity ON DATABASE %I IS %L', current_database(), 'it''s of a database'); END $$;
\endif
