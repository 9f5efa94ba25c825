package api_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestCreateWebhook(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.post("/v1/webhooks", object{"url": "https://partner.example/hook", "events": []string{"proposal.*", "sms.sent", "proposal.*"}})
	got := a.must(http.StatusCreated)
	require.Equal(t, path("/v1/webhooks/", got), a.header.Get("Location"))
	secret, ok := got["secret"].(string)
	require.True(t, ok)
	random, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	require.NoError(t, err)
	require.Len(t, random, 32)
	delete(got, "id")
	delete(got, "secret")
	require.Equal(t, object{
		"company_id": 1.0, "url": "https://partner.example/hook", "events": []any{"proposal.*", "sms.sent"}, "filter": nil,
		"format": "native", "auth": object{"type": "none"}, "headers": []any{},
		"ordered": false, "latest_only": false, "retry_schedule": nil, "timeout": "5s", "rate_limit": nil, "max_concurrency": 20.0,
		"active": true, "disabled_reason": nil, "catching_up": false, "client_certificate": nil,
		"health": object{"failures": 0.0, "failing_since": nil, "rest_until": nil, "slow": false}, "description": nil,
		"created_at": "2026-11-21T09:00:00.123456789Z", "updated_at": "2026-11-21T09:00:00.123456789Z",
	}, got)
}

func TestTheSecretIsShownOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	webhook := path("/v1/webhooks/", r.post("/v1/webhooks",
		object{"url": "https://partner.example/", "events": []string{"*"}, "secret": secret}).must(http.StatusCreated))
	for _, a := range []reply{
		r.get(webhook), r.get("/v1/webhooks"), r.call(http.MethodPatch, webhook, object{"ordered": true}),
	} {
		a.must(http.StatusOK)
		require.NotContains(t, string(a.body), "whsec_")
		require.NotContains(t, string(a.body), "secret")
	}
	require.NotContains(t, r.logged.String(), "whsec_")
}

func TestPatchWebhook(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	got := r.call(http.MethodPatch, webhook, object{
		"url": "https://partner.example/new", "events": []string{"credit.ran"}, "active": false, "ordered": true, "description": "d",
		"format": "native",
	}).must(http.StatusOK)
	require.Equal(t, "https://partner.example/new", got["url"])
	require.Equal(t, []any{"credit.ran"}, got["events"])
	require.Equal(t, false, got["active"])
	require.Equal(t, true, got["ordered"])
	require.Equal(t, "d", got["description"])
	require.Empty(t, r.engine.woken)

	r.store.released = []int64{r.store.webhooks[0].ID, 7}
	got = r.call(http.MethodPatch, webhook, object{"active": true, "description": nil}).must(http.StatusOK)
	require.Equal(t, true, got["active"])
	require.Equal(t, true, got["ordered"], "what is left out stays")
	require.Nil(t, got["description"])
	require.Equal(t, r.store.released, r.engine.woken)

	r.engine.broken = pipeline.Errorf(pipeline.CodeUnavailable, "temporal is away")
	r.call(http.MethodPatch, webhook, object{"active": true}).must(http.StatusOK)
	require.Contains(t, r.logged.String(), "webhook not woken")
}

func TestDeleteWebhook(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	a := r.call(http.MethodDelete, webhook, nil)
	require.Equal(t, http.StatusNoContent, a.status)
	require.Empty(t, a.body)
	r.get(webhook).problem(http.StatusNotFound, pipeline.CodeNotFound)
	r.call(http.MethodDelete, webhook, nil).problem(http.StatusNotFound, pipeline.CodeNotFound)
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.webhook()
	r.webhook()
	customer := r.customer()
	event, ok := r.get(customer + "/events").rows()[0]["id"].(string)
	require.True(t, ok)
	r.store.deliveries[0].Status = pipeline.DeliveryDelivered
	r.store.deliveries[0].Attempts = []pipeline.Attempt{{At: r.store.now, Status: 200, LatencyMS: 3, ResponseBody: "OK"}}

	require.Len(t, r.get("/v1/deliveries").rows(), 2)
	require.Len(t, r.get("/v1/deliveries?event_id="+event).rows(), 2)
	require.Empty(t, r.get("/v1/deliveries?event_id=evt_none").rows())
	require.Len(t, r.get("/v1/deliveries?status=pending").rows(), 1)
	delivered := r.get("/v1/deliveries?status=delivered").rows()
	require.Len(t, delivered, 1)

	one := r.get(path("/v1/deliveries/", delivered[0])).must(http.StatusOK)
	require.Equal(t, event, one["event_id"])
	require.Equal(t, []any{object{
		"at": "2026-11-21T09:00:00.123456789Z", "status": 200.0, "latency_ms": 3.0, "error": nil, "response_body": "OK",
	}}, one["attempts"])
	require.Nil(t, one["next_attempt_at"])
}

func TestEventTypes(t *testing.T) {
	t.Parallel()
	rows := newRig(t).get("/v1/event-types", as(partner)).rows()
	lifecycles := len(pipeline.Catalogue())
	require.Len(t, rows, lifecycles+len(pipeline.Notices()))
	for _, row := range rows {
		for _, field := range []string{"type", "description", "names", "schema", "example"} {
			require.NotNil(t, row[field], "%v: %s", row["type"], field)
		}
	}
	for _, row := range rows[:lifecycles] {
		require.NotNil(t, row["data_example"], row["type"])
	}
	for _, row := range rows[lifecycles:] {
		require.Nil(t, row["data_example"], "nobody asks for %v", row["type"])
		require.Subset(t, []any{"webhook", "document"}, row["kinds"])
		require.Equal(t, object{"solo": nil, "solarproof": nil, "solve360": nil, "sighten": nil}, row["names"])
	}
}
