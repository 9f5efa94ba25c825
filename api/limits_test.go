package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/api"
	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/workflows"
)

const patience = time.Minute

// stuckEngine lets no command through until it is told to.
type stuckEngine struct {
	*fakeEngine

	entered atomic.Int64
	once    sync.Once
	free    chan struct{}
}

func (e *stuckEngine) Submit(ctx context.Context, s workflows.Submission) (workflows.Outcome, error) {
	e.entered.Add(1)
	<-e.free
	return e.fakeEngine.Submit(ctx, s)
}

func (e *stuckEngine) SendTest(ctx context.Context, in workflows.TestInput) (workflows.TestResult, error) {
	e.entered.Add(1)
	<-e.free
	return e.fakeEngine.SendTest(ctx, in)
}

func (e *stuckEngine) release() { e.once.Do(func() { close(e.free) }) }

// limited is a rig whose engine is stuck and that has these limits.
func limited(t *testing.T, limits api.Limits) (*rig, *stuckEngine) {
	t.Helper()
	r := newRig(t)
	stuck := &stuckEngine{fakeEngine: r.engine, free: make(chan struct{})}
	var err error
	r.server, err = api.New(api.Config{
		Store: r.store, Engine: stuck, Targets: fakeTargets{}, Documents: fakeBucket{}, Version: "v1.2.3", Limits: limits,
	})
	require.NoError(t, err)
	t.Cleanup(stuck.release)
	return r, stuck
}

func (r *rig) gauge(name, limit string) string {
	r.t.Helper()
	prefix := fmt.Sprintf("%s{limit=%q} ", name, limit)
	for line := range strings.Lines(string(r.get("/metrics").body)) {
		if value, ok := strings.CutPrefix(line, prefix); ok {
			return strings.TrimSpace(value)
		}
	}
	r.t.Fatalf("there is no %s", prefix)
	return ""
}

// A burst on an engine that does not get on: a few are under way, as many wait, and all the rest
// hear at once that they are to come again. When the engine gets on, what was taken is answered.
func TestMoreCommandsThanCanBeAnswered(t *testing.T) {
	t.Parallel()
	const limit, burst = 3, 100
	r, stuck := limited(t, api.Limits{Commands: limit})
	var taken, refused atomic.Int64
	var all sync.WaitGroup
	for n := range burst {
		all.Go(func() {
			a := r.post("/v1/customers", object{"name": "A", "email": fmt.Sprintf("%d@example.com", n)})
			if a.status == http.StatusCreated {
				taken.Add(1)
				return
			}
			if a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "" {
				refused.Add(1)
			}
		})
	}
	require.Eventually(t, func() bool { return refused.Load() >= burst-2*limit }, patience, time.Millisecond)
	require.Equal(t, int64(limit), stuck.entered.Load(), "no more than there are places for")
	require.Equal(t, "3", r.gauge("dealwright_limit_taken", "commands"))
	require.Equal(t, "3", r.gauge("dealwright_limit_places", "commands"))
	r.get("/v1/customers").must(http.StatusOK)
	r.get("/readyz").must(http.StatusOK)

	stuck.release()
	all.Wait()
	require.Equal(t, int64(burst), taken.Load()+refused.Load(), "everybody got one answer or the other")
	require.GreaterOrEqual(t, taken.Load(), int64(limit))
	require.Len(t, r.store.events, int(taken.Load()), "what was refused left no trace")
	require.Equal(t, "0", r.gauge("dealwright_limit_taken", "commands"))
	require.Equal(t, "0", r.gauge("dealwright_limit_waiting", "commands"))
	require.NotEqual(t, "0", r.gauge("dealwright_limit_refused_total", "commands"))
	r.customer()
}

func TestWhoWaitsTooLongForAPlaceIsRefused(t *testing.T) {
	t.Parallel()
	r, stuck := limited(t, api.Limits{Commands: 1})
	var first sync.WaitGroup
	first.Go(func() { r.customer() })
	require.Eventually(t, func() bool { return stuck.entered.Load() == 1 }, patience, time.Millisecond)
	r.post("/v1/customers", object{"name": "B", "email": "b@example.com"}).
		problem(http.StatusServiceUnavailable, pipeline.CodeUnavailable) // the only one who waits, and in vain
	stuck.release()
	first.Wait()
}

// Tests of endpoints that hang take nothing from commands.
func TestSlowTestsRefuseNoCommands(t *testing.T) {
	t.Parallel()
	const tests = 40
	r, stuck := limited(t, api.Limits{Commands: 1})
	webhook := r.webhook()
	var all sync.WaitGroup
	var refused atomic.Int64
	for range tests {
		all.Go(func() {
			if r.post(webhook+"/test", object{"type": "contract.signed"}).status == http.StatusServiceUnavailable {
				refused.Add(1)
			}
		})
	}
	require.Eventually(t, func() bool { return refused.Load() > 0 }, patience, time.Millisecond)
	require.Equal(t, "0", r.gauge("dealwright_limit_taken", "commands"))
	require.Eventually(t, func() bool { // those under way hold nothing that others need
		return r.gauge("dealwright_limit_taken", "tests") == "16" && r.gauge("dealwright_limit_taken", "requests") == "0"
	}, patience, time.Millisecond)
	stuck.release()
	all.Wait()
	r.customer()
}

// hesitant sends a part of a request, and the rest when it is told to.
func hesitant(t *testing.T, addr, head, body string) (net.Conn, func()) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	_, err = io.WriteString(conn, head+fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body))+body[:len(body)-1])
	require.NoError(t, err)
	return conn, func() {
		_, err := io.WriteString(conn, body[len(body)-1:])
		require.NoError(t, err)
	}
}

