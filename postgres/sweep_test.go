package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What was handed over to a workflow that is lost, and replays that do not get on, are found.
func TestSweepFindsWhatNobodyLooksAfter(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		late   int // minutes for which a delivery has been due; 0: none
		health string
		replay string // when it last got on; empty: there is none
		want   bool
	}{
		{name: "due for long", late: 2, health: "wakes_at = NULL", want: true},
		{name: "due for long, the workflow should have looked", late: 5, health: "wakes_at = now() - interval '5 minutes'", want: true},
		{name: "due for long, but resting", late: 5, health: "rest_until = now() + interval '1 minute'"},
		{name: "due for long, but rested just now", late: 5, health: "rest_until = now() - interval '1 second'"},
		{name: "due for long, and rested long ago", late: 5, health: "rest_until = now() - interval '2 minutes'", want: true},
		{name: "due for long, but paced", late: 5, health: "paced_until = now() + interval '1 minute'"},
		{name: "a replay stands still", health: "wakes_at = NULL", replay: "now() - interval '2 minutes'", want: true},
		{
			name: "a replay stands still, the workflow is lost at work", health: "wakes_at = '-infinity'",
			replay: "now() - interval '2 minutes'", want: true,
		},
		{name: "a replay gets on", health: "wakes_at = '-infinity'", replay: "now()"},
		{name: "a replay that waits for its turn", health: "wakes_at = now() + interval '1 minute'", replay: "now() - interval '2 minutes'"},
		{name: "a replay of an endpoint that rests", health: "rest_until = now() + interval '1 minute'", replay: "now() - interval '2 minutes'"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
			adjustHealth(t, d, w, test.health)
			if test.late > 0 {
				fallDue(t, d, w, backlog(t, d, 1), 1, -test.late)
			}
			if test.replay != "" {
				runReplay(t, d, w, test.replay)
			}
			want := []int64(nil)
			if test.want {
				want = []int64{w.ID}
			}
			require.Equal(t, want, sweep(t, d, time.Minute))
		})
	}
}
