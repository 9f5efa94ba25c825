package main

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Options say what a run does, and for how long.
type Options struct {
	// Seed decides the order of faults, whom they hit, and what the load does.
	Seed int64

	// Duration is how long faults go on; starting up and settling come on top.
	Duration time.Duration

	// Short makes everything that lasts last a third, for the form that is part of the tests.
	Short bool

	// Rate is how many transitions per second the load asks for, all clients together.
	Rate float64

	// Clients work side by side, each on lifecycles of its own.
	Clients int

	// Faults are those to inject, by name; empty for all.
	Faults []string

	// Binaries is a folder with the programs dealwright and temporalserver, say of another version; empty to build this checkout's.
	Binaries string

	// Keep leaves the whole folder behind, and not the logs of a failed run only.
	Keep bool

	// FakeTime is libfaketime's shared library, by which Postgres' clock is moved; empty to look in the usual places.
	FakeTime string
}

const (
	fullDuration  = 5 * time.Minute
	shortDuration = time.Minute
)

func readOptions(args []string) (Options, error) {
	var o Options
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.Int64Var(&o.Seed, "seed", 0, "repeat the run of this seed; 0 for a new one, which is printed")
	flags.DurationVar(&o.Duration, "duration", 0, "how long faults go on (default 5m, or 1m with -short)")
	flags.BoolVar(&o.Short, "short", false, "the form of the tests: what lasts, lasts a third")
	flags.Float64Var(&o.Rate, "rate", 20, "transitions per second, all clients together")
	flags.IntVar(&o.Clients, "clients", 8, "concurrent clients")
	flags.StringVar(&o.Binaries, "bin", "", "a folder with dealwright and temporalserver to run, instead of building this checkout's")
	flags.BoolVar(&o.Keep, "keep", false, "leave the folder with all its data behind")
	flags.StringVar(&o.FakeTime, "faketime", "", "libfaketime.so.1, where it is in no usual place")
	flags.Func("faults", "inject only these, with commas between them: "+strings.Join(faultNames(), ", "), func(list string) error {
		o.Faults = strings.Split(list, ",")
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return o, fmt.Errorf("read flags: %w", err)
	}
	return o.withDefaults(), o.check()
}

func (o Options) withDefaults() Options {
	if o.Duration == 0 {
		o.Duration = fullDuration
		if o.Short {
			o.Duration = shortDuration
		}
	}
	if o.Seed == 0 {
		o.Seed = newSeed()
	}
	return o
}

// newSeed is short enough to be typed.
func newSeed() int64 {
	var b [4]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return int64(binary.BigEndian.Uint32(b[:])%999_999) + 1
}

func (o Options) check() error {
	if o.Rate <= 0 || o.Clients < 1 || o.Duration < 0 {
		return errors.New("-rate, -clients and -duration have to be more than 0")
	}
	for _, name := range o.Faults {
		if !slices.Contains(faultNames(), name) {
			return fmt.Errorf("-faults can have %s, not %q", strings.Join(faultNames(), ", "), name)
		}
	}
	return nil
}

// lasting scales what lasts to the form of the run.
func (o Options) lasting(d time.Duration) time.Duration {
	if o.Short {
		return d / 3
	}
	return d
}
