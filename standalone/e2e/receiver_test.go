package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// receiver is a partner. It answers 200 on every path that has no script.
type receiver struct {
	*httptest.Server

	mu      sync.Mutex
	scripts map[string]script
	got     []*delivery
}

// script says what the nth request (from 1) to a path is answered. It may wait, for as long
// as the request is not given up.
type script func(r *http.Request, nth int) int

// delivery is one request that arrived.
type delivery struct {
	path     string
	header   http.Header
	body     []byte
	envelope struct {
		Data struct {
			ID     string          `json:"id"`
			Seq    int64           `json:"seq"`
			Stream pipeline.Stream `json:"stream"`
		} `json:"data"`
	}

	answered bool // guarded by the receiver's mutex
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{scripts: map[string]script{}}
	r.Server = httptest.NewServer(http.HandlerFunc(r.take))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) take(w http.ResponseWriter, request *http.Request) {
	d := &delivery{path: request.URL.Path, header: request.Header}
	var err error
	if d.body, err = io.ReadAll(request.Body); err != nil {
		return // given up before it was sent
	}
	if err := json.Unmarshal(d.body, &d.envelope); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := r.arrived(d)
	status := http.StatusOK
	if answer != nil {
		status = answer(request, r.count(d.path))
	}
	r.mu.Lock()
	d.answered = true
	r.mu.Unlock()
	w.WriteHeader(status)
}

func (r *receiver) arrived(d *delivery) script {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, d)
	return r.scripts[d.path]
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

// has tells whether an event has arrived on a path.
func (r *receiver) has(path string, e pipeline.Event) bool {
	return slices.ContainsFunc(r.at(path), func(d *delivery) bool { return d.envelope.Data.ID == e.ID })
}

// inTurn answers with one status after the other, and with the last for good.
func inTurn(statuses ...int) script {
	return func(_ *http.Request, nth int) int { return statuses[min(nth, len(statuses))-1] }
}

// hang answers nothing until it is released, or the caller hangs up.
func hang(released <-chan struct{}) script {
	return func(r *http.Request, _ int) int {
		select {
		case <-released:
		case <-r.Context().Done():
		}
		return http.StatusOK
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
	require.Equal(t, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), d.header.Get("Webhook-Signature"))
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
