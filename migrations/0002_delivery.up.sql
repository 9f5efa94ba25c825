-- What partners and operators expect of webhooks: credentials, filters, order, rate limits, a
-- circuit breaker, replay, operational events, statistics.

ALTER TABLE webhooks
    -- {"data.state.type":"COMMERCIAL",…}; null: every event of the types. Checked when saved.
    ADD filter          jsonb,
    -- Milliseconds; null: the engine's own schedule, which may change.
    ADD retry_schedule  bigint[],
    ADD timeout_ms      integer          NOT NULL DEFAULT 5000,
    ADD rate_limit      double precision,
    ADD max_concurrency integer          NOT NULL DEFAULT 20,
    ADD latest_only     boolean          NOT NULL DEFAULT false,
    -- What lets us in at the endpoint: auth, headers and client certificate as JSON, sealed.
    ADD credentials     bytea,
    -- Sealed. The secret before the last rotation signs too until previous_until.
    ADD previous_secret bytea,
    ADD previous_until  timestamptz,
    ADD signing_seed    bytea,
    ADD disabled_reason text COLLATE "C" CHECK (disabled_reason IN ('manual', 'gone', 'failing')),
    -- The past comes first: events queue no deliveries for it, since its replay will get to them.
    ADD catching_up     boolean          NOT NULL DEFAULT false,
    -- Where its subscription begins: events up to here are no gaps.
    ADD from_position   bigint           NOT NULL DEFAULT 0;

