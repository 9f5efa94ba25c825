package activities

import (
	"context"
	"time"
)

// The sweep's bounds: how long a delivery may lie before somebody has to look after it, and
// how many are taken at a time. An entity gets to its newest delivery in less than the grace:
// after what it was sending before (55 s; see deliver in package workflows) it has 15 s to
// begin and 30 s for the attempt.
const (
	sweepGrace = 2 * time.Minute
	sweepLimit = 1000
)

// SweepInput is empty: a sweep looks at everything.
type SweepInput struct{}

// SweepResult counts the webhooks that were woken.
type SweepResult struct {
	Woken int
}

// SweepDeliveries finds deliveries that nobody looks after, since a worker or a workflow was
// lost at the wrong moment, and wakes the workflows of their webhooks.
func (d *Deliveries) SweepDeliveries(ctx context.Context, _ SweepInput) (SweepResult, error) {
	webhooks, err := d.Store.SweepDeliveries(ctx, sweepGrace, sweepLimit)
	if err != nil {
		return SweepResult{}, Failure(err)
	}
	return SweepResult{Woken: len(webhooks)}, Failure(d.wake(ctx, webhooks))
}
