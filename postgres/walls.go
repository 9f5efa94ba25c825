package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"

	"github.com/lib/pq"
)

// RoleAPI is the role that the API asks as. The schema shows it the rows of one company, that of
// ForCompany, and nothing where there is none: a second wall behind the queries, which all name
// their company too. See migrations/0005_walls.up.sql.
const RoleAPI = "dealwright_api"

// companyKey is where a context has the company that it asks for.
type companyKey struct{}

// The company of a context is its id, or one of these.
const (
	noCompany  int64 = 0
	anyCompany int64 = -1 // what is asked has the same answer whatever the company
)

// ForCompany gives a context in which a store with a Role sees the rows of one company. A store
// without a role does not look.
func ForCompany(ctx context.Context, companyID int64) context.Context {
	return context.WithValue(ctx, companyKey{}, max(companyID, noCompany))
}

// Scope is ForCompany, for those who have a store and do not know this package.
func (s *Store) Scope(ctx context.Context, companyID int64) context.Context {
	return ForCompany(ctx, companyID)
}

// wherever is for questions that are not about rows of a company, such as who has a key. The
// connection is used as it is, which saves a round trip: whatever company it has been left with
// has no part in the answer.
func wherever(ctx context.Context) context.Context {
	return context.WithValue(ctx, companyKey{}, anyCompany)
}

func companyOf(ctx context.Context) int64 {
	id, _ := ctx.Value(companyKey{}).(int64)
	return id
}

// walled gives connections that take a role when they are made, and the company of the context
// each time that they are used.
type walled struct {
	driver.Connector

	role string
}

// Connect makes a connection in the role, with no company.
func (w walled) Connect(ctx context.Context) (driver.Conn, error) {
	raw, err := w.Connector.Connect(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // mapError looks at it
	}
	conn, ok := raw.(session)
	if !ok {
		return nil, errors.Join(fmt.Errorf("a connection of type %T cannot be walled in", raw), raw.Close())
	}
	if _, err := conn.ExecContext(ctx, `SET ROLE `+pq.QuoteIdentifier(w.role), nil); err != nil {
		return nil, errors.Join(notInRole(w.role, err), conn.Close())
	}
	return &walledConn{session: conn}, nil
}

// notInRole: the role is not there, or our account is not a member of it. Until an operator has
// seen to that, the store is not available.
func notInRole(role string, err error) error {
	if _, refused := errors.AsType[*pq.Error](err); !refused {
		return err // the connection was lost
	}
	return fmt.Errorf("%w: this account cannot become %s; run dealwright migrate up, which makes the role and lets "+
		"the account in, or see docs/operations.md, “The API's role”: %w", unavailable(), role, err)
}

// session is what database/sql makes use of in a connection of lib/pq.
type session interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.QueryerContext
	driver.ExecerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	driver.NamedValueChecker
}

// walledConn is a connection that knows which company its session shows. database/sql hands it to
// one user at a time.
type walledConn struct {
	session

	company int64
	unsure  bool // setting the company was tried and may have failed
	inTx    bool
}

var errOtherCompany = errors.New("a transaction is of one company, and this is another one's statement")

// enter has the session show the company of the context, before anything is asked. What came
// before it on this connection therefore never matters, and requests of the same company one
// after the other pay for it once.
func (c *walledConn) enter(ctx context.Context) error {
	company := companyOf(ctx)
	if company == anyCompany || company == c.company && !c.unsure {
		return nil
	}
	if c.inTx { // a rollback would take it back, and we would not know
		return errOtherCompany
	}
	c.unsure = true
	shown := ""
	if company != noCompany {
		shown = strconv.FormatInt(company, 10)
	}
	// A number and not a parameter: that makes it one round trip instead of two.
	if _, err := c.session.ExecContext(ctx, `SET dealwright.company = '`+shown+`'`, nil); err != nil {
		return err //nolint:wrapcheck // mapError looks at it
	}
	c.company, c.unsure = company, false
	return nil
}

// QueryContext asks in the context's company.
func (c *walledConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	return c.session.QueryContext(ctx, query, args) //nolint:wrapcheck // mapError looks at it
}

// ExecContext runs a statement in the context's company.
func (c *walledConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	return c.session.ExecContext(ctx, query, args) //nolint:wrapcheck // mapError looks at it
}

// PrepareContext prepares a statement, which asks nothing yet. It belongs to no company.
func (c *walledConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	raw, err := c.session.PrepareContext(ctx, query)
	if err != nil {
		return nil, err //nolint:wrapcheck // mapError looks at it
	}
	stmt, ok := raw.(statement)
	if !ok {
		return nil, errors.Join(fmt.Errorf("a statement of type %T cannot be walled in", raw), raw.Close())
	}
	return &walledStmt{statement: stmt, conn: c}, nil
}

// Prepare is PrepareContext.
func (c *walledConn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// BeginTx begins a transaction, which is the company's to its end.
func (c *walledConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	tx, err := c.session.BeginTx(ctx, opts)
	if err != nil {
		return nil, err //nolint:wrapcheck // mapError looks at it
	}
	c.inTx = true
	return &walledTx{tx: tx, conn: c}, nil
}

// statement is what database/sql makes use of in a prepared statement of lib/pq.
type statement interface {
	driver.Stmt
	driver.StmtQueryContext
	driver.StmtExecContext
}

type walledStmt struct {
	statement

	conn *walledConn
}

// QueryContext asks in the context's company.
func (s *walledStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.conn.enter(ctx); err != nil {
		return nil, err
	}
	return s.statement.QueryContext(ctx, args) //nolint:wrapcheck // mapError looks at it
}

// ExecContext runs the statement in the context's company.
func (s *walledStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := s.conn.enter(ctx); err != nil {
		return nil, err
	}
	return s.statement.ExecContext(ctx, args) //nolint:wrapcheck // mapError looks at it
}

type walledTx struct {
	tx   driver.Tx
	conn *walledConn
}

// Commit ends the transaction.
func (t *walledTx) Commit() error {
	t.conn.inTx = false
	return t.tx.Commit() //nolint:wrapcheck // mapError looks at it
}

// Rollback ends the transaction.
func (t *walledTx) Rollback() error {
	t.conn.inTx = false
	return t.tx.Rollback() //nolint:wrapcheck // mapError looks at it
}
