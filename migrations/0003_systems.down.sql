DROP TABLE documents;
DROP TABLE inbox;
DROP TABLE connections;

-- The older schema cannot say what a webhook of another system's format wants, and the older
-- engine cannot speak it: such webhooks end. Their deliveries stay as history; what is pending
-- of them, the sweep discards.
UPDATE replays SET status = 'cancelled', finished_at = now(), updated_at = now()
    WHERE status IN ('running', 'paused') AND webhook_id IN (SELECT id FROM webhooks WHERE format <> 'native');
UPDATE webhooks SET deleted_at = now(), active = false WHERE format <> 'native' AND deleted_at IS NULL;

ALTER TABLE events DROP implied;
ALTER TABLE webhooks
    DROP CONSTRAINT webhooks_topic,
    DROP content_type, DROP event_name, DROP constraint_type, DROP method, DROP topic;