-- How an endpoint has been answering, and who looks after it. Apart from webhooks, since every
-- append locks the rows of those that it queues for, and must not wait for this.
CREATE TABLE webhook_health (
    webhook_id    bigint PRIMARY KEY REFERENCES webhooks (id),
    failures      integer NOT NULL DEFAULT 0, -- in a row
    failing_since timestamptz,
    rest_until    timestamptz,                -- the circuit is open until then
    slow          boolean NOT NULL DEFAULT false,
    probes        integer NOT NULL DEFAULT 0,
    told          boolean NOT NULL DEFAULT false, -- webhook.failing was recorded
    -- When its workflow will look again by itself: null, it does not run; -infinity, it is at
    -- work. Who hands deliveries over wakes it only where it would look too late.
    wakes_at      timestamptz,
    paced_until   timestamptz,                -- the rate limit allows nothing before
    notices       bigint  NOT NULL DEFAULT 0, -- the version of its stream of operational events
    -- Deliveries of events up to here have been pruned: without one, an event is no gap.
    pruned        bigint  NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO webhook_health (webhook_id, failures) SELECT id, failures FROM webhooks;
ALTER TABLE webhooks DROP failures, DROP slow_until;

-- An operational event is about a webhook and not about a customer.
ALTER TABLE events ALTER customer_id DROP NOT NULL;
ALTER TABLE events ADD CONSTRAINT events_about_somebody CHECK (customer_id IS NOT NULL OR stream LIKE 'webhook-%');

ALTER TABLE deliveries
    -- Attempts made before it was last sent anew (resend, recover, replay): the retry schedule
    -- counts from there.
    ADD attempts_before integer NOT NULL DEFAULT 0,
    -- When the partner first acknowledged it. What is sent again stays acknowledged.
    ADD delivered_at    timestamptz;
UPDATE deliveries SET delivered_at = created_at WHERE status = 'delivered';

-- By the event's place and not by the delivery's id: what a replay sends again has old ids.
DROP INDEX deliveries_due;
CREATE INDEX deliveries_due ON deliveries (webhook_id, next_attempt_at, event_position) WHERE status = 'pending';

ALTER TABLE attempts
    ADD webhook_id bigint,
    -- The partner took it. Not every format calls the same statuses a success.
    ADD ok         boolean;
UPDATE attempts a SET webhook_id = d.webhook_id, ok = a.error = '' FROM deliveries d WHERE d.id = a.delivery_id;
ALTER TABLE attempts ALTER webhook_id SET NOT NULL, ALTER ok SET NOT NULL;
-- Statistics and retention. At the right edge of each webhook's part, so it costs an attempt little.
CREATE INDEX attempts_of_webhook ON attempts (webhook_id, at) INCLUDE (ok, latency_ms);

CREATE TABLE replays (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id  bigint      NOT NULL REFERENCES webhooks (id),
    kind        text COLLATE "C" NOT NULL CHECK (kind IN ('replay', 'recover', 'start')),
    status      text COLLATE "C" NOT NULL CHECK (status IN ('running', 'paused', 'cancelled', 'done')),
    after       bigint      NOT NULL,
    until       bigint      NOT NULL, -- a start goes on until it has caught up
    types       text[]      NOT NULL, -- patterns; empty: those of the webhook
    position    bigint      NOT NULL, -- how far it has come
    total       bigint      NOT NULL,
    done        bigint      NOT NULL DEFAULT 0,
    queued      bigint      NOT NULL DEFAULT 0,
    -- For its rate: when it was last started or resumed, and what was done by then.
    resumed_at  timestamptz NOT NULL DEFAULT now(),
    resumed_done bigint     NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE INDEX replays_of_webhook ON replays (webhook_id, id);
-- One at a time: two would only take turns at the same endpoint.
CREATE UNIQUE INDEX replays_one_at_a_time ON replays (webhook_id) WHERE status IN ('running', 'paused');

-- The workers that are alive share what an endpoint takes at once.
CREATE TABLE workers (
    id      text COLLATE "C" PRIMARY KEY,
    seen_at timestamptz NOT NULL
);

-- The position of a company's last event that was recorded before a time, 0 where there is none.
-- A company's events are recorded in the order of their positions, so bisection finds it.
CREATE FUNCTION position_before(company bigint, t timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    low  bigint := 0; -- what is up to here is from before t, what is from high on is not
    high bigint;
    mid  bigint;
    next record;
BEGIN
    SELECT position + 1 INTO high FROM events WHERE company_id = company ORDER BY position DESC LIMIT 1;
    WHILE low + 1 < high LOOP
        mid := (low + high) / 2;
        SELECT position, recorded_at INTO next FROM events WHERE company_id = company AND position >= mid ORDER BY position LIMIT 1;
        IF next.position < high AND next.recorded_at < t THEN
            low := next.position;
        ELSE
            high := mid;
        END IF;
    END LOOP;
    RETURN low;
END $$;

-- Filters. What one may say is checked when it is saved (pipeline.CheckFilter), so that nothing
-- here has to raise an error, and nothing here may: it would be the append that fails.

-- The number that a JSON value is: a number, or a text that is written like an amount ("12345.00").
-- Longer texts are no amounts, and without exponents none is longer than it looks.
CREATE FUNCTION filter_number(v jsonb) RETURNS numeric LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    s text;
BEGIN
    IF jsonb_typeof(v) = 'number' THEN
        RETURN v::numeric;
    ELSIF jsonb_typeof(v) <> 'string' THEN
        RETURN NULL;
    END IF;
    s := v #>> '{}';
    IF length(s) <= 40 AND s ~ '^-?[0-9]+(\.[0-9]+)?$' THEN
        RETURN s::numeric;
    END IF;
    RETURN NULL;
END $$;

-- The text that a JSON text is ordered by, byte by byte. A time in UTC loses its Z and the zeros
-- at the end of its fraction, so that "…:00Z" comes before "…:00.5Z".
CREATE FUNCTION filter_text(v jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    s text;
BEGIN
    IF jsonb_typeof(v) <> 'string' THEN
        RETURN NULL;
    END IF;
    s := v #>> '{}';
    IF s ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$' THEN
        s := rtrim(s, 'Z');
        IF strpos(s, '.') > 0 THEN
            s := rtrim(rtrim(s, '0'), '.');
        END IF;
    END IF;
    RETURN s;
END $$;

-- Two values are equal as numbers where both are numbers, else as they are. What is not there is null.
CREATE FUNCTION filter_equal(a jsonb, b jsonb) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    x numeric := filter_number(a);
    y numeric := filter_number(b);
BEGIN
    IF x IS NOT NULL AND y IS NOT NULL THEN
        RETURN x = y;
    END IF;
    RETURN coalesce(a, 'null') = coalesce(b, 'null');
END $$;

-- -1, 0 or 1 as a is before, with or behind b: as numbers where both are numbers, else as texts
-- where both are texts. Null where they cannot be compared.
CREATE FUNCTION filter_order(a jsonb, b jsonb) RETURNS integer LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    x numeric := filter_number(a);
    y numeric := filter_number(b);
    s text;
    t text;
BEGIN
    IF x IS NOT NULL AND y IS NOT NULL THEN
        RETURN sign(x - y);
    END IF;
    s := filter_text(a);
    t := filter_text(b);
    RETURN CASE WHEN s COLLATE "C" < t COLLATE "C" THEN -1 WHEN s COLLATE "C" > t COLLATE "C" THEN 1 WHEN s = t THEN 0 END;
END $$;

CREATE FUNCTION filter_among(v jsonb, list jsonb) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF jsonb_typeof(list) <> 'array' THEN
        RETURN false;
    END IF;
    FOR i IN 0 .. jsonb_array_length(list) - 1 LOOP
        IF filter_equal(v, list -> i) THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END $$;

-- Whether a value, null where there is none, is what an operator wants. An operator that is not
-- known wants nothing: an event that was not sent can be replayed, one that was cannot be taken back.
CREATE FUNCTION filter_operator(v jsonb, operator text, operand jsonb) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN coalesce(CASE operator
        WHEN '$ne'     THEN NOT filter_equal(v, operand)
        WHEN '$in'     THEN filter_among(v, operand)
        WHEN '$nin'    THEN NOT filter_among(v, operand)
        WHEN '$gt'     THEN filter_order(v, operand) > 0
        WHEN '$gte'    THEN filter_order(v, operand) >= 0
        WHEN '$lt'     THEN filter_order(v, operand) < 0
        WHEN '$lte'    THEN filter_order(v, operand) <= 0
        -- The envelope says null for what is not there.
        WHEN '$exists' THEN (coalesce(v, 'null') <> 'null') = (operand = 'true')
    END, false);
END $$;

-- Whether an event, as the envelope that is sent, fits a filter: all of its conditions.
CREATE FUNCTION filter_matches(filter jsonb, envelope jsonb) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    path      text;
    condition jsonb;
    operator  text;
    operand   jsonb;
    v         jsonb;
BEGIN
    IF filter IS NULL THEN
        RETURN true;
    ELSIF jsonb_typeof(filter) <> 'object' THEN
        RETURN false;
    END IF;
    FOR path, condition IN SELECT * FROM jsonb_each(filter) LOOP
        v := envelope #> string_to_array(path, '.');
        IF jsonb_typeof(condition) = 'object' THEN
            FOR operator, operand IN SELECT * FROM jsonb_each(condition) LOOP
                IF NOT filter_operator(v, operator, operand) THEN
                    RETURN false;
                END IF;
            END LOOP;
        ELSIF jsonb_typeof(condition) = 'array' THEN
            IF NOT filter_among(v, condition) THEN
                RETURN false;
            END IF;
        ELSIF NOT filter_equal(v, condition) THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END $$;

-- The envelope of our own format (schemas/envelope.json), for filters. Its time is written as on
-- the wire: in UTC, to the microsecond, without zeros at the end. In SQL and no more than an
-- expression, so that it becomes a part of the query that calls it.
CREATE FUNCTION event_envelope(
    type text, occurred_at timestamptz, id text, "position" bigint, company_id bigint, stream text, version bigint,
    customer_id bigint, proposal_id bigint, user_id bigint, cause jsonb, state jsonb, payload jsonb
) RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT jsonb_build_object('type', type, 'timestamp', (to_jsonb(occurred_at AT TIME ZONE 'UTC') #>> '{}') || 'Z',
        'data', jsonb_build_object('id', id, 'position', "position", 'company_id', company_id, 'stream', stream, 'seq', version,
            'customer_id', customer_id, 'proposal_id', proposal_id, 'actor', jsonb_build_object('user_id', user_id),
            'cause', cause, 'state', state, 'payload', payload))
$$;
