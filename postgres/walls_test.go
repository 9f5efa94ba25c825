package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

// walledTables are those that the API's role has any right to.
const walledTables = `SELECT c.oid, c.relname, c.relrowsecurity FROM pg_class c
	WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relnamespace = current_schema()::regnamespace
	  AND has_table_privilege('` + postgres.RoleAPI + `', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')`

// Whoever adds a table that the API may use, or one with a company in it, has to say who sees its
// rows. The pattern is in 0005_walls.up.sql.
func TestEveryTableHasAWall(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	var open []string
	require.NoError(t, d.DB.Select(&open, `SELECT c.relname FROM (`+walledTables+`) c
		WHERE NOT c.relrowsecurity OR NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)
		UNION
		SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'company_id' AND NOT a.attisdropped
		WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace
		  AND (NOT c.relrowsecurity OR NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid))`))
	require.Empty(t, open, "these tables have no wall between companies: enable row level security and create the policy own_company")

	// What is added later is walled in or it is caught here.
	_, err := d.DB.Exec(`CREATE TABLE things (company_id bigint); CREATE TABLE parts (n bigint); CREATE VIEW seen AS SELECT id FROM events`)
	require.NoError(t, err)
	require.NoError(t, d.DB.Select(&open, `SELECT relname FROM (`+walledTables+`) c WHERE NOT relrowsecurity ORDER BY relname`))
	require.Equal(t, []string{"parts", "seen", "things"}, open)
}

// The API has the rights that it needs. What happened, it cannot change or delete.
func TestRightsOfTheAPI(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	var rights []string
	require.NoError(t, d.DB.Select(&rights, `SELECT table_name || ': ' || string_agg(privilege_type, ' ' ORDER BY privilege_type)
		FROM information_schema.role_table_grants WHERE grantee = $1 AND privilege_type NOT IN ('SELECT')
		GROUP BY table_name ORDER BY table_name`, postgres.RoleAPI))
	for _, narrow := range []string{"events: INSERT", "documents: UPDATE"} {
		require.Contains(t, rights, narrow)
	}
	for _, granted := range rights {
		require.NotContains(t, granted, "DELETE", granted)
		require.NotContains(t, granted, "TRUNCATE", granted)
		require.NotRegexp(t, `^(companies|customers|proposals|attempts|data_keys|workers|schema_migrations):`, granted)
	}
	api := d.asAPI(t, 1).Pooled()
	ctx := postgres.ForCompany(t.Context(), 1)
	for _, statement := range []string{
		`DELETE FROM events`, `UPDATE events SET type = 'x'`, `TRUNCATE events`, `UPDATE customers SET uuid = uuid`, `SELECT FROM workers`,
		`DELETE FROM api_keys`, `UPDATE companies SET name = 'x'`, `UPDATE data_keys SET sealed = NULL`, `SELECT FROM schema_migrations`,
		`SELECT admit_api()`, `DROP TABLE inbox`, `ALTER TABLE inbox DISABLE ROW LEVEL SECURITY`,
	} {
		_, err := api.ExecContext(ctx, statement)
		refused := new(pq.Error)
		require.ErrorAs(t, err, &refused, statement)
		require.EqualValues(t, "42501", refused.Code, statement) // insufficient_privilege
	}
}

// twoCompanies is a database in which two companies have one of everything.
func twoCompanies(t *testing.T) (d database, other int64) {
	t.Helper()
	d = newDatabase(t)
	other = newCompany(t, d.Store)
	for _, company := range []int64{1, other} {
		w := newWebhook(t, d.Store, company, []string{"*"})
		startReplay(t, d, w)
		c := newCustomer(t, d.Store, company)
		given := fresh(t, d, newProposal(t, d.Store, c))
		_, err := d.Store.RecordAttempts(t.Context(), []pipeline.Result{delivered(given[0])}, nil)
		require.NoError(t, err)
		connection, _, err := d.Store.CreateConnection(t.Context(), pipeline.Connection{
			CompanyID: company, Provider: "sighten", BaseURL: "https://sighten.example", Token: fmt.Sprint("token", company),
		}, pipeline.Idempotency{Key: "k", Fingerprint: "f"})
		require.NoError(t, err)
		_, _, err = d.Store.KeepInbound(t.Context(), pipeline.Inbound{
			CompanyID: company, ConnectionID: connection.ID, Body: "{}", DocumentStatus: "GEN",
		}, []byte{1})
		require.NoError(t, err)
		require.NoError(t, d.Store.AddDocument(t.Context(), pipeline.KeptDocument{
			CompanyID: company, UUID: "00000000-0000-4000-8000-000000000001", ProposalID: 1, ConnectionID: connection.ID,
		}))
	}
	return d, other
}

