package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestTransition(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	proposal := r.proposal(r.customer())
	got := r.post(proposal+"/transitions", object{
		"type": "proposal.sent", "data": object{"channel": "email"}, "actor": object{"user_id": 67890},
		"occurred_at": "2026-11-20T20:00:00.9999+10:00",
	}).must(http.StatusCreated)
	require.Len(t, got, 3)
	event, ok := got["event"].(object)
	require.True(t, ok)
	for _, field := range []string{
		"id", "type", "timestamp", "recorded_at", "position", "company_id", "stream", "seq", "customer_id", "proposal_id",
		"actor", "cause", "state", "payload",
	} {
		require.Contains(t, event, field)
	}
	require.Equal(t, "proposal.sent", event["type"])
	require.Equal(t, "2026-11-20T10:00:00.999Z", event["timestamp"])
	require.InDelta(t, 2, event["seq"], 0)
	require.Equal(t, object{"user_id": 67890.0}, event["actor"])
	require.Equal(t, object{"channel": "email"}, event["payload"])
	require.Equal(t, event["state"], got["state"])
	require.Contains(t, got["allowed"], "proposal.selected")

	last := r.engine.submitted[len(r.engine.submitted)-1]
	require.Equal(t, int64(1), last.StoreVersion)
	require.NotZero(t, last.CustomerID)
	require.NotEmpty(t, last.CommandID)
}

func TestTransitionHappensNowUnlessSaid(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	customer := r.customer()
	got := r.post(customer+"/transitions", object{"type": "email.sent"}).must(http.StatusCreated)
	event, ok := got["event"].(object)
	require.True(t, ok)
	require.Equal(t, "2026-11-21T09:00:00.123Z", event["timestamp"])
}

func TestOccurredAtIsBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	customer := r.customer()
	now := r.store.now
	for at, ok := range map[string]bool{
		now.Add(4 * time.Minute).Format(time.RFC3339): true,
		now.Add(6 * time.Minute).Format(time.RFC3339): false,
		"2000-01-01T00:00:00Z":                        true,
		"1999-12-31T23:59:59Z":                        false,
	} {
		a := r.post(customer+"/transitions", object{"type": "sms.sent", "occurred_at": at})
		if ok {
			a.must(http.StatusCreated)
		} else {
			a.invalid("/occurred_at")
		}
	}
}

func TestIllegalTransitionNamesWhatIsLegal(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	customer := r.customer()
	proposal := r.proposal(customer)
	before := len(r.store.events)

	refused := r.post(proposal+"/transitions", object{"type": "proposal.sold"}).problem(http.StatusConflict, pipeline.CodeIllegalTransition)
	require.Contains(t, refused["allowed"], "proposal.sent")
	// An event that this kind of entity never has is refused for that, not for its data.
	r.post(proposal+"/transitions", object{"type": "customer.status_changed"}).problem(http.StatusConflict, pipeline.CodeIllegalTransition)
	r.post(customer+"/transitions", object{"type": "credit.ran"}).problem(http.StatusConflict, pipeline.CodeIllegalTransition)

	require.Len(t, r.store.events, before, "nothing was recorded")
}

func TestStatusChangeLooksTheNameUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	customer := r.customer()
	got := r.post(customer+"/transitions", object{
		"type": "customer.status_changed", "data": object{"status": 3, "reason": "big"},
	}).must(http.StatusCreated)
	event, ok := got["event"].(object)
	require.True(t, ok)
	require.Equal(t, object{
		"status": 3.0, "old_status": 1.0, "new_status": 3.0, "status_name": "Mega Status", "reason": "big",
	}, event["payload"])

	r.post(customer+"/transitions", object{"type": "customer.status_changed", "data": object{"status": 77}}).invalid("/data/status")
	r.post(customer+"/transitions", object{"type": "customer.status_changed", "data": object{"status": 3}}).invalid("/data/status")
}

func TestTransitionOfForeignEntity(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	customer := r.customer()
	body := object{"type": "email.sent"}
	r.post(customer+"/transitions", body, as(stranger)).problem(http.StatusNotFound, pipeline.CodeNotFound)
	r.post("/v1/customers/424242/transitions", body).problem(http.StatusNotFound, pipeline.CodeNotFound)
	require.Len(t, r.engine.submitted, 1, "only the creation got as far as the engine")
}

// Temporal may lose a workflow task whose event is recorded, and its client then sends the
// update again. The caller whose command happened must not be told that it may not happen.
func TestTransitionThatHappenedIsNotRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	customer := r.customer()
	r.engine.repeats = true
	r.post("/v1/customers", object{"name": "Jane Doe", "email": "jane@example.com"}).must(http.StatusCreated)
	r.post(customer+"/proposals", object{"nickname": "north roof"}).must(http.StatusCreated)
	// The second time the one would change nothing, and the other is illegal.
	r.post(customer+"/transitions", object{"type": "customer.updated", "data": object{"name": "Jane Doe"}}).must(http.StatusCreated)
	r.post(customer+"/transitions", object{"type": "customer.deleted"}).must(http.StatusCreated)
	r.engine.repeats = false
	again := r.post(customer+"/transitions", object{"type": "customer.deleted"}).must(http.StatusConflict)
	require.Equal(t, "illegal_transition", again["code"])
}
