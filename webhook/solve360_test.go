package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/webhook"
)

// toSolve360 is a hook for an event of Solve360's ("" is all) and a constraint.
func toSolve360(event, constraint, content string) pipeline.Webhook {
	return pipeline.Webhook{Format: pipeline.FormatSolve360, EventName: event, Constraint: constraint, ContentType: content}
}

// notified are the types of the notifications that an event makes.
func notified(t *testing.T, e told, w pipeline.Webhook) []string {
	t.Helper()
	w.ContentType = pipeline.ContentJSON
	messages, err := webhook.Messages(e.to(w))
	require.NoError(t, err)
	types := make([]string, 0, len(messages))
	for _, m := range messages {
		var body struct {
			Type string `json:"type"`
		}
		require.NoError(t, json.Unmarshal(m.Body, &body))
		types = append(types, body.Type)
	}
	return types
}

func TestSolve360NotificationInEachContentType(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]struct {
		told
		objectID string
		kind     string
	}{
		"customer": {deal(t, "customer.updated"), "12345", "items.update"},
		"proposal": {deal(t, "proposal.sold"), "54321", "activities.update"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inJSON := only(t, e.told, toSolve360("", "", pipeline.ContentJSON))
			require.Equal(t, "application/json", inJSON.ContentType)
			require.JSONEq(t, `{"type":"`+e.kind+`","objectid":`+e.objectID+`,"content":`+string(e.event.State)+`}`, string(inJSON.Body))

			inForm := only(t, e.told, toSolve360("", "", pipeline.ContentForm))
			require.Equal(t, "application/x-www-form-urlencoded", inForm.ContentType)
			form, err := url.ParseQuery(string(inForm.Body))
			require.NoError(t, err)
			require.Equal(t, url.Values{"type": {e.kind}, "objectid": {e.objectID}, "content": {string(e.event.State)}}, form)

			for _, content := range []string{pipeline.ContentXML, ""} {
				inXML := only(t, e.told, toSolve360("", "", content))
				require.Equal(t, "application/xml", inXML.ContentType)
				var doc struct {
					XMLName  xml.Name `xml:"notification"`
					Type     string   `xml:"type"`
					ObjectID string   `xml:"objectid"`
					Content  struct {
						ID string `xml:"id"`
					} `xml:"content"`
				}
				require.NoError(t, xml.Unmarshal(inXML.Body, &doc))
				require.Equal(t, []string{e.kind, e.objectID, e.objectID}, []string{doc.Type, doc.ObjectID, doc.Content.ID})
			}
		})
	}
}

func TestSolve360SignsTheBodyWhereThereIsASecret(t *testing.T) {
	t.Parallel()
	const header = "X-Solve360-Hmac-Sha256"
	for name, c := range map[string]struct{ content, secret string }{
		"xml": {pipeline.ContentXML, "somethinghere"}, "json": {pipeline.ContentJSON, "somethinghere"},
		"form": {pipeline.ContentForm, "somethinghere"}, "not a native secret": {pipeline.ContentXML, "wh sec_!"},
		"a native secret, as it is": {pipeline.ContentXML, secret}, "none": {pipeline.ContentXML, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPartner(t, answerOK)
			d := sending(t, "customer.created", p.URL, toSolve360("items.create", "contact", c.content))
			d.Webhook.Signing.Secret = c.secret
			require.Equal(t, pipeline.DeliveryDelivered, newSender(t, ample).Deliver(t.Context(), d).Status)
			got := p.got()[0]
			require.NotContains(t, got.header, "Webhook-Signature")
			require.NotContains(t, got.header, "Webhook-Timestamp")
			if c.secret == "" {
				require.NotContains(t, got.header, header)
				return
			}
			mac := hmac.New(sha256.New, []byte(c.secret))
			mac.Write(got.body)
			require.Equal(t, hex.EncodeToString(mac.Sum(nil)), got.header.Get(header))
		})
	}
}

