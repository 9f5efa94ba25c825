-- The second wall between companies: what the API asks is asked as the role dealwright_api, which
-- sees the rows of one company only, whatever the query says. And keys that end by themselves.
--
-- The owner of the tables (worker, migrations, tools) passes by. A table that comes later needs the
-- same in its own migration:
--
--   ALTER TABLE things ENABLE ROW LEVEL SECURITY;
--   CREATE POLICY own_company ON things USING (company_id = current_company());

-- Roles belong to the server and not to the database, so that it may be there already, or be
-- made for another database at this very moment.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dealwright_api') THEN
        CREATE ROLE dealwright_api NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- somebody else was faster
END $$;
DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'dealwright_api', 'MEMBER') THEN
        EXECUTE format('GRANT dealwright_api TO %I', current_user);
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END $$;

-- The company that this session may see: null, none. An expression and no more, so that it becomes
-- part of the query, and of its index conditions.
CREATE FUNCTION current_company() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT nullif(current_setting('dealwright.company', true), '')::bigint
$$;

ALTER TABLE companies ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_company ON companies USING (id = current_company());

ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_company ON api_keys USING (company_id = current_company());
ALTER TABLE events ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_company ON events USING (company_id = current_company());
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_company ON customers USING (company_id = current_company());
ALTER TABLE proposals ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_company ON proposals USING (company_id = current_company());
ALTER TABLE webhooks ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_company ON webhooks USING (company_id = current_company());
ALTER TABLE deliveries ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_company ON deliveries USING (company_id = current_company());
ALTER TABLE idempotency ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_company ON idempotency USING (company_id = current_company());
ALTER TABLE connections ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_company ON connections USING (company_id = current_company());
ALTER TABLE inbox ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_company ON inbox USING (company_id = current_company());
ALTER TABLE documents ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_company ON documents USING (company_id = current_company());

-- What hangs off a webhook belongs to the company that the webhook belongs to. The webhooks seen
-- here are those that the policy above shows.
ALTER TABLE webhook_health ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_company ON webhook_health USING (EXISTS (SELECT FROM webhooks w WHERE w.id = webhook_id));
ALTER TABLE replays ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_company ON replays USING (EXISTS (SELECT FROM webhooks w WHERE w.id = webhook_id));
ALTER TABLE attempts ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_company ON attempts USING (EXISTS (SELECT FROM webhooks w WHERE w.id = webhook_id));

-- The workers are nobody's.
ALTER TABLE workers ENABLE ROW LEVEL SECURITY;

ALTER TABLE api_keys
    ADD expires_at timestamptz,                               -- null: it does not end by itself
    ADD rate_limit double precision CHECK (rate_limit > 0);   -- requests a second; null: that of all keys

-- Functions that look over the wall have to find our tables, and nobody else's of the same name.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- Who shows a key, by its hash, is not known to be of a company yet. The row of one key that is
-- good, and no more; in plpgsql, which keeps the plan.
CREATE FUNCTION key_of_hash(shown bytea) RETURNS SETOF api_keys
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1 SET search_path FROM CURRENT AS $$
BEGIN
    RETURN QUERY SELECT * FROM api_keys k
        WHERE k.hash = shown AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());
END $$;

-- The company whose connection has this token, by its hash.
CREATE FUNCTION company_of_token(shown bytea) RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1 SET search_path FROM CURRENT AS $$
BEGIN
    RETURN QUERY SELECT c.company_id FROM connections c WHERE c.token_hash = shown AND c.deleted_at IS NULL;
END $$;

-- The session's company's customers that have these words. Behind a policy Postgres asks an
-- index only by operators that are sure to tell nothing about rows that may not be seen, and the
-- search for words is not one of them: it would read the company's customers one by one.
CREATE FUNCTION customers_with_words(
    company bigint, words text, of_status integer, of_owner bigint, before bigint, n integer
) RETURNS SETOF jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    IF company IS DISTINCT FROM current_company() THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT c.state FROM customers c
        WHERE c.company_id = company AND customer_words(c.contact) @@ to_tsquery('simple', words)
          AND (of_status IS NULL OR c.status = of_status) AND (of_owner IS NULL OR c.owner_id = of_owner)
          AND (before IS NULL OR c.id < before)
        ORDER BY c.id DESC LIMIT n;
END $$;

-- What the API may do at all: no more than it does. What happened, it can neither change nor
-- delete, and where an entity stands is for the worker to write. Run again after a restore on
-- another server, where the role was missing.
CREATE FUNCTION admit_api() RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    this text := current_schema();
    t    text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO dealwright_api', this);
    FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = this AND tablename NOT IN ('schema_migrations', 'workers') LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO dealwright_api', t);
    END LOOP;
    REVOKE INSERT, UPDATE ON companies, customers, proposals, attempts FROM dealwright_api;
    REVOKE UPDATE ON events FROM dealwright_api;
    REVOKE INSERT ON documents FROM dealwright_api;
    IF to_regclass('data_keys') IS NOT NULL THEN -- it comes with a later migration, which calls this
        REVOKE INSERT, UPDATE ON data_keys FROM dealwright_api;
    END IF;
    EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %I TO dealwright_api', this);
    GRANT EXECUTE ON FUNCTION key_of_hash(bytea), company_of_token(bytea),
        customers_with_words(bigint, text, integer, bigint, bigint, integer) TO dealwright_api;
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT, INSERT, UPDATE ON TABLES TO dealwright_api', this);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT USAGE, SELECT ON SEQUENCES TO dealwright_api', this);
END $$;
REVOKE EXECUTE ON FUNCTION admit_api() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION key_of_hash(bytea), company_of_token(bytea),
    customers_with_words(bigint, text, integer, bigint, bigint, integer) FROM PUBLIC;
SELECT admit_api();
