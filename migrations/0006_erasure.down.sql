-- The older schema keeps events in clear and cannot open what is sealed: of these events, what is
-- personal is lost with the column, as if their customers had been erased.
DROP INDEX inbox_by_site, inbox_by_quote, inbox_about_proposal, documents_by_content, documents_of_proposal;
DELETE FROM documents WHERE status = 'erased';
ALTER TABLE documents DROP CONSTRAINT documents_status_check,
    ADD CONSTRAINT documents_status_check CHECK (status IN ('waiting', 'stored', 'failed')),
    DROP CONSTRAINT documents_are_somewhere,
    ADD CONSTRAINT documents_check CHECK (connection_id IS NOT NULL OR url IS NOT NULL);
DROP FUNCTION event_envelope(
    text, timestamptz, text, bigint, bigint, text, bigint, bigint, bigint, bigint, jsonb, jsonb, jsonb, boolean, boolean);
ALTER TABLE events DROP personal;
DROP TABLE data_keys;
