-- The webhooks of other systems, whose formats know some of our events only, and leave some
-- things to each webhook; and the facts that such a system tells us.

ALTER TABLE webhooks
    -- What some formats leave to the webhook; null where the format does not, or has a rule.
    ADD content_type    text COLLATE "C",
    ADD event_name      text COLLATE "C",
    ADD constraint_type text COLLATE "C",
    ADD method          text COLLATE "C",
    -- What it is to be told, in the words of its format (pipeline.Webhook.Topic). An event is for
    -- it where this is one of the event's topics and the event's type one of its events. Null: in
    -- our own format, in which every event can be told.
    ADD topic           text COLLATE "C",
    ADD CONSTRAINT webhooks_topic CHECK ((topic IS NULL) = (format = 'native') OR deleted_at IS NOT NULL);

-- Not reported by itself: it follows from a fact that a provider reported.
ALTER TABLE events ADD implied boolean NOT NULL DEFAULT false;

-- The envelope says so too, where it is so.
DROP FUNCTION event_envelope(text, timestamptz, text, bigint, bigint, text, bigint, bigint, bigint, bigint, jsonb, jsonb, jsonb);
CREATE FUNCTION event_envelope(
    type text, occurred_at timestamptz, id text, "position" bigint, company_id bigint, stream text, version bigint,
    customer_id bigint, proposal_id bigint, user_id bigint, cause jsonb, state jsonb, payload jsonb, implied boolean
) RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT jsonb_build_object('type', type, 'timestamp', (to_jsonb(occurred_at AT TIME ZONE 'UTC') #>> '{}') || 'Z',
        'data', jsonb_build_object('id', id, 'position', "position", 'company_id', company_id, 'stream', stream, 'seq', version,
            'customer_id', customer_id, 'proposal_id', proposal_id, 'actor', jsonb_build_object('user_id', user_id),
            'cause', cause, 'state', state, 'payload', payload) || CASE WHEN implied THEN '{"implied":true}'::jsonb ELSE '{}' END)
$$;

-- Accounts at providers of contracts, such as Sighten.
CREATE TABLE connections (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    company_id     bigint      NOT NULL REFERENCES companies (id),
    provider       text COLLATE "C" NOT NULL CHECK (provider IN ('sighten')),
    base_url       text        NOT NULL,
    auth           bytea, -- as JSON, sealed; null: none
    -- The last part of the address at which the provider tells us things: whoever has it gets in.
    -- As for API keys a fast hash is right. Sealed it can be shown to an admin again.
    token_hash     bytea       NOT NULL UNIQUE,
    token          bytea       NOT NULL,
    create_missing boolean     NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    -- A deleted connection keeps its row, since what came by it is history.
    deleted_at     timestamptz
);
CREATE INDEX connections_of_company ON connections (company_id, id);

-- What providers told us, as it came: kept before anything is made of it.
CREATE TABLE inbox (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    company_id      bigint      NOT NULL,
    connection_id   bigint      NOT NULL REFERENCES connections (id),
    -- Of the canonical JSON. A provider that got no answer sends the same again.
    hash            bytea       NOT NULL,
    body            text        NOT NULL,
    document_status text COLLATE "C" NOT NULL,
    quote           uuid,
    site            uuid,
    date_updated    timestamptz, -- by the provider's clock
    status          text COLLATE "C" NOT NULL DEFAULT 'received'
        CHECK (status IN ('received', 'handled', 'ignored', 'unmatched', 'failed')),
    note            text        NOT NULL DEFAULT '',
    proposal_id     bigint,
    received_at     timestamptz NOT NULL DEFAULT now(),
    -- When it was last taken up; the sweep takes up what was left lying.
    begun_at        timestamptz NOT NULL DEFAULT now(),
    handled_at      timestamptz,
    CONSTRAINT inbox_once UNIQUE (connection_id, hash)
);
CREATE INDEX inbox_of_company ON inbox (company_id, id);
CREATE INDEX inbox_by_status ON inbox (company_id, status, id);
CREATE INDEX inbox_left_lying ON inbox (begun_at) WHERE status = 'received';
-- Whether a status comes after a newer one.
CREATE INDEX inbox_of_proposal ON inbox (company_id, proposal_id, date_updated) WHERE status = 'handled';

-- Signed documents that we keep, or are to fetch. The bytes are in the bucket under their hash.
CREATE TABLE documents (
    company_id    bigint      NOT NULL REFERENCES companies (id),
    uuid          uuid        NOT NULL,
    proposal_id   bigint      NOT NULL,
    connection_id bigint REFERENCES connections (id), -- at which provider it is
    url           bytea, -- where else it is; sealed, since it may let whoever has it in
    event_id      text COLLATE "C" NOT NULL DEFAULT '', -- the signature that gave the url
    status        text COLLATE "C" NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'stored', 'failed')),
    note          text        NOT NULL DEFAULT '',
    name          text        NOT NULL,
    content_type  text        NOT NULL DEFAULT '',
    size          bigint      NOT NULL DEFAULT 0,
    sha256        text COLLATE "C" NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    stored_at     timestamptz,
    PRIMARY KEY (company_id, uuid),
    CHECK (connection_id IS NOT NULL OR url IS NOT NULL)
);
CREATE INDEX documents_left_lying ON documents (updated_at) WHERE status = 'waiting';
