package main

import (
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// What the engine has to reach, on a machine of two cores.
const (
	enoughOfBare      = 0.8
	enoughAPI         = 12 * time.Millisecond // p50
	enoughPartner     = 20 * time.Millisecond // p50
	enoughPartnerTail = 45 * time.Millisecond // p99
)

// print writes the table. Figures are medians over the rounds.
func (r results) print(out io.Writer, o options, load string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%d cores, load average %s before; %d clients; medians of %d rounds of %d s\n\n",
		runtime.NumCPU(), load, o.clients, o.rounds, o.seconds)
	for _, l := range []struct{ name, title string }{
		{loadFlatOut, "Flat out"},
		{loadPaced, fmt.Sprintf("At %d transitions/s", o.rate)},
	} {
		r.section(w, l.name, l.title, latencyRows)
		r.section(w, l.name, l.title+": CPU seconds per 1000 transitions", cpuRows)
		r.section(w, l.name, l.title+": databases, per transition", r.databaseRows(l.name))
	}
	r.verdict(w, o)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}

// row is one figure for each subject.
type row struct {
	name   string
	format string
	figure func(sample) float64
}

// quantileOf makes a figure, in milliseconds, of a share of some latencies.
func quantileOf(q float64, of func(sample) latencies) func(sample) float64 {
	return func(s sample) float64 { return milliseconds(of(s).quantile(q)) }
}

func apiOf(s sample) latencies      { return s.api }
func partnerOf(s sample) latencies  { return s.partner }
func endToEndOf(s sample) latencies { return s.endToEnd }

var latencyRows = []row{
	{"transitions/s delivered", "%.1f", sample.rate},
	{"API p50, ms", "%.1f", quantileOf(0.5, apiOf)},
	{"API p99, ms", "%.1f", quantileOf(0.99, apiOf)},
	{"event to partner p50, ms", "%.1f", quantileOf(0.5, partnerOf)},
	{"event to partner p99, ms", "%.1f", quantileOf(0.99, partnerOf)},
	{"request to partner p50, ms", "%.1f", quantileOf(0.5, endToEndOf)},
	{"request to partner p99, ms", "%.1f", quantileOf(0.99, endToEndOf)},
}

// cpuOf makes a figure, in seconds per 1000 transitions, of a part of the machine.
func cpuOf(part func(cpuTimes) time.Duration) func(sample) float64 {
	return func(s sample) float64 { return 1000 * s.perTransition(part(s.usage.cpu).Seconds()) }
}

var cpuRows = []row{
	{"standalone: Temporal, API, worker", "%.2f", cpuOf(func(t cpuTimes) time.Duration { return t.standalone })},
	{"postgres", "%.2f", cpuOf(func(t cpuTimes) time.Duration { return t.postgres })},
	{"bench: clients, receiver, bare worker", "%.2f", cpuOf(func(t cpuTimes) time.Duration { return t.bench })},
	{"these together", "%.2f", cpuOf(func(t cpuTimes) time.Duration { return t.standalone + t.postgres + t.bench })},
	{"everything else on the machine", "%.2f", cpuOf(cpuTimes.others)},
}

// rare is how few writes per transition are not worth a line.
const rare = 0.005

func (r results) databaseRows(load string) []row {
	rows := []row{
		{"Postgres transactions", "%.2f", func(s sample) float64 { return s.perTransition(float64(s.usage.commits)) }},
		{"Temporal writes", "%.2f", func(s sample) float64 { return s.perTransition(s.usage.writes.sum()) }},
	}
	for _, operation := range r.operations(load) {
		figure := func(s sample) float64 { return s.perTransition(s.usage.writes[operation]) }
		if slices.ContainsFunc(slices.Collect(maps.Values(r)), func(loads map[string][]sample) bool {
			return medianOf(loads[load], figure) >= rare
		}) {
			rows = append(rows, row{"  " + operation, "%.2f", figure})
		}
	}
	return rows
}

// operations are the names of all writes that were seen.
func (r results) operations(load string) []string {
	names := map[string]bool{}
	for _, loads := range r {
		for _, s := range loads[load] {
			for operation := range s.usage.writes {
				names[operation] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func (r results) section(w io.Writer, load, title string, rows []row) {
	fmt.Fprintf(w, "%s\t%s\t%s\n", title, nameBare, nameEngine)
	for _, line := range rows {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", line.name,
			line.of(r[nameBare][load]), line.of(r[nameEngine][load]))
	}
	fmt.Fprintln(w)
}

func (l row) of(samples []sample) string {
	if len(samples) == 0 {
		return "–"
	}
	return fmt.Sprintf(l.format, medianOf(samples, l.figure))
}

// ratio is the median, over the rounds, of the engine's rate to that of the bare workflow just before.
func (r results) ratio() float64 {
	var ratios []float64
	engine := r[nameEngine][loadFlatOut]
	for i, bare := range r[nameBare][loadFlatOut] {
		if i < len(engine) && bare.rate() > 0 {
			ratios = append(ratios, engine[i].rate()/bare.rate())
		}
	}
	return median(ratios)
}

func (r results) verdict(w io.Writer, o options) {
	engine := r[nameEngine][loadPaced]
	if len(engine) == 0 {
		return
	}
	fmt.Fprintln(w, "To reach\twanted\tmeasured\treached")
	if len(r[nameBare]) > 0 {
		ratio := r.ratio()
		fmt.Fprintf(w, "  %s/%s\t≥ %.2f\t%.2f\t%s\n", nameEngine, nameBare, enoughOfBare, ratio, yesOrNo(ratio >= enoughOfBare))
	}
	for _, wanted := range []struct {
		name   string
		figure func(sample) float64
		atMost time.Duration
	}{
		{"API p50", quantileOf(0.5, apiOf), enoughAPI},
		{"event to partner p50", quantileOf(0.5, partnerOf), enoughPartner},
		{"event to partner p99", quantileOf(0.99, partnerOf), enoughPartnerTail},
	} {
		measured := medianOf(engine, wanted.figure)
		fmt.Fprintf(w, "  %s at %d/s\t≤ %d ms\t%.1f ms\t%s\n", wanted.name, o.rate, wanted.atMost.Milliseconds(), measured,
			yesOrNo(measured <= float64(wanted.atMost.Milliseconds())))
	}
}

func yesOrNo(reached bool) string {
	if reached {
		return "yes"
	}
	return "no"
}
