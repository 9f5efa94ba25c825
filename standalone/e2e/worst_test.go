package e2e_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// worstEndpoints are what partners' endpoints do at their worst, and what happens then. The table
// in docs/partners.md is made from the first two columns: go test ./docs -update.
var worstEndpoints = []struct {
	behaviour string
	outcome   string
	test      func(p plight, t *testing.T)
}{
	{
		"It takes the request and never answers",
		"The attempt ends with the webhook's timeout and is made again by the retry schedule; other webhooks do not wait",
		plight.neverAnswers,
	},
	{
		"It sends the headers of its answer one byte at a time, for ever",
		"The timeout is for the whole attempt, not for a read: as above",
		plight.dripsHeaders,
	},
	{
		"It sends headers without end",
		"The attempt fails as soon as they are too large",
		plight.endlessHeaders,
	},
	{
		"It answers 200 with a body without end",
		"Delivered: the status counts. 16 KiB of the body are kept, and no more is read",
		plight.endlessBody,
	},
	{
		"It takes the event, and the connection breaks before the answer",
		"It may have the event or not, so it is sent again, with the same `Webhook-Id`",
		plight.breaksOff,
	},
	{
		"It answers something that is not HTTP",
		"The attempt fails and is made again",
		plight.babbles,
	},
	{
		"It redirects",
		"The attempt fails and is made again. Redirects are never followed, so nothing is sent elsewhere and nothing is lost",
		plight.redirects,
	},
	{
		"Its certificate is not to be trusted",
		"Nothing is sent; the attempt's error says why, and it is made again",
		plight.untrusted,
	},
	{
		"Its name leads into our own network by the time of the attempt",
		"The address is vetted when it is dialled: nothing is sent, and the attempt fails",
		plight.rebinds,
	},
	{
		"It asks for patience: 429 or 503 with `Retry-After`",
		"The next attempt comes no earlier than it asks for, up to 24 h",
		plight.asksForPatience,
	},
	{
		"It answers 410",
		"The webhook is disabled at once; its deliveries are held until somebody enables it",
		plight.isGone,
	},
	{
		"It is down while hundreds of events happen",
		"After ten failures in a row one delivery at a time tries whether it is back; what waits uses up no attempts and is sent when it is",
		plight.isDown,
	},
}

// plight is a company with an endpoint in it that behaves badly, and one that does not.
type plight struct {
	company

	partner *receiver
}

func TestTheWorstEndpoints(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	for _, worst := range worstEndpoints {
		t.Run(worst.behaviour+" → "+worst.outcome, func(t *testing.T) {
			t.Parallel()
			p := plight{company: e.newCompany(t), partner: newReceiver(t)}
			good := p.webhook(t, p.partner.URL+"/good", nil)
			worst.test(p, t)
			eventually(t, "the other endpoint has everything", func() bool {
				got := p.statuses(t, good)
				return len(got) == 1 && got[pipeline.DeliveryDelivered] > 0
			})
			for _, d := range p.deliveries(t, good) {
				require.Equal(t, []pipeline.ID{http.StatusOK}, attempts(d))
			}
		})
	}
}

// failsOnce: an endpoint behaves badly at the first attempt, and takes the second. It gives the
// failed attempt.
func (p plight) failsOnce(t *testing.T, badly script) pipeline.Attempt {
	t.Helper()
	p.partner.on("/", scripts(badly, inTurn(200)))
	h := p.webhook(t, p.partner.URL+"/", object{"timeout": "1s"})
	event := p.events(t, p.customer(t).Ref().Stream())[0]
	p.allAre(t, h, pipeline.DeliveryDelivered, 1)
	got := p.partner.at("/")
	require.Len(t, got, 2)
	for _, d := range got {
		require.Equal(t, event.ID, d.header.Get("Webhook-Id"))
		d.requireSigned(t, h.Secret)
	}
	made := p.only(t, h).Attempts
	require.Len(t, made, 2)
	require.NotEmpty(t, made[0].Error)
	return made[0]
}

// neverTakes: nothing ever reaches an endpoint. It gives why.
func (p plight) neverTakes(t *testing.T, url string) string {
	t.Helper()
	h := p.webhook(t, url, nil)
	p.customer(t)
	p.allAre(t, h, pipeline.DeliveryExhausted, 1)
	made := p.only(t, h).Attempts
	require.Len(t, made, attemptsInAll)
	require.Zero(t, made[0].Status)
	return string(made[0].Error)
}

func (p plight) neverAnswers(t *testing.T) {
	t.Helper()
	attempt := p.failsOnce(t, hang(nil))
	require.Zero(t, attempt.Status)
	require.GreaterOrEqual(t, attempt.LatencyMS, int64(1000))
}

