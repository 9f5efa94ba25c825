package api_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/api"
	"github.com/dealwright/dealwright/pipeline"
)

// clock goes on when it is told to.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Date(2026, time.November, 21, 9, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

// gated is a rig whose gate has small limits.
func gated(t *testing.T, c *clock, changes ...func(*api.Config)) *rig {
	t.Helper()
	return newRig(t, append([]func(*api.Config){func(config *api.Config) {
		config.AuthFailures, config.Now = 5, c.now
	}}, changes...)...)
}

func from(address string) option {
	return func(r *http.Request) { r.RemoteAddr = address }
}

func (r *rig) tried() int {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	return r.store.tried
}

func (a reply) heldBack(after string) {
	a.t.Helper()
	a.problem(http.StatusTooManyRequests, pipeline.CodeRateLimited)
	require.Equal(a.t, after, a.header.Get("Retry-After"))
}

func TestWrongKeysAreHeldBackByAddress(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := gated(t, c)
	here, elsewhere := from("192.0.2.1:1000"), from("192.0.2.2:1000")
	r.get("/v1/keys", here).must(http.StatusOK)
	for range 5 {
		r.get("/v1/keys", as("dw_wrong"), here).problem(http.StatusUnauthorized, pipeline.CodeUnauthenticated)
	}
	asked := r.tried()
	for range 10 {
		r.get("/v1/keys", as("dw_wrong"), here).heldBack("1")
	}
	r.call(http.MethodPut, "/v1/keys", nil, as("dw_wrong"), here).heldBack("1")
	require.Equal(t, asked, r.tried(), "it costs the store nothing")

	// A key that was good lately goes on, from the same address too; one that nobody has seen waits.
	r.get("/v1/keys", here).must(http.StatusOK)
	r.get("/v1/customers", as(app), here).heldBack("1")
	r.get("/v1/customers", as(app), elsewhere).must(http.StatusOK)
	r.get("/v1/customers", as(app), here).must(http.StatusOK)
	r.get("/v1/keys", as("dw_wrong"), elsewhere).problem(http.StatusUnauthorized, pipeline.CodeUnauthenticated)

	// Good keys are asked for each time: what was revoked opens nothing from then on.
	r.call(http.MethodDelete, "/v1/keys/2", nil, elsewhere).must(http.StatusNoContent)
	r.get("/v1/customers", as(app), here).problem(http.StatusUnauthorized, pipeline.CodeUnauthenticated)

	// Nothing is held back that shows no key at all: there is nothing to guess.
	r.get("/v1/keys", without("Authorization"), here).problem(http.StatusUnauthorized, pipeline.CodeUnauthenticated)

	c.advance(time.Second)
	r.get("/v1/keys", as("dw_wrong"), here).problem(http.StatusUnauthorized, pipeline.CodeUnauthenticated)
	r.get("/v1/keys", as("dw_wrong"), here).heldBack("1")
	c.advance(time.Hour)
	for range 5 {
		r.get("/v1/keys", as("dw_wrong"), here).problem(http.StatusUnauthorized, pipeline.CodeUnauthenticated)
	}
	r.get("/v1/keys", as("dw_wrong"), here).heldBack("1")
}

// Other systems' routes and a provider's address are doors of the same house.
func TestWrongKeysAreHeldBackAtEveryDoor(t *testing.T) {
	t.Parallel()
	for name, knock := range map[string]func(r *rig) reply{
		"solo": func(r *rig) reply { return r.get("/api_trigger_events", as("dw_wrong")) },
		"solve360": func(r *rig) reply {
			return r.get("/hooks/", func(r *http.Request) { r.SetBasicAuth("jo@example.com", "dw_wrong") })
		},
		"solarproof": func(r *rig) reply {
			return r.call(http.MethodDelete, "/apidata.php?action=unsubscribe_customer&api_key=dw_wrong", object{"hookUrl": "https://a.example"})
		},
		"sighten": func(r *rig) reply {
			return r.get("/api/v1/document/00000000-0000-4000-8000-000000000001/download/", as("dw_wrong"))
		},
		"inbound": func(r *rig) reply { return r.post("/inbound/wrong", "{}") },
	} {
		r := gated(t, newClock())
		for range 5 {
			a := knock(r)
			require.Contains(t, []int{http.StatusUnauthorized, http.StatusBadRequest, http.StatusNotFound}, a.status, name)
		}
		a := knock(r)
		require.Equal(t, http.StatusTooManyRequests, a.status, "%s: %s", name, a.body)
		require.Equal(t, "1", a.header.Get("Retry-After"), name)
	}
}

