package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// UseResolver lets a test answer for the name servers, when a URL is saved and when it is dialled.
func (t *Targets) UseResolver(r *net.Resolver) { t.resolver = r }

// Trust lets a test's own certificate authority vouch for servers.
func (s *Sender) Trust(roots *x509.CertPool) {
	s.connect(s.transports.targets, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
}

// TimeoutOf is how long an attempt at a webhook may take.
func (s *Sender) TimeoutOf(w pipeline.Webhook) time.Duration { return s.timeoutOf(w) }

// RetryAfter is how long an answer with these headers asks to be left alone.
func RetryAfter(h http.Header, now time.Time) time.Duration { return retryAfter(h, now) }

// Certified is how many transports with client certificates are kept, and how many may be.
func (s *Sender) Certified() (kept, limit int) { return s.transports.certified.Len(), maxCertified }

// Messages are the requests that a delivery becomes.
func Messages(d pipeline.Dispatch) ([]Message, error) { return formats[d.Webhook.Format].Messages(d) }

// ConductOf is how the requests of a webhook are made and judged.
func ConductOf(w pipeline.Webhook) Conduct { return conductOf(w) }

// XML writes a JSON value as an element.
func XML(name string, value []byte) ([]byte, error) {
	var w xmlWriter
	err := w.json(name, value)
	return w.out.Bytes(), err
}
