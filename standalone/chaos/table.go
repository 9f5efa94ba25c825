package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// mostBreaches are shown; more of them are counted.
const mostBreaches = 20

// print writes the table, what could not be tried, and what is wrong.
func (r *runner) print(out io.Writer) error {
	var b strings.Builder
	o, report := r.options, r.report
	fmt.Fprintf(&b, "seed %d, faults for %s, %.0f transitions/s by %d clients\n\n", o.Seed, o.Duration, o.Rate, o.Clients)
	rows := [][]string{{"fault", "times", "acked", "lost", "doubled", "out of order", "longest stall", "until all was delivered"}}
	line := func(row Row, delivered string) {
		rows = append(rows, []string{
			row.Fault, strconv.Itoa(row.Times), strconv.Itoa(row.Acked), strconv.Itoa(row.Lost), strconv.Itoa(row.Doubled),
			strconv.Itoa(row.OutOfOrder), seconds(row.LongestStall), delivered,
		})
	}
	total := Row{Fault: "all", UntilDelivered: report.AfterHealed}
	for _, row := range report.PerFault {
		delivered := seconds(row.UntilDelivered)
		if row.Times == 0 {
			delivered = "–"
		}
		line(row, delivered)
		total.Times, total.Acked = total.Times+row.Times, total.Acked+row.Acked
		total.Lost, total.Doubled, total.OutOfOrder = total.Lost+row.Lost, total.Doubled+row.Doubled, total.OutOfOrder+row.OutOfOrder
		total.LongestStall = max(total.LongestStall, row.LongestStall)
	}
	line(total, seconds(total.UntilDelivered)+" after the last")
	writeTable(&b, rows)
	r.describe(&b)
	_, err := io.WriteString(out, b.String())
	return err //nolint:wrapcheck // it says what it could not do
}

// writeTable writes Markdown whose columns stand below each other: names to the left, figures to the right.
func writeTable(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	ruler := make([]string, len(widths))
	for i, width := range widths {
		ruler[i] = strings.Repeat("-", width-1) + ":"
	}
	ruler[0] = strings.Repeat("-", widths[0])
	for _, row := range slices.Insert(slices.Clone(rows), 1, ruler) {
		for i, cell := range row {
			padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				fmt.Fprintf(b, "| %s%s |", cell, padding)
			} else {
				fmt.Fprintf(b, " %s%s |", padding, cell)
			}
		}
		b.WriteByte('\n')
	}
}

// describe adds what the table has no place for.
func (r *runner) describe(b *strings.Builder) {
	report := r.report
	fmt.Fprintf(b, "\n%d requests acked, %d refused as they should be, %d without an answer, %d repeats; "+
		"%d events and %d deliveries in the store; %d requests received by partners, %d of them for what they had taken before.\n",
		report.Acked, report.Refused, report.Open, report.Repeats, report.Events, report.Deliveries, report.Receptions, report.Again)
	for _, stall := range report.Stalls {
		fmt.Fprintf(b, "longest wait of webhook %s: %s, during or after %s\n", stall.Webhook, seconds(stall.Waited), stall.Fault)
	}
	tried := map[string]bool{}
	for _, w := range r.windows {
		tried[w.Fault] = true
	}
	if tried["bucket-full"] {
		fmt.Fprintf(b, "bucket-full: %s\n", r.cluster.bucket.how)
	}
	for _, f := range newSchedule(r.options).chosen {
		if tried[f.name] {
			continue
		}
		tried[f.name] = true
		fmt.Fprintf(b, "%s: %s\n", f.name, f.whyNot(r.cluster))
	}
	if len(report.Breaches) == 0 {
		fmt.Fprintln(b, "no promise was broken")
		return
	}
	fmt.Fprintf(b, "\n%d broken promises:\n", len(report.Breaches))
	for i, breach := range report.Breaches {
		if i == mostBreaches {
			fmt.Fprintf(b, "  … and %d more\n", len(report.Breaches)-mostBreaches)
			break
		}
		fmt.Fprintf(b, "  %s (%s)\n", breach, breach.At.Format("15:04:05.000"))
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
