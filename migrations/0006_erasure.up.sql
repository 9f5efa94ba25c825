-- Personal data can be made unreadable, in events too, which never change: what is personal of
-- them is sealed with a key that each customer has, and the key can be destroyed.

-- The data key of a customer, for its events and those of its proposals: 256 bits, sealed with
-- the engine's own. Null: destroyed, the customer is erased.
--
-- No foreign key to customers: the row comes with the customer's first event, in one statement.
CREATE TABLE data_keys (
    company_id  bigint NOT NULL,
    customer_id bigint NOT NULL,
    sealed      bytea,
    erased_at   timestamptz,
    -- What is left of it outside of the tables (histories, documents) is gone too.
    cleaned_at  timestamptz,
    PRIMARY KEY (company_id, customer_id),
    CHECK ((sealed IS NULL) = (erased_at IS NOT NULL))
);
ALTER TABLE data_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_company ON data_keys USING (company_id = current_company());
-- The API opens what is sealed with them. To make and to destroy them is for the worker.
SELECT admit_api();
-- Erased customers that are still to be cleaned up after.
CREATE INDEX data_keys_uncleaned ON data_keys (erased_at) WHERE erased_at IS NOT NULL AND cleaned_at IS NULL;

-- Payload and state as they are, sealed with the customer's data key; payload and state beside it
-- are without what is personal then, and what is shown once the key is gone. Null: nothing in the
-- event is personal, since it is about a webhook or is customer.erased, or the event is older than
-- this column.
ALTER TABLE events ADD personal bytea;
-- What is sealed does not get smaller: Postgres need not try where a row is large.
ALTER TABLE events ALTER personal SET STORAGE EXTERNAL;

-- The envelope of an event of which the customer was erased since says so.
CREATE FUNCTION event_envelope(
    type text, occurred_at timestamptz, id text, "position" bigint, company_id bigint, stream text, version bigint,
    customer_id bigint, proposal_id bigint, user_id bigint, cause jsonb, state jsonb, payload jsonb, implied boolean, erased boolean
) RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN erased THEN jsonb_set(e.envelope, '{data,erased}', 'true') ELSE e.envelope END
    FROM (SELECT event_envelope(type, occurred_at, id, "position", company_id, stream, version, customer_id, proposal_id,
        user_id, cause, state, payload, implied) AS envelope) e
$$;

-- What is left of the documents and of the news of an erased customer, and whether somebody else
-- has the same document.
ALTER TABLE documents DROP CONSTRAINT documents_status_check,
    ADD CONSTRAINT documents_status_check CHECK (status IN ('waiting', 'stored', 'failed', 'erased')),
    DROP CONSTRAINT documents_check,
    ADD CONSTRAINT documents_are_somewhere CHECK (connection_id IS NOT NULL OR url IS NOT NULL OR status = 'erased');
CREATE INDEX documents_of_proposal ON documents (company_id, proposal_id);
CREATE INDEX documents_by_content ON documents (sha256) WHERE sha256 <> '';
CREATE INDEX inbox_about_proposal ON inbox (company_id, proposal_id) WHERE proposal_id IS NOT NULL;
CREATE INDEX inbox_by_quote ON inbox (company_id, quote) WHERE quote IS NOT NULL;
CREATE INDEX inbox_by_site ON inbox (company_id, site) WHERE site IS NOT NULL;
