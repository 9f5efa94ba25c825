package webhook_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/webhook"
)

// soloEvents are all of Solo's page "API Trigger Events".
var soloEvents = []string{
	"Appointment Set", "Contract Requested", "Contract Sent", "Contract Signed", "Customer Created", "Customer Updated",
	"Customer Status Changed", "Proposal Requested", "Proposal Sent", "Proposal Saved", "Proposal Sold", "Proposal Selected", "Credit Ran",
}

func TestSoloHasItsThirteenEventsAndNoOthers(t *testing.T) {
	t.Parallel()
	got := map[string]bool{}
	for _, e := range deals(t) {
		messages, err := webhook.Messages(e.to(pipeline.Webhook{Format: pipeline.FormatSolo}))
		require.NoError(t, err)
		for _, m := range messages {
			var body struct {
				Event string `json:"event"`
			}
			require.NoError(t, json.Unmarshal(m.Body, &body))
			got[body.Event] = true
		}
	}
	require.Len(t, got, len(soloEvents))
	for _, event := range soloEvents {
		require.Contains(t, got, event)
	}
}

func TestSoloTrigger(t *testing.T) {
	t.Parallel()
	w := pipeline.Webhook{Format: pipeline.FormatSolo}
	created, sent := deal(t, "customer.created"), deal(t, "proposal.sent")

	m := only(t, created, w)
	require.Equal(t, "application/json", m.ContentType)
	require.Empty(t, m.Method)
	require.JSONEq(t, `{"event":"Customer Created","company_id":1,"occurred_at":"2026-11-21T09:00:00.123Z",
		"customer":`+string(created.event.State)+`}`, string(m.Body))

	require.JSONEq(t, `{"event":"Proposal Sent","company_id":1,"occurred_at":"2026-11-21T10:04:00.123Z",
		"customer":`+string(sent.customer)+`,"proposal":`+string(sent.event.State)+`}`, string(only(t, sent, w).Body))
}

func TestSoloTriggersHaveOneEventEach(t *testing.T) {
	t.Parallel()
	w := pipeline.Webhook{Format: pipeline.FormatSolo, EventName: "Proposal Sent"}
	only(t, deal(t, "proposal.sent"), w)
	messages, err := webhook.Messages(deal(t, "proposal.requested").to(w))
	require.NoError(t, err)
	require.Empty(t, messages)
}

// A proposal's event is not sent without the customer that Solo's body has to have.
func TestTheCustomerHasToBeThere(t *testing.T) {
	t.Parallel()
	d := deal(t, "proposal.sent").to(pipeline.Webhook{Format: pipeline.FormatSolo})
	for _, missing := range []string{"", "null"} {
		d.Customer = []byte(missing)
		_, err := webhook.Messages(d)
		require.ErrorContains(t, err, "the customer's state is missing")
	}
}
