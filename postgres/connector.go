package postgres

import (
	"context"
	"database/sql/driver"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/lib/pq"
)

// A server that stands still (paused, or its disk or network is) keeps its connections open and
// answers nothing. lib/pq then asks it to cancel the statement and goes on waiting for what it
// will never say, whatever the statement's context says. These bound that.
const (
	// cancelPatience is how long a server has to end a statement that it was asked to cancel. After
	// that the connection is given up.
	cancelPatience = time.Second
	// silenceGrace is how much longer than a statement may take the server may say nothing at all:
	// it ends statements that take too long itself.
	silenceGrace = 5 * time.Second
)

// connector opens connections that do not wait for a server that stands still.
type connector struct {
	config  pq.Config
	silence time.Duration // see silenceGrace; 0 waits for as long as it takes
}

func newConnector(dsn string) (*connector, error) {
	config, err := pq.NewConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("read the settings of postgres: %w", err)
	}
	c := &connector{config: config}
	// Where it is set in another unit than milliseconds, or to none, there is no bound.
	if timeout, err := strconv.Atoi(config.Runtime["statement_timeout"]); err == nil && timeout > 0 {
		c.silence = time.Duration(timeout)*time.Millisecond + silenceGrace
	}
	return c, nil
}

// Connect opens a connection; it is given up when the context ends.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	// One of lib/pq's for each connection: its dialer then knows whose statements are cancelled.
	one, err := pq.NewConnectorConfig(c.config)
	if err != nil {
		return nil, fmt.Errorf("prepare a connection: %w", err)
	}
	line := &line{silence: c.silence}
	one.Dialer(line)
	stop := context.AfterFunc(ctx, line.hangUp)
	conn, err := one.Connect(ctx)
	line.opened()
	if !stop() && err == nil { // it was hung up in the last moment
		conn.Close()
		return nil, ctx.Err()
	}
	return conn, err //nolint:wrapcheck // as the driver itself gives it
}

// Driver is lib/pq's.
func (*connector) Driver() driver.Driver { return pq.Driver{} }

// line is the way to the server of one connection. What is dialled when that is open is a second
// connection on which lib/pq asks to cancel what runs on the first.
type line struct {
	net.Dialer

	silence time.Duration

	mu     sync.Mutex
	main   *heardConn
	isOpen bool
}

// Dial is for an interface of lib/pq's that is not used where there is DialContext.
func (l *line) Dial(network, address string) (net.Conn, error) {
	return l.DialContext(context.Background(), network, address)
}

// DialTimeout is as Dial.
func (l *line) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return l.DialContext(ctx, network, address)
}

// DialContext dials the connection itself, and later those that cancel its statements.
func (l *line) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	cancels := l.isOpen
	if cancels {
		l.main.giveUpAfter(cancelPatience)
	}
	l.mu.Unlock()
	conn, err := l.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err //nolint:wrapcheck // as the driver itself gives it
	}
	if cancels {
		return hastyConn{conn, time.Now().Add(cancelPatience)}, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.main = &heardConn{Conn: conn, silence: l.silence}
	return l.main, nil
}

// opened says that the connection is up.
func (l *line) opened() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isOpen = l.main != nil
}

// hangUp ends what waits for the server while the connection is being opened.
func (l *line) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.main != nil && !l.isOpen {
		l.main.Close()
	}
}

// heardConn is a connection that ends when the server has said nothing for too long.
type heardConn struct {
	net.Conn

	silence time.Duration

	mu      sync.Mutex
	reading bool
	giveUp  *time.Timer
}

// Read waits for the server, but not for ever.
func (c *heardConn) Read(b []byte) (int, error) {
	if c.silence > 0 {
		if err := c.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
			return 0, err //nolint:wrapcheck // as the connection itself gives it
		}
	}
	c.waits(true)
	n, err := c.Conn.Read(b)
	c.waits(false)
	return n, err //nolint:wrapcheck // as above
}

// Write says something new to the server: what was cancelled before is over.
func (c *heardConn) Write(b []byte) (int, error) {
	c.waits(false)
	return c.Conn.Write(b) //nolint:wrapcheck // as the connection itself gives it
}

// giveUpAfter closes the connection where the server is waited for and says nothing until then.
func (c *heardConn) giveUpAfter(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reading && c.giveUp == nil {
		c.giveUp = time.AfterFunc(d, func() { c.Close() })
	}
}

func (c *heardConn) waits(so bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = so
	if !so && c.giveUp != nil {
		c.giveUp.Stop()
		c.giveUp = nil
	}
}

// hastyConn is one on which a statement is cancelled: lib/pq waits there for the server to hang
// up, and who cancelled waits for that.
type hastyConn struct {
	net.Conn

	until time.Time
}

// SetDeadline sets an earlier deadline than wanted.
func (c hastyConn) SetDeadline(t time.Time) error {
	if t.IsZero() || t.After(c.until) {
		t = c.until
	}
	return c.Conn.SetDeadline(t) //nolint:wrapcheck // as the connection itself gives it
}
