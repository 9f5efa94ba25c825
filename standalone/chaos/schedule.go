package main

import (
	"math/rand/v2"
	"slices"
)

// schedule is the order of faults: every fault's variants come once in a round, each round in an order of its own. The same seed
// gives the same order.
type schedule struct {
	random *rand.Rand
	chosen []fault
	round  []fault // what is left of it
}

func newSchedule(o Options) *schedule {
	s := &schedule{random: rand.New(rand.NewPCG(uint64(o.Seed), 0))} //nolint:gosec // any bits do
	for _, f := range faults() {
		if len(o.Faults) == 0 || slices.Contains(o.Faults, f.name) {
			s.chosen = append(s.chosen, f)
		}
	}
	return s
}

// next goes on for ever, unless nothing that was chosen is possible here.
func (s *schedule) next(c *Cluster) (f fault, found bool) {
	for range 2 * len(s.chosen) { // a round, from wherever we are in one
		if len(s.round) == 0 {
			s.round = s.newRound()
		}
		f, s.round = s.round[0], s.round[1:]
		if f.impossible == nil || f.impossible(c) == "" {
			return f, true
		}
	}
	return fault{}, false
}

// newRound spreads names: first one variant of each, so that a run that ends early has seen as many kinds as it can.
func (s *schedule) newRound() []fault {
	shuffled := slices.Clone(s.chosen)
	s.random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	turn := map[string]int{}
	turns := make(map[int][]fault)
	last := 0
	for _, f := range shuffled {
		t := turn[f.name]
		turn[f.name]++
		turns[t] = append(turns[t], f)
		last = max(last, t)
	}
	var round []fault
	for t := range last + 1 {
		round = append(round, turns[t]...)
	}
	return round
}
