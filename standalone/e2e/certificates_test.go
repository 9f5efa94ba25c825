package e2e_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// certificate is one with its key, and both in PEM.
type certificate struct {
	tls.Certificate

	certificate, key string
}

// authority is who vouches for partners' certificates here. The engine in this process trusts
// it as it trusts those of the system.
var authority certificate

// trustAuthority makes the authority and has this process trust it. It comes before anything
// else looks at a certificate, since the system's are read once.
func trustAuthority() error {
	var err error
	if authority, err = newCertificate("authority", nil); err != nil {
		return err
	}
	file, err := os.CreateTemp("", "dealwright-e2e-authority-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	trusted := bytes.NewBufferString(authority.certificate)
	// The file stands in the place of the system's own: what it has is not lost.
	for _, system := range []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"} {
		if content, err := os.ReadFile(system); err == nil {
			trusted.Write(content)
			break
		}
	}
	if _, err := trusted.WriteTo(file); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := file.Close(); err != nil {
		return err
	}
	const variable = "SSL_CERT_FILE"
	before, was := os.LookupEnv(variable)
	if err := os.Setenv(variable, file.Name()); err != nil {
		return err
	}
	if _, err := x509.SystemCertPool(); err != nil { // reads them, once and for all
		return err
	}
	if !was {
		return os.Unsetenv(variable)
	}
	return os.Setenv(variable, before)
}

// newCertificate makes one for 127.0.0.1 and for clients, signed by itself where there is nobody
// to vouch for it.
func newCertificate(name string, by *certificate) (certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: by == nil,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	issuer, signer := template, any(key)
	if by != nil {
		issuer, signer = by.Leaf, by.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		return certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	c := certificate{
		certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		key:         string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})),
	}
	c.Certificate, err = tls.X509KeyPair([]byte(c.certificate), []byte(c.key))
	return c, err
}

// issued is a certificate that the authority vouches for.
func issued(t *testing.T, name string) certificate {
	t.Helper()
	c, err := newCertificate(name, &authority)
	require.NoError(t, err)
	return c
}

// selfMade is a certificate that nobody vouches for.
func selfMade(t *testing.T, name string) certificate {
	t.Helper()
	c, err := newCertificate(name, nil)
	require.NoError(t, err)
	return c
}

func pool(certificates ...certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certificates {
		p.AddCert(c.Leaf)
	}
	return p
}
