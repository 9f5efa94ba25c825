package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for n := 100; n >= 1; n-- {
		hundred = append(hundred, time.Duration(n))
	}
	tests := map[string]struct {
		all  []time.Duration
		q    float64
		want time.Duration
	}{
		"none":          {nil, 0.5, 0},
		"one":           {[]time.Duration{7}, 0.99, 7},
		"median":        {hundred, 0.5, 50},
		"tail":          {hundred, 0.99, 99},
		"largest":       {hundred, 1, 100},
		"between ranks": {[]time.Duration{1, 2, 3}, 0.5, 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := append([]time.Duration(nil), test.all...)
			require.Equal(t, test.want, newLatencies(all).quantile(test.q))
		})
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	require.Zero(t, median([]float64{}))
	require.InDelta(t, 2.0, median([]float64{3, 1, 2}), 0)
	require.InDelta(t, 2.5, median([]float64{4, 1, 3, 2}), 0)
}

func TestParseWrites(t *testing.T) {
	t.Parallel()
	metrics := `# TYPE persistence_requests_total counter
persistence_requests_total{namespace="default",operation="UpdateWorkflowExecution",service_name="history"} 7
persistence_requests_total{namespace="system",operation="UpdateWorkflowExecution",service_name="history"} 2
persistence_requests_total{namespace="default",operation="GetWorkflowExecution",service_name="history"} 100
visibility_persistence_requests_total{operation="UpsertWorkflowExecution",visibility_plugin_name="sqlite"} 1e+03
persistence_latency_milliseconds_bucket{operation="UpdateWorkflowExecution",le="1"} 5
`
	got, err := parseWrites(strings.NewReader(metrics))
	require.NoError(t, err)
	require.Equal(t, writes{"UpdateWorkflowExecution": 9, "UpsertWorkflowExecution": 1000}, got)
	require.InDelta(t, 1009.0, got.sum(), 0)
	require.Equal(t, writes{"UpdateWorkflowExecution": 4, "UpsertWorkflowExecution": 1000}, got.minus(writes{"UpdateWorkflowExecution": 5}))
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	got, err := parseStat("42 (a (strange) name) S 7 42 42 0 -1 4194560 1 2 3 4 100 50 20 10 20 0 9 0 1 1 1")
	require.NoError(t, err)
	require.Equal(t, processStat{parent: 7, own: 1500 * time.Millisecond, ended: 300 * time.Millisecond}, got)
	_, err = parseStat("42 (short) S 7")
	require.Error(t, err)
}

func TestParseMemory(t *testing.T) {
	t.Parallel()
	got, err := parseMemory("Name:\tdealwright\nVmHWM:\t   4096 kB\nVmRSS:\t   2048 kB\nThreads:\t9\n")
	require.NoError(t, err)
	require.Equal(t, memory(2<<20), got)
	_, err = parseMemory("Name:\tdealwright\n")
	require.Error(t, err)
}

func TestOptionsSayWhatToMeasure(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args           []string
		flatOut, paced []string
		rejected       bool
	}{
		"everything":            {nil, []string{nameBare, nameEngine, nameFanOut, nameDelay}, []string{nameBare, nameEngine}, false},
		"one":                   {[]string{"-only", "dealwright"}, []string{nameEngine}, []string{nameEngine}, false},
		"what needs another":    {[]string{"-only", "fanout"}, []string{nameEngine, nameFanOut}, nil, false},
		"what has its own form": {[]string{"-only", "replay,neighbours"}, nil, nil, false},
		"what there is not":     {[]string{"-only", "dealwright,other"}, nil, nil, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := readOptions(test.args)
			if test.rejected {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.flatOut, o.flatOut())
			require.Equal(t, test.paced, o.paced())
		})
	}
}
