package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"math"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/jellydator/ttlcache/v3"
	"golang.org/x/time/rate"

	"github.com/dealwright/dealwright/pipeline"
)

// What callers may do, where Config says nothing else.
const (
	// defaultAuthFailures is how many keys that open nothing an address may show at once. It gets
	// one more try each second.
	defaultAuthFailures = 100
	// defaultKeyRate is how many requests a second a key may make; in a burst, twice as many.
	defaultKeyRate = 1000
	burstSeconds   = 2
	failuresRefill = rate.Limit(1)
)

// How many of each are remembered, those that came last: what is remembered of one is about a
// hundred bytes. Whoever is forgotten begins anew.
const (
	maxAddresses = 10_000
	maxGoodKeys  = 10_000
	maxKeys      = 10_000
)

// gate holds back who tries keys, and keys that ask too much. Each process counts for itself. It
// is safe for concurrent use.
type gate struct {
	attempts int
	keyRate  rate.Limit
	now      func() time.Time

	failures *ttlcache.Cache[netip.Prefix, *rate.Limiter]
	// good are the keys and tokens, by their hash, that opened something lately. Their callers are
	// let through to be looked up however many others have failed at their address. It opens
	// nothing: whether a key is still good is asked each time.
	good *ttlcache.Cache[[sha256.Size]byte, struct{}]
	uses *ttlcache.Cache[int64, *keyUse]
}

// keyUse is what a key has done lately.
type keyUse struct {
	limiter *rate.Limiter

	mu    sync.Mutex
	noted time.Time
}

func newGate(attempts int, keyRate float64, now func() time.Time) *gate {
	return &gate{
		attempts: cmp.Or(attempts, defaultAuthFailures), keyRate: rate.Limit(cmp.Or(keyRate, defaultKeyRate)), now: now,
		failures: ttlcache.New(ttlcache.WithCapacity[netip.Prefix, *rate.Limiter](maxAddresses)),
		good:     ttlcache.New(ttlcache.WithCapacity[[sha256.Size]byte, struct{}](maxGoodKeys)),
		uses:     ttlcache.New(ttlcache.WithCapacity[int64, *keyUse](maxKeys)),
	}
}

// mayTry refuses those at an address from which too many keys came that opened nothing. It is
// asked before a key is looked up, so that trying costs the store nothing either.
func (g *gate) mayTry(c *gin.Context, secret string) error {
	if g.good.Get(sha256.Sum256([]byte(secret))) != nil {
		return nil
	}
	item := g.failures.Get(addressOf(c))
	if item == nil {
		return nil
	}
	if tokens := item.Value().TokensAt(g.now()); tokens < 1 {
		return tooMany(c, (1-tokens)/float64(failuresRefill), "too many wrong keys came from this address")
	}
	return nil
}

// failed: the key opened nothing.
func (g *gate) failed(c *gin.Context) {
	item, _ := g.failures.GetOrSetFunc(addressOf(c), func() *rate.Limiter { return rate.NewLimiter(failuresRefill, g.attempts) })
	item.Value().AllowN(g.now(), 1)
}

// opened: the key opened something.
func (g *gate) opened(secret string) {
	g.good.Set(sha256.Sum256([]byte(secret)), struct{}{}, ttlcache.NoTTL)
}

// use counts a request of a key, and refuses what is too much.
func (g *gate) use(c *gin.Context, key pipeline.Key) error {
	limit := g.keyRate
	if key.RateLimit != 0 {
		limit = rate.Limit(key.RateLimit)
	}
	burst := max(1, int(math.Ceil(float64(limit)*burstSeconds)))
	use := g.useOf(key.ID, limit, burst)
	now := g.now()
	if !use.limiter.AllowN(now, 1) {
		wait := (1 - use.limiter.TokensAt(now)) / float64(limit)
		return tooMany(c, wait, "this key makes more than its %s requests a second", strconv.FormatFloat(float64(limit), 'f', -1, 64))
	}
	return nil
}

func (g *gate) useOf(id int64, limit rate.Limit, burst int) *keyUse {
	item, _ := g.uses.GetOrSetFunc(id, func() *keyUse { return &keyUse{limiter: rate.NewLimiter(limit, burst)} })
	return item.Value()
}

// noteEvery is how exactly it is known when a key was last used.
const noteEvery = time.Minute

// isNews reports that it is to be noted that a key was used, once for each noteEvery.
func (g *gate) isNews(key pipeline.Key) bool {
	item := g.uses.Get(key.ID)
	now := g.now()
	if item == nil || now.Sub(time.Time(key.LastUsedAt)) < noteEvery {
		return false
	}
	use := item.Value()
	use.mu.Lock()
	defer use.mu.Unlock()
	if now.Sub(use.noted) < noteEvery {
		return false
	}
	use.noted = now
	return true
}

// notePatience bounds the writing of when a key was used.
const notePatience = 5 * time.Second

// noteUse keeps when the caller's key was last used. Nobody waits for it, and where it fails the
// next minute brings the next.
func (s *Server) noteUse(ctx context.Context, key pipeline.Key) {
	if !s.gate.isNews(key) {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), notePatience)
		defer cancel()
		if err := s.store.NoteKeyUse(ctx, key.CompanyID, key.ID); err != nil {
			s.logger.DebugContext(ctx, "use of key not noted", "key_id", key.ID, "error", err)
		}
	}()
}

// tooMany refuses a request and says after how many seconds it is worth another try.
func tooMany(c *gin.Context, seconds float64, format string, args ...any) error {
	c.Header("Retry-After", strconv.Itoa(max(1, int(math.Ceil(seconds)))))
	return pipeline.Errorf(pipeline.CodeRateLimited, format, args...)
}

// subscriberBits is what of an IPv6 address one customer of a provider has to itself as a rule,
// and so can change at will (RFC 6177).
const subscriberBits = 64

// addressOf is where a request comes from: an IPv4 address, or the network of an IPv6 address. A
// proxy is believed who it came from only where the operator trusts it.
func addressOf(c *gin.Context) netip.Prefix {
	address, err := netip.ParseAddr(c.ClientIP())
	if err != nil { // a Unix socket: all are one
		return netip.Prefix{}
	}
	address = address.Unmap().WithZone("")
	bits := address.BitLen()
	if address.Is6() {
		bits = subscriberBits
	}
	network, _ := address.Prefix(bits) // the bits fit
	return network
}
