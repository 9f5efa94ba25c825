package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// Sender delivers events over HTTP. It is safe for concurrent use and keeps its connections.
type Sender struct {
	client   *http.Client
	timeout  time.Duration
	schedule Schedule
	agent    string
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
	maxBody        = 16 << 10 // of an answer, kept and read
	maxHeader      = 64 << 10
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
	dialer := &net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second, Control: cfg.Targets.control}
	return &Sender{
		timeout: timeout, schedule: schedule, agent: "Dealwright/" + cfg.Version,
		client: &http.Client{
			// A redirect would turn the POST into a GET and still look like success.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				DialContext:            dialer.DialContext,
				Proxy:                  nil, // the environment's proxy would dial past the vetting
				ForceAttemptHTTP2:      true,
				DisableCompression:     true, // no decompression bombs
				MaxIdleConns:           1000,
				MaxIdleConnsPerHost:    64,
				IdleConnTimeout:        90 * time.Second,
				TLSHandshakeTimeout:    timeout,
				MaxResponseHeaderBytes: maxHeader,
			},
		},
	}
}

// Deliver makes one attempt and says what follows from it. It never fails: what goes wrong is
// the outcome of the attempt. It lasts no longer than the timeout.
func (s *Sender) Deliver(ctx context.Context, d pipeline.Dispatch) pipeline.Result {
	started := time.Now()
	attempt := pipeline.Attempt{At: started.UTC()}
	err := s.send(ctx, d, started, &attempt)
	attempt.LatencyMS = time.Since(started).Milliseconds()
	if err != nil {
		attempt.Error = pipeline.Text(storable(plain(err, s.timeout)))
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
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
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
	for name, values := range m.Header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", m.ContentType)
	req.Header.Set("User-Agent", s.agent)
	if err := sign(req.Header, d.Webhook.Secret, d.Event.ID, at, m.Body); err != nil {
		return err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // the answer has been given; closing cannot change it
	attempt.Status = pipeline.ID(resp.StatusCode)
	attempt.ResponseBody = pipeline.Text(readBounded(resp.Body))
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
	b, _ := io.ReadAll(io.LimitReader(body, maxBody)) //nolint:errcheck // see above
	return storable(string(b))
}

// storable makes a partner's text fit for a text column: valid UTF-8, no NUL.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "�")
}

// plain says in a sentence why no success came. The error of net/http repeats the URL, and
// the URL may hold a partner's token: that part is left out.
func plain(err error, timeout time.Duration) string {
	var network net.Error
	if errors.Is(err, context.DeadlineExceeded) || (errors.As(err, &network) && network.Timeout()) {
		return "no answer within " + timeout.String()
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return err.Error()
}
