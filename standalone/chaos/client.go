package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// client is one of the sales apps, with connections of its own. It asks one API, and the other one
// where that does not answer.
type client struct {
	apis []string
	key  string
	http *http.Client
	next int // whom to ask
}

// answerPatience is how long a client waits for an answer before it asks again: longer than an API
// tries for, so that most of what goes wrong is told and not guessed.
const answerPatience = 12 * time.Second

func newClient(apis []string, key string, first int) *client {
	transport := &http.Transport{MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute}
	return &client{apis: apis, key: key, http: &http.Client{Transport: transport, Timeout: answerPatience}, next: first % len(apis)}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// call is one request, as often as it has to be sent.
type call struct {
	method string
	path   string
	key    string // Idempotency-Key; empty: none
	body   any
}

// answer is what an API said in the end.
type answer struct {
	status int
	header http.Header
	body   []byte
	tries  int
}

// problem is a refusal (RFC 9457).
type problem struct {
	Code   pipeline.Code `json:"code"`
	Detail string        `json:"detail"`
}

func (a answer) problem() problem {
	var p problem
	if json.Unmarshal(a.body, &p) != nil {
		return problem{Detail: string(a.body)}
	}
	return p
}

func (a answer) ok() bool { return a.status >= 200 && a.status < 300 }

// The pauses between tries. An API that asks for more with Retry-After gets it, up to longestPause:
// whoever waits longer than that only learns later that all is well again.
const (
	shortestPause = 50 * time.Millisecond
	longestPause  = 2 * time.Second
)

// do asks until it is answered: what may pass by itself (no answer, 429, 5xx) is tried again, with
// the same key and the other API. It fails where the context ends before that.
func (c *client) do(ctx context.Context, in call) (answer, error) {
	body, err := json.Marshal(in.body)
	if err != nil {
		return answer{}, fmt.Errorf("encode body: %w", err)
	}
	for tries, wait := 1, shortestPause; ; tries, wait = tries+1, min(2*wait, longestPause) {
		a, err := c.once(ctx, in, body)
		if err == nil && a.status != http.StatusTooManyRequests && a.status < http.StatusInternalServerError {
			a.tries = tries
			return a, nil
		}
		c.next = (c.next + 1) % len(c.apis)
		if !pause(ctx, max(wait, retryAfter(a))) {
			return a, errors.Join(ctx.Err(), err)
		}
	}
}

func retryAfter(a answer) time.Duration {
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, longestPause)
}

func (c *client) once(ctx context.Context, in call, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, in.method, c.apis[c.next]+in.path, bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if in.method != http.MethodGet {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", in.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("ask the API: %w", err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, fmt.Errorf("read the answer: %w", err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: said}, nil
}

// make posts what is no command, and reads what was made.
func (c *client) make(ctx context.Context, path string, in, out any) error {
	a, err := c.do(ctx, call{method: http.MethodPost, path: path, key: rand.Text(), body: in})
	if err != nil {
		return err
	}
	if !a.ok() {
		return fmt.Errorf("%s answered %d: %s", path, a.status, a.problem().Detail)
	}
	return json.Unmarshal(a.body, out)
}

// follow reads a company's feed until the context ends, from one position to the next.
func (c *client) follow(ctx context.Context, types string, read func(asked int64, events []pipeline.Event)) {
	var after int64
	for ctx.Err() == nil {
		query := url.Values{
			"after": {strconv.FormatInt(after, 10)}, "limit": {"500"}, "wait": {"5s"}, "types": {types},
		}
		a, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/events?" + query.Encode()})
		if err != nil {
			return
		}
		var page struct {
			Data     []pipeline.Event `json:"data"`
			Position int64            `json:"position"`
		}
		if !a.ok() || json.Unmarshal(a.body, &page) != nil {
			pause(ctx, longestPause)
			continue
		}
		read(after, page.Data)
		after = page.Position
		c.next = (c.next + 1) % len(c.apis) // so that what one has told is not told again by the other
	}
}
