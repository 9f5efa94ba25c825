package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASeedGivesTheSameOrderAgain(t *testing.T) {
	t.Parallel()
	order := func(seed int64) []string {
		s := newSchedule(Options{Seed: seed})
		order := make([]string, 0, 2*len(s.chosen))
		for range 2 * len(s.chosen) {
			f, found := s.next(withFakeTime)
			require.True(t, found)
			order = append(order, f.what)
		}
		return order
	}
	first, again := order(1), order(1)
	require.Equal(t, first, again)
	require.NotEqual(t, first, order(2))
	require.ElementsMatch(t, order(1)[:len(faults())], order(2)[:len(faults())], "a round has every fault once")
}

func TestEachKindOfFaultComesBeforeOneComesAgain(t *testing.T) {
	t.Parallel()
	s := newSchedule(Options{Seed: 3})
	seen := map[string]bool{}
	for range faultNames() {
		f, found := s.next(withFakeTime)
		require.True(t, found)
		require.False(t, seen[f.name], f.name)
		seen[f.name] = true
	}
}

func TestWhatIsNotPossibleHereIsLeftOut(t *testing.T) {
	t.Parallel()
	without := &Cluster{clock: &clock{}}
	s := newSchedule(Options{Seed: 1, Faults: []string{"clock-jump"}})
	_, found := s.next(without)
	require.False(t, found)
	s = newSchedule(Options{Seed: 1, Faults: []string{"clock-jump", "kill-all"}})
	for range 5 {
		f, found := s.next(without)
		require.True(t, found)
		require.Equal(t, "kill-all", f.name)
	}
}

// withFakeTime is a cluster in which every fault is possible.
var withFakeTime = &Cluster{clock: &clock{library: "libfaketime.so.1"}}
