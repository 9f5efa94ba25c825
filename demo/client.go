package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// client calls the API with one key.
type client struct {
	base string
	key  string
	http *http.Client
}

func newClient(base, key string) *client {
	// Longer than the server takes to find out that it cannot help.
	return &client{base: base, key: key, http: &http.Client{Timeout: 20 * time.Second}}
}

// problem is a refusal as the API words it (RFC 9457).
type problem struct {
	Status  int      `json:"status"`
	Code    string   `json:"code"`
	Detail  string   `json:"detail"`
	Allowed []string `json:"allowed"`
	Errors  []struct {
		Pointer string `json:"pointer"`
		Detail  string `json:"detail"`
	} `json:"errors"`
}

func (p *problem) Error() string {
	var why strings.Builder
	fmt.Fprintf(&why, "%d %s: %s", p.Status, p.Code, p.Detail)
	for _, e := range p.Errors {
		fmt.Fprintf(&why, "; %s %s", e.Pointer, e.Detail)
	}
	return why.String()
}

func (c *client) get(ctx context.Context, path string, out any) error {
	_, err := c.call(ctx, http.MethodGet, path, "", nil, out)
	return err
}

// post sends a command. Its Idempotency-Key makes it safe to send again: however often it
// arrives, it happens once, and each time the answer is the same. So whatever may pass by
// itself (no answer, 429, 503) is tried again with the same key.
func (c *client) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode body: %w", err)
	}
	key := rand.Text()
	for tries := 1; ; tries++ {
		again, err := c.call(ctx, http.MethodPost, path, key, body, out)
		if err == nil || !again || tries == 5 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(tries) * time.Second):
		}
	}
}

// call makes one request. again says that the same request may well succeed later.
func (c *client) call(ctx context.Context, method, path, key string, body []byte, out any) (again bool, err error) {
	//nolint:gosec // calling where it is told to is what a client does
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := c.http.Do(req) //nolint:gosec // see above
	if err != nil {
		return true, fmt.Errorf("ask the server: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return true, fmt.Errorf("read answer: %w", err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		again := resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable
		return again, refusal(resp, answer)
	}
	if out == nil {
		return false, nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return false, fmt.Errorf("read answer of %s %s: %w", method, path, err)
	}
	return false, nil
}

// refusal reads a problem document; what is none did not come from the API.
func refusal(resp *http.Response, body []byte) error {
	var p problem
	isProblem := strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json")
	if !isProblem || json.Unmarshal(body, &p) != nil {
		return fmt.Errorf("%s answered %s", resp.Request.URL, resp.Status)
	}
	return &p
}

type webhook struct {
	ID     int64  `json:"id"`
	URL    string `json:"url"`
	Secret string `json:"secret"` // shown once, when the webhook is made
}

func (c *client) subscribe(ctx context.Context, url string) (webhook, error) {
	var w webhook
	err := c.post(ctx, "/v1/webhooks", map[string]any{"url": url, "events": []string{"*"}, "description": "make demo"}, &w)
	return w, err
}

// unsubscribe also works when the demo was interrupted.
func (c *client) unsubscribe(ctx context.Context, id int64) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := c.call(ctx, http.MethodDelete, "/v1/webhooks/"+strconv.FormatInt(id, 10), "", nil, nil); err != nil {
		return fmt.Errorf("remove webhook %d: %w", id, err)
	}
	return nil
}
