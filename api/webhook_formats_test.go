package api_test

import (
	"maps"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestWebhooksOfEveryFormat(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body, want object
	}{
		"solo": {
			object{"format": "solo", "events": []string{"customer.*", "contract.signed"}},
			object{"events": []any{"customer.*", "contract.signed"}, "secret": nil},
		},
		"solo, a trigger": {
			object{"format": "solo", "event_name": "Contract Signed", "auth": object{"type": "bearer", "token": "t"}},
			object{"events": []any{"contract.signed"}, "event_name": "Contract Signed", "secret": nil},
		},
		"solarproof": {
			object{"format": "solarproof", "event_name": "recent_draft_project"},
			object{"events": []any{"proposal.drafted", "proposal.saved"}, "secret": nil},
		},
		"solve360": {
			object{"format": "solve360", "events": []string{"*"}, "content_type": "form", "constraint": "contact", "secret": "somethinghere"},
			object{"events": []any{"*"}, "content_type": "form", "constraint": "contact", "secret": "somethinghere"},
		},
		"solve360, unsigned": {
			object{"format": "solve360", "event_name": "items.update", "constraint": "all"},
			object{"events": []any{"customer.updated", "proposal.saved"}, "constraint": "all", "secret": nil},
		},
		"solve360, what never happens": {
			object{"format": "solve360", "event_name": "activities.restore"}, object{"events": []any{}},
		},
		"sighten": {
			object{"format": "sighten", "events": []string{"contract.*"}, "method": "PUT"},
			object{"events": []any{"contract.*"}, "method": "PUT", "secret": nil},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			c.body["url"] = "https://partner.example/hook"
			got := r.post("/v1/webhooks", c.body, as(partner)).must(http.StatusCreated)
			require.Equal(t, c.body["format"], got["format"])
			require.Contains(t, got, "secret")
			for field, want := range c.want {
				require.Equal(t, want, got[field], field)
			}
			webhook := path("/v1/webhooks/", got)
			delete(got, "secret")
			require.Equal(t, got, r.get(webhook).must(http.StatusOK))
		})
	}
}

func TestFormatsThatCannotBe(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, c := range map[string]struct {
		body     object
		pointers []string
	}{
		"no such format":      {object{"format": "morse", "events": []string{"*"}}, []string{"/format"}},
		"no such event":       {object{"format": "solo", "event_name": "Customer Deleted"}, []string{"/event_name"}},
		"native has no names": {object{"event_name": "SIGN"}, []string{"/event_name"}},
		"events and a name":   {object{"format": "solo", "event_name": "Credit Ran", "events": []string{"*"}}, []string{"/events"}},
		"neither":             {object{"format": "solo"}, []string{"/events"}},
		"what it has no name for": {
			object{"format": "sighten", "events": []string{"contract.*", "customer.*", "webhook.*"}}, []string{"/events/1", "/events/2"},
		},
		"another's settings": {
			object{"format": "solo", "events": []string{"*"}, "content_type": "xml", "method": "PUT", "constraint": "all"},
			[]string{"/content_type", "/method", "/constraint"},
		},
		"another's secret": {
			object{"format": "sighten", "events": []string{"*"}, "secret": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="},
			[]string{"/secret"},
		},
		"a raw secret": {object{"events": []string{"*"}, "secret": "somethinghere"}, []string{"/secret"}},
		"a constraint of other events": {
			object{"format": "solve360", "event_name": "items.update", "constraint": "task"}, []string{"/constraint"},
		},
	} {
		c.body["url"] = "https://partner.example/hook"
		a := r.post("/v1/webhooks", c.body)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, name)
		a.invalid(c.pointers...)
	}
	require.Empty(t, r.store.webhooks)
}

