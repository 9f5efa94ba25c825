package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// receiver is a partner's end of a webhook: it verifies, notes, and answers at once.
type receiver struct {
	verifier *standardwebhooks.Webhook

	mu      sync.Mutex
	seen    map[string]delivery // by webhook-id: the same event may come twice
	arrived chan struct{}       // closed, and made anew, whenever something arrives
}

// delivery is what the demo shows of a webhook.
type delivery struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      struct {
		ID     string `json:"id"`
		Stream string `json:"stream"`
		Seq    int64  `json:"seq"`
	} `json:"data"`

	took time.Duration // from when it occurred until it was here
}

func newReceiver(secret string) (*receiver, error) {
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return nil, fmt.Errorf("read the webhook's secret: %w", err)
	}
	return &receiver{verifier: verifier, seen: map[string]delivery{}, arrived: make(chan struct{})}, nil
}

const maxBody = 1 << 20

// ServeHTTP takes one delivery. The signature is over the bytes as they came, so it is checked
// before anything is decoded.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		http.Error(w, "cannot read the body", http.StatusBadRequest)
		return
	}
	if err := r.verifier.Verify(body, req.Header); err != nil {
		http.Error(w, "the signature does not fit", http.StatusUnauthorized)
		return
	}
	var d delivery
	if err := json.Unmarshal(body, &d); err != nil {
		http.Error(w, "cannot read the envelope", http.StatusBadRequest)
		return
	}
	d.took = time.Since(d.Timestamp)
	r.note(req.Header.Get(standardwebhooks.HeaderWebhookID), d)
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) note(id string, d delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, repeat := r.seen[id]; repeat {
		return
	}
	r.seen[id] = d
	close(r.arrived)
	r.arrived = make(chan struct{})
}

// await waits for one event of one entity.
func (r *receiver) await(ctx context.Context, stream string, seq int64) (delivery, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		d, more, ok := r.find(stream, seq)
		if ok {
			return d, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return delivery{}, fmt.Errorf("the webhook of %s #%d has not come: %w", stream, seq, ctx.Err())
		}
	}
}

func (r *receiver) find(stream string, seq int64) (delivery, <-chan struct{}, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.seen {
		if d.Data.Stream == stream && d.Data.Seq == seq {
			return d, nil, true
		}
	}
	return delivery{}, r.arrived, false
}
