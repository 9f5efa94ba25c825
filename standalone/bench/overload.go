package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The overload: many times what was just sustained, sent whether or not the answers come.
const (
	overloadTimes     = 10
	overloadCustomers = 300  // whom they are about
	mostUnanswered    = 3000 // requests of ours at a time; more are not sent, or this process would be what falls over
	calmRate          = 20
	normalTimes       = 2.0 // times the median of before is normal
	returnPatience    = 60 * time.Second
)

// overloaded is what came of it.
type overloaded struct {
	lasted         time.Duration
	sustained      float64 // transitions/s, flat out
	sent           int64
	acked          []transition
	refused        int64 // 503 and 429
	withoutRetry   int64 // of them, those that do not say when to come again
	failed         int64 // anything else
	unsent         int64
	slowestRefusal time.Duration
	recorded       int64 // events in the store, which may be more than were acked
	delivered      time.Duration
	memory         struct{ before, most, after int64 }
	calmBefore     time.Duration // median
	backAfter      time.Duration // until a second's median was normal again
}

func (b *bench) measureOverload(ctx context.Context, out *results) (err error) {
	partner, err := startReceiver(ctx, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, partner.close()) }()
	e, err := b.tenants.newCompany(ctx, nameOverload)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	if _, err := e.subscribe(ctx, partner.url); err != nil {
		return err
	}
	customers, err := b.overloadCustomers(ctx, e)
	if err != nil {
		return err
	}
	round := overloaded{lasted: time.Duration(b.options.overload) * time.Second}
	if round.memory.before, err = b.memory(); err != nil {
		return err
	}
	calm := b.calm(ctx, e, customers, 5*time.Second, func(latencies) bool { return false })
	round.calmBefore = calm.quantile(0.5)
	flatOut, err := b.flatOut(warmUp)(ctx, e)
	if err != nil {
		return err
	}
	round.sustained = float64(len(flatOut)) / warmUp.Seconds()
	before, err := b.recorded(ctx)
	if err != nil {
		return err
	}
	progressf("%-10s %.0f requests/s for %s", nameOverload, round.rate(), round.lasted)
	if err := b.flood(ctx, e, customers, &round); err != nil {
		return err
	}
	ended := time.Now()
	b.calm(ctx, e, customers, returnPatience, func(second latencies) bool {
		return float64(second.quantile(0.5)) <= normalTimes*float64(round.calmBefore)
	})
	round.backAfter = time.Since(ended)
	if _, err := partner.await(ctx, round.acked); err != nil {
		return err
	}
	round.delivered = time.Since(ended)
	after, err := b.recorded(ctx)
	if err != nil {
		return err
	}
	round.recorded = after - before
	if round.memory.after, err = b.memory(); err != nil {
		return err
	}
	out.overloads = append(out.overloads, round)
	return nil
}

func (o overloaded) rate() float64 { return overloadTimes * o.sustained }

func (b *bench) overloadCustomers(ctx context.Context, e *engine) ([]int64, error) {
	customers := make([]int64, overloadCustomers)
	for i := range customers {
		var made struct {
			ID int64 `json:"id"`
		}
		if err := e.post(ctx, "/v1/customers", newCustomer, &made); err != nil {
			return nil, err
		}
		customers[i] = made.ID
	}
	return customers, nil
}

func (b *bench) recorded(ctx context.Context) (int64, error) {
	var n int64
	if err := b.meter.database.QueryRowContext(ctx, `SELECT count(*) FROM events`).Scan(&n); err != nil {
		return 0, fmt.Errorf("count events: %w", err)
	}
	return n, nil
}

func (b *bench) memory() (int64, error) {
	m, err := readMemory(b.standalone.pid())
	return int64(m), err
}

// calm sends at a low rate until done says of a second's latencies that it is enough, or the time is up. What is refused
// counts as slow.
func (b *bench) calm(ctx context.Context, e *engine, customers []int64, most time.Duration, done func(latencies) bool) latencies {
	var all, second []time.Duration
	until := time.Now().Add(most)
	for n := 0; time.Now().Before(until) && ctx.Err() == nil; n++ {
		started := time.Now()
		err := e.post(ctx, fmt.Sprintf("/v1/customers/%d/transitions", customers[n%len(customers)]), emailSent, nil)
		took := time.Since(started)
		if err != nil {
			took = requestPatience
		}
		all, second = append(all, took), append(second, took)
		if len(second) == calmRate {
			if done(newLatencies(second)) {
				break
			}
			second = nil
		}
		waitUntil(ctx, started.Add(time.Second/calmRate))
	}
	return newLatencies(all)
}

const emailSent = `{"type":"email.sent","data":{"subject":"Your roof"},"actor":{"user_id":7}}`

