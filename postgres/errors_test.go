package postgres_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/keyring"
	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

func TestErrorCodes(t *testing.T) {
	t.Parallel()
	state := func(code string) error {
		return &pq.Error{Code: pqerror.Code(code), Message: `bad SELECT "hunter2" FROM idempotency`}
	}
	for name, test := range map[string]struct {
		err  error
		code pipeline.Code
	}{
		"unique violation":        {state("23505"), pipeline.CodeConflict},
		"foreign key":             {state("23503"), pipeline.CodeNotFound},
		"serialization":           {state("40001"), pipeline.CodeConflict},
		"deadlock":                {state("40P01"), pipeline.CodeConflict},
		"NUL in text":             {state("22021"), pipeline.CodeInvalid},
		"number out of range":     {state("22003"), pipeline.CodeInvalid},
		"nested too deeply":       {state("54001"), pipeline.CodeInvalid},
		"statement timeout":       {state("57014"), pipeline.CodeUnavailable},
		"shutting down":           {state("57P01"), pipeline.CodeUnavailable},
		"starting up":             {state("57P03"), pipeline.CodeUnavailable},
		"too many connections":    {state("53300"), pipeline.CodeUnavailable},
		"disk full":               {state("53100"), pipeline.CodeUnavailable},
		"connection failure":      {state("08006"), pipeline.CodeUnavailable},
		"a standby":               {state("25006"), pipeline.CodeUnavailable},
		"wrong password":          {state("28P01"), pipeline.CodeUnavailable},
		"no such database":        {state("3D000"), pipeline.CodeUnavailable},
		"no such table":           {state("42P01"), pipeline.CodeInternal},
		"our own mistake in SQL":  {state("42601"), pipeline.CodeInternal},
		"bad connection":          {driver.ErrBadConn, pipeline.CodeUnavailable},
		"connection closed":       {io.EOF, pipeline.CodeUnavailable},
		"network":                 {&net.OpError{Op: "dial", Err: errors.New("refused")}, pipeline.CodeUnavailable},
		"deadline":                {context.DeadlineExceeded, pipeline.CodeUnavailable},
		"something else":          {errors.New("hunter2"), pipeline.CodeInternal},
		"an error of ours, as is": {pipeline.Errorf(pipeline.CodeNotFound, "there is no such key"), pipeline.CodeNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := postgres.MapError(test.err)
			requireCode(t, test.code, err)
			require.ErrorIs(t, err, test.err, "the cause is there for the log")
			requireFitForCallers(t, err)
		})
	}
	require.NoError(t, postgres.MapError(nil))
}

// What a caller gets to see is the message of the coded error alone.
func requireFitForCallers(t *testing.T, err error) {
	t.Helper()
	var coded *pipeline.Error
	require.ErrorAs(t, err, &coded)
	for _, secret := range []string{"SELECT", "hunter2", "pq:", "idempotency ", "sql"} {
		require.NotContains(t, coded.Error(), secret)
	}
}

