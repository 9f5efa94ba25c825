package webhook_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// issuer makes certificates.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(tb testing.TB) *issuer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(tb, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(tb, err)
	return &issuer{cert: cert, key: key}
}

func (i *issuer) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.cert)
	return pool
}

// issue gives certificate and key, both PEM, good for servers at 127.0.0.1 and for clients.
func (i *issuer) issue(tb testing.TB, name string, until time.Time) (cert, key string) {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: until.Add(-2 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.cert, &private.PublicKey, i.key)
	require.NoError(tb, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(tb, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

// serverWith is a partner with a certificate of the issuer.
func (i *issuer) serverWith(tb testing.TB, until time.Time, change func(*tls.Config), answer http.HandlerFunc) *partner {
	tb.Helper()
	cert, key := i.issue(tb, "server", until)
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	require.NoError(tb, err)
	p := unstartedPartner(tb, answer)
	p.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	change(p.TLS)
	p.StartTLS()
	return p
}

// namesOfClients keeps whom a partner took its clients for.
type namesOfClients struct {
	mu    sync.Mutex
	names []string
}

func (n *namesOfClients) note(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name := "nobody"
	if len(r.TLS.PeerCertificates) > 0 {
		name = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	n.names = append(n.names, name)
	w.WriteHeader(http.StatusNoContent)
}

func (n *namesOfClients) noted() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.names...)
}

func TestClientCertificateIsShown(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(time.Hour)
	is := newIssuer(t)
	for name, change := range map[string]func(*tls.Config){
		"TLS 1.3": func(*tls.Config) {},
		"TLS 1.2": func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		"HTTP/2":  func(c *tls.Config) { c.NextProtos = []string{"h2"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var clients namesOfClients
			p := is.serverWith(t, soon, func(c *tls.Config) {
				c.ClientCAs, c.ClientAuth = is.pool(), tls.VerifyClientCertIfGiven
				change(c)
			}, clients.note)
			s := newSender(t, ample)
			s.Trust(is.pool())
			plain, first, second := dispatchTo(t, p.URL), dispatchTo(t, p.URL), dispatchTo(t, p.URL)
			first.Webhook.ClientCertificate.Certificate, first.Webhook.ClientCertificate.Key = is.issue(t, "first", soon)
			second.Webhook.ClientCertificate.Certificate, second.Webhook.ClientCertificate.Key = is.issue(t, "second", soon)
			for _, d := range []pipeline.Dispatch{plain, first, second, first, plain} {
				r := s.Deliver(t.Context(), d)
				require.True(t, r.OK(), r.Attempt.Error)
			}
			require.Equal(t, []string{"nobody", "first", "second", "first", "nobody"}, clients.noted())
			require.Equal(t, 3, p.connections(), "each keeps its own, and no other's")
		})
	}
}

func TestClientCertificateThatIsRefused(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(time.Hour)
	is := newIssuer(t)
	for name, issue := range map[string]func(*testing.T) (cert, key string){
		"none":      func(*testing.T) (cert, key string) { return "", "" },
		"another's": func(t *testing.T) (cert, key string) { t.Helper(); return newIssuer(t).issue(t, "stranger", soon) },
		"out of date": func(t *testing.T) (cert, key string) {
			t.Helper()
			return is.issue(t, "old", time.Now().Add(-time.Minute))
		},
	} {
		for version, most := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
			t.Run(name+", "+version, func(t *testing.T) {
				t.Parallel()
				p := is.serverWith(t, soon, func(c *tls.Config) {
					c.ClientCAs, c.ClientAuth, c.MaxVersion = is.pool(), tls.RequireAndVerifyClientCert, most
				}, answerOK)
				s := newSender(t, ample)
				s.Trust(is.pool())
				d := dispatchTo(t, p.URL+privatePath)
				d.Webhook.ClientCertificate.Certificate, d.Webhook.ClientCertificate.Key = issue(t)
				r := s.Deliver(t.Context(), d)
				require.Equal(t, pipeline.DeliveryPending, r.Status)
				require.Zero(t, r.Attempt.Status)
				requireSentence(t, r, "")
				require.Regexp(t, "tls: |the connection was", r.Attempt.Error)
				require.Empty(t, p.got())
			})
		}
	}
}

func TestClientCertificateThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	p := newPartner(t, answerOK)
	d := dispatchTo(t, p.URL+privatePath)
	d.Webhook.ClientCertificate = pipeline.ClientCertificate{Certificate: "path-token", Key: "query-token"}
	s := newSender(t, ample)
	for range 2 {
		r := s.Deliver(t.Context(), d)
		require.Equal(t, pipeline.DeliveryPending, r.Status)
		requireSentence(t, r, "the client certificate cannot be used")
	}
	require.Empty(t, p.got())
}

// A company may have any number of certificates; what is kept for them is bounded, and the
// connections of those that were crowded out are closed.
func TestTransportsAreBounded(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(time.Hour)
	is := newIssuer(t)
	var clients namesOfClients
	p := is.serverWith(t, soon, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }, clients.note)
	s := newSender(t, ample)
	s.Trust(is.pool())
	cert, key := is.issue(t, "many", soon)
	kept, limit := s.Certified()
	require.Zero(t, kept)
	const over = 10
	for i := range limit + over {
		d := dispatchTo(t, p.URL)
		// Text around it makes another setting of the same certificate.
		d.Webhook.ClientCertificate = pipeline.ClientCertificate{Certificate: strconv.Itoa(i) + "\n" + cert, Key: key}
		r := s.Deliver(t.Context(), d)
		require.True(t, r.OK(), r.Attempt.Error)
	}
	kept, _ = s.Certified()
	require.Equal(t, limit, kept)
	for range over {
		select {
		case <-p.closed:
		case <-time.After(ample): // rest alone would end them, but later
			require.Fail(t, "the connections of those that were crowded out are still there")
		}
	}
}
