package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// receiver is a partner. It answers 200 on every path that has no script, and notes all that
// arrives.
type receiver struct {
	*httptest.Server

	mu      sync.Mutex
	scripts map[string]script
	got     []*delivery
	most    map[string]int // by path, how many requests were under way at once
}

// script answers the nth request (from 1) to a path. It may wait for as long as the request is
// not given up.
type script func(w http.ResponseWriter, r *http.Request, nth int)

// delivery is one request that arrived.
type delivery struct {
	at       time.Time
	method   string
	path     string
	query    url.Values
	header   http.Header
	peer     string // the subject of the client's certificate, where it showed one
	body     []byte
	envelope struct {
		Type pipeline.EventType `json:"type"`
		Data struct {
			ID      string          `json:"id"`
			Seq     int64           `json:"seq"`
			Stream  pipeline.Stream `json:"stream"`
			Test    bool            `json:"test"`
			Payload json.RawMessage `json:"payload"`
		} `json:"data"`
	}

	answered bool // guarded by the receiver's mutex
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := unstarted()
	r.Start()
	t.Cleanup(r.Close)
	return r
}

// newSecureReceiver is a partner behind TLS.
func newSecureReceiver(t *testing.T, secure *tls.Config) *receiver {
	t.Helper()
	r := unstarted()
	r.TLS = secure
	r.StartTLS()
	t.Cleanup(r.Close)
	return r
}

func unstarted() *receiver {
	r := &receiver{scripts: map[string]script{}, most: map[string]int{}}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(r.take))
	// What a test makes go wrong on purpose is nothing to report.
	r.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	return r
}

func (r *receiver) take(w http.ResponseWriter, request *http.Request) {
	d := &delivery{
		at: time.Now(), method: request.Method, path: request.URL.Path, query: request.URL.Query(), header: request.Header,
	}
	if request.TLS != nil && len(request.TLS.PeerCertificates) > 0 {
		d.peer = request.TLS.PeerCertificates[0].Subject.CommonName
	}
	var err error
	if d.body, err = io.ReadAll(request.Body); err != nil {
		return // given up before it was sent
	}
	if d.header.Get("Content-Type") == "application/json" {
		if err := json.Unmarshal(d.body, &d.envelope); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	answer, nth := r.arrived(d)
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		d.answered = true
	}()
	if answer != nil {
		answer(w, request, nth)
	}
}

func (r *receiver) arrived(d *delivery) (answer script, nth int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, d)
	open := 0
	for _, other := range r.got {
		if other.path != d.path {
			continue
		}
		nth++
		if !other.answered {
			open++
		}
	}
	r.most[d.path] = max(r.most[d.path], open)
	return r.scripts[d.path], nth
}

func (r *receiver) on(path string, s script) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scripts[path] = s
}

// at lists what has arrived on a path, in order.
func (r *receiver) at(path string) []*delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*delivery
	for _, d := range r.got {
		if d.path == path {
			found = append(found, d)
		}
	}
	return found
}

func (r *receiver) count(path string) int { return len(r.at(path)) }

// open counts the requests on a path that wait for their answer.
func (r *receiver) open(path string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, d := range r.got {
		if d.path == path && !d.answered {
			n++
		}
	}
	return n
}

// mostAtOnce is how many requests on a path were under way at the same time.
func (r *receiver) mostAtOnce(path string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most[path]
}

// has tells whether an event has arrived on a path.
func (r *receiver) has(path string, e pipeline.Event) bool {
	return slices.ContainsFunc(r.at(path), func(d *delivery) bool { return d.envelope.Data.ID == e.ID })
}

// inTurn answers with one status after the other, and with the last for good.
func inTurn(statuses ...int) script {
	return func(w http.ResponseWriter, _ *http.Request, nth int) {
		w.WriteHeader(statuses[min(nth, len(statuses))-1])
	}
}

// scripts: the nth request has the nth script, and those after the last have that.
func scripts(all ...script) script {
	return func(w http.ResponseWriter, r *http.Request, nth int) { all[min(nth, len(all))-1](w, r, nth) }
}

// hang answers nothing until it is released, or the caller hangs up.
func hang(released <-chan struct{}) script {
	return func(_ http.ResponseWriter, r *http.Request, _ int) {
		select {
		case <-released:
		case <-r.Context().Done():
		}
	}
}

// slow takes the event once some time has passed.
func slow(takes time.Duration) script {
	return func(_ http.ResponseWriter, r *http.Request, _ int) {
		select {
		case <-time.After(takes):
		case <-r.Context().Done():
		}
	}
}

// patient asks for patience with Retry-After.
func patient(status int, retryAfter string) script {
	return func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Retry-After", retryAfter)
		w.WriteHeader(status)
	}
}

// light is an endpoint that fails until it is well.
type light struct{ well atomic.Bool }

func (l *light) answer(w http.ResponseWriter, _ *http.Request, _ int) {
	if !l.well.Load() {
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// onTheWire takes the connection and writes what it likes, in place of an answer of net/http.
func onTheWire(write func(conn net.Conn)) script {
	return func(w http.ResponseWriter, _ *http.Request, _ int) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		write(conn)
	}
}

// endlessly writes a part again and again until the other side has gone.
func endlessly(conn net.Conn, opening, part string, every time.Duration) {
	_, err := io.WriteString(conn, opening)
	for err == nil {
		time.Sleep(every)
		_, err = io.WriteString(conn, part)
	}
}

// reset breaks the connection so that the other side sees an error and no end.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // where that fails, it sees an end too early, which is as bad
	}
}

// requireSigned checks a Standard Webhooks signature by hand, as a partner without the
// library would.
func (d *delivery) requireSigned(t *testing.T, secret string) {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	require.NoError(t, err)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(d.header.Get("Webhook-Id") + "." + d.header.Get("Webhook-Timestamp") + "."))
	mac.Write(d.body)
	signature := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	require.Contains(t, strings.Fields(d.header.Get("Webhook-Signature")), signature)
	require.Equal(t, d.envelope.Data.ID, d.header.Get("Webhook-Id"))
}

// firstOf are the versions of a stream in the order in which a path saw each for the first time.
func (r *receiver) firstOf(path string, s pipeline.Stream) []int64 {
	var versions []int64
	for _, d := range r.at(path) {
		if data := d.envelope.Data; data.Stream == s && !slices.Contains(versions, data.Seq) {
			versions = append(versions, data.Seq)
		}
	}
	return versions
}

// upTo are the numbers 1 to n.
func upTo(n int) []int64 {
	all := make([]int64, n)
	for i := range all {
		all[i] = int64(i + 1)
	}
	return all
}
