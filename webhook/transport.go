package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/jellydator/ttlcache/v3"

	"github.com/dealwright/dealwright/pipeline"
)

const (
	keepAlive    = 30 * time.Second // between probes of a quiet connection
	pingTimeout  = 5 * time.Second
	idleTimeout  = 90 * time.Second
	maxIdle      = 1000     // quiet connections that are kept, of all endpoints
	maxIdleEach  = 64       // …and of each
	maxHeader    = 64 << 10 // of an answer
	maxCertified = 256      // transports that are kept for webhooks with a client certificate
)

// attemptEnd is the key in a context under which stands when an attempt has to be over. When
// net/http dials, it hands on a request's values but not its deadline, since another request
// may use the connection as well. Without this one a dead address would be waited for long
// after its attempt, and the first of several addresses would get all of the attempt's time.
type attemptEnd struct{}

// attemptContext bounds an attempt, and what is dialled for it.
func attemptContext(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	end := time.Now().Add(timeout)
	return context.WithDeadline(context.WithValue(ctx, attemptEnd{}, end), end)
}

// longest is what no dial outlasts.
const longest = time.Duration(pipeline.MaxTimeout)

func dialContext(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Value(attemptEnd{}).(time.Time)
	if !ok {
		end = time.Now().Add(longest)
	}
	return context.WithDeadline(ctx, end)
}

// dialer connects to vetted addresses only, and within an attempt's time.
type dialer struct {
	plain  net.Dialer
	bare   net.Dialer // below TLS
	secure *tls.Config
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := dialContext(ctx)
	defer cancel()
	return d.plain.DialContext(ctx, network, address) //nolint:wrapcheck // plain makes a sentence of it
}

func (d *dialer) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := dialContext(ctx)
	defer cancel()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("read address: %w", err)
	}
	bare, err := d.bare.DialContext(ctx, network, address)
	if err != nil {
		return nil, err //nolint:wrapcheck // plain makes a sentence of it
	}
	cfg := d.secure.Clone()
	cfg.ServerName = host
	conn := tls.Client(bare, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		bare.Close()
		return nil, err //nolint:wrapcheck // plain makes a sentence of it
	}
	return conn, nil
}

// newTransport is used without an http.Client: what a client adds is following redirects,
// which would turn the POST into a GET and still look like success. Nothing in it ends an
// attempt: the attempt's own context does.
func newTransport(targets *Targets, secure *tls.Config) *http.Transport {
	secure = secure.Clone()
	secure.MinVersion = tls.VersionTLS12
	secure.NextProtos = []string{"h2", "http/1.1"}
	d := &dialer{
		plain:  net.Dialer{KeepAlive: keepAlive, Resolver: targets.resolver, Control: targets.controlPlain},
		bare:   net.Dialer{KeepAlive: keepAlive, Resolver: targets.resolver, Control: targets.control},
		secure: secure,
	}
	return &http.Transport{
		DialContext:            d.dial,
		DialTLSContext:         d.dialTLS,
		Proxy:                  nil, // the environment's proxy would dial past the vetting
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: keepAlive, PingTimeout: pingTimeout}, // a dead connection is noticed
		DisableCompression:     true,                                                                    // no decompression bombs
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdleEach,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// certificate is what tells the transports for webhooks with client certificates apart: a
// connection belongs to whom it was opened as.
type certificate struct{ chain, key string }

// certified is a transport with a certificate, or why there is none.
type certified struct {
	transport *http.Transport
	err       error
}

// transports gives each webhook its transport: the common one, or one of its own where it
// has a client certificate.
type transports struct {
	targets   *Targets
	secure    *tls.Config
	common    *http.Transport
	certified *ttlcache.Cache[certificate, certified]
}

func newTransports(targets *Targets, secure *tls.Config) *transports {
	t := &transports{
		targets: targets, secure: secure, common: newTransport(targets, secure),
		certified: ttlcache.New(ttlcache.WithCapacity[certificate, certified](maxCertified)),
	}
	// Connections in use are finished; when they come to rest, idleTimeout ends them.
	t.certified.OnEviction(func(_ context.Context, _ ttlcache.EvictionReason, item *ttlcache.Item[certificate, certified]) {
		if c := item.Value(); c.transport != nil {
			c.transport.CloseIdleConnections()
		}
	})
	return t
}

func (t *transports) of(c pipeline.ClientCertificate) (*http.Transport, error) {
	if c.Certificate == "" {
		return t.common, nil
	}
	which := certificate{chain: c.Certificate, key: c.Key}
	item, _ := t.certified.GetOrSetFunc(which, func() certified { return t.certify(which) })
	return item.Value().transport, item.Value().err
}

// certify does not hand on what crypto/tls says, in case it ever quotes a key.
func (t *transports) certify(c certificate) certified {
	pair, err := tls.X509KeyPair([]byte(c.chain), []byte(c.key))
	if err != nil {
		return certified{err: errors.New("the client certificate cannot be used")}
	}
	secure := t.secure.Clone()
	// Shown to whoever asks: crypto/tls would keep it back from a server that names other
	// authorities, and the server would not say why it refuses us.
	secure.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	transport := newTransport(t.targets, secure)
	transport.MaxIdleConns = maxIdleEach // it has one endpoint, as a rule
	return certified{transport: transport}
}
