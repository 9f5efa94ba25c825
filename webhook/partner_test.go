package webhook_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/webhook"
)

// TestMain gives every test an environment whose proxy leads nowhere: whatever used it would
// not arrive.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		if err := os.Setenv(name, "http://127.0.0.1:1"); err != nil {
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

const (
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	// What a partner's URL may hold, and what no answer may ever show.
	privatePath = "/hooks/path-token?key=query-token#"
	loopback    = "127.0.0.0/8,::1/128"
	// patience of the senders that are meant to run out of it.
	patience = time.Second
	lateness = "no answer within 1s"
	// ample is for the others, however busy the machine.
	ample = 30 * time.Second
)

func newTargets(tb testing.TB, allow string) *webhook.Targets {
	tb.Helper()
	targets, err := webhook.NewTargets(allow)
	require.NoError(tb, err)
	return targets
}

func newSender(tb testing.TB, timeout time.Duration) *webhook.Sender {
	tb.Helper()
	return webhook.NewSender(webhook.SenderConfig{
		Targets: newTargets(tb, loopback), Timeout: timeout, Version: "test",
		Schedule: webhook.Schedule{time.Minute, time.Hour},
	})
}

// proposalSent is the event of a proposal that was requested, saved and sent.
func proposalSent(tb testing.TB) pipeline.Event {
	tb.Helper()
	at := time.Date(2026, 11, 21, 9, 0, 0, 123000000, time.UTC)
	state := pipeline.NewProposal(1, 12345, 54321)
	var last pipeline.Event
	for i, c := range []pipeline.Command{
		{
			Type: pipeline.TypeProposalRequested,
			Data: []byte(`{"uuid":"7cf8d5db-bb05-4a39-a40b-c83e17988c37","customer_uuid":"4f0c9a56-2f0e-4a1b-9d0b-6f6f2b1e7c11"}`),
		},
		{Type: pipeline.TypeProposalSaved, Data: []byte(`{"nickname":"Bücher & Söhne <6.6 kW>"}`)},
		{Type: pipeline.TypeProposalSent, Data: []byte(`{"channel":"email"}`), Actor: pipeline.Actor{UserID: 67890}},
	} {
		c.OccurredAt = at
		event, next, err := pipeline.Next(state, c, string(c.Type))
		require.NoError(tb, err)
		event.Position = int64(1040 + i)
		state, last = next, event
	}
	return last
}

func dispatchTo(tb testing.TB, url string) pipeline.Dispatch {
	tb.Helper()
	return pipeline.Dispatch{
		DeliveryID: 7, Event: proposalSent(tb),
		Webhook: pipeline.Webhook{
			ID: 3, CompanyID: 1, URL: url, Format: pipeline.FormatNative, Signing: pipeline.Signing{Secret: secret}, Active: true,
		},
	}
}

// received is a request as a partner got it.
type received struct {
	method string
	url    string
	proto  int
	header http.Header
	body   []byte
}

// partner is a webhook's receiver that keeps what it gets.
type partner struct {
	*httptest.Server
	mu       sync.Mutex
	requests []received
	accepted int
	closed   chan struct{} // one for every connection that was closed
}

// newPartner answers with the handler after it has noted the request.
func newPartner(tb testing.TB, answer http.HandlerFunc) *partner {
	tb.Helper()
	p := unstartedPartner(tb, answer)
	p.Start()
	return p
}

func unstartedPartner(tb testing.TB, answer http.HandlerFunc) *partner {
	tb.Helper()
	p := &partner{closed: make(chan struct{}, 1000)}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.requests = append(p.requests, received{r.Method, r.URL.String(), r.ProtoMajor, r.Header.Clone(), body})
		p.mu.Unlock()
		answer(w, r)
	}))
	p.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			p.mu.Lock()
			p.accepted++
			p.mu.Unlock()
		case http.StateClosed:
			select {
			case p.closed <- struct{}{}:
			default:
			}
		default:
		}
	}
	tb.Cleanup(func() {
		p.CloseClientConnections()
		p.Close()
	})
	return p
}

func (p *partner) got() []received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]received(nil), p.requests...)
}

func (p *partner) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

func answerOK(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// rawPartner speaks for itself: serve gets every connection, with its number from 1, and may do
// as it likes until the test is over and the connections are closed.
func rawPartner(tb testing.TB, serve func(n int, c net.Conn)) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	var (
		serving sync.WaitGroup
		mu      sync.Mutex
		open    []net.Conn
	)
	serving.Go(func() {
		for n := 1; ; n++ {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			serving.Go(func() {
				defer c.Close()
				serve(n, c)
			})
		}
	})
	tb.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return "http://" + listener.Addr().String()
}

// readRequest takes one request from a connection, if there is one.
func readRequest(c net.Conn) {
	if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

// say writes as long as somebody listens, false where nobody does any more.
func say(c net.Conn, text string) bool {
	_, err := io.WriteString(c, text)
	return err == nil
}

// hang does nothing until the other side gives up.
func hang(c net.Conn) {
	_, _ = io.Copy(io.Discard, c)
}

// tokenValue is the n-th token that an authority gives.
func tokenValue(n int64) string { return "token-value-" + strconv.FormatInt(n, 10) }