// flood sends requests at their rate, answered or not, and watches the memory of what it floods.
func (b *bench) flood(ctx context.Context, e *engine, customers []int64, round *overloaded) error {
	client := &http.Client{Timeout: requestPatience, Transport: &http.Transport{MaxIdleConnsPerHost: mostUnanswered}}
	defer client.CloseIdleConnections()
	flood := &flood{engine: e, client: client, round: round}
	var all sync.WaitGroup
	step := time.Duration(float64(time.Second) / max(round.rate(), 1))
	started := time.Now()
	looked := started
	for n := 0; time.Since(started) < round.lasted && ctx.Err() == nil; n++ {
		waitUntil(ctx, started.Add(time.Duration(n)*step))
		if flood.unanswered.Load() >= mostUnanswered {
			round.unsent++
			continue
		}
		round.sent++
		flood.unanswered.Add(1)
		all.Go(func() { flood.send(ctx, customers[n%len(customers)]) })
		if time.Since(looked) > 200*time.Millisecond {
			looked = time.Now()
			now, err := b.memory()
			if err != nil {
				return err
			}
			round.memory.most = max(round.memory.most, now)
		}
	}
	all.Wait()
	return ctx.Err()
}

type flood struct {
	engine     *engine
	client     *http.Client
	round      *overloaded
	unanswered atomic.Int64
	mutex      sync.Mutex
}

func (f *flood) send(ctx context.Context, customer int64) {
	defer f.unanswered.Add(-1)
	started := time.Now()
	t, status, retry, err := f.ask(ctx, customer)
	took := time.Since(started)
	f.mutex.Lock()
	defer f.mutex.Unlock()
	switch {
	case err == nil && status == http.StatusCreated:
		t.sent, t.answered = started, started.Add(took)
		f.round.acked = append(f.round.acked, t)
	case err == nil && (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests):
		f.round.refused++
		f.round.slowestRefusal = max(f.round.slowestRefusal, took)
		if retry == "" {
			f.round.withoutRetry++
		}
	default:
		f.round.failed++
	}
}

func (f *flood) ask(ctx context.Context, customer int64) (t transition, status int, retry string, err error) {
	url := fmt.Sprintf("%s/v1/customers/%d/transitions", f.engine.api, customer)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(emailSent))
	if err != nil {
		return t, 0, "", fmt.Errorf("make a request: %w", err)
	}
	req.Header = http.Header{
		"Authorization": {"Bearer " + f.engine.key}, "Content-Type": {"application/json"}, "Idempotency-Key": {rand.Text()},
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return t, 0, "", fmt.Errorf("send a request: %w", err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusCreated {
		return t, resp.StatusCode, resp.Header.Get("Retry-After"), err
	}
	t, err = movedIn(content)
	return t, resp.StatusCode, "", err
}

// overload prints what came of it.
func (r results) overload(w io.Writer) {
	for _, o := range r.overloads {
		apis := make([]time.Duration, 0, len(o.acked))
		for _, t := range o.acked {
			apis = append(apis, t.answered.Sub(t.sent))
		}
		took := newLatencies(slices.Clip(apis))
		fmt.Fprintf(w, "Overload: %d times the %.0f requests/s that were sustained, for %s\t\n", overloadTimes, o.sustained, o.lasted)
		fmt.Fprintf(w, "  sent\t%d\n  not sent, as %d were unanswered\t%d\n", o.sent, mostUnanswered, o.unsent)
		fmt.Fprintf(w, "  acked\t%d (%.0f/s)\n", len(o.acked), float64(len(o.acked))/o.lasted.Seconds())
		fmt.Fprintf(w, "  acked, p50 and p99, ms\t%.0f, %.0f\n", milliseconds(took.quantile(0.5)), milliseconds(took.quantile(0.99)))
		fmt.Fprintf(w, "  refused with 503 or 429\t%d, %d of them without Retry-After, the slowest after %.0f ms\n",
			o.refused, o.withoutRetry, milliseconds(o.slowestRefusal))
		fmt.Fprintf(w, "  failed otherwise\t%d\n", o.failed)
		fmt.Fprintf(w, "  all acked were delivered, s after the end\t%.1f\n", o.delivered.Seconds())
		fmt.Fprintf(w, "  events recorded, calm ones included\t%d\n", o.recorded)
		fmt.Fprintf(w, "  memory before, at most and after, MiB\t%d, %d, %d\n", o.memory.before>>20, o.memory.most>>20, o.memory.after>>20)
		fmt.Fprintf(w, "  median in calm before, ms\t%.1f\n", milliseconds(o.calmBefore))
		fmt.Fprintf(w, "  back to %.0f times that, s after the end\t%.1f\n\n", normalTimes, o.backAfter.Seconds())
	}
}
