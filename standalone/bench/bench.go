package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What is measured: a bare workflow, and the engine with one webhook; the engine with more webhooks, or with one whose
// endpoint takes its time; with a dead and a slow one among its neighbours; and how it sends the past once more.
const (
	nameBare       = "bare"
	nameEngine     = "dealwright"
	nameFanOut     = "fanout"
	nameDelay      = "delay"
	nameNeighbours = "neighbours"
	nameReplay     = "replay"
	nameOverload   = "overload"
)

// fanOut is how many webhooks hear of every event, and delay how long that endpoint takes to answer.
const (
	fanOut = 5
	delay  = 100 * time.Millisecond
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
	tenants    *tenants
	meter      *meter
	subjects   map[string]subject
	partners   map[string]audience // of the subjects
}

func newBench(ctx context.Context, o options) (_ *bench, err error) {
	b := &bench{options: o, subjects: map[string]subject{}, partners: map[string]audience{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	progressf("starting standalone")
	if b.standalone, err = startStandalone(ctx, o.binary); err != nil {
		return b, err
	}
	if b.tenants, err = openTenants(b.standalone); err != nil {
		return b, err
	}
	if b.meter, err = newMeter(b.standalone); err != nil {
		return b, err
	}
	err = b.addSubjects(ctx)
	return b, err
}

func (b *bench) addSubjects(ctx context.Context) error {
	for _, name := range b.options.flatOut() {
		size, takes := 1, time.Duration(0)
		switch name {
		case nameFanOut:
			size = fanOut
		case nameDelay:
			takes = delay
		}
		partners, err := newAudience(ctx, size, takes)
		if err != nil {
			return err
		}
		b.partners[name] = partners
		if b.subjects[name], err = b.newSubject(ctx, name, partners); err != nil {
			return err
		}
	}
	return nil
}

// newSubject makes a bare workflow, or the engine as a company of its own sees it.
func (b *bench) newSubject(ctx context.Context, name string, partners audience) (subject, error) {
	if name == nameBare {
		return newBare(ctx, b.standalone, partners[0].url)
	}
	e, err := b.tenants.newCompany(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := e.subscribeAll(ctx, partners); err != nil {
		return nil, err
	}
	return e, nil
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
	if b.tenants != nil {
		all = append(all, b.tenants.close())
	}
	if b.standalone != nil {
		all = append(all, b.standalone.stop())
	}
	for _, partners := range b.partners {
		all = append(all, partners.close())
	}
	return errors.Join(all...)
}

// warmUp is for connections, plans and caches; nothing of it counts.
const warmUp = 5 * time.Second

func (b *bench) run(ctx context.Context) (results, error) {
	out := results{samples: map[string]map[string][]sample{}}
	if err := b.runLoads(ctx, &out); err != nil {
		return out, err
	}
	if b.options.wants(nameNeighbours) {
		if err := b.measureNeighbours(ctx, &out); err != nil {
			return out, err
		}
	}
	if b.options.wants(nameReplay) {
		if err := b.measureReplay(ctx, &out); err != nil {
			return out, err
		}
	}
	if b.options.wants(nameOverload) {
		if err := b.measureOverload(ctx, &out); err != nil {
			return out, err
		}
	}
	return out, nil
}

// runLoads measures the subjects in turn, round after round.
func (b *bench) runLoads(ctx context.Context, out *results) error {
	for _, name := range b.options.flatOut() {
		if _, err := b.measure(ctx, name, "warm-up", b.flatOut(warmUp)); err != nil {
			return err
		}
	}
	loads := []struct {
		name  string
		names []string
		run   load
	}{
		{loadFlatOut, b.options.flatOut(), b.flatOut(b.options.duration())},
		{loadPaced, b.options.paced(), b.paced(b.options.duration())},
	}
	for _, load := range loads {
		for n := range b.options.rounds {
			for _, name := range load.names {
				s, err := b.measure(ctx, name, b.round(load.name, n), load.run)
				if err != nil {
					return err
				}
				out.add(name, load.name, s)
			}
		}
	}
	return nil
}

func (b *bench) round(what string, n int) string {
	return fmt.Sprintf("%s, round %d of %d", what, n+1, b.options.rounds)
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
	arrivals, err := b.partners[name].await(ctx, sent)
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
