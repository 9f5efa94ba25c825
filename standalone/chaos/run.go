package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// run does all of it. Its error says what could not be done, or that promises were broken.
func run(ctx context.Context, o Options, out io.Writer) (err error) {
	progressf("seed %d, faults for %s, %.0f transitions/s by %d clients; building", o.Seed, o.Duration, o.Rate, o.Clients)
	c, err := StartCluster(ctx, o)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, c.Stop())
		err = errors.Join(err, c.Remove(err != nil))
	}()
	progressf("started")
	s := newSchedule(o)
	begun := time.Now()
	for time.Since(begun) < o.Duration {
		f := s.next()
		if f.impossible != nil && f.impossible(c) != "" {
			continue
		}
		progressf("%s", f.what)
		if err := f.inject(ctx, c); err != nil {
			return err
		}
		time.Sleep(o.lasting(f.lasts))
		if err := f.heal(ctx, c); err != nil {
			return err
		}
		h := time.Now()
		if err := c.Healthy(ctx); err != nil {
			return err
		}
		progressf("healthy after %s", time.Since(h))
	}
	fmt.Fprintln(out, c.Surprises())
	return nil
}
