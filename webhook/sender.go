package webhook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/dealwright/dealwright/pipeline"
)

// Sender delivers events over HTTP. It is safe for concurrent use and keeps its connections,
// its access tokens and its signing keys.
type Sender struct {
	transports *transports
	tokens     *tokens
	signer     *signer
	timeout    time.Duration
	schedule   Schedule
	agent      string
}

// SenderConfig says how to send where a webhook does not say it itself.
type SenderConfig struct {
	Targets  *Targets
	Schedule Schedule      // nil means the default
	Timeout  time.Duration // of one attempt, all of it; 0 means 5 s
	Version  string        // of the engine, for the User-Agent
}

const (
	maxBody     = 16 << 10 // of an answer, kept
	maxSentence = 500      // bytes of an attempt's error
	// SlowAnswer is from when on a webhook counts as slow: then an entity does not wait for it
	// the next time.
	SlowAnswer = time.Second
)

// Headers by the names that net/http keeps them under.
const (
	headerContentType = "Content-Type"
	headerUserAgent   = "User-Agent"
	headerTest        = "Webhook-Test"
)

// NewSender makes a sender with a pool of connections of its own.
func NewSender(cfg SenderConfig) *Sender {
	s := &Sender{
		timeout: cfg.Timeout, schedule: cfg.Schedule, agent: "Dealwright/" + cfg.Version, signer: newSigner(),
	}
	if s.timeout == 0 {
		s.timeout = time.Duration(pipeline.DefaultTimeout)
	}
	if s.schedule == nil {
		s.schedule = DefaultSchedule()
	}
	s.connect(cfg.Targets, &tls.Config{MinVersion: tls.VersionTLS12})
	return s
}

func (s *Sender) connect(targets *Targets, secure *tls.Config) {
	s.transports = newTransports(targets, secure)
	s.tokens = newTokens(s.transports.common, s.agent)
}

// Deliver makes one attempt and says what follows from it. It never fails: what goes wrong is
// the outcome of the attempt. It lasts no longer than the webhook's timeout, and it is carried
// through even if ctx is cancelled: the partner may have the event by then, and our own
// shutdown must not count as the partner's failure.
func (s *Sender) Deliver(ctx context.Context, d pipeline.Dispatch) pipeline.Result {
	timeout := s.timeoutOf(d.Webhook)
	ctx, cancel := attemptContext(context.WithoutCancel(ctx), timeout)
	defer cancel()
	started := time.Now()
	got, err := s.send(ctx, d, started)
	attempt := pipeline.Attempt{
		At: started.UTC(), LatencyMS: time.Since(started).Milliseconds(),
		Status: pipeline.ID(got.status), ResponseBody: pipeline.Text(got.body),
	}
	if d.Event.Erased || d.Event.Type == pipeline.TypeCustomerErased {
		attempt.ResponseBody = "" // the receiver may still know what we are to forget
	}
	if err != nil {
		sentence := hide(plain(err, timeout), credentials(d.Webhook, got.token))
		attempt.Error = pipeline.Text(storable(sentence, maxSentence))
	}
	return s.outcome(d, attempt, got.retryAfter, err)
}

// timeoutOf an attempt: the webhook's own within its bounds, else the format's or the sender's.
func (s *Sender) timeoutOf(w pipeline.Webhook) time.Duration {
	if w.Timeout == 0 {
		return cmp.Or(conductOf(w).Timeout, s.timeout)
	}
	return time.Duration(min(max(w.Timeout, pipeline.MinTimeout), pipeline.MaxTimeout))
}

// outcome turns an attempt into the delivery's next status, by the retry schedule and by what
// the endpoint asked for.
func (s *Sender) outcome(d pipeline.Dispatch, a pipeline.Attempt, retryAfter time.Duration, err error) pipeline.Result {
	r := pipeline.Result{DeliveryID: d.DeliveryID, WebhookID: d.Webhook.ID, Attempt: a, Status: pipeline.DeliveryDelivered}
	if err == nil {
		return r
	}
	if errors.Is(err, errNothingToTell) {
		r.Status = pipeline.DeliveryDiscarded
		return r
	}
	r.Gone = a.Status == http.StatusGone
	now := time.Now().UTC()
	next, more := s.scheduleOf(d.Webhook).Next(d.Attempts+1, now)
	if !more {
		r.Status = pipeline.DeliveryExhausted
		return r
	}
	if asked := now.Add(retryAfter); asked.After(next) {
		next = asked
	}
	r.Status, r.NextAttemptAt = pipeline.DeliveryPending, next
	return r
}

func (s *Sender) scheduleOf(w pipeline.Webhook) Schedule {
	if w.RetrySchedule == nil {
		return s.schedule.cut(conductOf(w).Retries)
	}
	own := make(Schedule, len(w.RetrySchedule))
	for i, d := range w.RetrySchedule {
		own[i] = time.Duration(d)
	}
	return own
}

// answer is what an endpoint said, as far as it matters. The zero answer stands for none.
type answer struct {
	status     int
	body       string        // storable
	retryAfter time.Duration // 0 where it did not ask for any
	token      *token        // what it was sent, with AuthOAuth2
}

