package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// The neighbourhood: webhooks that answer at once, and two beside them that do not, of which one is dead and one takes
// slowAnswer.
const (
	goodNeighbours = 8
	slowAnswer     = 5 * time.Second
	deadURL        = "http://127.0.0.1:1/" // nobody listens there
)

// neighbours is one round: how long events took to the good webhooks, in either neighbourhood.
type neighbours struct {
	alone  latencies
	first  latencies // beside a dead one and a slow one, from the first event on
	beside latencies // after that, when both are known for what they are
}

// besides gives how much longer than alone the slowest took, in one of the runs beside bad neighbours.
func (n neighbours) besides(of func(neighbours) latencies) float64 {
	alone := n.alone.quantile(0.99)
	if alone == 0 {
		return 0
	}
	return float64(of(n).quantile(0.99)) / float64(alone)
}

func alone(n neighbours) latencies  { return n.alone }
func first(n neighbours) latencies  { return n.first }
func beside(n neighbours) latencies { return n.beside }

func (b *bench) measureNeighbours(ctx context.Context, out *results) (err error) {
	good, err := newAudience(ctx, goodNeighbours, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, good.close()) }()
	e, err := b.tenants.newCompany(ctx, nameNeighbours)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	if err := e.subscribeAll(ctx, good); err != nil {
		return err
	}
	if _, err := b.toNeighbours(ctx, e, good, b.flatOut(warmUp)); err != nil {
		return err
	}
	for n := range b.options.rounds {
		round, err := b.neighbourRound(ctx, e, good)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", nameNeighbours, b.round(loadPaced, n), err)
		}
		progressf("%-10s %s: event to partner p99 %.1f ms alone, beside a dead and a slow one %.1f ms at first, %.1f ms then",
			nameNeighbours, b.round(loadPaced, n),
			milliseconds(round.alone.quantile(0.99)), milliseconds(round.first.quantile(0.99)), milliseconds(round.beside.quantile(0.99)))
		out.neighbours = append(out.neighbours, round)
	}
	return nil
}

func (b *bench) neighbourRound(ctx context.Context, e *engine, good audience) (round neighbours, err error) {
	load := b.paced(b.options.duration())
	if round.alone, err = b.toNeighbours(ctx, e, good, load); err != nil {
		return round, err
	}
	slow, err := startReceiver(ctx, slowAnswer)
	if err != nil {
		return round, err
	}
	defer func() { err = errors.Join(err, slow.close()) }()
	bad := []string{slow.url, deadURL}
	ids := make([]int64, len(bad))
	for i, url := range bad {
		if ids[i], err = e.subscribe(ctx, url); err != nil {
			return round, err
		}
	}
	if round.first, err = b.toNeighbours(ctx, e, good, load); err != nil {
		return round, err
	}
	if round.beside, err = b.toNeighbours(ctx, e, good, load); err != nil {
		return round, err
	}
	if slow.count() == 0 {
		return round, errors.New("the slow endpoint was never sent to")
	}
	for _, id := range ids { // or what they have not taken would disturb what is measured next
		if err := e.do(ctx, http.MethodDelete, fmt.Sprintf("/v1/webhooks/%d", id), "", nil); err != nil {
			return round, err
		}
	}
	return round, nil
}

// toNeighbours runs a load and gives how long each event took from its commit to each good webhook.
func (b *bench) toNeighbours(ctx context.Context, e *engine, good audience, run load) (latencies, error) {
	sent, err := run(ctx, e)
	if err != nil {
		return nil, err
	}
	var all []time.Duration
	for _, partner := range good {
		arrivals, err := partner.await(ctx, sent)
		if err != nil {
			return nil, err
		}
		for i, t := range sent {
			if !t.recorded.IsZero() {
				all = append(all, arrivals[i].Sub(t.recorded))
			}
		}
	}
	return newLatencies(all), nil
}
