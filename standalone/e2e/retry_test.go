package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// least is the shortest that a wait of a schedule can be: they are spread by a fifth.
func least(wait time.Duration) time.Duration { return wait * 8 / 10 }

func TestEachWebhookIsTriedByItsOwnRetrySchedule(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	for name, test := range map[string]struct {
		schedule any
		waits    []time.Duration
	}{
		"the engine's":    {nil, []time.Duration{200 * time.Millisecond, 200 * time.Millisecond, 200 * time.Millisecond}},
		"its own":         {[]any{"100ms", 1}, []time.Duration{100 * time.Millisecond, time.Second}},
		"no second tries": {[]any{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := e.newCompany(t)
			partner := newReceiver(t)
			partner.on("/", inTurn(404)) // the partner's mistakes may be mended as well
			h := c.webhook(t, partner.URL+"/", object{"retry_schedule": test.schedule})
			c.customer(t)

			c.allAre(t, h, pipeline.DeliveryExhausted, 1)
			got := partner.at("/")
			require.Len(t, got, len(test.waits)+1)
			for i, wait := range test.waits {
				require.GreaterOrEqual(t, got[i+1].at.Sub(got[i].at), least(wait))
			}
			require.Len(t, c.only(t, h).Attempts, len(got))
		})
	}
}

func TestAScheduleThatIsChangedCountsFromThenOn(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	partner.on("/", inTurn(500))
	h := c.webhook(t, partner.URL+"/", object{"retry_schedule": []any{}})
	c.customer(t)
	c.allAre(t, h, pipeline.DeliveryExhausted, 1)

	c.patch(t, h, object{"retry_schedule": []any{"100ms"}})
	c.customer(t)
	c.allAre(t, h, pipeline.DeliveryExhausted, 2)
	require.Equal(t, 3, partner.count("/"))
}

func TestRetryAfterIsHeeded(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	date := time.Now().Add(3 * time.Second).Truncate(time.Second)
	for name, test := range map[string]struct {
		status int
		header string
		from   func(first time.Time) time.Time
	}{
		"in seconds": {http.StatusTooManyRequests, "2", func(first time.Time) time.Time { return first.Add(2 * time.Second) }},
		"as a date": {
			http.StatusServiceUnavailable, date.UTC().Format(http.TimeFormat), func(time.Time) time.Time { return date },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := e.newCompany(t)
			partner := newReceiver(t)
			partner.on("/", scripts(patient(test.status, test.header), inTurn(200)))
			h := c.webhook(t, partner.URL+"/", nil)
			c.customer(t)

			c.allAre(t, h, pipeline.DeliveryDelivered, 1)
			got := partner.at("/")
			require.Len(t, got, 2)
			require.False(t, got[1].at.Before(test.from(got[0].at)), "the second attempt came %s after the first", got[1].at.Sub(got[0].at))
		})
	}
}

func TestRetryAfterIsHeededForADayAtMostAndForOneDeliveryOnly(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	partner.on("/", scripts(patient(http.StatusTooManyRequests, "31536000"), inTurn(200))) // a year
	h := c.webhook(t, partner.URL+"/", nil)
	c.customer(t)
	eventually(t, "the first attempt is on record", func() bool {
		all := c.deliveries(t, h)
		return len(all) == 1 && len(c.delivery(t, all[0].ID).Attempts) == 1
	})
	waits := c.only(t, h)
	require.WithinRange(t, time.Time(waits.NextAttemptAt), waits.Attempts[0].At.Add(23*time.Hour), waits.Attempts[0].At.Add(25*time.Hour))

	c.customer(t)
	eventually(t, "the other delivery is delivered", func() bool { return c.statuses(t, h)[pipeline.DeliveryDelivered] == 1 })
	require.Equal(t, pipeline.DeliveryPending, c.delivery(t, waits.ID).Status)
	require.Equal(t, 2, partner.count("/"))
}

func TestAnAnswerOf410DisablesTheWebhookAtOnce(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	partner.on("/", scripts(inTurn(http.StatusGone), inTurn(200)))
	h := c.webhook(t, partner.URL+"/", nil)
	stream := c.customer(t).Ref().Stream()
	c.allAre(t, h, pipeline.DeliveryHeld, 1)
	shown := c.settings(t, h)
	require.False(t, shown.Active)
	require.Equal(t, pipeline.DisabledGone, *shown.DisabledReason)

	c.moved(t, stream, pipeline.TypeEmailSent, nil)
	c.moved(t, stream, pipeline.TypeSMSSent, nil)
	c.allAre(t, h, pipeline.DeliveryHeld, 3)
	require.Equal(t, 1, partner.count("/"))

	c.enable(t, h, nil)
	c.allAre(t, h, pipeline.DeliveryDelivered, 3)
	require.Equal(t, upTo(3), partner.firstOf("/", stream))
	require.Equal(t, 4, partner.count("/"))
	require.Nil(t, c.settings(t, h).DisabledReason)
}

func TestEachWebhookHasItsOwnTimeout(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	const takes = 1500 * time.Millisecond
	partner.on("/short", slow(takes))
	partner.on("/long", slow(takes))
	short := c.webhook(t, partner.URL+"/short", object{"timeout": "1s", "retry_schedule": []any{}})
	long := c.webhook(t, partner.URL+"/long", object{"timeout": 10, "retry_schedule": []any{}})
	c.customer(t)

	c.allAre(t, short, pipeline.DeliveryExhausted, 1)
	c.allAre(t, long, pipeline.DeliveryDelivered, 1)
	attempt := c.only(t, short).Attempts[0]
	require.Zero(t, attempt.Status)
	require.Contains(t, string(attempt.Error), "1s")
	require.GreaterOrEqual(t, attempt.LatencyMS, int64(1000))
	require.GreaterOrEqual(t, c.only(t, long).Attempts[0].LatencyMS, takes.Milliseconds())
}