// errNothingToTell: the delivery was queued, and then its format has no message for the event
// (it was subscribed to less meanwhile, say). Nothing was sent, and nothing ever will be.
var errNothingToTell = errors.New("nothing was sent: the webhook's format has nothing to say of this event")

// send makes a request of each message of the event, up to the first that fails. The last
// answer counts. What is tried again is the whole: those that the partner took it gets again,
// with the same webhook-id.
func (s *Sender) send(ctx context.Context, d pipeline.Dispatch, at time.Time) (got answer, err error) {
	format, ok := formats[d.Webhook.Format]
	if !ok {
		return answer{}, fmt.Errorf("there is no format %q", d.Webhook.Format)
	}
	messages, err := format.Messages(d)
	if err != nil {
		return answer{}, err
	}
	if len(messages) == 0 {
		return answer{}, errNothingToTell
	}
	for _, m := range messages {
		if got, err = s.post(ctx, d, m, at); err != nil {
			return got, err
		}
	}
	return got, nil
}

// post sends a message. An access token that is answered with 401 is replaced, once: it may
// have been revoked before its time.
func (s *Sender) post(ctx context.Context, d pipeline.Dispatch, m Message, at time.Time) (answer, error) {
	if d.Webhook.Auth.Type != pipeline.AuthOAuth2 {
		return s.request(ctx, d, m, at, nil)
	}
	var (
		got answer
		err error
	)
	for range 2 {
		token, failure := s.tokens.get(ctx, d.Webhook.Auth)
		if failure != nil {
			return answer{retryAfter: tokenRetryAfter(failure)}, failure
		}
		got, err = s.request(ctx, d, m, at, token)
		if got.status != http.StatusUnauthorized {
			break
		}
		s.tokens.drop(d.Webhook.Auth, token)
	}
	return got, err
}

func (s *Sender) request(ctx context.Context, d pipeline.Dispatch, m Message, at time.Time, token *token) (answer, error) {
	transport, err := s.transports.of(d.Webhook.ClientCertificate)
	if err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, cmp.Or(m.Method, http.MethodPost), d.Webhook.URL, bytes.NewReader(m.Body))
	if err != nil {
		return answer{}, fmt.Errorf("make request: %w", err)
	}
	if err := s.address(req, d, m, at, token); err != nil {
		return answer{}, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return answer{token: token}, err //nolint:wrapcheck // plain makes a sentence of it
	}
	defer resp.Body.Close() // the answer has been given; closing cannot change it
	got := answer{status: resp.StatusCode, retryAfter: retryAfter(resp.Header, time.Now()), token: token}
	// 101 hands over the bare connection, and a read from that would heed no time limit.
	if resp.StatusCode != http.StatusSwitchingProtocols {
		got.body = readBounded(resp.Body, d.Webhook, token)
	}
	return got, judge(resp.StatusCode, conductOf(d.Webhook))
}

// address sets the headers: first those that the webhook's owner chose, then ours, which count
// where both name the same one.
func (s *Sender) address(req *http.Request, d pipeline.Dispatch, m Message, at time.Time, token *token) error {
	for name, value := range d.Webhook.Headers {
		if !pipeline.ReservedHeader(name) {
			req.Header.Set(name, value)
		}
	}
	authorize(req, d.Webhook.Auth, token)
	maps.Copy(req.Header, m.Header)
	req.Header.Set(headerContentType, m.ContentType)
	req.Header.Set(headerUserAgent, s.agent)
	if d.Test {
		req.Header.Set(headerTest, "true")
	}
	// Present but empty, this is not sent. It tells the transport that the request may be sent
	// again where a kept connection turns out to have been closed by the partner meanwhile: the
	// webhook-id lets the partner see a repeat.
	req.Header["Idempotency-Key"] = nil
	otel.GetTextMapPropagator().Inject(req.Context(), propagation.HeaderCarrier(req.Header))
	id := d.Event.ID
	if m.Part != "" {
		id += "." + m.Part
	}
	if conductOf(d.Webhook).Standard {
		return s.signer.sign(req.Header, d.Webhook.Signing, id, at, m.Body)
	}
	req.Header.Set(headerID, id)
	return nil
}

// judge: success is 2xx and nothing else, or 200 alone.
func judge(status int, c Conduct) error {
	switch {
	case status == http.StatusOK, status >= 200 && status <= 299 && !c.OnlyOK:
		return nil
	case status >= 200 && status <= 299:
		return fmt.Errorf("answered %d: of this format only 200 is success", status)
	case status >= 300 && status <= 399:
		return fmt.Errorf("answered %d: redirects are not followed", status)
	default:
		return fmt.Errorf("answered %d", status)
	}
}

// readBounded reads the answer as far as it is kept. The status has been given already, so a
// body that breaks off, hangs until the attempt's time is up or never ends changes nothing.
// Reading to the end of a short body is what lets the connection be used again.
//
// Credentials that the answer repeats are left out; so much more than is kept is read that
// none is cut in two at the end.
func readBounded(body io.Reader, w pipeline.Webhook, token *token) string {
	b, _ := io.ReadAll(io.LimitReader(body, maxBody+longestSecret))
	if len(b) == 0 {
		return ""
	}
	return storable(hide(string(b), credentials(w, token)), maxBody)
}
