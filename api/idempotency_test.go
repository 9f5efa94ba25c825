package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// creations are all POSTs that heed an Idempotency-Key.
func creations(r *rig) map[string]object {
	customer := r.customer()
	proposal := r.proposal(customer)
	replaying, recovering, rotating := r.webhook(), r.webhook(), r.webhook()
	return map[string]object{
		replaying + "/replay":       {"types": []string{"proposal.*"}},
		recovering + "/recover":     {"since": "2026-11-20T00:00:00Z"},
		rotating + "/rotate-secret": {"overlap": "1h"},
		"/v1/customers":             {"name": "I", "email": "i@example.com"},
		customer + "/proposals":     {"nickname": "N", "system": object{"b": 1, "a": 2}},
		customer + "/transitions":   {"type": "email.sent", "data": object{"to": "i@example.com"}},
		proposal + "/transitions":   {"type": "proposal.sent"},
		"/v1/webhooks":              {"url": "https://partner.example/", "events": []string{"*"}},
		"/v1/keys":                  {"name": "K", "role": "app"},
	}
}

func TestSameKeySameAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for path, body := range creations(r) {
		first := r.post(path, body, idempotencyKey("key:"+path))
		require.Less(t, first.status, 300, string(first.body))
		require.Empty(t, first.header.Get("Idempotency-Replayed"))
		recorded, woken := len(r.store.events), len(r.engine.woken)

		second := r.post(path, body, idempotencyKey("key:"+path))
		second.must(first.status)
		require.Equal(t, "true", second.header.Get("Idempotency-Replayed"), path)
		require.JSONEq(t, string(first.body), string(second.body), path)
		require.Equal(t, first.header.Get("Location"), second.header.Get("Location"), path)
		require.Len(t, r.store.events, recorded, path)
		require.Len(t, r.engine.woken, woken, path)
	}
}

func TestSameKeyNoBody(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	first := r.post(webhook+"/rotate-secret", nil, idempotencyKey("k"))
	second := r.post(webhook+"/rotate-secret", "{ }", idempotencyKey("k"))
	require.Equal(t, first.must(http.StatusOK), second.must(http.StatusOK))
	r.post(webhook+"/rotate-secret", object{"overlap": 0}, idempotencyKey("k")).
		problem(http.StatusUnprocessableEntity, pipeline.CodeIdempotencyKeyReused)
}

func TestSameKeyOtherRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	customer, other := r.customer(), r.customer()
	body := object{"type": "email.sent", "data": object{"subject": "a"}}
	r.post(customer+"/transitions", body, idempotencyKey("k")).must(http.StatusCreated)

	reused := func(a reply) { a.problem(http.StatusUnprocessableEntity, pipeline.CodeIdempotencyKeyReused) }
	reused(r.post(customer+"/transitions", object{"type": "email.sent", "data": object{"subject": "b"}}, idempotencyKey("k")))
	reused(r.post(other+"/transitions", body, idempotencyKey("k")))
	reused(r.post("/v1/customers", object{"name": "N", "email": "n@example.com"}, idempotencyKey("k")))
}

func TestFingerprintIsThatOfTheJSON(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.post("/v1/customers", `{"name":"A","email":"a@example.com","owner_id":12}`, idempotencyKey("k")).must(http.StatusCreated)
	respelled := "{ \"owner_id\": 12,\n \"email\": \"a@example.com\", \"name\": \"\\u0041\" }"
	again := r.post("/v1/customers", respelled, idempotencyKey("k")).must(http.StatusCreated)
	require.Equal(t, first["id"], again["id"])
}

func TestKeysOfPartnersAreTheirOwn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body := object{"url": "https://partner.example/", "events": []string{"*"}}
	one := r.post("/v1/webhooks", body, as(partner), idempotencyKey("k")).must(http.StatusCreated)
	two := r.post("/v1/webhooks", body, as(partner2), idempotencyKey("k")).must(http.StatusCreated)
	require.NotEqual(t, one["id"], two["id"])
	require.NotEqual(t, one["secret"], two["secret"])
	three := r.post("/v1/webhooks", body, idempotencyKey("k")).must(http.StatusCreated)
	require.NotEqual(t, one["id"], three["id"])
}

func TestTransitionReplayShowsWhatWasLegalThen(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	proposal := r.proposal(r.customer())
	first := r.post(proposal+"/transitions", object{"type": "proposal.sent"}, idempotencyKey("k")).must(http.StatusCreated)
	r.post(proposal+"/transitions", object{"type": "proposal.selected"}).must(http.StatusCreated)
	again := r.post(proposal+"/transitions", object{"type": "proposal.sent"}, idempotencyKey("k")).must(http.StatusCreated)
	require.Equal(t, first, again)
}

func TestAFailedRequestDoesNotSpendItsKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body := object{"name": "A", "email": "a@example.com"}
	r.engine.broken = pipeline.Errorf(pipeline.CodeUnavailable, "try again")
	r.post("/v1/customers", body, idempotencyKey("k")).problem(http.StatusServiceUnavailable, pipeline.CodeUnavailable)
	reserved := r.engine.submitted[0].ID
	r.engine.broken = nil
	got := r.post("/v1/customers", body, idempotencyKey("k")).must(http.StatusCreated)
	require.InDelta(t, reserved, got["id"], 0, "the retry makes the same entity")
	require.Equal(t, "k", r.engine.submitted[1].CommandID)
}

func TestInvalidIdempotencyKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, key := range []string{"", "two words", "tab\there", "umläut", strings.Repeat("k", 256)} {
		for path, body := range creations(r) {
			got := r.post(path, body, idempotencyKey(key)).invalid("")
			require.Contains(t, string(r.post(path, body, idempotencyKey(key)).body), "Idempotency-Key", got)
		}
	}
	twice := func(q *http.Request) { q.Header["Idempotency-Key"] = []string{"a", "b"} }
	r.post("/v1/customers", object{"name": "A", "email": "a@example.com"}, twice).invalid("")
	r.post("/v1/customers", object{"name": "A", "email": "a@example.com"}, idempotencyKey(strings.Repeat("k", 255))).must(http.StatusCreated)
}
