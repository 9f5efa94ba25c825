package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/standalone/stack"
)

// rolling is the production shape: api and worker processes of the real command, which are
// replaced one after the other while clients work.
type rolling struct {
	*engine

	balancer *balancer
	clients  sync.WaitGroup
	stop     atomic.Bool
	done     atomic.Int64
	longest  atomic.Int64 // of all requests, in nanoseconds
	failed   chan error
}

// The builds that workers say they are, the older first.
const (
	buildA = "20260101T000000Z-v1.0.0"
	buildB = "20260201T000000Z-v1.1.0"
)

func (r *rolling) env(more ...string) []string {
	return append([]string{
		"DATABASE_URL=" + r.DatabaseURL(), "TEMPORAL_ADDRESS=" + r.Ready().Temporal, "DEALWRIGHT_ENCRYPTION_KEY=" + encryptionKey,
		"DEALWRIGHT_ALLOW_TARGETS=127.0.0.0/8,::1/128", "DEALWRIGHT_ADDR=127.0.0.1:0", "DEALWRIGHT_DRAIN_DELAY=1s",
	}, more...)
}

// startWorker starts a worker of a build and waits until it is known who gets the work.
func (r *rolling) startWorker(t *testing.T, build string) *part {
	t.Helper()
	return startPart(t, dealwright(t), r.env("DEALWRIGHT_BUILD_ID="+build), `"msg":"working"`, "worker")
}

// promoted gives the work to a build by hand.
func (r *rolling) promoted(t *testing.T, args ...string) {
	t.Helper()
	status, out, said := tool(t, r.env(), append([]string{"promote"}, args...)...)
	require.Zero(t, status, "%s%s", out, said)
}

func (r *rolling) requireCurrent(t *testing.T, build string) {
	t.Helper()
	status, out, said := tool(t, r.env(), "promote")
	require.Zero(t, status, "%s", said)
	require.Regexp(t, build+` .* current\n`, out)
}

// balancer passes requests on to API processes that say that they are ready, as a load balancer
// in front of them does.
type balancer struct {
	*httptest.Server

	mu      sync.Mutex
	targets []string
	next    int
}

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	b := &balancer{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		target, err := url.Parse(b.pick())
		if err == nil {
			r.SetURL(target)
		}
	}}
	b.Server = httptest.NewServer(proxy)
	t.Cleanup(b.Close)
	return b
}

func (b *balancer) pick() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	return b.targets[b.next%len(b.targets)]
}

func (b *balancer) set(targets ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.targets = targets
}

// startAPI starts an API process and gives its address.
func (r *rolling) startAPI(t *testing.T) (*part, string) {
	t.Helper()
	p := startPart(t, dealwright(t), r.env(), `"msg":"serving"`, "api")
	return p, "http://" + p.log.field(t, "addr")
}

// drains waits until an API process says that it is about to end, when a load balancer sends it
// nothing more, and then until it has ended.
func (r *rolling) drains(t *testing.T, p *part, address string, left ...string) {
	t.Helper()
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	eventually(t, "it says that it is not ready", func() bool {
		a, err := caller{api: address}.try(http.MethodGet, "/readyz", nil)
		return err == nil && a.status == http.StatusServiceUnavailable
	})
	r.balancer.set(left...)
	<-p.done
	require.NoError(t, p.err, "%s", p.log.String())
}

// load has clients work, each on an entity of its own and without ever repeating a request.
func (r *rolling) load(c company, streams []pipeline.Stream) {
	for i, stream := range streams {
		r.clients.Go(func() {
			for n := 0; !r.stop.Load(); n++ {
				began := time.Now()
				a, err := c.try(http.MethodPost, pathOf(stream)+"/transitions", note(n), idempotent(fmt.Sprintf("%d-%d", i, n)))
				if err == nil && a.status != http.StatusCreated {
					err = fmt.Errorf("answered %d: %s", a.status, a.body)
				}
				if err != nil {
					r.failed <- errors.Join(fmt.Errorf("client %d, request %d, after %s", i, n, time.Since(began)), err)
					return
				}
				r.done.Add(1)
				for took := int64(time.Since(began)); took > r.longest.Load(); {
					r.longest.Store(took)
				}
			}
		})
	}
}

