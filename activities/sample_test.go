package activities_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

func sampleInput() activities.SendTestInput {
	return activities.SendTestInput{
		CompanyID: 3, WebhookID: 12, Event: pipeline.Event{ID: "evt_sample", Type: pipeline.TypeProposalSent, Stream: stream},
		Customer: json.RawMessage(`{"id":7}`),
	}
}

// sampled has a webhook with credentials, which is not even active.
func sampled(t *testing.T) *bench {
	t.Helper()
	return newBench(t, (&deliveryStore{}).with(pipeline.Webhook{
		ID: 12, CompanyID: 3, Signing: pipeline.Signing{Secret: "whsec_hidden"},
		Auth: pipeline.Auth{Type: pipeline.AuthBearer, Token: "hidden"}, Headers: pipeline.Headers{"X-Key": "hidden"},
	}))
}

func TestSendTestSendsASampleOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer    func(pipeline.Dispatch) pipeline.Result
		delivered bool
		status    pipeline.ID
	}{
		"taken":   {delivered, true, 200},
		"refused": {failed, false, 500},
		"nothing to tell": {func(d pipeline.Dispatch) pipeline.Result {
			return pipeline.Result{DeliveryID: d.DeliveryID, WebhookID: d.Webhook.ID, Status: pipeline.DeliveryDiscarded}
		}, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := sampled(t)
			b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result { return c.answer(d) }
			out, err := run(b.TestActivityEnvironment, deliveries.SendTest, sampleInput())
			require.NoError(t, err)
			require.Equal(t, c.delivered, out.Delivered)
			require.Equal(t, c.status, out.Attempt.Status)
			require.Len(t, b.sender.sent, 1)
			sent := b.sender.sent[0]
			require.True(t, sent.Test)
			require.Equal(t, "evt_sample", sent.Event.ID)
			require.JSONEq(t, `{"id":7}`, string(sent.Customer))
			require.Equal(t, "whsec_hidden", sent.Webhook.Signing.Secret)
			require.Zero(t, b.store.records, "it is no delivery")
			for _, shown := range []any{sampleInput(), out} {
				history, err := json.Marshal(shown)
				require.NoError(t, err)
				require.NotContains(t, string(history), "hidden")
			}
		})
	}
}

func TestSendTestSendsNothingWhereItCannotReadTheWebhook(t *testing.T) {
	t.Parallel()
	b := sampled(t)
	b.store.failOnce("Webhook", unavailable)
	_, err := run(b.TestActivityEnvironment, deliveries.SendTest, sampleInput())
	requireFailure(t, err, pipeline.CodeUnavailable, true)

	foreign := sampleInput()
	foreign.CompanyID = 4
	_, err = run(b.TestActivityEnvironment, deliveries.SendTest, foreign)
	requireFailure(t, err, pipeline.CodeNotFound, false)
	require.Empty(t, b.sender.ids())
}
