package webhook_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/dealwright/dealwright/webhook"
)

func TestParseSchedule(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]webhook.Schedule{
		"":               {5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour},
		"1s":             {time.Second},
		"1s,2s,3s":       {time.Second, 2 * time.Second, 3 * time.Second},
		"1s , 1m30s, 0s": {time.Second, 90 * time.Second, 0},
		"168h":           {7 * 24 * time.Hour},
		"250ms":          {250 * time.Millisecond},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got, err := webhook.ParseSchedule(text)
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}

func TestParseScheduleRefuses(t *testing.T) {
	t.Parallel()
	for text, sentence := range map[string]string{
		" ":                       "is not a duration",
		"5":                       `"5" is not a duration such as 30s or 5m`,
		"1s,,2s":                  "is not a duration",
		"1s;2s":                   "is not a duration",
		"soon":                    "is not a duration",
		"1d":                      "is not a duration",
		"-1s":                     "between 0s and 168h",
		"168h1s":                  "between 0s and 168h",
		"9999999h":                "is not a duration",
		strings.Repeat("1s,", 50): "51 delays, at most 50",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			_, err := webhook.ParseSchedule(text)
			require.ErrorContains(t, err, sentence)
		})
	}
	_, err := webhook.ParseSchedule(strings.TrimSuffix(strings.Repeat("1s,", 50), ","))
	require.NoError(t, err, "50 are possible")
}

func TestDefaultScheduleCannotBeChanged(t *testing.T) {
	t.Parallel()
	webhook.DefaultSchedule()[0] = time.Hour
	require.Equal(t, 5*time.Second, webhook.DefaultSchedule()[0])
}

// Every delay stays within ±20 % of what the schedule says, and there is none beyond it.
func TestNextStaysWithinTheJitter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		delays := rapid.SliceOfN(rapid.Int64Range(0, int64(7*24*time.Hour)), 0, 50).Draw(t, "delays")
		schedule := make(webhook.Schedule, len(delays))
		for i, d := range delays {
			schedule[i] = time.Duration(d)
		}
		attempts := rapid.IntRange(-1, len(schedule)+2).Draw(t, "attempts")

		next, more := schedule.Next(attempts, now)

		if attempts < 1 || attempts > len(schedule) {
			if more || !next.IsZero() {
				t.Fatalf("attempt %d of %d is followed by one at %s", attempts, len(schedule), next)
			}
			return
		}
		delay := schedule[attempts-1]
		low, high := now.Add(delay/10*8), now.Add(delay/10*12+12)
		if !more || next.Before(low) || next.After(high) {
			t.Fatalf("%s after attempt %d, want %s to %s", next, attempts, low, high)
		}
	})
}

func TestJitterSpreads(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	seen := map[time.Time]bool{}
	for range 100 {
		next, more := webhook.Schedule{time.Hour}.Next(1, now)
		require.True(t, more)
		seen[next] = true
	}
	require.Greater(t, len(seen), 90)
}
