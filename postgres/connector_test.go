package postgres_test

import (
	"context"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

// freezer stands between a store and Postgres. While it is frozen it takes connections and
// whatever is said on them, and passes nothing on, as a server does that was paused.
type freezer struct {
	net.Listener

	network, address string

	mu     sync.Mutex
	thawed *sync.Cond
	frozen bool
	ended  bool
}

// newFreezer gives one, and the address of the same database behind it.
func newFreezer(t *testing.T, at string) (f *freezer, throughIt string) {
	t.Helper()
	u, err := url.Parse(at)
	require.NoError(t, err)
	f = &freezer{network: "tcp", address: u.Host}
	f.thawed = sync.NewCond(&f.mu)
	if folder := u.Query().Get("host"); folder != "" {
		f.network, f.address = "unix", folder+"/.s.PGSQL."+u.Query().Get("port")
	}
	f.Listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(f.end)
	go f.serve()
	query := u.Query()
	query.Del("host")
	query.Del("port")
	u.Host, u.RawQuery = f.Addr().String(), query.Encode()
	return f, u.String()
}

func (f *freezer) serve() {
	for {
		client, err := f.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial(f.network, f.address)
		if err != nil {
			client.Close()
			continue
		}
		go f.pass(client, server)
		go f.pass(server, client)
	}
}

func (f *freezer) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		f.mu.Lock()
		for f.frozen && !f.ended {
			f.thawed.Wait()
		}
		f.mu.Unlock()
		if _, failed := to.Write(b[:n]); failed != nil || err != nil {
			return
		}
	}
}

func (f *freezer) freeze(frozen bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frozen = frozen
	f.thawed.Broadcast()
}

func (f *freezer) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.thawed.Broadcast()
	f.Close()
}

// Without the connector's bounds, none of the calls below ever returns.
func TestNobodyWaitsForAServerThatStandsStill(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	f, through := newFreezer(t, db.URL)
	store := openStore(t, through, encryptionKey)
	require.NoError(t, store.Ping(t.Context()))
	_, err := store.Statuses(t.Context(), 1)
	require.NoError(t, err)

	f.freeze(true)
	for what, ask := range map[string]func(context.Context) error{
		"a statement": store.Ping,
		"a prepared statement": func(ctx context.Context) error {
			_, err := store.Statuses(ctx, 1)
			return err
		},
		"a transaction": func(ctx context.Context) error {
			_, _, err := store.DisableWebhook(ctx, 1, 1)
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err := ask(ctx)
		cancel()
		require.Equal(t, pipeline.CodeUnavailable, pipeline.CodeOf(err), "%s: %v", what, err)
	}

	f.freeze(false)
	require.Eventually(t, func() bool { return store.Ping(t.Context()) == nil }, 10*time.Second, 10*time.Millisecond)
}

func TestAServerThatSaysNothingForTooLongIsGivenUp(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	f, through := newFreezer(t, db.URL)
	store, err := postgres.OpenSilent(through, 100*time.Millisecond)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	require.NoError(t, store.Ping(t.Context()))

	f.freeze(true)
	err = store.Ping(context.WithoutCancel(t.Context()))
	require.Equal(t, pipeline.CodeUnavailable, pipeline.CodeOf(err), err)
}

// What is cancelled while the server is well costs nothing but the statement.
func TestACancelledStatementLeavesItsConnectionAlone(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	one := db.Store.OneConnection()
	var before, after int
	require.NoError(t, one.GetContext(t.Context(), &before, `SELECT pg_backend_pid()`))
	statement, err := one.PreparexContext(t.Context(), `SELECT pg_sleep(60)`)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, statement.Close()) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = statement.ExecContext(ctx)
	require.Error(t, err)
	_, err = one.ExecContext(t.Context(), `SELECT pg_sleep(1.5)`) // longer than a connection is given that hears nothing
	require.NoError(t, err)
	require.NoError(t, one.GetContext(t.Context(), &after, `SELECT pg_backend_pid()`))
	require.Equal(t, before, after)
}
