package main

import (
	"fmt"
	"io"
	"time"
)

// delivery prints how events get to many webhooks, to slow ones, and once more.
func (r results) delivery(w io.Writer) {
	if len(r.samples[nameFanOut]) > 0 || len(r.samples[nameDelay]) > 0 {
		r.endpoints(w)
	}
	if len(r.neighbours) > 0 {
		fmt.Fprintf(w, "%d good webhooks, event to partner\tp50, ms\tp99, ms\n", goodNeighbours)
		for _, run := range []struct {
			name string
			of   func(neighbours) latencies
		}{
			{"alone", alone},
			{fmt.Sprintf("beside a dead one and one that takes %s, from the first event on", slowAnswer), first},
			{"beside them, once they are known", beside},
		} {
			tail := func(q float64) float64 {
				return medianOf(r.neighbours, func(n neighbours) float64 { return milliseconds(run.of(n).quantile(q)) })
			}
			fmt.Fprintf(w, "  %s\t%.1f\t%.1f\n", run.name, tail(0.5), tail(0.99))
		}
		fmt.Fprintln(w)
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
	together := cpuOf(func(t cpuTimes) time.Duration { return t.standalone + t.postgres + t.bench })
	fmt.Fprintln(w, "Flat out, by who listens\ttransitions/s\tdeliveries/s\tCPU s per 1000 transitions")
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
			fmt.Fprintf(w, "  %s\t%.1f\t%.1f\t%.2f\n", line.name, rate, line.deliveries*rate, medianOf(samples, together))
		}
	}
	fmt.Fprintln(w)
}