// Deliberately wrong queries, as one might be written one day: they forget the company, or name
// another one.
func TestAWrongQuerySeesOneCompany(t *testing.T) {
	t.Parallel()
	d, other := twoCompanies(t)
	api := d.asAPI(t, 1).Pooled()
	ours := postgres.ForCompany(t.Context(), 1)
	var tables []string
	require.NoError(t, d.DB.Select(&tables, `SELECT relname FROM (`+walledTables+`) c ORDER BY relname`))
	require.Contains(t, tables, "attempts")
	for _, table := range tables {
		total := count(t, d, `SELECT count(*) FROM `+table)
		if total == 0 {
			continue // a table that this test does not fill; TestEveryTableHasAWall has looked at it
		}
		seen := func(ctx context.Context) (n int) {
			require.NoError(t, api.GetContext(ctx, &n, `SELECT count(*) FROM `+table))
			return n
		}
		mine, theirs := seen(ours), seen(postgres.ForCompany(t.Context(), other))
		require.Positive(t, mine, table)
		require.Positive(t, theirs, table)
		require.Equal(t, total, mine+theirs, table)
		require.Zero(t, seen(t.Context()), "%s without a company", table)
		require.Zero(t, seen(postgres.ForCompany(t.Context(), 0)), table)
		require.Zero(t, seen(postgres.ForCompany(t.Context(), -1)), "%s: not to be had from outside", table)
		require.Zero(t, seen(postgres.ForCompany(t.Context(), 999)), table)
	}

	var n int
	require.NoError(t, api.GetContext(ours, &n, `SELECT count(*) FROM customers WHERE company_id = $1`, other))
	require.Zero(t, n)
	for _, statement := range []string{
		`UPDATE webhooks SET active = false WHERE company_id = $1`,
		`UPDATE api_keys SET revoked_at = now() WHERE company_id = $1`,
		`UPDATE replays SET status = 'cancelled' WHERE $1 > 0 AND webhook_id > 1`,
		`UPDATE deliveries SET status = 'discarded' WHERE company_id = $1`,
	} {
		done, err := api.ExecContext(ours, statement, other)
		require.NoError(t, err, statement)
		changed, err := done.RowsAffected()
		require.NoError(t, err)
		require.Zero(t, changed, statement)
	}
	for _, statement := range []string{
		`UPDATE webhooks SET company_id = $1`,
		`UPDATE inbox SET company_id = $1`,
		`INSERT INTO api_keys (company_id, name, role, hash) VALUES ($1, '', 'admin', 'x')`,
		`INSERT INTO idempotency (company_id, scope, key, fingerprint) VALUES ($1, 0, 'new', '')`,
		`INSERT INTO events (stream, version, position, id, type, company_id, customer_id, payload, state, occurred_at, recorded_at)
			VALUES ('customer-1', 9, 999, 'evt_x', 'x', $1, 1, '{}', '{}', now(), now())`,
		`INSERT INTO webhook_health (webhook_id) SELECT max(id) + $1 FROM webhooks`,
		`INSERT INTO replays (webhook_id, kind, status, after, until, types, position, total)
			SELECT max(id) + $1, 'replay', 'done', 0, 0, '{}', 0, 0 FROM webhooks`,
	} {
		_, err := api.ExecContext(ours, statement, other)
		require.ErrorContains(t, err, "row-level security", statement)
	}
	require.Equal(t, 1, count(t, d, `SELECT count(*) FROM webhooks WHERE company_id = $1 AND active`, other))

	// The functions that look over the wall show what they are for, and nothing else.
	require.NoError(t, api.GetContext(ours, &n,
		`SELECT count(*) FROM customers_with_words($1, 'doe:*', of_status => NULL, of_owner => NULL, before => NULL, n => 10)`, other))
	require.Zero(t, n)
	require.NoError(t, api.GetContext(t.Context(), &n,
		`SELECT count(*) FROM customers_with_words(NULL, 'doe:*', of_status => NULL, of_owner => NULL, before => NULL, n => 10)`))
	require.Zero(t, n)
	require.NoError(t, api.GetContext(ours, &n,
		`SELECT count(*) FROM customers_with_words(1, 'doe:*', of_status => NULL, of_owner => NULL, before => NULL, n => 10)`))
	require.Equal(t, 1, n)
}

