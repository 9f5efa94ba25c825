package e2e_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/dealwright/dealwright/pipeline"
)

// sampleSent is the answer to a test.
type sampleSent struct {
	Delivered bool
	Attempt   pipeline.Attempt
}

func TestASampleOfAnyTypeIsSentAndIsNoEvent(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	partner.on("/ill", inTurn(418))
	h := c.webhook(t, partner.URL+"/", object{"events": []string{"customer.created"}, "auth": object{"type": "bearer", "token": confidential}})
	ill := c.webhook(t, partner.URL+"/ill", object{"active": false})
	types := []pipeline.EventType{
		pipeline.TypeContractSigned, pipeline.TypeCustomerCreated, pipeline.TypeProposalSent, pipeline.TypeWebhookDisabled,
		pipeline.TypeDeliveryExhausted,
	}
	for i, typ := range types {
		sent := want[sampleSent](t, c.post(t, h.path()+"/test", object{"type": typ}), http.StatusOK)
		require.True(t, sent.Delivered)
		require.Equal(t, pipeline.ID(http.StatusOK), sent.Attempt.Status)
		got := partner.at("/")
		require.Len(t, got, i+1)
		d := got[i]
		require.Equal(t, typ, d.envelope.Type)
		require.True(t, d.envelope.Data.Test)
		require.Equal(t, "true", d.header.Get("Webhook-Test"))
		require.Equal(t, "Bearer "+confidential, d.header.Get("Authorization"))
		d.requireSigned(t, h.Secret)
	}
	failed := want[sampleSent](t, c.post(t, ill.path()+"/test", object{"type": "proposal.sold"}), http.StatusOK)
	require.False(t, failed.Delivered)
	require.Equal(t, pipeline.ID(418), failed.Attempt.Status)
	refused(t, c.post(t, h.path()+"/test", object{"type": "no.such_event"}), http.StatusUnprocessableEntity, pipeline.CodeInvalid)

	require.Empty(t, c.deliveries(t, h))
	require.Empty(t, c.deliveries(t, ill))
	require.Empty(t, want[list[pipeline.Event]](t, c.get(t, "/v1/events?after=0"), http.StatusOK).Data)
	require.Empty(t, want[list[pipeline.Event]](t, c.get(t, "/v1/events?after=0&types=webhook.*,delivery.*"), http.StatusOK).Data)
	e.requireNowhere(t, c, confidential)
}

func TestOneDeliveryIsSentAgain(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	var endpoint light
	partner.on("/", endpoint.answer)
	h := c.webhook(t, partner.URL+"/", nil)
	event := c.events(t, c.customer(t).Ref().Stream())[0]
	c.allAre(t, h, pipeline.DeliveryExhausted, 1)
	resend := fmt.Sprintf("/v1/deliveries/%d/resend", c.only(t, h).ID)

	// It has its whole schedule again.
	again(t, c, resend)
	eventually(t, "it is given up again", func() bool {
		d := c.only(t, h)
		return d.Status == pipeline.DeliveryExhausted && len(d.Attempts) == 2*attemptsInAll
	})
	endpoint.well.Store(true)
	again(t, c, resend)
	c.allAre(t, h, pipeline.DeliveryDelivered, 1)
	again(t, c, resend) // what was delivered can be sent again as well
	eventually(t, "it is sent again", func() bool { return partner.count("/") == 2*attemptsInAll+2 })
	for _, d := range partner.at("/") {
		require.Equal(t, event.ID, d.header.Get("Webhook-Id"))
		require.Equal(t, event.ID, d.envelope.Data.ID)
		d.requireSigned(t, h.Secret)
	}
	c.allAre(t, h, pipeline.DeliveryDelivered, 1)

	c.patch(t, h, object{"active": false})
	refused(t, c.post(t, resend, nil), http.StatusConflict, pipeline.CodeConflict)
}

func again(t *testing.T, c company, resend string) {
	t.Helper()
	a := c.post(t, resend, nil)
	require.Contains(t, []int{http.StatusOK, http.StatusAccepted}, a.status, "%s", a.body)
}