// goesOn waits until clients have done some more.
func (r *rolling) goesOn(t *testing.T, step string) {
	t.Helper()
	const some = 40
	until := r.done.Load() + some
	eventually(t, "clients go on after "+step, func() bool { return r.done.Load() >= until || len(r.failed) > 0 })
	if len(r.failed) > 0 {
		t.Fatalf("after %s: %v", step, <-r.failed)
	}
	t.Logf("%s: %d requests so far, the longest took %s", step, r.done.Load(), time.Duration(r.longest.Load()))
}

// TestProcessesAreReplacedUnderLoad replaces every process of the production shape while clients
// work that never repeat a request: from workers without a build to a first build, to a second
// one, back and forth. All requests succeed, and everything is delivered once.
func TestProcessesAreReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	const clients = 4
	r := &rolling{
		engine: ownEngineWith(t, func(o *stack.Options) { o.NoWorker = true }), balancer: newBalancer(t), failed: make(chan error, clients),
	}
	api1, address1 := r.startAPI(t)
	api2, address2 := r.startAPI(t)
	r.balancer.set(address1, address2)
	plain1, plain2 := r.startWorker(t, "none"), r.startWorker(t, "none")

	c := r.newCompany(t)
	c.api = r.balancer.URL
	partner := newReceiver(t)
	h := c.webhook(t, partner.URL+"/", nil)
	streams := make([]pipeline.Stream, clients)
	for i := range streams {
		streams[i] = c.customer(t).Ref().Stream()
	}
	r.load(c, streams)
	r.goesOn(t, "the start, without builds")

	a1 := r.startWorker(t, buildA)
	r.requireCurrent(t, buildA)
	r.goesOn(t, "the first worker with a build")
	plain1.end(t)
	a2 := r.startWorker(t, buildA)
	plain2.end(t)
	r.goesOn(t, "all have a build")

	b1 := r.startWorker(t, buildB)
	r.requireCurrent(t, buildB)
	a1.end(t)
	a1 = r.startWorker(t, buildA) // as after a crash in the middle of the rollout
	r.requireCurrent(t, buildB)
	require.True(t, a1.log.contains("this worker gets no work"))
	b2 := r.startWorker(t, buildB)
	a1.end(t)
	r.goesOn(t, "the second build beside the first")

	r.promoted(t, buildA)
	r.requireCurrent(t, buildA)
	b1.end(t)
	b1 = r.startWorker(t, buildB)
	r.requireCurrent(t, buildA) // what was taken back stays so
	r.goesOn(t, "the first build again")
	r.promoted(t, buildB)
	r.goesOn(t, "the second build again")
	a2.end(t)
	b2.end(t)
	r.goesOn(t, "one worker of the second build")

	api3, address3 := r.startAPI(t)
	r.balancer.set(address1, address2, address3)
	r.drains(t, api1, address1, address2, address3)
	r.goesOn(t, "one API is replaced")
	r.drains(t, api2, address2, address3)
	r.goesOn(t, "both APIs are replaced")

	r.stop.Store(true)
	r.clients.Wait()
	require.Empty(t, r.failed)
	total := int(r.done.Load()) + clients
	c.api = r.Ready().API
	eventually(t, "everything is delivered", func() bool {
		var n int
		err := r.db.QueryRowContext(t.Context(), `SELECT count(*) FROM deliveries WHERE webhook_id = $1 AND status = 'delivered'`, h.ID).Scan(&n)
		return err == nil && n == total
	})
	require.Equal(t, total, partner.count("/"), "once")
	for _, stream := range streams {
		got := partner.firstOf("/", stream)
		require.Equal(t, upTo(len(got)), got)
	}
	b1.end(t)
	api3.end(t)
}
