package e2e_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	temporallog "go.temporal.io/sdk/log"

	"github.com/dealwright/dealwright/cmd/dealwright/app"
	"github.com/dealwright/dealwright/codec"
	"github.com/dealwright/dealwright/keyring"
	"github.com/dealwright/dealwright/postgres"
	"github.com/dealwright/dealwright/standalone/stack"
)

// retrySchedule makes four attempts within a second.
const retrySchedule = "200ms,200ms,200ms"

// attemptsInAll is how many attempts that schedule makes.
const attemptsInAll = 4

// renewAfter is how long a history gets before its workflow continues as new: some sixteen
// transitions, so that it happens all the time here.
const renewAfter = 200

// encryptionKey is that of every engine here.
var encryptionKey = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))

// engine is everything, running in this process, with a look behind the scenes.
type engine struct {
	*stack.Stack

	dir      string
	log      *journal
	store    *postgres.Store
	db       *sql.DB
	temporal client.Client
	payloads *codec.Codec
}

// startEngine starts one with a new data folder; change has the last word on its options.
func startEngine(ctx context.Context, change func(*stack.Options)) (*engine, error) {
	dir, err := makeFolder()
	if err != nil {
		return nil, err
	}
	e := &engine{dir: dir, log: &journal{}}
	options := stack.Options{
		App: app.Config{
			Addr: "127.0.0.1:0", EncryptionKey: encryptionKey, AllowTargets: "127.0.0.0/8,::1/128",
			RetrySchedule: retrySchedule, MaxConns: 20, Version: "e2e",
		},
		Data:               dir,
		TemporalRenewAfter: renewAfter,
		Logger:             logger(e.log),
	}
	change(&options)
	e.Stack, err = stack.Start(ctx, options)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := e.connect(ctx, encryptionKey); err != nil {
		return nil, errors.Join(err, e.stop()) //nolint:contextcheck // stopping has time limits of its own
	}
	return e, nil
}

func (e *engine) connect(ctx context.Context, keys string) error {
	ring, err := keyring.New(keys)
	if err != nil {
		return err
	}
	// What tests put into the store themselves need not survive a crash of this machine.
	quick := e.DatabaseURL() + "&options=-c%20synchronous_commit%3Doff"
	if e.store, err = postgres.Open(postgres.Config{URL: quick, Sealer: ring}); err != nil {
		return err
	}
	if e.db, err = sql.Open("postgres", e.DatabaseURL()); err != nil {
		return err
	}
	if e.payloads, err = codec.New(ring); err != nil {
		return err
	}
	e.temporal, err = client.DialContext(ctx, client.Options{
		HostPort: e.Ready().Temporal, Logger: temporallog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
		DataConverter: e.payloads.Data(), FailureConverter: e.payloads.Failures(),
	})
	return err
}

// logger keeps what the engine has to say, and shows the worst of it when tests run with -v.
func logger(to *journal) *slog.Logger {
	kept := slog.NewTextHandler(to, nil)
	if !testing.Verbose() {
		return slog.New(kept)
	}
	return slog.New(slog.NewMultiHandler(kept, slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
}

// journal is a log that can be looked through while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write adds to the log; it never fails.
func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

// String is all of it.
func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) contains(text string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return bytes.Contains(j.text.Bytes(), []byte(text))
}

// stop ends the engine and removes its data.
func (e *engine) stop() error {
	var all []error
	if e.temporal != nil {
		e.temporal.Close()
	}
	if e.db != nil {
		all = append(all, e.db.Close())
	}
	if e.store != nil {
		all = append(all, e.store.Close())
	}
	all = append(all, e.Stop(), os.RemoveAll(e.dir))
	return errors.Join(all...)
}

// communal is an engine that several tests use, started by the first one that does.
type communal struct {
	once   sync.Once
	engine *engine
	err    error
}

var (
	shared communal // most tests use it
	couple communal // see coupleEngine
)

func sharedEngine(t *testing.T) *engine {
	t.Helper()
	return shared.get(t, func(*stack.Options) {})
}

// disableAfter is how long a webhook of coupleEngine may fail.
const disableAfter = 3 * time.Second

// coupleEngine has two workers, and little patience with webhooks that fail.
func coupleEngine(t *testing.T) *engine {
	t.Helper()
	return couple.get(t, func(o *stack.Options) {
		o.MoreWorkers = 1
		o.App.DisableAfter = disableAfter
	})
}

func (c *communal) get(t *testing.T, change func(*stack.Options)) *engine {
	t.Helper()
	c.once.Do(func() { c.engine, c.err = startEngine(context.Background(), change) })
	require.NoError(t, c.err)
	return c.engine
}

// end ends the engine, after a last look at all that the tests have left in it.
func (c *communal) end() error {
	if c.engine == nil {
		return nil
	}
	return errors.Join(c.engine.audit(context.Background()), c.engine.stop())
}

// ownEngine is one that a test may do harm to.
func ownEngine(t *testing.T) *engine {
	t.Helper()
	return ownEngineWith(t, func(*stack.Options) {})
}

func ownEngineWith(t *testing.T, change func(*stack.Options)) *engine {
	t.Helper()
	e, err := startEngine(t.Context(), change)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, e.audit(context.Background()))
		require.NoError(t, e.stop())
	})
	return e
}

// audit holds the whole store against the promises: every stream's versions are 1, 2, 3…,
// every projection is the fold of its events, and nothing in the log is secret.
func (e *engine) audit(ctx context.Context) error {
	var gaps int
	err := e.db.QueryRowContext(ctx, `SELECT count(*) FROM (
		SELECT FROM events GROUP BY stream HAVING min(version) <> 1 OR max(version) <> count(*)) s`).Scan(&gaps)
	if err != nil {
		return fmt.Errorf("look for gaps: %w", err)
	}
	if gaps > 0 {
		return fmt.Errorf("%d streams have gaps", gaps)
	}
	sum, err := e.store.Rebuild(ctx, true, func(postgres.Rebuilt) {})
	if err != nil {
		return fmt.Errorf("rebuild: %w", err)
	}
	if len(sum.Differences) > 0 {
		return fmt.Errorf("projections differ from their events: %v", sum.Differences)
	}
	if e.log.contains(confidential) {
		return errors.New("a credential is in the log")
	}
	return nil
}
