// Package postgres keeps the engine's state: the event store, its projections, webhooks,
// deliveries and API keys. It is the only place that speaks SQL, and it turns SQLSTATE into
// the error codes of package pipeline.
package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/jmoiron/sqlx"

	"github.com/dealwright/dealwright/keyring"
	"github.com/dealwright/dealwright/pipeline"
)

// Store is a pool of connections with all queries of the engine. It is safe for concurrent use.
type Store struct {
	db     *sqlx.DB
	sealer *keyring.Ring
	health pipeline.HealthPolicy

	dataKeys *lru.Cache[customerRef, dataKey] // of customers to whom something has happened lately

	mu       sync.RWMutex
	prepared map[string]*sqlx.Stmt

	// walledIn: the store has a role, which sees one company at a time.
	walledIn bool
}

// Config says where Postgres is and what seals secrets at rest.
type Config struct {
	URL      string // postgres://…
	MaxConns int    // 0 means 20
	Sealer   *keyring.Ring
	// How long every attempt at a webhook has to fail before it is disabled; 0 means
	// pipeline.DefaultDisableAfter.
	DisableAfter time.Duration
	// Role, where it is not empty, is taken by every connection: RoleAPI sees the rows of one
	// company only, that of ForCompany. Without one, everything is asked as the account of the URL,
	// which has to own the tables.
	Role string
}

// statementTimeout bounds every statement on the server's side, so that a query whose caller
// is gone, or one stuck behind a lock, ends by itself.
const statementTimeout = 15 * time.Second

// Open prepares a pool. It does not connect: Ping tells whether Postgres is there.
func Open(cfg Config) (*Store, error) {
	dsn, err := withSettings(cfg.URL, statementTimeout)
	if err != nil {
		return nil, err
	}
	connector, err := newConnector(dsn)
	if err != nil {
		return nil, err
	}
	db := sqlx.NewDb(sql.OpenDB(inRole(connector, cfg.Role)), "postgres")
	conns := cfg.MaxConns
	if conns == 0 {
		conns = 20
	}
	// As many idle as open: opening a connection costs more than keeping one.
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(5 * time.Minute)
	s, err := newStore(db, cfg.Sealer, cfg.DisableAfter)
	if err != nil {
		return nil, err
	}
	s.walledIn = cfg.Role != ""
	return s, nil
}

// inRole has the connections take a role, unless it is empty.
func inRole(c driver.Connector, role string) driver.Connector {
	if role == "" {
		return c
	}
	return walled{Connector: c, role: role}
}

func newStore(db *sqlx.DB, sealer *keyring.Ring, disableAfter time.Duration) (*Store, error) {
	keys, err := lru.New[customerRef, dataKey](dataKeysKept)
	if err != nil {
		return nil, fmt.Errorf("make room for data keys: %w", err)
	}
	policy := pipeline.HealthPolicy{DisableAfter: cmp.Or(disableAfter, pipeline.DefaultDisableAfter)}
	return &Store{db: db, sealer: sealer, health: policy, dataKeys: keys, prepared: map[string]*sqlx.Stmt{}}, nil
}

// withSettings adds what every session of ours has to have; timeout bounds each statement, 0 does not.
func withSettings(raw string, timeout time.Duration) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// The error of url.Parse repeats the URL, and the URL holds the password.
		return "", errors.New("DATABASE_URL is not a URL of the form postgres://user:password@host:port/database")
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", fmt.Errorf("DATABASE_URL has scheme %q, wanted postgres", u.Scheme)
	}
	q := u.Query()
	setDefault(q, "application_name", "dealwright")
	setDefault(q, "timezone", "UTC")
	setDefault(q, "statement_timeout", strconv.FormatInt(timeout.Milliseconds(), 10))
	setDefault(q, "connect_timeout", "5")
	u.RawQuery = q.Encode()
	return u.String(), nil
}