const head = "POST /v1/customers HTTP/1.1\r\nHost: dealwright\r\nAuthorization: Bearer " + admin + "\r\nContent-Type: application/json\r\n"

func statusOf(t *testing.T, conn net.Conn) int {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer response.Body.Close()
	return response.StatusCode
}

// Who sends slowly holds no place while it does, and gets its answer in the end.
func TestSlowBodiesHoldNoPlace(t *testing.T) {
	t.Parallel()
	r, stuck := limited(t, api.Limits{Requests: 2})
	stuck.release()
	server := httptest.NewServer(r.server)
	t.Cleanup(server.Close)
	var rests [20]func()
	var conns [20]net.Conn
	for n := range rests {
		conns[n], rests[n] = hesitant(t, server.Listener.Addr().String(), head, fmt.Sprintf(`{"name":"A","email":"%d@example.com"}`, n))
	}
	for range rests {
		r.get("/v1/customers").must(http.StatusOK)
	}
	for n, rest := range rests {
		rest()
		require.Equal(t, http.StatusCreated, statusOf(t, conns[n]))
	}
}

func TestABodyThatTakesTooLong(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	server := httptest.NewUnstartedServer(r.server)
	server.Config.ReadTimeout = 50 * time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	conn, _ := hesitant(t, server.Listener.Addr().String(), head, `{"name":"A","email":"a@example.com"}`)
	require.Equal(t, http.StatusRequestTimeout, statusOf(t, conn))
	require.Empty(t, r.store.events)
}

// Large bodies that never end are few at a time, and small ones get through beside them.
func TestLargeBodiesAreFewAtATime(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	server := httptest.NewServer(r.server)
	t.Cleanup(server.Close)
	large := `{"name":"A","email":"a@example.com","attributes":{"a":"` + strings.Repeat("a", 500_000) + `"}}`
	refused := make(chan int)
	for range 40 {
		conn, _ := hesitant(t, server.Listener.Addr().String(), head, large)
		go func() {
			if response, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
				response.Body.Close()
				refused <- response.StatusCode
			}
		}()
	}
	require.Equal(t, http.StatusServiceUnavailable, <-refused)
	require.Equal(t, "32", r.gauge("dealwright_limit_taken", "large_bodies"))
	r.customer()
	r.post("/v1/customers", large).problem(http.StatusServiceUnavailable, pipeline.CodeUnavailable)
}

// Those who wait for news hold no place either, and too many of them are told to come again.
func TestTooManyWaitForNews(t *testing.T) {
	t.Parallel()
	const waiters = 1000
	r, _ := limited(t, api.Limits{Requests: 8})
	var all sync.WaitGroup
	var served atomic.Int64
	var over atomic.Bool
	for range waiters {
		all.Go(func() {
			for !over.Load() { // they come at once, so some are asked to come again
				if r.get("/v1/events?wait=30s").status == http.StatusOK {
					served.Add(1)
				}
				runtime.Gosched()
			}
		})
	}
	require.Eventually(t, func() bool {
		refused := r.get("/v1/events?wait=1ms")
		return strings.Contains(string(refused.body), "too many wait for news") && refused.status == http.StatusServiceUnavailable &&
			r.get("/v1/events?wait=0s").status == http.StatusOK && r.get("/v1/customers").status == http.StatusOK
	}, patience, 10*time.Millisecond, "those who wait keep others from nothing but waiting")
	over.Store(true)
	r.server.Drain()
	all.Wait()
	require.NotZero(t, served.Load())
}

// Where commands fail or are slow, fewer are tried at a time; where they are quick again, more.
func TestPlacesFollowWhatCommandsMeet(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	places := func() string { return r.gauge("dealwright_limit_places", "commands") }
	customer := r.customer()
	require.Equal(t, "64", places())
	note := object{"type": "email.sent"}
	r.engine.broken = pipeline.Errorf(pipeline.CodeUnavailable, "Temporal is away")
	for range 10 {
		r.post(customer+"/transitions", note).problem(http.StatusServiceUnavailable, pipeline.CodeUnavailable)
	}
	require.Equal(t, "32", places(), "ten that fail at the same time are one reason")
	r.engine.broken = pipeline.Errorf(pipeline.CodeIllegalTransition, "not now")
	for range 32 {
		r.post(customer+"/transitions", note).problem(http.StatusConflict, pipeline.CodeIllegalTransition)
	}
	require.Equal(t, "33", places(), "a refusal that comes quickly is an answer")
	require.Equal(t, "0", r.gauge("dealwright_limit_taken", "commands"))
}

// leftEngine is one whose callers hang up before it answers.
type leftEngine struct {
	*fakeEngine

	hangUp context.CancelFunc
}

func (e *leftEngine) Submit(ctx context.Context, _ workflows.Submission) (workflows.Outcome, error) {
	e.hangUp()
	<-ctx.Done()
	return workflows.Outcome{}, pipeline.Errorf(pipeline.CodeUnavailable, "the command could not be completed now")
}

// A caller who hangs up has met nothing that is slow or broken: others keep their places.
func TestCallersWhoHangUpTakeNoPlaces(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	customer := r.customer()
	ctx, cancel := context.WithCancel(t.Context())
	var err error
	r.server, err = api.New(api.Config{Store: r.store, Engine: &leftEngine{r.engine, cancel}, Targets: fakeTargets{}})
	require.NoError(t, err)
	left := func(request *http.Request) { *request = *request.WithContext(ctx) }
	r.post(customer+"/transitions", object{"type": "email.sent"}, left).problem(http.StatusServiceUnavailable, pipeline.CodeUnavailable)
	require.Equal(t, "64", r.gauge("dealwright_limit_places", "commands"))
}
