package main

import (
	"cmp"
	"slices"
	"time"
)

// latencies are how long something took, many times over, in ascending order.
type latencies []time.Duration

func newLatencies(all []time.Duration) latencies {
	slices.Sort(all)
	return all
}

// quantile is the smallest value that a share q of all does not exceed; 0 when there are none.
func (l latencies) quantile(q float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	return l[min(int(q*float64(len(l))), len(l)-1)]
}

// median of some figures; 0 when there are none.
func median[T cmp.Ordered](all []T) T {
	var none T
	if len(all) == 0 {
		return none
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)-1)/2]
}