func TestWhoIsHeldBack(t *testing.T) {
	t.Parallel()
	behind := func(addresses string) option { return header("X-Forwarded-For", addresses) }
	at := func(address string, headers ...option) []option { return append(headers, from(address+":1")) }
	for _, test := range []struct {
		name     string
		trusted  []string
		one, two []option
		same     bool
	}{
		{"another IPv4 address", nil, at("192.0.2.1"), at("192.0.2.2"), false},
		{"another port", nil, at("192.0.2.1"), []option{from("192.0.2.1:2")}, true},
		{"IPv4 in IPv6", nil, at("192.0.2.1"), at("[::ffff:192.0.2.1]"), true},
		{"the same IPv6 network", nil, at("[2001:db8::1]"), at("[2001:db8::ffff:2]"), true},
		{"another IPv6 network", nil, at("[2001:db8::1]"), at("[2001:db8:0:1::1]"), false},
		{"a Unix socket", nil, []option{from("@")}, []option{from("@")}, true},
		{
			"whoever says so is not believed", nil,
			at("192.0.2.1", behind("198.51.100.1")),
			at("192.0.2.1", behind("198.51.100.2")), true,
		},
		{
			"not even on loopback", nil,
			at("127.0.0.1", behind("198.51.100.1")),
			at("127.0.0.1", behind("198.51.100.2")), true,
		},
		{
			"a proxy that is trusted",
			[]string{"192.0.2.0/24"},
			at("192.0.2.1", behind("198.51.100.1")),
			at("192.0.2.1", behind("198.51.100.2")), false,
		},
		{
			"what came before the proxy may be made up",
			[]string{"192.0.2.1"},
			at("192.0.2.1", behind("203.0.113.1, 198.51.100.1")),
			at("192.0.2.1", behind("203.0.113.2, 198.51.100.1")), true,
		},
		{
			"another header than the one that proxies set",
			[]string{"192.0.2.1"},
			at("192.0.2.1", header("X-Real-IP", "198.51.100.1")),
			at("192.0.2.1", header("X-Real-IP", "198.51.100.2")), true,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := gated(t, newClock(), func(c *api.Config) { c.TrustedProxies = test.trusted })
			for range 6 {
				r.get("/v1/keys", append(test.one, as("dw_wrong"))...)
			}
			r.get("/v1/keys", append(test.one, as("dw_wrong"))...).heldBack("1")
			a := r.get("/v1/keys", append(test.two, as("dw_wrong"))...)
			require.Equal(t, test.same, a.status == http.StatusTooManyRequests, string(a.body))
		})
	}
}

func TestTrustedProxiesAreChecked(t *testing.T) {
	t.Parallel()
	_, err := api.New(api.Config{Store: &fakeStore{}, TrustedProxies: []string{"proxy.example"}})
	require.ErrorContains(t, err, "trusted proxies")
}

func TestAKeyHasARateLimit(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := gated(t, c, func(config *api.Config) { config.KeyRate = 2 })
	for range 4 {
		r.get("/v1/event-types").must(http.StatusOK)
	}
	r.get("/v1/event-types").heldBack("1")
	r.get("/v1/event-types", as(app)).must(http.StatusOK)
	c.advance(time.Second)
	for range 2 {
		r.get("/v1/event-types").must(http.StatusOK)
	}
	r.get("/v1/event-types").heldBack("1")

	c.advance(time.Minute)
	slow := r.post("/v1/keys", object{"name": "slow", "role": "app", "rate_limit": 0.1}).must(http.StatusCreated)
	require.InDelta(t, 0.1, slow["rate_limit"], 0)
	secret, ok := slow["key"].(string)
	require.True(t, ok, slow)
	r.get("/v1/event-types", as(secret)).must(http.StatusOK)
	r.get("/v1/event-types", as(secret)).heldBack("10")
	r.get("/api_trigger_events", as(secret)).must(http.StatusTooManyRequests)
	c.advance(9 * time.Second)
	r.get("/v1/event-types", as(secret)).heldBack("1")
	c.advance(time.Second)
	r.get("/v1/event-types", as(secret)).must(http.StatusOK)
}

func TestAKeyCanExpire(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body := func(end string) object { return object{"name": "trial", "role": "partner", "expires_at": end} }
	for _, past := range []string{"2026-11-21T09:00:00.123456789Z", "2020-01-01T00:00:00Z", "2026-11-21T19:00:00+12:00"} {
		r.post("/v1/keys", body(past)).invalid("/expires_at")
	}
	made := r.post("/v1/keys", body("2026-12-01T10:00:00+01:00")).must(http.StatusCreated)
	require.Equal(t, "2026-12-01T09:00:00Z", made["expires_at"])
	listed := r.get("/v1/keys").rows()
	require.Equal(t, made["expires_at"], listed[0]["expires_at"])
	require.Nil(t, listed[1]["expires_at"])
	require.Nil(t, listed[1]["rate_limit"])
}

// That a key was used is noted once a minute, and no request waits for it.
func TestUseOfAKeyIsNoted(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := gated(t, c)
	noted := func() int {
		r.store.mu.Lock()
		defer r.store.mu.Unlock()
		return len(r.store.noted)
	}
	for want := 1; want <= 3; want++ {
		for range 3 {
			r.get("/v1/event-types").must(http.StatusOK)
		}
		require.Eventually(t, func() bool { return noted() == want }, time.Minute, time.Millisecond)
		c.advance(time.Minute)
	}
	r.get("/v1/event-types", as("dw_wrong")).must(http.StatusUnauthorized)
	require.Equal(t, 3, noted())
}