func TestStatisticsSayHowAnEndpointIsDoing(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	partner.on("/", scripts(inTurn(500), slow(100*time.Millisecond)))
	h := c.webhook(t, partner.URL+"/", nil)
	c.customer(t)
	c.allAre(t, h, pipeline.DeliveryDelivered, 1)
	c.customer(t)
	c.allAre(t, h, pipeline.DeliveryDelivered, 2)
	shown := want[struct {
		Total struct {
			Attempts, Succeeded int64
			SuccessRate         float64 `json:"success_rate"`
		}
		Hours []pipeline.StatsHour
	}](t, c.get(t, h.path()+"/stats?hours=2"), http.StatusOK)
	require.EqualValues(t, 3, shown.Total.Attempts)
	require.EqualValues(t, 2, shown.Total.Succeeded)
	require.InDelta(t, 2.0/3, shown.Total.SuccessRate, 0.001)
	require.NotEmpty(t, shown.Hours) // two, where the hour ends just now
	slowest := 0.0
	for _, hour := range shown.Hours {
		require.GreaterOrEqual(t, hour.P95MS, hour.P50MS)
		slowest = max(slowest, hour.P95MS)
	}
	require.GreaterOrEqual(t, slowest, 90.0)
}

func TestWhatWasKeptLongEnoughIsForgottenAndEventsNever(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	partner.on("/waits", inTurn(500))
	h := c.webhook(t, partner.URL+"/", nil)
	waits := c.webhook(t, partner.URL+"/waits", object{"retry_schedule": []any{"24h"}})
	stream := c.customer(t).Ref().Stream()
	c.moved(t, stream, pipeline.TypeEmailSent, nil)
	c.moved(t, stream, pipeline.TypeSMSSent, nil)
	c.allAre(t, h, pipeline.DeliveryDelivered, 3)
	c.allAre(t, waits, pipeline.DeliveryPending, 3)
	eventually(t, "the one that waits was tried", func() bool {
		return len(c.deliveries(t, waits)[2].Attempts) > 0 // oldest last
	})

	e.age(t, stream, 1, "100 days")
	e.age(t, stream, 2, "40 days")
	e.trigger(t, "retention")
	eventually(t, "the oldest delivery is gone", func() bool { return len(c.deliveries(t, h)) == 2 })
	all := c.deliveries(t, h) // newest first
	require.Equal(t, []int64{3, 2}, []int64{all[0].Version, all[1].Version})
	eventually(t, "the older attempt is gone", func() bool { return len(c.delivery(t, all[1].ID).Attempts) == 0 })
	require.Len(t, c.delivery(t, all[0].ID).Attempts, 1)
	require.Len(t, c.deliveries(t, waits), 3, "what is not done with stays")
	require.Len(t, c.events(t, stream), 3)
	e.atLeastOne(t, "WorkflowType = 'Retention' AND ExecutionStatus = 'Completed'")
	e.atLeastOne(t, "WorkflowType = 'Sweep'")
}

// age makes an event happen so much earlier, with its deliveries and their attempts.
func (e *engine) age(t *testing.T, s pipeline.Stream, version int, by string) {
	t.Helper()
	tx, err := e.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	// As a replica's, this transaction is not bound by what keeps events from being changed.
	_, err = tx.ExecContext(t.Context(), `SET LOCAL session_replication_role = replica`)
	require.NoError(t, err)
	for _, statement := range []string{
		`UPDATE attempts a SET at = a.at - $1::interval FROM deliveries d WHERE d.id = a.delivery_id AND d.stream = $2 AND d.version = $3`,
		`UPDATE deliveries SET created_at = created_at - $1::interval WHERE stream = $2 AND version = $3`,
		`UPDATE events SET recorded_at = recorded_at - $1::interval WHERE stream = $2 AND version = $3`,
	} {
		_, err := tx.ExecContext(t.Context(), statement, by, string(s), version)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit())
}

// trigger runs a schedule now.
func (e *engine) trigger(t *testing.T, schedule string) {
	t.Helper()
	handle := e.temporal.ScheduleClient().GetHandle(t.Context(), schedule)
	require.NoError(t, handle.Trigger(t.Context(), client.ScheduleTriggerOptions{Overlap: enums.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL}))
}

func (e *engine) atLeastOne(t *testing.T, query string) {
	t.Helper()
	eventually(t, query, func() bool { return len(e.list(t, query)) > 0 })
}
