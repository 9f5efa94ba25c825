package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What is measured: a bare workflow, and the engine.
const (
	nameBare   = "bare"
	nameEngine = "dealwright"
)

// subject is something that transitions can be sent to.
type subject interface {
	// newCaller is one of its callers, who sends one transition after the other.
	newCaller() caller
	close() error
}

// caller sends the next transition of its story, and returns when it has been answered.
type caller interface {
	next(ctx context.Context) (transition, error)
}

// transition is one that was answered.
type transition struct {
	event    string    // names what the partner is to be told
	sent     time.Time // when the request was due or sent, whichever is earlier
	answered time.Time
	recorded time.Time // when it was committed; zero where the answer does not say
}

// bench holds what all measurements share.
type bench struct {
	options    options
	standalone *standalone
	receiver   *receiver
	meter      *meter
	subjects   map[string]subject
}

func newBench(ctx context.Context, o options) (_ *bench, err error) {
	b := &bench{options: o, subjects: map[string]subject{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	progressf("starting standalone")
	if b.standalone, err = startStandalone(ctx, o.binary); err != nil {
		return b, err
	}
	if b.receiver, err = startReceiver(ctx); err != nil {
		return b, err
	}
	if b.meter, err = newMeter(b.standalone); err != nil {
		return b, err
	}
	err = b.addSubjects(ctx)
	return b, err
}

func (b *bench) addSubjects(ctx context.Context) error {
	if b.options.wants(nameBare) {
		bare, err := newBare(ctx, b.standalone, b.receiver.url)
		if err != nil {
			return err
		}
		b.subjects[nameBare] = bare
	}
	if b.options.wants(nameEngine) {
		engine, err := newEngine(ctx, b.standalone, b.receiver.url)
		if err != nil {
			return err
		}
		b.subjects[nameEngine] = engine
	}
	return nil
}

// close ends everything, in the reverse order of its start.
func (b *bench) close() error {
	var all []error
	for _, s := range b.subjects {
		all = append(all, s.close())
	}
	if b.meter != nil {
		all = append(all, b.meter.close())
	}
	if b.standalone != nil {
		all = append(all, b.standalone.stop())
	}
	if b.receiver != nil {
		all = append(all, b.receiver.close())
	}
	return errors.Join(all...)
}

// warmUp is for connections, plans and caches; nothing of it counts.
const warmUp = 5 * time.Second

func (b *bench) run(ctx context.Context) (results, error) {
	for _, name := range b.names() {
		if _, err := b.measure(ctx, name, "warm-up", b.flatOut(warmUp)); err != nil {
			return nil, err
		}
	}
	out := results{}
	loads := []struct {
		name string
		run  load
	}{
		{loadFlatOut, b.flatOut(b.options.duration())},
		{loadPaced, b.paced(b.options.duration())},
	}
	for _, load := range loads {
		for n := range b.options.rounds {
			for _, name := range b.names() {
				s, err := b.measure(ctx, name, fmt.Sprintf("%s, round %d of %d", load.name, n+1, b.options.rounds), load.run)
				if err != nil {
					return nil, err
				}
				out.add(name, load.name, s)
			}
		}
	}
	return out, nil
}

func (b *bench) names() []string {
	var names []string
	for _, name := range []string{nameBare, nameEngine} {
		if b.options.wants(name) {
			names = append(names, name)
		}
	}
	return names
}

// measure runs a load once and waits until the partner has heard of every transition.
func (b *bench) measure(ctx context.Context, name, what string, run load) (sample, error) {
	before, err := b.meter.read(ctx)
	if err != nil {
		return sample{}, err
	}
	started := time.Now()
	sent, err := run(ctx, b.subjects[name])
	if err != nil {
		return sample{}, fmt.Errorf("%s, %s: %w", name, what, err)
	}
	arrivals, err := b.receiver.await(ctx, sent)
	if err != nil {
		return sample{}, fmt.Errorf("%s, %s: %w", name, what, err)
	}
	after, err := b.meter.read(ctx)
	if err != nil {
		return sample{}, err
	}
	s := newSample(started, sent, arrivals, after.minus(before))
	progressf("%-10s %s: %s", name, what, s.summary())
	return s, nil
}