// A change of status is two events there: each hook gets the one that it is for, and a webhook
// for both gets both, which a receiver can tell apart.
func TestSolve360CategoriesComeAndGo(t *testing.T) {
	t.Parallel()
	changed := deal(t, "customer.status_changed")
	require.Equal(t, []string{"items.categorize", "items.uncategorize"}, notified(t, changed, toSolve360("", "all", "")))
	require.Equal(t, []string{"items.categorize"}, notified(t, changed, toSolve360("items.categorize", "contact", "")))
	require.Equal(t, []string{"items.uncategorize"}, notified(t, changed, toSolve360("items.uncategorize", "", "")))

	p := newPartner(t, answerOK)
	s := newSender(t, ample)
	d := sending(t, "customer.status_changed", p.URL, toSolve360("", "", ""))
	require.Equal(t, pipeline.DeliveryDelivered, s.Deliver(t.Context(), d).Status)
	require.Equal(t, pipeline.DeliveryDelivered, s.Deliver(t.Context(), d).Status)
	requests := p.got()
	ids := make([]string, len(requests))
	for i, got := range requests {
		ids[i] = got.header.Get("Webhook-Id")
	}
	categorize, uncategorize := d.Event.ID+".items.categorize", d.Event.ID+".items.uncategorize"
	require.Equal(t, []string{categorize, uncategorize, categorize, uncategorize}, ids)
}

func TestSolve360StopsAtTheFirstMessageThatFails(t *testing.T) {
	t.Parallel()
	p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	r := newSender(t, ample).Deliver(t.Context(), sending(t, "customer.status_changed", p.URL, toSolve360("", "", "")))
	require.Equal(t, pipeline.DeliveryPending, r.Status)
	require.Len(t, p.got(), 1)
}

func TestSolve360Constraints(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event string
		hook  pipeline.Webhook
		want  []string
	}{
		"all":                     {"contract.sent", toSolve360("activities.update", "all", ""), []string{"activities.update"}},
		"none is all":             {"contract.sent", toSolve360("activities.update", "", ""), []string{"activities.update"}},
		"the one":                 {"contract.sent", toSolve360("activities.update", "file", ""), []string{"activities.update"}},
		"another":                 {"contract.sent", toSolve360("activities.update", "opportunity", ""), []string{}},
		"one that is never":       {"contract.sent", toSolve360("activities.update", "timerecord", ""), []string{}},
		"another event":           {"contract.sent", toSolve360("activities.create", "file", ""), []string{}},
		"an item's":               {"proposal.saved.requested", toSolve360("items.update", "projectblog", ""), []string{"items.update"}},
		"an item of another kind": {"proposal.saved.requested", toSolve360("items.update", "contact", ""), []string{}},
		"without an event":        {"sms.sent.customer", toSolve360("", "note", ""), []string{"activities.create"}},
		"without, and another":    {"sms.sent.customer", toSolve360("", "linkedemails", ""), []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, notified(t, deal(t, c.event), c.hook))
		})
	}
}

// Four retries, with the sender's delays as far as they go.
func TestSolve360IsTriedFiveTimes(t *testing.T) {
	t.Parallel()
	p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	for name, c := range map[string]struct {
		schedule webhook.Schedule
		delays   []time.Duration
	}{
		"the default":   {nil, webhook.DefaultSchedule()[:4]},
		"a shorter one": {webhook.Schedule{time.Minute, time.Hour}, []time.Duration{time.Minute, time.Hour, time.Hour, time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := webhook.NewSender(webhook.SenderConfig{Targets: newTargets(t, loopback), Timeout: ample, Schedule: c.schedule})
			d := sending(t, "customer.created", p.URL, toSolve360("", "", ""))
			for d.Attempts = range c.delays {
				r := s.Deliver(t.Context(), d)
				require.Equal(t, pipeline.DeliveryPending, r.Status)
				delay := r.NextAttemptAt.Sub(r.Attempt.At).Seconds() // ±20 % and the attempt itself
				require.InEpsilon(t, c.delays[d.Attempts].Seconds(), delay, 0.25, "retry %d", d.Attempts+1)
			}
			d.Attempts = len(c.delays)
			require.Equal(t, pipeline.DeliveryExhausted, s.Deliver(t.Context(), d).Status)
		})
	}
}

func TestSolve360TakesEverySuccess(t *testing.T) {
	t.Parallel()
	p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	r := newSender(t, ample).Deliver(t.Context(), sending(t, "customer.created", p.URL, toSolve360("", "", "")))
	require.Equal(t, pipeline.DeliveryDelivered, r.Status)
	require.True(t, strings.HasPrefix(string(p.got()[0].body), "<notification><type>items.create</type><objectid>12345</objectid><content>"))
}
