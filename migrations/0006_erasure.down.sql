-- The older schema keeps events in clear and cannot open what is sealed: of these events, what is
-- personal is lost with the column, as if their customers had been erased.
DROP FUNCTION event_envelope(
    text, timestamptz, text, bigint, bigint, text, bigint, bigint, bigint, bigint, jsonb, jsonb, jsonb, boolean, boolean);
ALTER TABLE events DROP personal;
DROP TABLE data_keys;
