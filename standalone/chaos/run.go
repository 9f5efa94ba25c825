package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jmoiron/sqlx"
)

// How long things take that are no faults.
const (
	calm           = 5 * time.Second // between faults, and before the first
	shortCalm      = 1500 * time.Millisecond
	drainPatience  = 45 * time.Second // until requests that are under way have been answered
	settlePatience = time.Minute      // until everything has been delivered
)

// run does all of it. Its error says what could not be done, or that promises were broken.
func run(ctx context.Context, o Options, out io.Writer) (err error) {
	progressf("seed %d: faults for %s, %.0f transitions/s by %d clients; building", o.Seed, o.Duration, o.Rate, o.Clients)
	c, err := StartCluster(ctx, o)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, c.Stop())
		err = errors.Join(err, c.Remove(err != nil && ctx.Err() == nil)) // who interrupts a run does not look into it
	}()
	progressf("started; logs are in %s", c.Logs())
	load, err := StartLoad(ctx, Target{APIs: c.APIs(), Key: c.Key(), DatabaseURL: c.DatabaseURL()},
		LoadOptions{Clients: o.Clients, Rate: o.Rate, Seed: o.Seed})
	if err != nil {
		return fmt.Errorf("start the load: %w", err)
	}
	r := &runner{options: o, cluster: c, load: load}
	err = r.run(ctx)
	if err := errors.Join(err, load.Close()); err != nil {
		return err
	}
	if err := r.print(out); err != nil {
		return err
	}
	if n := len(r.report.Breaches); n > 0 {
		return fmt.Errorf("%d promises broken with seed %d; the logs are in %s", n, o.Seed, c.Logs())
	}
	return nil
}

// runner is one run under way.
type runner struct {
	options Options
	cluster *Cluster
	load    *Load
	windows []Window
	found   []Breach // by us, not by the checker
	report  Report
}

// run injects faults, lets everything come to rest and has it checked.
func (r *runner) run(ctx context.Context) error {
	if err := r.disturb(ctx); err != nil {
		return errors.Join(err, r.stopLoad(ctx))
	}
	if err := r.stopLoad(ctx); err != nil {
		r.breachf(BreachRefusal, "%v", err)
	}
	db, err := sqlx.Open("postgres", r.cluster.DatabaseURL())
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer db.Close()
	if err := r.settle(ctx, db); err != nil {
		return err
	}
	if r.report, err = Check(ctx, db, r.load.Ledger(), r.windows); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	for _, end := range r.cluster.Surprises() {
		r.breachf(BreachEnded, "%s", end)
	}
	r.report.Breaches = append(r.report.Breaches, r.found...)
	return nil
}

func (r *runner) breachf(kind BreachKind, format string, args ...any) {
	r.found = append(r.found, breachf(kind, time.Now(), format, args...))
}

// BreachEnded and BreachNotBack are what the runner sees and the checker cannot.
const (
	BreachEnded   BreachKind = "0: ended"    // a process, by itself
	BreachNotBack BreachKind = "0: not back" // after a fault was healed
)

// disturb injects one fault after the other until the time is up.
func (r *runner) disturb(ctx context.Context) error {
	quiet := calm
	if r.options.Short {
		quiet = shortCalm
	}
	s := newSchedule(r.options)
	if err := wait(ctx, quiet); err != nil {
		return err
	}
	for begun := time.Now(); time.Since(begun) < r.options.Duration; {
		f, found := s.next(r.cluster)
		if !found {
			return errors.New("none of the faults is possible here")
		}
		if err := r.inject(ctx, f); err != nil {
			return fmt.Errorf("%s: %w", f.what, err)
		}
		if time.Since(begun) < r.options.Duration { // the last one is followed at once by the wait for everything to be delivered
			if err := r.recover(ctx, f); err != nil || len(r.found) > 0 {
				return err
			}
			if err := wait(ctx, quiet); err != nil {
				return err
			}
		}
	}
	return nil
}

// inject has a fault happen, and mends it.
func (r *runner) inject(ctx context.Context, f fault) error {
	w := Window{Fault: f.name, From: time.Now()}
	acked := r.load.Ledger().Acked()
	progressf("%3d  %-16s %s (%d acked so far)", len(r.windows)+1, f.name, f.what, acked)
	if err := f.inject(ctx, r.cluster); err != nil {
		return err
	}
	waited := wait(ctx, r.options.lasting(f.lasts))
	if waited != nil {
		ctx = context.WithoutCancel(ctx) // what was stopped has to go on, or it would not end when it is asked to
	}
	bounded, cancel := context.WithTimeout(ctx, healPatience)
	defer cancel()
	if err := f.heal(bounded, r.cluster); err != nil {
		return errors.Join(waited, fmt.Errorf("heal: %w", err))
	}
	w.Healed = time.Now()
	r.windows = append(r.windows, w)
	return waited
}

// healPatience bounds what we wait for ourselves: a process that is started again, a Postgres that recovers.
const healPatience = time.Minute

// recover waits until all processes are ready again, of which the next fault takes one away.
func (r *runner) recover(ctx context.Context, f fault) error {
	err := r.cluster.Healthy(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.breachf(BreachNotBack, "%s after %s (%s): %v", healthPatience, f.name, f.what, err)
	}
	return nil
}

func (r *runner) stopLoad(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainPatience)
	defer cancel()
	return r.load.Stop(ctx)
}

// settle waits until nothing is left to be done. What is left after that is the checker's to name.
func (r *runner) settle(ctx context.Context, db *sqlx.DB) error {
	bounded, cancel := context.WithTimeout(ctx, settlePatience)
	defer cancel()
	progressf("the last fault is healed, %d acked; waiting until everything is delivered", r.load.Ledger().Acked())
	if _, err := r.load.Settled(bounded, db); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.breachf(BreachUnsent, "%v", err)
	}
	if err := r.cluster.check(ctx); err != nil {
		r.breachf(BreachNotBack, "at the end: %v", err)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	if !pause(ctx, d) {
		return ctx.Err()
	}
	return nil
}
