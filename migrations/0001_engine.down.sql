DROP TABLE idempotency, attempts, deliveries, webhooks, proposals, customers, events, api_keys, companies;
DROP FUNCTION customer_words(text);
DROP FUNCTION refuse_change();
DROP SEQUENCE event_positions, proposal_ids, customer_ids;
