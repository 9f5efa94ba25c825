package api_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
	"github.com/dealwright/dealwright/workflows"
)

func TestEnableAndDisable(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	subscriber := int64(7) // a webhook that is told about it
	r.store.released = []int64{subscriber}

	got := r.post(webhook+"/disable", nil).must(http.StatusOK)
	require.Equal(t, false, got["active"])
	require.Equal(t, "manual", got["disabled_reason"])
	require.Equal(t, []int64{subscriber}, r.engine.woken)

	id := r.store.webhooks[0].ID
	r.store.released = []int64{id, subscriber}
	got = r.post(webhook+"/enable", nil).must(http.StatusOK)
	require.Equal(t, true, got["active"])
	require.Nil(t, got["disabled_reason"])
	require.Equal(t, []int64{subscriber, id, subscriber}, r.engine.woken)
	require.Equal(t, false, r.store.lastAsk())

	r.store.released = nil
	r.post(webhook+"/enable", object{"skip_held": true}).must(http.StatusOK)
	require.Equal(t, true, r.store.lastAsk())
	require.Len(t, r.engine.woken, 3)
}

// envelopeOf is an event as a partner gets it.
func envelopeOf(t *testing.T, e pipeline.Event) []byte {
	t.Helper()
	body, err := json.Marshal(object{"type": e.Type, "timestamp": e.Timestamp, "data": object{
		"id": e.ID, "position": e.Position, "company_id": e.CompanyID, "stream": e.Stream, "seq": e.Version,
		"customer_id": e.CustomerID, "proposal_id": e.ProposalID, "actor": e.Actor, "cause": e.Cause,
		"state": e.State, "payload": e.Payload, "test": true,
	}})
	require.NoError(t, err)
	return body
}

func TestSamplesOfEveryType(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := path("/v1/webhooks/", r.post("/v1/webhooks", object{
		"url": "https://partner.example/", "events": []string{"sms.sent"}, "active": false,
	}, as(stranger)).must(http.StatusCreated))
	r.engine.answer = workflows.TestResult{Delivered: true, Attempt: pipeline.Attempt{
		At: r.store.now, Status: 204, LatencyMS: 12,
	}}
	ids := map[string]bool{}
	for _, entry := range append(pipeline.Catalogue(), pipeline.Notices()...) {
		got := r.post(webhook+"/test", object{"type": entry.Type}, as(stranger)).must(http.StatusOK)
		require.Equal(t, object{"delivered": true, "attempt": object{
			"at": "2026-11-21T09:00:00.123456789Z", "status": 204.0, "latency_ms": 12.0, "error": nil, "response_body": nil,
		}}, got)

		sent := r.engine.samples[len(r.engine.samples)-1]
		require.Equal(t, int64(2), sent.CompanyID)
		require.Equal(t, r.store.webhooks[0].ID, sent.WebhookID)
		e := sent.Event
		require.Equal(t, entry.Type, e.Type)
		require.NoError(t, schemas.Validate(schemas.Envelope, envelopeOf(t, e)), "%s", e.State)
		require.NoError(t, schemas.Validate("events/"+string(e.Type), e.Payload))
		require.NoError(t, schemas.Validate("state/"+string(e.Stream.Kind()), e.State), "%s: %s", e.Type, e.State)
		require.Contains(t, entry.Kinds, e.Stream.Kind())
		var state struct {
			CompanyID int64 `json:"company_id"`
			Version   int64 `json:"version"`
		}
		mustDecode(e.State, &state)
		require.Equal(t, int64(2), state.CompanyID, "the company is the webhook's, everywhere")
		require.Equal(t, e.Version, state.Version)
		require.False(t, ids[e.ID], "each sample is another event")
		ids[e.ID] = true
	}
	require.Empty(t, r.store.events, "a sample is not stored")
}

func TestASamplesStateIsTheOneAfterIt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	for eventType, want := range map[pipeline.EventType]object{
		pipeline.TypeCustomerCreated: {"version": 1.0, "deleted": false},
		pipeline.TypeCustomerDeleted: {"deleted": true},
		pipeline.TypeProposalDrafted: {"version": 1.0, "status": "draft", "link_url": nil},
		pipeline.TypeContractSigned:  {"contract_status": "signed"},
		pipeline.TypeWebhookFailing:  {"active": true, "disabled_reason": nil},
		pipeline.TypeWebhookDisabled: {"active": false, "disabled_reason": "failing"},
	} {
		r.post(webhook+"/test", object{"type": eventType}).must(http.StatusOK)
		var state object
		mustDecode(r.engine.samples[len(r.engine.samples)-1].Event.State, &state)
		for field, value := range want {
			require.Equal(t, value, state[field], "%s: %s", eventType, field)
		}
	}
}

func TestASampleThatFails(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	r.engine.answer = workflows.TestResult{Attempt: pipeline.Attempt{At: r.store.now, LatencyMS: 5000, Error: "no answer within 5s"}}
	got := r.post(webhook+"/test", object{"type": "sms.sent"}).must(http.StatusOK)
	require.Equal(t, false, got["delivered"])
	attempt, ok := got["attempt"].(object)
	require.True(t, ok)
	require.Nil(t, attempt["status"])
	require.Equal(t, "no answer within 5s", attempt["error"])

	r.engine.broken = pipeline.Errorf(pipeline.CodeUnavailable, "the sample could not be sent in time; try again")
	r.post(webhook+"/test", object{"type": "sms.sent"}).problem(http.StatusServiceUnavailable, pipeline.CodeUnavailable)
}
