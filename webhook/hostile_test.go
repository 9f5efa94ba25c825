package webhook_test

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// The worst that a partner's server may do once it has the request. Every attempt ends by
// itself: a sender without a limit of time or size would leave the test hanging.
func TestHostileServers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		serve    func(c net.Conn)
		status   int
		sentence string // empty for success
		body     string // what the kept body begins with
	}{
		"never answers":                {hang, 0, lateness, ""},
		"hangs within the status line": {func(c net.Conn) { say(c, "HTTP/1.1 2"); hang(c) }, 0, lateness, ""},
		"hangs within the headers":     {func(c net.Conn) { say(c, "HTTP/1.1 200 OK\r\nServer: "); hang(c) }, 0, lateness, ""},
		"hangs within the body": {
			func(c net.Conn) { say(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthank"); hang(c) },
			200, "", "thank",
		},
		"hangs within the body of a failure": {
			func(c net.Conn) { say(c, "HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\nsorry"); hang(c) },
			500, "answered 500", "sorry",
		},
		"hangs within a chunk": {
			func(c net.Conn) {
				say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nthank")
				hang(c)
			},
			200, "", "thank",
		},
		"hangs after switching protocols": {
			func(c net.Conn) {
				say(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nlater")
				hang(c)
			},
			101, "answered 101", "",
		},
		"endless body": {
			func(c net.Conn) { drone(c, "HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 4096)) },
			200, "", strings.Repeat("x", 16<<10),
		},
		"endless body in tiny chunks": {
			func(c net.Conn) {
				drone(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n\x00\r\n")
			},
			200, "", "\uFFFD",
		},
		"endless status line": {
			func(c net.Conn) { drone(c, "HTTP/1.1 200 ", strings.Repeat("x", 4096)) },
			0, "headers exceeded", "",
		},
		"endless header": {
			func(c net.Conn) { drone(c, "HTTP/1.1 200 OK\r\nX: ", strings.Repeat("x", 4096)) },
			0, "headers exceeded", "",
		},
		"endless headers": {
			func(c net.Conn) { drone(c, "HTTP/1.1 200 OK\r\n", strings.Repeat("X: y\r\n", 512)) },
			0, "headers exceeded", "",
		},
		"endless interim answers": {
			func(c net.Conn) { drone(c, "", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 100)) },
			0, "", "",
		},
		"oversized headers": {
			func(c net.Conn) {
				say(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 128<<10)+"\r\nContent-Length: 0\r\n\r\n")
			},
			0, "headers exceeded", "",
		},
		"drips its status line": {func(c net.Conn) { drip(c, "HTTP/1.1 200 ", "x") }, 0, lateness, ""},
		"drips its headers":     {func(c net.Conn) { drip(c, "HTTP/1.1 200 OK\r\n", "X: y\r\n") }, 0, lateness, ""},
		"drips its body": {
			func(c net.Conn) { drip(c, "HTTP/1.1 200 OK\r\n\r\nthank", "x") },
			200, "", "thankx",
		},
		"drips the body of a failure": {
			func(c net.Conn) {
				drip(c, "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsorry\r\n", "1\r\nx\r\n")
			},
			503, "answered 503", "sorryx",
		},
		"endless trailers": {
			func(c net.Conn) {
				drone(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nthank\r\n0\r\n", strings.Repeat("X: y\r\n", 512))
			},
			200, "", "thank",
		},
		"gzip bomb": {
			func(c net.Conn) { say(c, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"+bomb) },
			200, "", "\x1f\uFFFD\b", // as it came
		},
		"resets": {reset, 0, "the connection was reset", ""},
		"resets within the body": {
			func(c net.Conn) { say(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthank"); reset(c) },
			200, "", "",
		},
		"closes": {func(net.Conn) {}, 0, "the connection was closed before an answer came", ""},
		"closes within the headers": {
			func(c net.Conn) { say(c, "HTTP/1.1 200 OK\r\nServer: x") },
			0, "the connection was closed before an answer came", "",
		},
		"closes within the body": {
			func(c net.Conn) { say(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthank") },
			200, "", "thank",
		},
		"speaks another protocol": {func(c net.Conn) { say(c, "SSH-2.0-OpenSSH_9.2\r\n") }, 0, "malformed HTTP response", ""},
		"contradicts itself about the length": {
			func(c net.Conn) { say(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabc") },
			0, "Content-Length", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := rawPartner(t, func(_ int, conn net.Conn) {
				readRequest(conn)
				c.serve(conn)
			})
			r := newSender(t, patienceFor(name)).Deliver(t.Context(), dispatchTo(t, url+privatePath))

			require.Equal(t, pipeline.ID(c.status), r.Attempt.Status, r.Attempt.Error)
			require.Equal(t, c.status == 200, r.OK(), r.Attempt.Error)
			requireSentence(t, r, c.sentence)
			require.True(t, strings.HasPrefix(string(r.Attempt.ResponseBody), c.body), "kept %q", r.Attempt.ResponseBody)
			require.LessOrEqual(t, len(r.Attempt.ResponseBody), 16<<10)
		})
	}
}

// bomb is 64 MiB of nothing, packed small.
var bomb = func() string {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = io.CopyN(w, zeros{}, 64<<20)
	_ = w.Close()
	return packed.String()
}()

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// What is endless is given up when enough is there, and not read on: a server gets rid of no
// more than what the buffers on the way hold.
func TestEndlessAnswersAreNotReadOn(t *testing.T) {
	t.Parallel()
	const buffers = 32 << 20 // both sides', by far
	piece := strings.Repeat("X: y\r\n", 4096)
	for name, begin := range map[string]string{
		"status line": "HTTP/1.1 200 ", "headers": "HTTP/1.1 200 OK\r\n", "body": "HTTP/1.1 200 OK\r\n\r\n",
		"body of a failure": "HTTP/1.1 500 No\r\n\r\n", "body of a redirect": "HTTP/1.1 307 No\r\nLocation: /\r\n\r\n",
		"switched protocol": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			taken := make(chan int, 1)
			url := rawPartner(t, func(_ int, c net.Conn) {
				readRequest(c)
				n := 0
				for say(c, begin) {
					n += len(begin)
					begin = piece
				}
				taken <- n
			})
			newSender(t, ample).Deliver(t.Context(), dispatchTo(t, url+privatePath))
			require.Less(t, <-taken, buffers)
		})
	}
}

// patienceFor lets the time run out only where that is what the test is about.
func patienceFor(name string) time.Duration {
	if strings.Contains(name, "hangs") || strings.Contains(name, "drips") || strings.Contains(name, "never") {
		return patience
	}
	return ample
}

func TestServersThatDoNotWaitForTheRequest(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(net.Conn){
		"resets": reset, "closes": func(net.Conn) {}, "speaks another protocol": func(c net.Conn) { say(c, "220 smtp.example\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := rawPartner(t, func(_ int, c net.Conn) { serve(c) })
			r := newSender(t, ample).Deliver(t.Context(), dispatchTo(t, url+privatePath))
			require.Equal(t, pipeline.DeliveryPending, r.Status)
			require.Zero(t, r.Attempt.Status)
			requireSentence(t, r, "")
		})
	}
}

// drone begins with one text and repeats another as long as anybody listens.
func drone(c net.Conn, begin, again string) {
	listening := say(c, begin)
	for listening {
		listening = say(c, again)
	}
}

// drip begins with one text and says another now and then, as long as anybody listens.
func drip(c net.Conn, begin, again string) {
	const pause = 20 * time.Millisecond
	listening := say(c, begin)
	for listening {
		time.Sleep(pause)
		listening = say(c, again)
	}
}

// reset ends a connection with RST instead of FIN.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}

// requireSentence: what went wrong is said without anything that a partner's URL may hide, and
// without our own addresses.
func requireSentence(t *testing.T, r pipeline.Result, sentence string) {
	t.Helper()
	said := string(r.Attempt.Error)
	require.Contains(t, said, sentence)
	require.Equal(t, r.OK(), said == "", said)
	for _, hidden := range []string{"path-token", "query-token", "http://", "https://", "127.0.0.1", "\x00", secret, secret[6:]} {
		require.NotContains(t, said, hidden)
	}
	require.True(t, utf8.ValidString(said))
	require.LessOrEqual(t, len(said), 500)
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	p := httptest.NewServer(http.NotFoundHandler())
	p.Close()
	r := newSender(t, ample).Deliver(t.Context(), dispatchTo(t, p.URL+privatePath))
	require.Equal(t, pipeline.DeliveryPending, r.Status)
	require.Zero(t, r.Attempt.Status)
	requireSentence(t, r, "the connection was refused")
}

func TestTLSFailures(t *testing.T) {
	t.Parallel()
	selfSigned := unstartedPartner(t, answerOK)
	selfSigned.StartTLS()
	is := newIssuer(t)
	outOfDate := is.serverWith(t, time.Now().Add(-time.Minute), func(*tls.Config) {}, answerOK)
	good := is.serverWith(t, time.Now().Add(time.Hour), func(*tls.Config) {}, answerOK)
	for name, c := range map[string]struct{ url, sentence string }{
		"nobody vouches for the certificate": {selfSigned.URL, "the TLS certificate was not accepted"},
		"the handshake hangs":                {secure(rawPartner(t, func(_ int, c net.Conn) { hang(c) })), lateness},
		"the certificate is out of date":     {outOfDate.URL, "the TLS certificate was not accepted"},
		"the certificate is another host's":  {strings.Replace(good.URL, "127.0.0.1", "localhost", 1), "the TLS certificate was not accepted"},
		"there is no TLS":                    {secure(newPartner(t, answerOK).URL), "does not look like a TLS handshake"},
		"the handshake breaks off":           {secure(rawPartner(t, func(int, net.Conn) {})), "the connection was"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSender(t, patienceFor(name))
			s.Trust(is.pool())
			r := s.Deliver(t.Context(), dispatchTo(t, c.url+privatePath))
			require.Equal(t, pipeline.DeliveryPending, r.Status)
			require.Zero(t, r.Attempt.Status)
			requireSentence(t, r, c.sentence)
		})
	}
	t.Cleanup(func() {
		for _, p := range []*partner{selfSigned, outOfDate, good} {
			require.Empty(t, p.got())
		}
	})
}

func secure(url string) string { return strings.Replace(url, "http://", "https://", 1) }

func TestUnusableURLs(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{
		"control character": "http://127.0.0.1\x7f" + privatePath,
		"no host":           "http://" + privatePath,
		"no scheme":         privatePath,
		"no such scheme":    "gopher://127.0.0.1" + privatePath,
		"bad port":          "http://127.0.0.1:port" + privatePath,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newSender(t, ample).Deliver(t.Context(), dispatchTo(t, url))
			require.Equal(t, pipeline.DeliveryPending, r.Status)
			requireSentence(t, r, "")
		})
	}
}