func (p plight) dripsHeaders(t *testing.T) {
	t.Helper()
	attempt := p.failsOnce(t, onTheWire(func(conn net.Conn) {
		endlessly(conn, "HTTP/1.1 200 OK\r\nX-Drip: ", "x", 50*time.Millisecond)
	}))
	require.Zero(t, attempt.Status)
	require.GreaterOrEqual(t, attempt.LatencyMS, int64(1000))
}

func (p plight) endlessHeaders(t *testing.T) {
	t.Helper()
	attempt := p.failsOnce(t, onTheWire(func(conn net.Conn) {
		endlessly(conn, "HTTP/1.1 200 OK\r\n", "X-More: "+strings.Repeat("x", 4096)+"\r\n", 0)
	}))
	require.Zero(t, attempt.Status)
}

func (p plight) endlessBody(t *testing.T) {
	t.Helper()
	p.partner.on("/", onTheWire(func(conn net.Conn) {
		endlessly(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n", strings.Repeat("x", 4096), 0)
	}))
	h := p.webhook(t, p.partner.URL+"/", nil)
	p.customer(t)
	p.allAre(t, h, pipeline.DeliveryDelivered, 1)
	attempt := p.only(t, h).Attempts[0]
	require.Equal(t, pipeline.ID(http.StatusOK), attempt.Status)
	require.Len(t, string(attempt.ResponseBody), 16<<10)
	eventually(t, "the connection is given up", func() bool { return p.partner.open("/") == 0 })
}

func (p plight) breaksOff(t *testing.T) {
	t.Helper()
	attempt := p.failsOnce(t, onTheWire(reset))
	require.Zero(t, attempt.Status)
}

func (p plight) babbles(t *testing.T) {
	t.Helper()
	attempt := p.failsOnce(t, onTheWire(func(conn net.Conn) {
		_, err := io.WriteString(conn, "\x00\xff220 mail.example.com ESMTP\r\n\r\n")
		require.NoError(t, err)
	}))
	require.Zero(t, attempt.Status)
}

func (p plight) redirects(t *testing.T) {
	t.Helper()
	attempt := p.failsOnce(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	})
	require.Equal(t, pipeline.ID(http.StatusFound), attempt.Status)
	require.Zero(t, p.partner.count("/elsewhere"))
}

func (p plight) untrusted(t *testing.T) {
	t.Helper()
	endpoint := newSecureReceiver(t, &tls.Config{Certificates: []tls.Certificate{selfMade(t, "anybody").Certificate}})
	require.Contains(t, p.neverTakes(t, endpoint.URL+"/"), "certificate")
	require.Zero(t, endpoint.count("/"))
}

func (p plight) rebinds(t *testing.T) {
	t.Helper()
	phoneBook.set("rebinds.test", "93.184.216.34", "169.254.169.254")
	require.Contains(t, p.neverTakes(t, "https://rebinds.test/"), "169.254.169.254")
}

func (p plight) asksForPatience(t *testing.T) {
	t.Helper()
	attempt := p.failsOnce(t, patient(http.StatusTooManyRequests, "2"))
	got := p.partner.at("/")
	require.Equal(t, pipeline.ID(http.StatusTooManyRequests), attempt.Status)
	require.GreaterOrEqual(t, got[1].at.Sub(got[0].at), 2*time.Second)
}

func (p plight) isGone(t *testing.T) {
	t.Helper()
	p.partner.on("/", inTurn(http.StatusGone))
	h := p.webhook(t, p.partner.URL+"/", nil)
	stream := p.customer(t).Ref().Stream()
	p.allAre(t, h, pipeline.DeliveryHeld, 1)
	p.moved(t, stream, pipeline.TypeEmailSent, nil)
	p.allAre(t, h, pipeline.DeliveryHeld, 2)
	require.False(t, p.settings(t, h).Active)
	require.Equal(t, 1, p.partner.count("/"))
}

func (p plight) isDown(t *testing.T) {
	t.Helper()
	const entities, each = 12, 10
	var endpoint light
	p.partner.on("/", endpoint.answer)
	h := p.webhook(t, p.partner.URL+"/", object{"retry_schedule": often("200ms")})
	streams := make([]pipeline.Stream, entities)
	for i := range streams {
		streams[i] = p.customer(t).Ref().Stream()
	}
	eventually(t, "the circuit is open", func() bool { return p.settings(t, h).Health.Probing() && p.partner.open("/") == 0 })
	before := p.partner.count("/")
	for n := range entities * (each - 1) {
		p.moved(t, streams[n%entities], pipeline.TypeEmailSent, nil)
	}
	probes := p.partner.count("/") - before
	endpoint.well.Store(true)
	require.Less(t, probes, entities)
	p.allAre(t, h, pipeline.DeliveryDelivered, entities*each)
	for _, s := range streams {
		require.Equal(t, upTo(each), p.partner.firstOf("/", s))
	}
}
