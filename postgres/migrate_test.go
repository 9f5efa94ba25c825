package postgres_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/migrations"
	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

func TestMigrateUpAndDown(t *testing.T) {
	t.Parallel()
	at := emptyDatabase(t)
	empty := schema(t, at)
	require.NoError(t, postgres.MigrateUp(at))
	first := schema(t, at)
	require.Contains(t, first, "table customers")
	version, err := postgres.SchemaVersion(at)
	require.NoError(t, err)
	require.Equal(t, postgres.Schema{Version: newestMigration(t)}, version)

	migrateDownTo(t, at, 0)
	require.Equal(t, empty, schema(t, at), "nothing is left but migrate's own table")
	version, err = postgres.SchemaVersion(at)
	require.NoError(t, err)
	require.Zero(t, version)

	require.NoError(t, postgres.MigrateUp(at))
	require.Equal(t, first, schema(t, at))
	require.NoError(t, postgres.MigrateUp(at), "nothing to do is no error")
	requireUsable(t, at)
}

func TestMigrateUpAtOnce(t *testing.T) {
	t.Parallel()
	at := emptyDatabase(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := postgres.MigrateUp(at); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	requireUsable(t, at)
}

// A migration may take longer than the time that a statement has elsewhere, as may the wait
// for somebody else's.
func TestMigrateWithoutTimeout(t *testing.T) {
	t.Parallel()
	at := emptyDatabase(t)
	db, err := sqlx.Open("postgres", at)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.Exec(`CREATE TABLE seen (timeout text);
		CREATE FUNCTION look() RETURNS event_trigger LANGUAGE plpgsql AS
			$$ BEGIN INSERT INTO seen VALUES (current_setting('statement_timeout')); END $$;
		CREATE EVENT TRIGGER look ON ddl_command_start EXECUTE FUNCTION look()`)
	require.NoError(t, err)
	require.NoError(t, postgres.MigrateUp(at))
	var timeouts []string
	require.NoError(t, db.Select(&timeouts, `SELECT DISTINCT timeout FROM seen`))
	require.Equal(t, []string{"0"}, timeouts)
}

func TestPing(t *testing.T) {
	t.Parallel()
	require.NoError(t, newDatabase(t).Store.Ping(t.Context()))
	err := openStore(t, emptyDatabase(t), encryptionKey).Ping(t.Context())
	requireCode(t, pipeline.CodeInternal, err)
}

func requireUsable(t *testing.T, at string) {
	t.Helper()
	store := openStore(t, at, encryptionKey)
	require.NoError(t, store.Ping(t.Context()))
	newProposal(t, store, newCustomer(t, store, 1))
	id, err := store.CreateCompany(t.Context(), "Second")
	require.NoError(t, err)
	require.EqualValues(t, 2, id)
}

// schema describes all that migrations can make, but for migrate's own table.
func schema(t *testing.T, at string) string {
	t.Helper()
	db, err := sqlx.Open("postgres", at)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	var parts []string
	require.NoError(t, db.Select(&parts, `
		SELECT concat_ws(' ', CASE c.relkind WHEN 'r' THEN 'table' ELSE c.relkind::text END, c.relname, c.reloptions)
		FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
		UNION ALL
		SELECT concat_ws(' ', 'column', c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
			a.attgenerated, a.attidentity, a.attcollation::regcollation, pg_get_expr(d.adbin, d.adrelid))
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
		UNION ALL SELECT concat_ws(' ', 'index', indexdef) FROM pg_indexes WHERE schemaname = 'public'
		UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid))
			FROM pg_constraint WHERE connamespace = 'public'::regnamespace
		UNION ALL SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL SELECT concat_ws(' ', 'function', pg_get_functiondef(oid)) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
		UNION ALL SELECT concat_ws(' ', 'type', typname) FROM pg_type WHERE typnamespace = 'public'::regnamespace
		ORDER BY 1`))
	var out strings.Builder
	for _, p := range parts {
		if !strings.Contains(p, "schema_migrations") {
			out.WriteString(p + "\n")
		}
	}
	return out.String()
}

// requireDown migrates a database with data in it down to a version, which then has the schema of
// one without.
func requireDown(t *testing.T, url string, version uint) {
	t.Helper()
	at := emptyDatabase(t)
	require.NoError(t, postgres.MigrateUp(at))
	for _, database := range []string{url, at} {
		migrateDownTo(t, database, version)
	}
	require.Equal(t, schema(t, at), schema(t, url))
}

// migrateDownTo goes down step by step: the numbers of migrations may have gaps.
func migrateDownTo(t *testing.T, url string, version uint) {
	t.Helper()
	for {
		now, err := postgres.SchemaVersion(url)
		require.NoError(t, err)
		if now.Version <= version {
			return
		}
		require.NoError(t, postgres.MigrateDown(url, 1))
	}
}

// newestMigration is the number of the last migration that there is.
func newestMigration(t *testing.T) uint {
	t.Helper()
	files, err := migrations.Files.ReadDir(".")
	require.NoError(t, err)
	var newest uint
	for _, f := range files {
		number, _, _ := strings.Cut(f.Name(), "_")
		n, err := strconv.ParseUint(number, 10, 32)
		require.NoError(t, err)
		newest = max(newest, uint(n))
	}
	return newest
}

// The systems migration goes down and up again: webhooks of other systems have ended then, since
// the older engine would send them what they cannot read, and all else is as it was.
func TestMigrateSystemsDownAndUpWithData(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	native := newWebhook(t, d.Store, 1, []string{"*"})
	solo := newWebhook(t, d.Store, 1, []string{"*"}, inFormat(pipeline.FormatSolo))
	hook := newWebhook(t, d.Store, 1, []string{"*"}, solve360("activities.update", "opportunity"))
	startReplay(t, d, native)
	startReplay(t, d, solo)
	p := backlog(t, d, 2)
	require.NoError(t, d.Store.Close())

	requireDown(t, d.URL, 2)
	require.Equal(t, 2, count(t, d, `SELECT count(*) FROM webhooks WHERE deleted_at IS NOT NULL AND NOT active AND format <> 'native'`))
	require.Equal(t, 1, count(t, d, `SELECT count(*) FROM replays WHERE status = 'running'`))

	require.NoError(t, postgres.MigrateUp(d.URL))
	store := openStore(t, d.URL, encryptionKey)
	d.Store = store
	read, err := store.Webhook(t.Context(), 1, 0, native.ID)
	require.NoError(t, err)
	require.Equal(t, native, read)
	for _, w := range []pipeline.Webhook{solo, hook} {
		_, err = store.Webhook(t.Context(), 1, 0, w.ID)
		requireCode(t, pipeline.CodeNotFound, err)
	}
	_, appended := happen(t, store, p, pipeline.TypeProposalSent, `{}`)
	require.Equal(t, 1, appended.Deliveries)
	require.False(t, fresh(t, d, p)[0].Event.Implied)
	require.ElementsMatch(t, []int64{solo.ID, hook.ID}, sweep(t, d, time.Hour))
	require.Equal(t, []string{"discarded", "discarded", "discarded"}, statuses(t, d, solo))
	require.Equal(t, []string{"discarded"}, statuses(t, d, hook))
}

// The delivery migration goes down and up again with its kinds of data in place: operational
// events and what was sent of them are gone then, all else is as the older schema knows it.
func TestMigrateDownAndUpWithData(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"*"}, everySetting, withFilter(`{"data.seq":{"$gte":1}}`))
	listener := newWebhook(t, d.Store, 1, []string{"webhook.*"}, func(l *pipeline.Webhook) { l.KeyID = w.KeyID })
	starting := newStarting(t, d, []string{"proposal.*"}, pipeline.Start{})
	p := newProposal(t, d.Store, newCustomer(t, d.Store, 1))
	startReplay(t, d, w)
	_, _, err := d.Store.DisableWebhook(t.Context(), 1, w.ID)
	require.NoError(t, err)
	for _, told := range due(t, d, listener) {
		record(t, d, delivered(told))
	}
	_, _, err = d.Store.EnableWebhook(t.Context(), 1, w.ID, false)
	require.NoError(t, err)
	for _, sent := range due(t, d, w) {
		record(t, d, delivered(sent))
	}
	adjustHealth(t, d, w, "failures = 3")
	require.Equal(t, 1, count(t, d, `SELECT count(*) FROM events WHERE customer_id IS NULL`))
	lifecycle := `SELECT (SELECT count(*) FROM events WHERE customer_id IS NOT NULL) * 10000
		+ (SELECT count(*) FROM deliveries WHERE stream NOT LIKE 'webhook-%') * 100 + (SELECT count(*) FROM attempts a
			JOIN deliveries d ON d.id = a.delivery_id WHERE d.stream NOT LIKE 'webhook-%')`
	before := count(t, d, lifecycle)
	require.NoError(t, d.Store.Close())

	requireDown(t, d.URL, 1)
	require.Zero(t, count(t, d, `SELECT count(*) FROM events WHERE stream LIKE 'webhook-%'`))
	require.Zero(t, count(t, d, `SELECT count(*) FROM attempts WHERE delivery_id NOT IN (SELECT id FROM deliveries)`))
	require.Equal(t, before, count(t, d, lifecycle))
	require.Equal(t, 3, count(t, d, `SELECT failures FROM webhooks WHERE id = $1`, w.ID))

	require.NoError(t, postgres.MigrateUp(d.URL))
	store := openStore(t, d.URL, encryptionKey)
	read, err := store.Webhook(t.Context(), 1, 0, w.ID)
	require.NoError(t, err)
	require.Equal(t, w.Signing.Secret, read.Signing.Secret)
	require.Equal(t, 3, read.Health.Failures)
	require.Equal(t, pipeline.DefaultTimeout, read.Timeout)
	require.Empty(t, read.Auth)
	seed, err := store.SigningSeed(t.Context(), 1, w.ID)
	require.NoError(t, err)
	require.Len(t, seed, 32)
	require.Equal(t, 2, count(t, d, `SELECT count(*) FROM attempts a JOIN deliveries d ON d.id = a.delivery_id AND d.webhook_id = a.webhook_id
		WHERE a.ok AND d.delivered_at IS NOT NULL`))
	p, appended := happen(t, store, p, pipeline.TypeProposalSent, `{}`)
	require.Equal(t, 2, appended.Deliveries, "the one that got the past gets what happens from now on")
	require.Positive(t, starting.ID)
	require.EqualValues(t, 2, p.Version)
}

