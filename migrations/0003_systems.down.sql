DROP TABLE documents;
DROP TABLE inbox;
DROP TABLE connections;

-- The older schema cannot say what a webhook of another system's format wants, and the older
-- engine cannot speak it: such webhooks end. Their deliveries stay as history; what is pending
-- of them, the sweep discards.
UPDATE replays SET status = 'cancelled', finished_at = now(), updated_at = now()
    WHERE status IN ('running', 'paused') AND webhook_id IN (SELECT id FROM webhooks WHERE format <> 'native');
UPDATE webhooks SET deleted_at = now(), active = false WHERE format <> 'native' AND deleted_at IS NULL;

DROP FUNCTION event_envelope(
    text, timestamptz, text, bigint, bigint, text, bigint, bigint, bigint, bigint, jsonb, jsonb, jsonb, boolean);
CREATE FUNCTION event_envelope(
    type text, occurred_at timestamptz, id text, "position" bigint, company_id bigint, stream text, version bigint,
    customer_id bigint, proposal_id bigint, user_id bigint, cause jsonb, state jsonb, payload jsonb
) RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT jsonb_build_object('type', type, 'timestamp', (to_jsonb(occurred_at AT TIME ZONE 'UTC') #>> '{}') || 'Z',
        'data', jsonb_build_object('id', id, 'position', "position", 'company_id', company_id, 'stream', stream, 'seq', version,
            'customer_id', customer_id, 'proposal_id', proposal_id, 'actor', jsonb_build_object('user_id', user_id),
            'cause', cause, 'state', state, 'payload', payload))
$$;
ALTER TABLE events DROP implied;
ALTER TABLE webhooks
    DROP CONSTRAINT webhooks_topic,
    DROP content_type, DROP event_name, DROP constraint_type, DROP method, DROP topic;
