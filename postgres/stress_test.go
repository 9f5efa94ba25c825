package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// workflow plays the Webhook workflow of one webhook: it drains when it is woken and when the
// time has come that EndDrain said. fail says which attempts fail; they are due again at once.
type workflow struct {
	d     database
	w     pipeline.Webhook
	woken chan bool // a signal is never lost, and two are as good as one
	stop  chan bool
	fail  func(pipeline.Dispatch) bool
}

func (f *workflow) wake(ids []int64) {
	for _, id := range ids {
		if id != f.w.ID {
			continue
		}
		select {
		case f.woken <- true:
		default:
		}
	}
}

func (f *workflow) run(ctx context.Context) error {
	var timer <-chan time.Time
	for {
		select {
		case <-f.stop:
			return nil
		case <-f.woken:
		case <-timer:
		}
		next, err := f.drain(ctx)
		if err != nil {
			return err
		}
		timer = nil
		if !next.IsZero() {
			timer = time.After(time.Until(next))
		}
	}
}

func (f *workflow) drain(ctx context.Context) (time.Time, error) {
	if _, err := f.d.Store.BeginDrain(ctx, f.w.ID); err != nil {
		return time.Time{}, err
	}
	for {
		due, err := f.d.Store.DueDeliveries(ctx, f.w.ID, 10)
		if err != nil {
			return time.Time{}, err
		}
		if len(due) == 0 {
			return f.d.Store.EndDrain(ctx, f.w.ID, time.Time{})
		}
		results := make([]pipeline.Result, len(due))
		for i, dispatch := range due {
			if results[i] = delivered(dispatch); f.fail(dispatch) {
				results[i] = failed(dispatch, time.Now().Add(time.Millisecond))
			}
		}
		wake, err := f.d.Store.RecordAttempts(ctx, results, nil)
		if err != nil {
			return time.Time{}, err
		}
		f.wake(wake)
	}
}

// Entities hand deliveries over while the workflow begins, ends, sleeps and is woken: each
// delivery arrives, without a sweep that would find what was forgotten.
func TestNothingIsForgotten(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		changes []func(*pipeline.Webhook)
	}{
		{"in no order", nil},
		{"in order", []func(*pipeline.Webhook){ordered}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			const entities, each = 6, 15
			d := newDatabase(t)
			w := newWebhook(t, d.Store, 1, []string{"proposal.*"}, test.changes...)
			flow := &workflow{
				d: d, w: w, woken: make(chan bool, 1), stop: make(chan bool),
				fail: func(d pipeline.Dispatch) bool { return d.Attempts == 0 && d.Event.Version%5 == 0 },
			}
			ctx := context.WithoutCancel(t.Context())
			stopped := make(chan error, 1)
			go func() { stopped <- flow.run(ctx) }()

			var all sync.WaitGroup
			for range entities {
				p := newProposal(t, d.Store, newCustomer(t, d.Store, 1))
				all.Go(func() { entity(t, d, flow, p, each) })
			}
			all.Wait()
			require.Eventually(t, func() bool {
				return count(t, d, `SELECT count(*) FROM deliveries WHERE status = 'delivered'`) == entities*each
			}, patience, tick)
			close(flow.stop)
			require.NoError(t, <-stopped)
		})
	}
}

// entity goes on with a proposal, sends some deliveries itself and hands the others over.
func entity(t *testing.T, d database, flow *workflow, p pipeline.Proposal, events int) {
	t.Helper()
	for n := range events {
		if n > 0 {
			e, after, err := pipeline.Next(p, pipeline.Command{Type: pipeline.TypeProposalSent, OccurredAt: noon}, fmt.Sprint("sent ", n))
			if err == nil {
				_, err = d.Store.Append(t.Context(), e, noKey)
			}
			if err != nil {
				t.Error(err)
				return
			}
			p = after
		}
		fresh, err := d.Store.FreshDeliveries(t.Context(), p.Ref().Stream(), 10)
		if err != nil {
			t.Error(err)
			return
		}
		for _, f := range fresh {
			var wake []int64
			if f.Later || n%3 == 0 {
				wake, err = d.Store.HandOver(t.Context(), []int64{f.DeliveryID})
			} else {
				wake, err = d.Store.RecordAttempts(t.Context(), []pipeline.Result{delivered(f)}, nil)
			}
			if err != nil {
				t.Error(err)
				return
			}
			flow.wake(wake)
		}
	}
}
