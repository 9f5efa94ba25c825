package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// receiver is the partner: it takes everything, believes everything, and notes when it first heard of each event.
type receiver struct {
	url    string
	takes  time.Duration // for its answer
	server *http.Server
	served chan error

	mutex   sync.Mutex
	arrived map[string]time.Time
}

// telling is the part of an envelope that the receiver looks at.
type telling struct {
	Data struct {
		Stream string `json:"stream"`
		Seq    int64  `json:"seq"`
	} `json:"data"`
}

// eventName names an event by its place, which callers and partners both know.
func eventName(stream string, seq int64) string { return stream + "#" + strconv.FormatInt(seq, 10) }

func startReceiver(ctx context.Context, takes time.Duration) (*receiver, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start receiver: %w", err)
	}
	r := &receiver{url: "http://" + l.Addr().String() + "/", takes: takes, served: make(chan error, 1), arrived: map[string]time.Time{}}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	go func() { r.served <- r.server.Serve(l) }()
	return r, nil
}

func (r *receiver) close() error {
	err := r.server.Close()
	if served := <-r.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// ServeHTTP takes one webhook.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	at := time.Now()
	var told telling
	if err := json.NewDecoder(req.Body).Decode(&told); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.note(eventName(told.Data.Stream, told.Data.Seq), at)
	if r.takes > 0 {
		select {
		case <-time.After(r.takes):
		case <-req.Context().Done():
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) note(event string, at time.Time) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if _, again := r.arrived[event]; !again {
		r.arrived[event] = at
	}
}

// arrivalPatience is how long the last webhook may take. It is longer than the first retries, so that one that had to be
// sent again counts as slow and not as lost.
const arrivalPatience = 30 * time.Second

// count is how many events have arrived.
func (r *receiver) count() int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return len(r.arrived)
}

// await gives the times at which the events of these transitions arrived, in the same order.
func (r *receiver) await(ctx context.Context, sent []transition) ([]time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, arrivalPatience)
	defer cancel()
	for {
		arrivals, missing := r.look(sent)
		if missing == 0 {
			return arrivals, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d events have not arrived: %w", missing, len(sent), ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (r *receiver) look(sent []transition) (arrivals []time.Time, missing int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	arrivals = make([]time.Time, len(sent))
	for i, t := range sent {
		at, ok := r.arrived[t.event]
		if !ok {
			missing++
		}
		arrivals[i] = at
	}
	return arrivals, missing
}

// audience are the partners that hear of a subject's events, each through a webhook of its own.
type audience []*receiver

func newAudience(ctx context.Context, size int, takes time.Duration) (audience, error) {
	var a audience
	for range size {
		r, err := startReceiver(ctx, takes)
		if err != nil {
			return nil, errors.Join(err, a.close())
		}
		a = append(a, r)
	}
	return a, nil
}

func (a audience) close() error {
	all := make([]error, len(a))
	for i, r := range a {
		all[i] = r.close()
	}
	return errors.Join(all...)
}

// await gives, for each event, when the last of the audience had it.
func (a audience) await(ctx context.Context, sent []transition) ([]time.Time, error) {
	last := make([]time.Time, len(sent))
	for _, r := range a {
		arrivals, err := r.await(ctx, sent)
		if err != nil {
			return nil, err
		}
		for i, at := range arrivals {
			if at.After(last[i]) {
				last[i] = at
			}
		}
	}
	return last, nil
}