func TestPatchWebhooksOfOtherFormats(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body := object{"url": "https://partner.example/hook", "format": "solve360", "event_name": "items.update", "constraint": "contact"}
	webhook := path("/v1/webhooks/", r.post("/v1/webhooks", body).must(http.StatusCreated))
	patch := func(change object) reply { return r.call(http.MethodPatch, webhook, change) }

	require.Equal(t, []any{"proposal.saved"}, patch(object{"constraint": "projectblog"}).must(http.StatusOK)["events"])
	require.Equal(t, []any{"customer.updated", "proposal.saved"}, patch(object{"constraint": nil}).must(http.StatusOK)["events"])
	require.Equal(t, []any{"customer.created", "proposal.drafted"}, patch(object{"event_name": "items.create"}).must(http.StatusOK)["events"])
	patch(object{"events": []string{"*"}}).invalid("/events")
	patch(object{"format": "solo"}).invalid("/format")
	patch(object{"method": "PUT"}).invalid("/method")
	patch(object{"constraint": "task"}).invalid("/constraint")
	patch(object{"secret": "x"}).invalid("/secret")

	got := patch(object{"event_name": nil, "events": []string{"customer.*"}, "content_type": "json", "active": false}).must(http.StatusOK)
	require.Equal(t, []any{"customer.*"}, got["events"])
	require.Equal(t, "json", got["content_type"])
	require.Equal(t, false, got["active"])
	require.NotContains(t, got, "event_name")
	patch(object{"events": []string{"delivery.*"}}).invalid("/events/0")
}

func TestSecretsOfOtherFormats(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	subscribe := func(format string) string {
		body := object{"url": "https://partner.example/hook", "format": format, "events": []string{"*"}}
		return path("/v1/webhooks/", r.post("/v1/webhooks", body).must(http.StatusCreated))
	}
	for _, format := range []string{"solo", "solarproof", "sighten"} {
		webhook := subscribe(format)
		r.post(webhook+"/rotate-secret", nil).problem(http.StatusConflict, pipeline.CodeConflict)
		r.get(webhook+"/public-key").problem(http.StatusNotFound, pipeline.CodeNotFound)
	}
	signed := subscribe("solve360")
	r.get(signed+"/public-key").problem(http.StatusNotFound, pipeline.CodeNotFound)
	got := r.post(signed+"/rotate-secret", object{"secret": "somethinghere"}).must(http.StatusOK)
	require.Equal(t, object{"secret": "somethinghere", "previous_valid_until": nil}, got)
	require.NotEmpty(t, r.post(signed+"/rotate-secret", nil).must(http.StatusOK)["secret"])
	r.post(signed+"/rotate-secret", object{"overlap": "1h"}).invalid("/overlap")
	r.post(r.webhook()+"/rotate-secret", object{"secret": "somethinghere"}).invalid("/secret")
}

// Every type that a format has a name for has a sample that the format has a name for.
func TestSamplesOfEveryFormat(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, format := range pipeline.Formats() {
		body := object{"url": "https://partner.example/hook", "format": format, "events": []string{"*"}}
		made := r.post("/v1/webhooks", body).must(http.StatusCreated)
		for _, entry := range pipeline.Catalogue() {
			a := r.post(path("/v1/webhooks/", made)+"/test", object{"type": entry.Type})
			if !pipeline.Speaks(format, entry.Type) {
				a.invalid("/type")
				continue
			}
			a.must(http.StatusOK)
			sent := r.engine.samples[len(r.engine.samples)-1]
			var customer pipeline.Customer
			mustDecode(sent.Customer, &customer)
			require.Equal(t, sent.Event.CustomerID, pipeline.ID(customer.ID), entry.Type)
			require.Equal(t, int64(1), customer.CompanyID)
			if format == pipeline.FormatNative {
				continue
			}
			names, err := pipeline.Webhook{Format: format}.Names(sent.Event)
			require.NoError(t, err)
			require.NotEmpty(t, names, "%s: %s", format, entry.Type)
		}
	}
}

func TestSamplesOfAWebhookForOneEvent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body := object{"url": "https://partner.example/hook"}
	trigger := maps.Clone(body)
	maps.Copy(trigger, object{"format": "solo", "event_name": "Contract Signed"})
	webhook := path("/v1/webhooks/", r.post("/v1/webhooks", trigger).must(http.StatusCreated))
	r.post(webhook+"/test", object{"type": "contract.signed"}).must(http.StatusOK)
	r.post(webhook+"/test", object{"type": "contract.sent"}).invalid("/type")
	r.post(webhook+"/test", object{"type": "webhook.failing"}).invalid("/type")
}
