package main

import (
	"math"
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
	rank := int(math.Ceil(q * float64(len(l))))
	return l[max(rank, 1)-1]
}

// median of some figures; 0 when there are none.
func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
