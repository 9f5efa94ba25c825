package main

import (
	"fmt"
	"io"
)

// delivery prints how events get to many webhooks, to slow ones, and once more.
func (r results) delivery(w io.Writer) {
	if len(r.samples[nameFanOut]) > 0 || len(r.samples[nameDelay]) > 0 {
		r.endpoints(w)
	}
	if len(r.neighbours) > 0 {
		tail := func(of func(neighbours) latencies, q float64) float64 {
			return medianOf(r.neighbours, func(n neighbours) float64 { return milliseconds(of(n).quantile(q)) })
		}
		alone, beside := func(n neighbours) latencies { return n.alone }, func(n neighbours) latencies { return n.beside }
		fmt.Fprintf(w, "%d good webhooks, event to partner\tp50, ms\tp99, ms\n", goodNeighbours)
		fmt.Fprintf(w, "  alone\t%.1f\t%.1f\n", tail(alone, 0.5), tail(alone, 0.99))
		fmt.Fprintf(w, "  beside a dead one and one that takes %s\t%.1f\t%.1f\n\n", slowAnswer, tail(beside, 0.5), tail(beside, 0.99))
	}
	if len(r.replays) > 0 {
		mebibytes := func(of func(replayed) int64) float64 {
			return medianOf(r.replays, func(p replayed) float64 { return float64(of(p)) / (1 << 20) })
		}
		fmt.Fprintf(w, "Replay of %d events to one endpoint\t\n", pastEvents)
		fmt.Fprintf(w, "  events/s\t%.0f\n", medianOf(r.replays, replayed.rate))
		fmt.Fprintf(w, "  standalone's memory before, MiB\t%.0f\n", mebibytes(func(p replayed) int64 { return int64(p.before) }))
		fmt.Fprintf(w, "  at most\t%.0f\n", mebibytes(func(p replayed) int64 { return p.most }))
		fmt.Fprintf(w, "  after\t%.0f\n\n", mebibytes(func(p replayed) int64 { return int64(p.after) }))
	}
}

// endpoints has the engine's rates by who listens.
func (r results) endpoints(w io.Writer) {
	fmt.Fprintln(w, "Flat out, by who listens\ttransitions/s\tdeliveries/s")
	for _, line := range []struct {
		name, subject string
		deliveries    float64 // of each transition
	}{
		{"one webhook", nameEngine, 1},
		{fmt.Sprintf("%d webhooks", fanOut), nameFanOut, fanOut},
		{fmt.Sprintf("one whose endpoint takes %s", delay), nameDelay, 1},
	} {
		if samples := r.samples[line.subject][loadFlatOut]; len(samples) > 0 {
			rate := medianOf(samples, sample.rate)
			fmt.Fprintf(w, "  %s\t%.1f\t%.1f\n", line.name, rate, line.deliveries*rate)
		}
	}
	fmt.Fprintln(w)
}
