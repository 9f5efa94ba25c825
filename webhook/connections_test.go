package webhook_test

import (
	"bufio"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	const deliveries = 100
	for name, answer := range map[string]http.HandlerFunc{
		"no body":      answerOK,
		"body":         func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"ok":true}`) },
		"largest body": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 16<<10-1)) },
		"failure":      http.NotFound,
		"redirect":     http.RedirectHandler("/elsewhere", http.StatusFound).ServeHTTP,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPartner(t, answer)
			s := newSender(t, ample)
			d := dispatchTo(t, p.URL)
			for range deliveries {
				s.Deliver(t.Context(), d)
			}
			require.Len(t, p.got(), deliveries)
			require.Equal(t, 1, p.connections())
		})
	}
}

func TestConnectionsAreKeptOverHTTP2(t *testing.T) {
	t.Parallel()
	p := unstartedPartner(t, answerOK)
	p.EnableHTTP2 = true
	p.StartTLS()
	s := newSender(t, ample)
	roots := x509.NewCertPool()
	roots.AddCert(p.Certificate())
	s.Trust(roots)
	for range 10 {
		r := s.Deliver(t.Context(), dispatchTo(t, p.URL))
		require.True(t, r.OK(), r.Attempt.Error)
	}
	require.Len(t, p.got(), 10)
	require.Equal(t, 2, p.got()[0].proto)
	require.NotContains(t, p.got()[0].header, "Idempotency-Key")
	require.Equal(t, 1, p.connections())
}

func TestConnectionIsGivenUpAfterAnEndlessBody(t *testing.T) {
	t.Parallel()
	p := newPartner(t, func(w http.ResponseWriter, r *http.Request) {
		chunk := []byte(strings.Repeat("x", 4096))
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	s := newSender(t, ample)
	for n := 1; n <= 3; n++ {
		require.True(t, s.Deliver(t.Context(), dispatchTo(t, p.URL)).OK())
		require.Equal(t, n, p.connections())
	}
}

// A partner may close a kept connection at the very moment when it is used again. That is no
// failure of theirs, and no reason to wait for the first retry.
func TestKeptConnectionThatWasClosedIsReplaced(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	url := rawPartner(t, func(_ int, c net.Conn) {
		in := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			if requests.Add(1) == 2 {
				return // the first connection, at its second request
			}
			say(c, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	})
	s := newSender(t, ample)
	for range 2 {
		r := s.Deliver(t.Context(), dispatchTo(t, url))
		require.True(t, r.OK(), r.Attempt.Error)
	}
	require.EqualValues(t, 3, requests.Load())
}
