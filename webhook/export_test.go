package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"net"
)

// UseResolver lets a test answer for the name servers, when a URL is saved and when it is dialled.
func (t *Targets) UseResolver(r *net.Resolver) { t.resolver = r }

// Trust lets a test's own certificate authority vouch for servers.
func (s *Sender) Trust(roots *x509.CertPool) {
	s.connect(s.transports.targets, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
}
