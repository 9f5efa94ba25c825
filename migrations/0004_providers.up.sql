-- What providers told us is not kept for ever, nor is what callers' idempotency keys stood for;
-- and that a document could not be fetched is told like everything else.

ALTER TABLE documents
    -- Its stream of operational events is document-<id>, and failures the version of that stream.
    ADD id       bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    ADD failures bigint NOT NULL DEFAULT 0,
    -- What gave it up last. Run again after somebody wanted the document anew, it changes nothing.
    ADD given_up text COLLATE "C";
ALTER TABLE events DROP CONSTRAINT events_about_somebody,
    ADD CONSTRAINT events_about_somebody CHECK (customer_id IS NOT NULL OR stream LIKE ANY ('{webhook-%,document-%}'));

-- Null: forgotten. What stays of it says that what is older is no news.
ALTER TABLE inbox ALTER body DROP NOT NULL;
-- Those that were deleted are looked up by their ids only.
DROP INDEX connections_of_company;
CREATE INDEX connections_of_company ON connections (company_id, id) WHERE deleted_at IS NULL;
-- A connection that says little beside one that says much.
CREATE INDEX inbox_of_connection ON inbox (connection_id, id);
CREATE INDEX inbox_of_connection_by_status ON inbox (connection_id, status, id);
CREATE INDEX inbox_to_forget ON inbox (handled_at) WHERE handled_at IS NOT NULL AND body IS NOT NULL;

-- At its right edge for every request that has a key.
CREATE INDEX idempotency_by_age ON idempotency (created_at);
