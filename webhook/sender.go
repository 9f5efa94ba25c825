package webhook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// Sender delivers events over HTTP. It is safe for concurrent use and keeps its connections.
type Sender struct {
	transport *http.Transport
	timeout   time.Duration
	schedule  Schedule
	agent     string
}

// SenderConfig says how to send.
type SenderConfig struct {
	Targets  *Targets
	Schedule Schedule      // nil means the default
	Timeout  time.Duration // of one attempt, all of it; 0 means 5 s
	Version  string        // of the engine, for the User-Agent
}

const (
	defaultTimeout = 5 * time.Second
	keepAlive      = 30 * time.Second // between probes of a quiet connection
	maxBody        = 16 << 10         // of an answer, read and kept
	maxHeader      = 64 << 10
	maxSentence    = 500 // bytes of an attempt's error
	// SlowAnswer is from when on a webhook counts as slow: then an entity does not wait for it
	// the next time.
	SlowAnswer = time.Second
)

// NewSender makes a sender with a pool of connections of its own.
func NewSender(cfg SenderConfig) *Sender {
	timeout := cfg.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	schedule := cfg.Schedule
	if schedule == nil {
		schedule = DefaultSchedule()
	}
	return &Sender{
		timeout: timeout, schedule: schedule, agent: "Dealwright/" + cfg.Version,
		transport: newTransport(cfg.Targets, timeout),
	}
}

// newTransport is used without an http.Client: what a client adds is following redirects,
// which would turn the POST into a GET and still look like success.
func newTransport(targets *Targets, timeout time.Duration) *http.Transport {
	dialer := &net.Dialer{
		Timeout: timeout, KeepAlive: keepAlive, Resolver: targets.resolver, Control: targets.control,
	}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		Proxy:                  nil, // the environment's proxy would dial past the vetting
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: keepAlive, PingTimeout: timeout}, // a dead connection is noticed
		DisableCompression:     true,                                                                // no decompression bombs
		MaxIdleConns:           1000,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    timeout,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// Deliver makes one attempt and says what follows from it. It never fails: what goes wrong is
// the outcome of the attempt. It lasts no longer than the timeout, and it is carried through
// even if ctx is cancelled: the partner may have the event by then, and our own shutdown must
// not count as the partner's failure.
func (s *Sender) Deliver(ctx context.Context, d pipeline.Dispatch) pipeline.Result {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	started := time.Now()
	attempt := pipeline.Attempt{At: started.UTC()}
	err := s.send(ctx, d, started, &attempt)
	attempt.LatencyMS = time.Since(started).Milliseconds()
	if err != nil {
		attempt.Error = pipeline.Text(storable(plain(err, s.timeout), maxSentence))
	}
	return s.outcome(d, attempt, err == nil)
}

// outcome turns an attempt into the delivery's next status, by the retry schedule.
func (s *Sender) outcome(d pipeline.Dispatch, a pipeline.Attempt, ok bool) pipeline.Result {
	r := pipeline.Result{DeliveryID: d.DeliveryID, WebhookID: d.Webhook.ID, Attempt: a, Status: pipeline.DeliveryDelivered}
	if ok {
		return r
	}
	next, more := s.schedule.Next(d.Attempts+1, time.Now().UTC())
	if !more {
		r.Status = pipeline.DeliveryExhausted
		return r
	}
	r.Status, r.NextAttemptAt = pipeline.DeliveryPending, next
	return r
}

func (s *Sender) send(ctx context.Context, d pipeline.Dispatch, at time.Time, attempt *pipeline.Attempt) error {
	format, ok := formats[d.Webhook.Format]
	if !ok {
		return fmt.Errorf("there is no format %q", d.Webhook.Format)
	}
	messages, err := format.Messages(d.Event)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if err := s.post(ctx, d, m, at, attempt); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sender) post(ctx context.Context, d pipeline.Dispatch, m Message, at time.Time, attempt *pipeline.Attempt) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.Webhook.URL, bytes.NewReader(m.Body))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	maps.Copy(req.Header, m.Header)
	req.Header.Set("Content-Type", m.ContentType)
	req.Header.Set("User-Agent", s.agent)
	if err := sign(req.Header, d.Webhook.Signing.Secret, d.Event.ID, at, m.Body); err != nil {
		return err
	}
	// Present but empty, this is not sent. It tells the transport that the request may be sent
	// again where a kept connection turns out to have been closed by the partner meanwhile: the
	// webhook-id lets the partner see a repeat.
	req.Header["Idempotency-Key"] = nil
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return err //nolint:wrapcheck // plain makes a sentence of it
	}
	defer resp.Body.Close() // the answer has been given; closing cannot change it
	attempt.Status = pipeline.ID(resp.StatusCode)
	// 101 hands over the bare connection, and a read from that would heed no time limit.
	if resp.StatusCode != http.StatusSwitchingProtocols {
		attempt.ResponseBody = pipeline.Text(readBounded(resp.Body))
	}
	return judge(resp)
}

// judge: success is 2xx and nothing else.
func judge(resp *http.Response) error {
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode <= 299:
		return nil
	case resp.StatusCode >= 300 && resp.StatusCode <= 399:
		return fmt.Errorf("answered %d: redirects are not followed", resp.StatusCode)
	default:
		return fmt.Errorf("answered %d", resp.StatusCode)
	}
}

// readBounded reads the answer as far as it is kept. The status has been given already, so a
// body that breaks off, hangs until the attempt's time is up or never ends changes nothing.
// Reading to the end of a short body is what lets the connection be used again.
func readBounded(body io.Reader) string {
	b, _ := io.ReadAll(io.LimitReader(body, maxBody))
	return storable(string(b), maxBody)
}
