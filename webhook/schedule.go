package webhook

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// Schedule is how long to wait after each failed attempt before the next one. When it is used
// up, the delivery is exhausted.
type Schedule []time.Duration

// DefaultSchedule makes eight attempts within about 27 hours, as Svix does
// (docs.svix.com, "Retry Schedule").
func DefaultSchedule() Schedule {
	return Schedule{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
	}
}

const jitter = 0.2

// ParseSchedule reads the form of DEALWRIGHT_RETRY_SCHEDULE: "1s,2s,3s". Empty gives the
// default.
func ParseSchedule(s string) (Schedule, error) {
	if s == "" {
		return DefaultSchedule(), nil
	}
	parts := strings.Split(s, ",")
	if len(parts) > pipeline.MaxRetries {
		return nil, fmt.Errorf("retry schedule has %d delays, at most %d are possible", len(parts), pipeline.MaxRetries)
	}
	out := make(Schedule, len(parts))
	for i, part := range parts {
		d, err := time.ParseDuration(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("retry schedule: %q is not a duration such as 30s or 5m", part)
		}
		if d < 0 || d > time.Duration(pipeline.MaxRetryDelay) {
			return nil, errors.New("retry schedule: a delay has to be between 0s and 168h")
		}
		out[i] = d
	}
	return out, nil
}

// Next says when to try again after so many attempts, false where the schedule is used up.
// The delay is spread by ±20 %, so that partners who failed together are not all tried again
// together.
func (s Schedule) Next(attempts int, now time.Time) (time.Time, bool) {
	if attempts < 1 || attempts > len(s) {
		return time.Time{}, false
	}
	spread := 1 - jitter + 2*jitter*rand.Float64()
	return now.Add(time.Duration(float64(s[attempts-1]) * spread)), true
}

// cut gives a schedule of so many retries with the delays of this one, the last of them again
// where it has too few. 0 retries leave it as it is.
func (s Schedule) cut(retries int) Schedule {
	if retries == 0 || len(s) == 0 {
		return s
	}
	out := slices.Clone(s[:min(retries, len(s))])
	for len(out) < retries {
		out = append(out, s[len(s)-1])
	}
	return out
}
