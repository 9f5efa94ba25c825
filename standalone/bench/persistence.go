package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// writes counts what Temporal writes into its database, by operation. What writes a workflow also appends its history and
// its tasks, in the same transaction.
type writes map[string]float64

// persistenceLine is a line of Temporal's own metrics that counts calls of its persistence.
var persistenceLine = regexp.MustCompile(`^(?:visibility_)?persistence_requests_total\{(?:.*,)?operation="([^"]+)".*\} (\S+)$`)

// readers begin the names of the operations that only read.
var readers = []string{"Get", "List", "Read", "Watch", "Count", "Scan", "Assert"}

func isWrite(operation string) bool {
	for _, prefix := range readers {
		if strings.HasPrefix(operation, prefix) && operation != "GetOrCreateShard" {
			return false
		}
	}
	return true
}

func readWrites(ctx context.Context, metricsURL string) (writes, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, metricsURL, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("read temporal's metrics: %w", err)
	}
	resp, err := (&http.Client{Timeout: requestPatience}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("read temporal's metrics: %w", err)
	}
	defer resp.Body.Close()
	return parseWrites(resp.Body)
}

func parseWrites(metrics io.Reader) (writes, error) {
	counted := writes{}
	lines := bufio.NewScanner(metrics)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		match := persistenceLine.FindStringSubmatch(lines.Text())
		if len(match) != 3 {
			continue
		}
		operation, value := match[1], match[2]
		if !isWrite(operation) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("read temporal's metrics: %w", err)
		}
		counted[operation] += n
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read temporal's metrics: %w", err)
	}
	return counted, nil
}

func (w writes) minus(before writes) writes {
	out := maps.Clone(w)
	for operation, n := range before {
		out[operation] -= n
	}
	return out
}

func (w writes) sum() float64 {
	var sum float64
	for _, n := range w {
		sum += n
	}
	return sum
}
