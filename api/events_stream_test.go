package api_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/api"
	"github.com/dealwright/dealwright/pipeline"
)

// follower reads a stream of server-sent events over a real connection.
type follower struct {
	t      *testing.T
	lines  *bufio.Scanner
	answer *http.Response
}

// follow opens the stream of a rig that is really served.
func (r *rig) follow(t *testing.T, query string, options ...option) *follower {
	t.Helper()
	server := httptest.NewServer(r.server)
	t.Cleanup(server.Close)
	ctx, leave := context.WithCancel(t.Context())
	t.Cleanup(leave)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/v1/events/stream"+query, http.NoBody)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+admin)
	for _, change := range options {
		change(request)
	}
	answer, err := server.Client().Do(request)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, answer.Body.Close()) })
	return &follower{t: t, lines: bufio.NewScanner(answer.Body), answer: answer}
}

// next gives the fields of the next event, comments and retry left out; nil at the end of the stream.
func (f *follower) next() map[string]string {
	f.t.Helper()
	event := map[string]string{}
	for f.lines.Scan() {
		name, value, _ := strings.Cut(f.lines.Text(), ": ")
		switch {
		case f.lines.Text() == "" && event["id"] != "":
			return event
		case name == "id" || name == "event" || name == "data":
			event[name] = value
		}
	}
	return nil
}

func TestTheStreamHasWhatHappensFromNowOn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.customer()
	f := r.follow(t, "")
	require.Equal(t, "text/event-stream", f.answer.Header.Get("Content-Type"))
	customer := r.customer()
	e := f.next()
	require.Equal(t, "customer.created", e["event"])
	var event pipeline.Event
	mustDecode([]byte(e["data"]), &event)
	require.Equal(t, customer, path("/v1/customers/", object{"id": float64(event.CustomerID)}))
	require.Equal(t, e["id"], strconv.FormatInt(event.Position, 10))
}

func TestTheStreamGoesOnWhereItWasCutOff(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	proposal := r.proposal(r.customer())
	r.post(proposal+"/transitions", object{"type": "proposal.sent"}).must(http.StatusCreated)
	first := r.follow(t, "?after=0")
	created := first.next()
	require.Equal(t, "customer.created", created["event"])

	again := r.follow(t, "?after=0", header("Last-Event-ID", created["id"]))
	require.Equal(t, "proposal.requested", again.next()["event"])
	require.Equal(t, "proposal.sent", again.next()["event"])

	some := r.follow(t, "?after=0&types=proposal.sent")
	require.Equal(t, "proposal.sent", some.next()["event"])
}

func TestTheStreamEndsWithTheServer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := r.follow(t, "")
	r.server.Drain()
	require.Nil(t, f.next())
}

func TestTheStreamEndsWithItsKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := r.follow(t, "", as(app))
	r.call(http.MethodDelete, "/v1/keys/2", nil)
	r.customer()
	require.Nil(t, f.next(), "what happens after a key was revoked is none of its business")
}

func TestTheStreamRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.get("/v1/events/stream", header("Last-Event-ID", "x")).invalid("")
	r.get("/v1/events/stream?after=-1").problem(http.StatusUnprocessableEntity, pipeline.CodeInvalid)
	r.get("/v1/events/stream?types=nothing.*").problem(http.StatusUnprocessableEntity, pipeline.CodeInvalid)
}

// A stream that waits for news takes nobody's place.
func TestManyStreamsLeaveRoomForRequests(t *testing.T) {
	t.Parallel()
	r, engine := limited(t, api.Limits{Requests: 2})
	engine.release()
	for range 6 {
		require.Equal(t, http.StatusOK, r.follow(t, "").answer.StatusCode)
	}
	r.get("/v1/customers").must(http.StatusOK)
	f := r.follow(t, "")
	r.customer()
	require.Equal(t, "customer.created", f.next()["event"])
}
