package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dealwright/dealwright/pipeline"
)

// The past that is sent once more: so many customers with so many events each.
const (
	pastCustomers   = 100
	eventsPerPerson = 200
	pastEvents      = pastCustomers * eventsPerPerson
)

// pastPatience is how long all of it may take to arrive.
const pastPatience = 5 * time.Minute

// replayed is one round.
type replayed struct {
	events int
	lasted time.Duration // from the request to the last arrival
	before memory
	after  memory
	most   int64 // bytes, of what the process had while it was at it
}

func (r replayed) rate() float64 { return float64(r.events) / r.lasted.Seconds() }

// memory is what a process has in RAM, in bytes; zero where there is no /proc.
type memory int64

func (b *bench) measureReplay(ctx context.Context, out *results) (err error) {
	e, err := b.tenants.newCompany(ctx, nameReplay)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	progressf("%-10s making a past of %d events", nameReplay, pastEvents)
	if err := b.tenants.makePast(ctx, e, b.options.clients); err != nil {
		return err
	}
	for n := range b.options.rounds {
		round, err := b.replayRound(ctx, e)
		if err != nil {
			return fmt.Errorf("%s, round %d: %w", nameReplay, n+1, err)
		}
		progressf("%-10s %s: %.0f events/s, RSS %d MiB before, %d at most, %d after", nameReplay, b.round("flat out", n), round.rate(),
			round.before>>20, round.most>>20, round.after>>20)
		out.replays = append(out.replays, round)
	}
	return nil
}

// replayRound has a new webhook, so that every event is a delivery to make, and deletes it afterwards.
func (b *bench) replayRound(ctx context.Context, e *engine) (round replayed, err error) {
	partner, err := startReceiver(ctx, 0)
	if err != nil {
		return round, err
	}
	defer func() { err = errors.Join(err, partner.close()) }()
	id, err := e.subscribe(ctx, partner.url)
	if err != nil {
		return round, err
	}
	path := fmt.Sprintf("/v1/webhooks/%d", id)
	if round.before, err = readMemory(b.standalone.pid()); err != nil {
		return round, err
	}
	started := time.Now()
	if err := e.post(ctx, path+"/replay", "{}", nil); err != nil {
		return round, err
	}
	ctx, cancel := context.WithTimeout(ctx, pastPatience)
	defer cancel()
	for partner.count() < pastEvents {
		now, err := readMemory(b.standalone.pid())
		if err != nil {
			return round, err
		}
		round.most = max(round.most, int64(now))
		select {
		case <-ctx.Done():
			return round, fmt.Errorf("%d of %d events have arrived: %w", partner.count(), pastEvents, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
	round.events, round.lasted = pastEvents, time.Since(started)
	round.after, err = readMemory(b.standalone.pid())
	return round, errors.Join(err, e.do(ctx, "DELETE", path, "", nil))
}

// makePast makes customers through the API, and what happened to them straight in the store: nobody is told of it.
func (t *tenants) makePast(ctx context.Context, e *engine, clients int) error {
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range clients {
		group.Go(func() error {
			for next.Add(1) <= pastCustomers {
				if err := t.makeLife(ctx, e); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func (t *tenants) makeLife(ctx context.Context, e *engine) error {
	var customer pipeline.Customer
	if err := e.post(ctx, "/v1/customers", newCustomer, &customer); err != nil {
		return err
	}
	for n := 1; n < eventsPerPerson; n++ {
		event, state, err := pipeline.Next(customer, pipeline.Command{
			Type: pipeline.TypeEmailSent, OccurredAt: time.Now().UTC().Truncate(time.Millisecond),
		}, fmt.Sprintf("past %d", n))
		if err != nil {
			return err
		}
		if _, err := t.store.Append(ctx, event, pipeline.Idempotency{}); err != nil {
			return err
		}
		customer = state
	}
	return nil
}

func readMemory(pid int) (memory, error) {
	if !hasProc() {
		return 0, nil
	}
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read memory: %w", err)
	}
	return parseMemory(string(content))
}

// parseMemory finds the resident set in what /proc says of a process.
func parseMemory(status string) (memory, error) {
	for line := range strings.Lines(status) {
		value, ok := strings.CutPrefix(line, "VmRSS:")
		if !ok {
			continue
		}
		kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read memory: %w", err)
		}
		return memory(kilobytes << 10), nil
	}
	return 0, errors.New("read memory: there is no VmRSS")
}