// The migration of what providers told us goes down and up with its data in place: what was
// forgotten, and operational events about documents, have no place in the older schema.
func TestMigrateProvidersDownAndUpWithData(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ctx, store := t.Context(), d.Store
	listener := newWebhook(t, store, 1, []string{"document.*"}, ofAdmin(t, d))
	c := newConnection(t, store, "token-1")
	p := newProposal(t, store, newCustomer(t, store, 1))
	document := pipeline.KeptDocument{CompanyID: 1, UUID: uuidOf(9, 1), ProposalID: p.ID, ConnectionID: c.ID}
	require.NoError(t, store.AddDocument(ctx, document))
	_, err := store.FailDocument(ctx, 1, document.UUID, "one", pipeline.FailureRefused, "answered 403")
	require.NoError(t, err)
	record(t, d, delivered(due(t, d, listener)[0]))
	for n, body := range []string{`{"n":1}`, `{"n":2}`} {
		in, hash := told(c, uuidOf(2, 7), body, noon)
		kept, _, err := store.KeepInbound(ctx, in, hash)
		require.NoError(t, err)
		require.NoError(t, store.SettleInbound(ctx, kept.ID, pipeline.InboundHandled, "", int64(n+1)))
	}
	n, err := store.PruneInbox(ctx, time.Now().Add(time.Minute), 1)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.NoError(t, store.Close())

	requireDown(t, d.URL, 3)
	require.Zero(t, count(t, d, `SELECT count(*) FROM events WHERE stream LIKE 'document-%'`))
	require.Zero(t, count(t, d, `SELECT count(*) FROM attempts`))
	require.Equal(t, 2, count(t, d, `SELECT count(*) FROM events`))
	require.Equal(t, 1, count(t, d, `SELECT count(*) FROM inbox`))
	require.NoError(t, postgres.MigrateUp(d.URL))
	store = openStore(t, d.URL, encryptionKey)
	read, err := store.Document(ctx, 1, 0, document.UUID)
	require.NoError(t, err)
	require.Equal(t, pipeline.KeptFailed, read.Status)
	_, err = store.RetryDocument(ctx, 1, document.UUID)
	require.NoError(t, err)
	wake, err := store.FailDocument(ctx, 1, document.UUID, "two", pipeline.FailureRefused, "answered 403")
	require.NoError(t, err)
	require.Equal(t, []int64{listener.ID}, wake)
}