// The API finds what it has to know before it knows the company.
func TestWhatIsAskedBeforeTheCompanyIsKnown(t *testing.T) {
	t.Parallel()
	d, other := twoCompanies(t)
	api := d.asAPI(t, 1)
	ctx := t.Context()
	require.NoError(t, api.Ping(ctx))
	last, err := api.LastPosition(ctx)
	require.NoError(t, err)
	require.Positive(t, last)
	theirs := newKey(t, d.Store, other, pipeline.RoleAdmin)
	key, err := api.Authenticate(ctx, theirs.Secret)
	require.NoError(t, err)
	require.Equal(t, other, key.CompanyID)
	connection, err := api.ConnectionByToken(ctx, fmt.Sprint("token", other))
	require.NoError(t, err)
	require.Equal(t, other, connection.CompanyID)
	_, err = api.ConnectionByToken(ctx, "no token of ours")
	requireCode(t, pipeline.CodeNotFound, err)
	require.NoError(t, api.EnsureKey(ctx, 1, "bootstrap", postgres.NewSecretKey()))
	_, err = api.Statuses(ctx, 1)
	requireCode(t, pipeline.CodeNotFound, err)
	require.NoError(t, api.NoteKeyUse(postgres.ForCompany(ctx, other), other, theirs.ID))
}

