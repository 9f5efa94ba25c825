package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/keyring"
	"github.com/dealwright/dealwright/postgres"
)

const serverVariable = "DEALWRIGHT_TEST_DATABASE_URL"

// encryptionKey and otherKey are 32 bytes each, in base64.
const (
	encryptionKey = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	otherKey      = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
)

// TestMain takes the template away that the tests' databases are copies of.
func TestMain(m *testing.M) {
	status := m.Run()
	if err := dropTemplate(); err != nil {
		fmt.Fprintln(os.Stderr, "drop template:", err)
		status = 1
	}
	os.Exit(status)
}

// database is one that a test has to itself.
type database struct {
	URL   string
	DB    *sqlx.DB // to look behind the store's back
	Store *postgres.Store
}

// newDatabase copies the migrated template, which is a tenth of the work of migrating.
func newDatabase(tb testing.TB) database {
	tb.Helper()
	name := template(tb)
	return newDatabaseFrom(tb, "TEMPLATE "+name)
}

// emptyDatabase has no schema.
func emptyDatabase(tb testing.TB) string {
	tb.Helper()
	return createDatabase(tb, "")
}

func newDatabaseFrom(tb testing.TB, options string) database {
	tb.Helper()
	at := createDatabase(tb, options)
	store := openStore(tb, at, encryptionKey)
	db, err := sqlx.Open("postgres", at)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	return database{URL: at, DB: db, Store: store}
}

func openStore(tb testing.TB, at, key string) *postgres.Store {
	tb.Helper()
	sealer, err := keyring.New(key)
	require.NoError(tb, err)
	store, err := postgres.Open(postgres.Config{URL: at, Sealer: sealer})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, store.Close()) })
	return store
}

// asAPI opens the database in the role that the API has, over so many connections.
func (d database) asAPI(tb testing.TB, conns int) *postgres.Store {
	tb.Helper()
	sealer, err := keyring.New(encryptionKey)
	require.NoError(tb, err)
	store, err := postgres.Open(postgres.Config{URL: d.URL, Sealer: sealer, Role: postgres.RoleAPI, MaxConns: conns})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, store.Close()) })
	return store
}

var databases atomic.Int64

func createDatabase(tb testing.TB, options string) string {
	tb.Helper()
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), databases.Add(1))
	admin := server(tb)
	_, err := admin.Exec(`CREATE DATABASE ` + name + ` ` + options)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		_, err := admin.Exec(`DROP DATABASE ` + name + ` WITH (FORCE)`)
		require.NoError(tb, err)
	})
	return urlOf(tb, name)
}

// server is a connection to the server as its superuser, shared by all tests.
func server(tb testing.TB) *sql.DB {
	tb.Helper()
	require.NotEmpty(tb, os.Getenv(serverVariable),
		"these tests need a Postgres server: run make test, or set "+serverVariable+" to a superuser's URL")
	db, err := openServer()
	require.NoError(tb, err)
	return db
}

var openServer = sync.OnceValues(func() (*sql.DB, error) { return sql.Open("postgres", os.Getenv(serverVariable)) })

func urlOf(tb testing.TB, name string) string {
	tb.Helper()
	u, err := url.Parse(os.Getenv(serverVariable))
	require.NoError(tb, err)
	u.Path = "/" + name
	return u.String()
}

var templateOnce struct {
	sync.Mutex
	made string
}

// template is a migrated database that nobody connects to, made once.
func template(tb testing.TB) string {
	tb.Helper()
	templateOnce.Lock()
	defer templateOnce.Unlock()
	if templateOnce.made != "" {
		return templateOnce.made
	}
	name := fmt.Sprintf("template_%d", os.Getpid())
	_, err := server(tb).ExecContext(context.Background(), `CREATE DATABASE `+name)
	require.NoError(tb, err)
	require.NoError(tb, postgres.MigrateUp(urlOf(tb, name)))
	templateOnce.made = name
	return name
}

func dropTemplate() error {
	if templateOnce.made == "" {
		return nil
	}
	db, err := openServer()
	if err != nil {
		return err
	}
	_, err = db.Exec(`DROP DATABASE ` + templateOnce.made + ` WITH (FORCE)`)
	return err
}

// patience bounds waits that end as soon as what they wait for happens.
const (
	patience = time.Minute
	tick     = 5 * time.Millisecond
)
