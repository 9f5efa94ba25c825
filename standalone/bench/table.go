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
	enoughFanOut      = 4.5                   // deliveries/s with five webhooks to transitions/s with one
	enoughDelayed     = 0.9                   // of an instant endpoint's deliveries/s
	enoughNeighbours  = 1.5                   // times the p99 without bad neighbours
	enoughReplay      = 1500.0                // events/s
)

// print writes the table. Figures are medians over the rounds.
func (r results) print(out io.Writer, o options, load string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%d cores, load average %s before; %d clients; medians of %d rounds of %d s\n\n",
		runtime.NumCPU(), load, o.clients, o.rounds, o.seconds)
	r.subjects(w, o)
	r.delivery(w)
	r.overload(w)
	r.verdict(w, o)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}

// subjects has the engine beside the bare workflow.
func (r results) subjects(w io.Writer, o options) {
	if len(o.paced()) == 0 {
		return
	}
	for _, l := range []struct{ name, title string }{
		{loadFlatOut, "Flat out"},
		{loadPaced, fmt.Sprintf("At %d transitions/s", o.rate)},
	} {
		r.section(w, l.name, l.title, latencyRows)
		r.section(w, l.name, l.title+": CPU seconds per 1000 transitions", cpuRows)
		r.section(w, l.name, l.title+": databases, per transition", r.databaseRows(l.name))
	}
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
		if slices.ContainsFunc(slices.Collect(maps.Values(r.samples)), func(loads map[string][]sample) bool {
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
	for _, loads := range r.samples {
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
			line.of(r.samples[nameBare][load]), line.of(r.samples[nameEngine][load]))
	}
	fmt.Fprintln(w)
}

func (l row) of(samples []sample) string {
	if len(samples) == 0 {
		return "–"
	}
	return fmt.Sprintf(l.format, medianOf(samples, l.figure))
}

// ratio is the median, over the rounds, of a subject's rate to another's just before, flat out.
func (r results) ratio(of, to string) float64 {
	var ratios []float64
	theirs := r.samples[of][loadFlatOut]
	for i, base := range r.samples[to][loadFlatOut] {
		if i < len(theirs) && base.rate() > 0 {
			ratios = append(ratios, theirs[i].rate()/base.rate())
		}
	}
	return median(ratios)
}

// verdict says what was to be reached, what was measured, and whether that is enough.
func (r results) verdict(w io.Writer, o options) {
	fmt.Fprintln(w, "To reach\twanted\tmeasured\treached")
	engine := r.samples[nameEngine][loadPaced]
	if len(engine) > 0 && len(r.samples[nameBare]) > 0 {
		atLeast(w, nameEngine+"/"+nameBare, enoughOfBare, r.ratio(nameEngine, nameBare))
	}
	if len(engine) > 0 {
		verdictOnLatency(w, engine, o)
	}
	r.verdictOnDelivery(w)
}

func verdictOnLatency(w io.Writer, engine []sample, o options) {
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

func (r results) verdictOnDelivery(w io.Writer) {
	if len(r.samples[nameFanOut]) > 0 {
		name := fmt.Sprintf("deliveries/s with %d webhooks / transitions/s with one", fanOut)
		atLeast(w, name, enoughFanOut, fanOut*r.ratio(nameFanOut, nameEngine))
	}
	if len(r.samples[nameDelay]) > 0 {
		name := fmt.Sprintf("deliveries/s at an endpoint that takes %s / at an instant one", delay)
		atLeast(w, name, enoughDelayed, r.ratio(nameDelay, nameEngine))
	}
	if len(r.neighbours) > 0 {
		for _, run := range []struct {
			name string
			of   func(neighbours) latencies
		}{{"from the first event on", first}, {"once they are known", beside}} {
			measured := medianOf(r.neighbours, func(n neighbours) float64 { return n.besides(run.of) })
			atMost(w, "event to partner p99 beside bad neighbours, "+run.name+" / alone", enoughNeighbours, measured)
		}
	}
	if len(r.replays) > 0 {
		measured := medianOf(r.replays, replayed.rate)
		fmt.Fprintf(w, "  replayed events/s\t≥ %.0f\t%.0f\t%s\n", enoughReplay, measured, yesOrNo(measured >= enoughReplay))
	}
}

func atLeast(w io.Writer, name string, wanted, measured float64) {
	fmt.Fprintf(w, "  %s\t≥ %.2f\t%.2f\t%s\n", name, wanted, measured, yesOrNo(measured >= wanted))
}

func atMost(w io.Writer, name string, wanted, measured float64) {
	fmt.Fprintf(w, "  %s\t≤ %.2f\t%.2f\t%s\n", name, wanted, measured, yesOrNo(measured <= wanted))
}

func yesOrNo(reached bool) string {
	if reached {
		return "yes"
	}
	return "no"
}