func setDefault(q url.Values, name, value string) {
	if !q.Has(name) {
		q.Set(name, value)
	}
}

// Close ends all connections.
func (s *Store) Close() error { return s.db.Close() }

// Ping reports whether Postgres answers and has our schema.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.db.ExecContext(wherever(ctx), `SELECT FROM companies LIMIT 1`)
	return mapError(err, "reach postgres")
}

// Pool says how the pool of connections is doing.
func (s *Store) Pool() sql.DBStats { return s.db.Stats() }

// statement prepares a constant query once; database/sql prepares it again on each connection
// that it meets. Parsing and planning are then paid once, not per call.
//
// The lock is not held while the server is asked, so that one caller who waits for a
// connection does not stop those whose statement is there.
func (s *Store) statement(ctx context.Context, query string) (*sqlx.Stmt, error) {
	s.mu.RLock()
	stmt, ok := s.prepared[query]
	s.mu.RUnlock()
	if ok {
		return stmt, nil
	}
	stmt, err := s.db.PreparexContext(ctx, query)
	if err != nil {
		return nil, mapError(err, "prepare statement")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first, ok := s.prepared[query]; ok {
		return first, mapError(stmt.Close(), "close statement") //nolint:sqlclosecheck // the other one is kept
	}
	s.prepared[query] = stmt
	return stmt, nil
}

// get reads one row of a constant query; what names the thing in the CodeNotFound error.
func (s *Store) get(ctx context.Context, dest any, what, query string, args ...any) error {
	stmt, err := s.statement(ctx, query)
	if err != nil {
		return err
	}
	err = stmt.GetContext(ctx, dest, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return pipeline.Errorf(pipeline.CodeNotFound, "there is no such %s", what)
	}
	return mapError(err, "read "+what)
}

// list reads all rows of a constant query.
func (s *Store) list(ctx context.Context, dest any, what, query string, args ...any) error {
	stmt, err := s.statement(ctx, query)
	if err != nil {
		return err
	}
	return mapError(stmt.SelectContext(ctx, dest, args...), "list "+what)
}

// page reads the rows of a query that has a limit, or that is put together from conditions.
// It is planned anew each time, with its arguments: a prepared plan has to do for any limit,
// takes that to be a tenth of the table, and then reads the table from end to end.
func (s *Store) page(ctx context.Context, dest any, what, query string, args ...any) error {
	return mapError(s.db.SelectContext(ctx, dest, query, args...), "list "+what)
}

// exec runs a constant query that answers no rows, and says how many it touched.
func (s *Store) exec(ctx context.Context, what, query string, args ...any) (int64, error) {
	stmt, err := s.statement(ctx, query)
	if err != nil {
		return 0, err
	}
	res, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, mapError(err, what)
	}
	n, err := res.RowsAffected()
	return n, mapError(err, what)
}

// execPlanned is exec for a query with a limit; see page.
func (s *Store) execPlanned(ctx context.Context, what, query string, args ...any) (int64, error) {
	res, err := s.db.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, mapError(err, what)
	}
	n, err := res.RowsAffected()
	return n, mapError(err, what)
}

// conflictTries is how often something is tried where somebody else is faster.
const conflictTries = 4

// pastConflicts runs f again where it fails with CodeConflict.
func pastConflicts[T any](f func() (T, error)) (out T, err error) {
	for range conflictTries {
		if out, err = f(); pipeline.CodeOf(err) != pipeline.CodeConflict {
			return out, err
		}
	}
	return out, err
}

// inTx runs f in one transaction, which is undone where f fails.
func (s *Store) inTx(ctx context.Context, what string, f func(*sqlx.Tx) error) error {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return mapError(err, what)
	}
	if err := f(tx); err != nil {
		return errors.Join(mapError(err, what), ignoreDone(tx.Rollback()))
	}
	return mapError(tx.Commit(), what)
}

// ignoreDone: a transaction that its context has ended already needs no rollback.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}