func TestPostgresAway(t *testing.T) {
	t.Parallel()
	store := openStore(t, "postgres://user:hunter2@127.0.0.1:1/nowhere?sslmode=disable", encryptionKey)
	c := pipeline.NewCustomer(1, 1)
	e, _ := next(t, c, pipeline.TypeCustomerCreated, customerData(1, "Jo", "jo@example.com"))
	for name, call := range map[string]func(context.Context) error{
		"ping":   store.Ping,
		"append": func(ctx context.Context) error { _, err := store.Append(ctx, e, noKey); return err },
		"feed": func(ctx context.Context) error {
			_, err := store.Feed(ctx, pipeline.FeedQuery{CompanyID: 1, Limit: 1})
			return err
		},
		"list": func(ctx context.Context) error {
			_, err := store.Customers(ctx, pipeline.CustomerQuery{CompanyID: 1})
			return err
		},
		"create": func(ctx context.Context) error {
			_, _, err := store.CreateWebhook(ctx, pipeline.Webhook{CompanyID: 1}, pipeline.Start{}, noKey)
			return err
		},
		"delete": func(ctx context.Context) error { return store.DeleteWebhook(ctx, 1, 1) },
		"who":    func(ctx context.Context) error { _, err := store.Authenticate(ctx, "dw_x"); return err },
		"reserve": func(ctx context.Context) error {
			_, err := store.Reserve(ctx, 1, pipeline.KindCustomer, noKey)
			return err
		},
		"rebuild": func(ctx context.Context) error {
			_, err := store.Rebuild(ctx, true, func(postgres.Rebuilt) {})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := call(t.Context())
			requireCode(t, pipeline.CodeUnavailable, err)
			requireFitForCallers(t, err)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	require.NotContains(t, postgres.MigrateUp("postgres://user:hunter2@127.0.0.1:1/nowhere?sslmode=disable").Error(), "hunter2")
}

func TestNoSuchDatabase(t *testing.T) {
	t.Parallel()
	store := openStore(t, urlOf(t, "no_such_database"), encryptionKey)
	requireCode(t, pipeline.CodeUnavailable, store.Ping(t.Context()))
}

// The ways in which an append can be interrupted while it waits for its turn.
//
//nolint:tparallel,paralleltest // one interruption after the other, of the same append
func TestAppendInterrupted(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	blocker, c := newCustomer(t, d.Store, 1), newCustomer(t, d.Store, 1)
	before := everything(t, d)
	tx, err := d.DB.Beginx()
	require.NoError(t, err)
	e, _ := next(t, blocker, pipeline.TypeEmailSent, `{}`)
	_, err = d.Store.AppendIn(t.Context(), tx, e, noKey)
	require.NoError(t, err)
	e, _ = next(t, c, pipeline.TypeEmailSent, `{}`)
	interrupted := func(store *postgres.Store, interrupt func(cancel func())) error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { _, err := store.Append(ctx, e, noKey); done <- err }()
		if interrupt != nil {
			requireWaiting(t, d)
			interrupt(cancel)
		}
		return <-done
	}

	impatient, err := url.Parse(d.URL)
	require.NoError(t, err)
	query := impatient.Query()
	query.Set("statement_timeout", "100")
	impatient.RawQuery = query.Encode()
	t.Run("by the statement's time limit", func(t *testing.T) {
		requireCode(t, pipeline.CodeUnavailable, interrupted(openStore(t, impatient.String(), encryptionKey), nil))
	})
	t.Run("by the caller", func(t *testing.T) {
		requireCode(t, pipeline.CodeUnavailable, interrupted(d.Store, func(cancel func()) { cancel() }))
	})
	require.Equal(t, before, everything(t, d))

	// Where the connection is lost, database/sql runs the statement again on another one. That
	// is safe: had the first run got through, the version would be taken.
	t.Run("by the loss of its connection", func(t *testing.T) {
		require.NoError(t, interrupted(d.Store, func(func()) {
			_, err := d.DB.Exec(`SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`)
			require.NoError(t, err)
			requireWaiting(t, d)
			require.NoError(t, tx.Rollback())
		}))
		events, err := d.Store.EventsAfter(t.Context(), e.Stream, 0, 10)
		require.NoError(t, err)
		require.Equal(t, []int64{1, 2}, versions(events))
	})
}

func TestBadURL(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"postgres://user:hunter2@host:port/x", "postgres://user:hun%ter2@host/x", "mysql://user:hunter2@host/x",
		"user=me password=hunter2", "://hunter2", "hunter2",
	} {
		_, err := postgres.Open(postgres.Config{URL: bad})
		require.Error(t, err, bad)
		require.NotContains(t, err.Error(), "hunter2")
		require.NotContains(t, err.Error(), "hun%ter2")
		err = postgres.MigrateUp(bad)
		require.Error(t, err, bad)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	sealer, err := keyring.New(encryptionKey)
	require.NoError(t, err)
	store, err := postgres.Open(postgres.Config{URL: newDatabase(t).URL, MaxConns: 3, Sealer: sealer})
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	require.Equal(t, 3, store.Pool().MaxOpenConnections)
	require.NoError(t, store.Ping(t.Context()))
	require.Equal(t, 1, store.Pool().OpenConnections)
	require.Less(t, store.Pool().WaitDuration, time.Hour)
}
