package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// fault is something that goes wrong, and how it is put right again.
type fault struct {
	// name is its row in the table, and what -faults takes.
	name string

	// what it is in words, for who watches.
	what string

	// lasts is how long it is left alone between inject and heal.
	lasts time.Duration

	inject func(context.Context, *Cluster) error

	// heal returns when the fault itself is gone; what the engine needs from then on counts as the engine's time. What was killed
	// is healed when it is started again, and a server (Postgres, Temporal) when it takes connections.
	heal func(context.Context, *Cluster) error

	// impossible says why it cannot be had here, empty where it can.
	impossible func(*Cluster) string
}

// whyNot says why a fault was not tried.
func (f fault) whyNot(c *Cluster) string {
	if f.impossible != nil && f.impossible(c) != "" {
		return f.impossible(c)
	}
	return "its turn did not come"
}

// faults are all there are, in the order of the table. Those of one name are variants of one another.
func faults() []fault {
	var all []fault
	for _, name := range apiNames {
		all = append(all, killed("kill-api", name))
	}
	for _, name := range workerNames {
		all = append(all, killed("kill-worker", name))
	}
	all = append(all, killed("kill-temporal", temporalName), killedPostgres(), killedAll(),
		restartedPostgres(), pausedPostgres(), cutPostgres(), pausedTemporal(),
		poisoned("postgres-slow", "every answer of Postgres takes 200 ms to 1 s more", "", toPostgres, slowness),
		poisoned("temporal-slow", "every answer of Temporal takes 200 ms to 1 s more", "", toTemporal, slowness),
		poisoned("resets", "connections to Postgres and Temporal are reset", "", "", resets))
	for _, names := range [][]string{apiNames, workerNames} {
		for _, server := range []string{toPostgres, toTemporal} {
			for _, name := range names {
				all = append(all, poisoned("partition", name+" and "+server+" do not reach each other", name, server, silence))
			}
		}
	}
	return append(all, fullBucket(), jumpedClock())
}

// faultNames are the names, each once.
func faultNames() []string {
	var names []string
	for _, f := range faults() {
		if len(names) == 0 || names[len(names)-1] != f.name {
			names = append(names, f.name)
		}
	}
	return names
}

// How long things last in a full run.
const (
	pauseLasts   = 10 * time.Second
	outageLasts  = restartAfter
	networkLasts = 9 * time.Second
)

// killed ends one process with kill -9; its supervisor starts it again.
func killed(name, process string) fault {
	var at time.Time
	return fault{
		name: name, what: "kill -9 " + process,
		inject: func(_ context.Context, c *Cluster) error {
			at = time.Now()
			c.process(process).kill()
			return nil
		},
		heal: func(ctx context.Context, c *Cluster) error { return c.restarted(ctx, at, c.process(process)) },
	}
}

// killedPostgres ends Postgres and keeps the ways to it shut for as long as any other process would be away: by itself it
// would be back in a fraction of a second.
func killedPostgres() fault {
	return fault{
		name: "kill-postgres", what: "kill -9 postgres", lasts: outageLasts,
		inject: func(_ context.Context, c *Cluster) error {
			shut(c.proxies.of("", toPostgres))
			return c.killPostgres()
		},
		heal: func(ctx context.Context, c *Cluster) error {
			return errors.Join(until(ctx, c.db.PingContext), open(c.proxies.of("", toPostgres)))
		},
	}
}

func killedAll() fault {
	var at time.Time
	return fault{
		name: "kill-all", what: "kill -9 of everything at once", lasts: outageLasts,
		inject: func(_ context.Context, c *Cluster) error {
			at = time.Now()
			shut(c.proxies.of("", toPostgres))
			for _, p := range c.processes() {
				p.kill()
			}
			return c.killPostgres()
		},
		heal: func(ctx context.Context, c *Cluster) error {
			return errors.Join(until(ctx, c.db.PingContext), open(c.proxies.of("", toPostgres)), c.restarted(ctx, at, c.processes()...))
		},
	}
}

func restartedPostgres() fault {
	return fault{
		name: "postgres-restart", what: "Postgres restarted in immediate mode",
		inject: func(_ context.Context, c *Cluster) error { return c.endPostgres() },
		heal:   func(ctx context.Context, c *Cluster) error { return until(ctx, c.db.PingContext) },
	}
}

func pausedPostgres() fault {
	var family []int
	return fault{
		name: "postgres-pause", what: "Postgres stands still (SIGSTOP)", lasts: pauseLasts,
		inject: func(ctx context.Context, c *Cluster) (err error) {
			family, err = c.pausePostgres(ctx)
			return err
		},
		heal: func(_ context.Context, c *Cluster) error { return c.resumePostgres(family) },
	}
}

func cutPostgres() fault {
	return fault{
		name: "postgres-cut", what: "Postgres' connections are cut (pg_terminate_backend, then the proxies')",
		inject: func(ctx context.Context, c *Cluster) error {
			_, err := c.db.ExecContext(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`)
			if err != nil {
				return fmt.Errorf("cut connections: %w", err)
			}
			return nil
		},
		heal: func(_ context.Context, c *Cluster) error {
			shut(c.proxies.of("", toPostgres))
			return open(c.proxies.of("", toPostgres))
		},
		lasts: time.Second,
	}
}

func pausedTemporal() fault {
	return fault{
		name: "temporal-pause", what: "Temporal stands still (SIGSTOP)", lasts: pauseLasts,
		inject: func(_ context.Context, c *Cluster) error { return c.temporal.signal(stopSignal) },
		heal:   func(_ context.Context, c *Cluster) error { return c.temporal.signal(continueSignal) },
	}
}

// poisoned puts a toxic on the ways between a process and a server; empty names stand for all.
func poisoned(name, what, from, to string, t toxic) fault {
	return fault{
		name: name, what: what, lasts: networkLasts,
		inject: func(_ context.Context, c *Cluster) error { return poison(c.proxies.of(from, to), t) },
		heal:   func(ctx context.Context, c *Cluster) error { return cure(ctx, c.proxies.of(from, to)) },
	}
}

func fullBucket() fault {
	return fault{
		name: "bucket-full", what: "the disk of the bucket of documents is full", lasts: networkLasts,
		inject: func(_ context.Context, c *Cluster) error { return c.bucket.fill() },
		heal:   func(_ context.Context, c *Cluster) error { return c.bucket.free() },
	}
}

// clockJump is as far as a clock moves whose time server was away. What became due by a clock that was ahead, and that nothing of
// its entity comes after, waits for as long as the jump was wide.
const clockJump = 10 * time.Second

// jumpedClock moves Postgres' clock ahead, and back.
func jumpedClock() fault {
	return fault{
		name: "clock-jump", what: "Postgres' clock jumps 10 s ahead, and back", lasts: networkLasts,
		inject: func(_ context.Context, c *Cluster) error { return c.clock.move(clockJump) },
		heal:   func(_ context.Context, c *Cluster) error { return c.clock.move(0) },
		impossible: func(c *Cluster) string {
			if c.clock.library == "" {
				return "not possible here: libfaketime is not installed"
			}
			return ""
		},
	}
}
