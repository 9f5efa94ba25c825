package main

import (
	"fmt"
	"slices"
	"time"
)

// sample is what one round of a load came to.
type sample struct {
	transitions int
	lasted      time.Duration // from the first request to the last arrival at the partner
	api         latencies     // request to answer
	partner     latencies     // commit to arrival at the partner
	endToEnd    latencies     // request to arrival at the partner
	usage       usage
}

func newSample(started time.Time, sent []transition, arrivals []time.Time, used usage) sample {
	api, partner, endToEnd := make([]time.Duration, 0, len(sent)), make([]time.Duration, 0, len(sent)), make([]time.Duration, 0, len(sent))
	for i, t := range sent {
		api = append(api, t.answered.Sub(t.sent))
		endToEnd = append(endToEnd, arrivals[i].Sub(t.sent))
		if !t.recorded.IsZero() {
			partner = append(partner, arrivals[i].Sub(t.recorded))
		}
	}
	s := sample{
		transitions: len(sent),
		api:         newLatencies(api), partner: newLatencies(partner), endToEnd: newLatencies(endToEnd),
		usage: used,
	}
	if len(sent) > 0 {
		s.lasted = slices.MaxFunc(arrivals, time.Time.Compare).Sub(started)
	}
	return s
}

// rate is in transitions per second, delivered.
func (s sample) rate() float64 {
	if s.lasted <= 0 {
		return 0
	}
	return float64(s.transitions) / s.lasted.Seconds()
}

// perTransition divides a total by how many transitions there were.
func (s sample) perTransition(total float64) float64 {
	return total / float64(max(1, s.transitions))
}

func (s sample) summary() string {
	return fmt.Sprintf("%.1f/s, API p50 %.1f ms, event to partner p50 %.1f ms, others used %.0f %% of a core",
		s.rate(), milliseconds(s.api.quantile(0.5)), milliseconds(s.partner.quantile(0.5)),
		100*s.usage.cpu.others().Seconds()/max(s.lasted.Seconds(), 1))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// results are all that was measured: samples by subject and load, and what has a form of its own, by round.
type results struct {
	samples    map[string]map[string][]sample
	neighbours []neighbours
	replays    []replayed
	overloads  []overloaded
}

func (r results) add(subject, load string, s sample) {
	if r.samples[subject] == nil {
		r.samples[subject] = map[string][]sample{}
	}
	r.samples[subject][load] = append(r.samples[subject][load], s)
}

// medianOf is the median over the rounds; 0 where nothing was measured.
func medianOf[S any](samples []S, figure func(S) float64) float64 {
	all := make([]float64, len(samples))
	for i, s := range samples {
		all[i] = figure(s)
	}
	return median(all)
}
