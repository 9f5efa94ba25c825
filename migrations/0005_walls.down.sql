-- The role stays: it belongs to the server, and other databases may use it.
DO $$
DECLARE
    this text := current_schema();
    t    text;
BEGIN
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I REVOKE ALL ON TABLES FROM dealwright_api', this);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I REVOKE ALL ON SEQUENCES FROM dealwright_api', this);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM dealwright_api', this);
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM dealwright_api', this);
    EXECUTE format('REVOKE ALL ON SCHEMA %I FROM dealwright_api', this);
    FOR t IN SELECT tablename FROM pg_policies WHERE schemaname = this AND policyname = 'own_company' LOOP
        EXECUTE format('DROP POLICY own_company ON %I', t);
        EXECUTE format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY', t);
    END LOOP;
END $$;
ALTER TABLE workers DISABLE ROW LEVEL SECURITY;

DROP FUNCTION admit_api();
DROP FUNCTION customers_with_words(bigint, text, integer, bigint, bigint, integer);
DROP FUNCTION company_of_token(bytea);
DROP FUNCTION key_of_hash(bytea);
DROP FUNCTION current_company();

-- The older engine knows no end of a key: one that has one ends now, rather than never.
UPDATE api_keys SET revoked_at = least(expires_at, now()) WHERE expires_at IS NOT NULL AND revoked_at IS NULL;
ALTER TABLE api_keys DROP expires_at, DROP rate_limit;
