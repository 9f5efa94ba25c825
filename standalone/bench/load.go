package main

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// The names of the loads in the table.
const (
	loadFlatOut = "flat out"
	loadPaced   = "paced"
)

// load sends transitions to a subject for some time, and gives those that were answered. A transition that fails ends it.
type load func(ctx context.Context, to subject) ([]transition, error)

// flatOut: each client sends the next as soon as the last was answered.
func (b *bench) flatOut(lasts time.Duration) load {
	return func(ctx context.Context, to subject) ([]transition, error) {
		until := time.Now().Add(lasts)
		return b.callers(ctx, to, func(int) pace {
			return func(context.Context) (time.Time, bool) {
				now := time.Now()
				return now, now.Before(until)
			}
		})
	}
}

// paced: the clients take turns, so that together they send at the rate that was asked for. A client that is not answered
// in time sends its next one late, and the time that it waited counts as latency.
func (b *bench) paced(lasts time.Duration) load {
	return func(ctx context.Context, to subject) ([]transition, error) {
		step := time.Second / time.Duration(b.options.rate)
		started := time.Now()
		until := started.Add(lasts)
		return b.callers(ctx, to, func(n int) pace {
			due := started.Add(time.Duration(n) * step)
			return func(ctx context.Context) (time.Time, bool) {
				at := due
				due = due.Add(time.Duration(b.options.clients) * step)
				if !at.Before(until) {
					return at, false
				}
				return waitUntil(ctx, at)
			}
		})
	}
}

// waitUntil gives the time from which latency counts: that at which it woke, since waking late is no fault of the subject's,
// or the time that it was to wait for when that had passed already.
func waitUntil(ctx context.Context, at time.Time) (time.Time, bool) {
	wait := time.Until(at)
	if wait <= 0 {
		return at, ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return at, false
	case <-timer.C:
		return time.Now(), true
	}
}

// pace waits until a client may send, and says from when latency counts; false when the client is to stop.
type pace func(ctx context.Context) (from time.Time, goOn bool)

func (b *bench) callers(ctx context.Context, to subject, paceOf func(n int) pace) ([]transition, error) {
	var (
		mutex sync.Mutex
		all   []transition
	)
	group, ctx := errgroup.WithContext(ctx)
	for n := range b.options.clients {
		group.Go(func() error {
			mine, err := keepSending(ctx, to.newCaller(), paceOf(n))
			mutex.Lock()
			defer mutex.Unlock()
			all = append(all, mine...)
			return err
		})
	}
	err := group.Wait()
	return all, err
}

func keepSending(ctx context.Context, c caller, wait pace) ([]transition, error) {
	var all []transition
	for {
		from, goOn := wait(ctx)
		if !goOn {
			return all, ctx.Err()
		}
		t, err := c.next(ctx)
		if err != nil {
			return all, err
		}
		t.sent, t.answered = from, time.Now()
		all = append(all, t)
	}
}