// Many companies over few connections: whoever asks sees its own, whatever the connection was used
// for before, also where statements were prepared, cancelled, or rolled back.
func TestManyCompaniesOverFewConnections(t *testing.T) {
	t.Parallel()
	const companies, askers, questions = 12, 8, 150
	d := newDatabase(t)
	api := d.asAPI(t, 3)
	ids := []int64{1}
	for len(ids) < companies {
		ids = append(ids, newCompany(t, d.Store))
	}
	customers := map[int64]int64{}
	for _, id := range ids {
		customers[id] = newCustomer(t, d.Store, id).ID
	}
	var all sync.WaitGroup
	for range askers {
		all.Go(func() {
			for range questions {
				id := ids[rand.IntN(len(ids))]
				if err := askAs(t, api, id, customers[id]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func askAs(t *testing.T, api *postgres.Store, company, customer int64) error {
	t.Helper()
	ctx := postgres.ForCompany(t.Context(), company)
	wrong := `SELECT company_id FROM customers ORDER BY 1`
	var seen []int64
	var err error
	switch rand.IntN(6) {
	case 0:
		err = api.Pooled().SelectContext(ctx, &seen, wrong)
	case 1: // prepared, on whichever connection comes
		var c pipeline.Customer
		c, err = api.Customer(ctx, company, customer)
		seen = append(seen, c.CompanyID)
	case 2:
		tx, beginErr := api.Pooled().BeginTxx(ctx, nil)
		if beginErr != nil {
			return beginErr
		}
		err = tx.SelectContext(ctx, &seen, wrong)
		other := tx.GetContext(postgres.ForCompany(ctx, company+1), new(int), `SELECT 1`)
		if other == nil {
			return fmt.Errorf("a transaction of company %d took a statement of another", company)
		}
		if err := tx.Rollback(); err != nil {
			return err
		}
	case 3:
		_, err = api.LastPosition(ctx)
		seen = append(seen, company)
	case 4: // given up in the middle, perhaps while the company is being set
		hasty, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(300))*time.Microsecond)
		defer cancel()
		if api.Pooled().SelectContext(hasty, &seen, wrong) != nil {
			return nil
		}
	default: // nobody
		var n int
		if err := api.Pooled().GetContext(t.Context(), &n, `SELECT count(*) FROM customers`); err != nil || n > 0 {
			return fmt.Errorf("%d customers seen by nobody: %w", n, err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if len(seen) != 1 || seen[0] != company {
		return fmt.Errorf("company %d saw %v", company, seen)
	}
	return nil
}

// Requests of one company one after the other set the company once.
func TestTheSameCompanyIsSetOnce(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	api := d.asAPI(t, 1)
	ctx := postgres.ForCompany(t.Context(), 1)
	var shown string
	require.NoError(t, api.Pooled().GetContext(ctx, &shown, `SELECT current_setting('dealwright.company')`))
	require.Equal(t, "1", shown)
	// Behind the driver's back: had it been set again, this would be gone.
	_, err := api.Pooled().ExecContext(ctx, `SET dealwright.company = '2'`)
	require.NoError(t, err)
	_, err = api.LastPosition(ctx)
	require.NoError(t, err)
	require.NoError(t, api.Pooled().GetContext(ctx, &shown, `SELECT current_setting('dealwright.company')`))
	require.Equal(t, "2", shown)
	require.NoError(t, api.Pooled().GetContext(t.Context(), &shown, `SELECT current_setting('dealwright.company')`))
	require.Empty(t, shown)
}

// An account that may not make the role is told so before anything is changed, and what to do.
func TestMigrateWithoutTheRightToMakeRoles(t *testing.T) {
	t.Parallel()
	at := emptyDatabase(t)
	admin := server(t)
	u, err := url.Parse(at)
	require.NoError(t, err)
	name := u.Path[1:] + "_owner"
	_, err = admin.Exec(`CREATE ROLE ` + name + `; ALTER DATABASE ` + u.Path[1:] + ` OWNER TO ` + name)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec(`ALTER DATABASE ` + u.Path[1:] + ` OWNER TO current_user`)
		require.NoError(t, err)
		_, err = admin.Exec(`REVOKE ` + postgres.RoleAPI + ` FROM ` + name)
		require.NoError(t, err)
	})
	q := u.Query()
	q.Set("role", name) // as if it had logged in
	u.RawQuery = q.Encode()
	template(t) // by now the role exists
	err = postgres.MigrateUp(u.String())
	require.ErrorContains(t, err, "GRANT "+postgres.RoleAPI+` TO "`+name+`"`)
	version, err := postgres.SchemaVersion(u.String())
	require.NoError(t, err)
	require.Equal(t, postgres.Schema{}, version)

	_, err = admin.Exec(`GRANT ` + postgres.RoleAPI + ` TO ` + name)
	require.NoError(t, err)
	require.NoError(t, postgres.MigrateUp(u.String()))
	d := database{URL: u.String()}
	require.NoError(t, d.asAPI(t, 1).Ping(t.Context()))
	migrateDownTo(t, u.String(), 0)
}

// A database that was restored where the role had no rights lets it in again.
func TestMigrateLetsTheRoleInAgain(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	_, err := d.DB.Exec(`REVOKE ALL ON ALL TABLES IN SCHEMA public FROM ` + postgres.RoleAPI)
	require.NoError(t, err)
	api := d.asAPI(t, 1)
	require.Error(t, api.Ping(t.Context()))
	require.NoError(t, postgres.MigrateUp(d.URL))
	require.NoError(t, api.Ping(t.Context()))
}

// Where the role is missing the store is not available, and the log says what to do.
func TestNoSuchRole(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	store, err := postgres.Open(postgres.Config{URL: d.URL, Role: "nobody_has_made_this"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	err = store.Ping(t.Context())
	requireCode(t, pipeline.CodeUnavailable, err)
	require.ErrorContains(t, err, "migrate up")
}
