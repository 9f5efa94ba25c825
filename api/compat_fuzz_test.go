package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// decided checks what holds for whatever is sent to a compat route: it is taken, or refused in the
// system's own shape without a trace.
func decided(t *testing.T, r *rig, path string, a reply) {
	t.Helper()
	if a.status < http.StatusMultipleChoices {
		require.Len(t, r.store.webhooks, 1)
		w := r.store.webhooks[0]
		require.NotEmpty(t, w.EventName)
		require.NotNil(t, w.Events)
		require.NotEmpty(t, w.URL)
		return
	}
	require.Less(t, a.status, http.StatusInternalServerError, string(a.body))
	a.refused(path, a.status)
	require.Empty(t, r.store.webhooks)
}

// FuzzSolve360Bodies sends anything as XML, as JSON and as a form.
func FuzzSolve360Bodies(f *testing.F) {
	for _, seed := range []string{
		`<request><type>web</type><title>A New Webhook</title><active>0</active><event>items.categorize</event>` +
			`<constrainttype>contact</constrainttype><url>http://yourdomain.com/app/endpoint.php</url>` +
			`<contenttype>xml</contenttype><secret>somethinghere</secret></request>`,
		`<?xml version="1.0" encoding="utf-8"?><!-- c --><request ><event><![CDATA[items.update]]></event><url>https://a.example</url></request>`,
		`<!DOCTYPE r [<!ENTITY a "a"><!ENTITY b "&a;&a;">]><request>&b;</request>`, `<request xmlns:a="b"><a:url/></request>`,
		`<request><url>&#x0;&#xFFFE;&amp;</url></request>`, `<request><request><request>`, `<?xml version="1.1"?><request/>`, `</request>`,
		`{"event":"items.update","url":"https://a.example/","active":true,"secret":"\ud800"}`, `{"active":1e400,"id":[{}]}`, `{"":null}`,
		"event=items.update&url=https%3A%2F%2Fa.example%2F&active=1", "event=items.update;url=x", "=&=&%00=%ff", "\xef\xbb\xbf<request/>",
	} {
		f.Add([]byte(seed), "application/json")
	}
	r := newRig(f)
	f.Fuzz(func(t *testing.T, body []byte, accept string) {
		for _, kind := range []string{"application/xml", "application/json", "application/x-www-form-urlencoded"} {
			r.t, r.store.webhooks = t, nil
			a := r.post("/hooks/", string(body), knownAs(partner), header("Content-Type", kind), header("Accept", accept))
			decided(t, r, "/hooks/", a)
		}
	})
}

// FuzzSolarProofBodies sends anything as a subscription.
func FuzzSolarProofBodies(f *testing.F) {
	for _, seed := range []string{
		`{"hookUrl":"https://your-domain.com/webhooks/solarproof","type_request":"customer_created"}`, `{"hookUrl":{"a":[1]}}`, `[`, `null`,
		`{"hookUrl":"https://a.example/\ud800","type_request":"project_sms_sent"}`, `{"hookUrl":"HTTPS://a.example"}`, "\xff", `{"hookUrl":0e9}`,
		`{"hookUrl":"http://[::1]:0/%zz"}`, `{"hookUrl":"https://u:p@a.example/#f","type_request":"customer_created"}`,
	} {
		f.Add([]byte(seed))
	}
	r := newRig(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		r.t, r.store.webhooks = t, nil
		const path = "/apidata.php?action=subscribe_customer"
		decided(t, r, path, r.post(path, string(body), knownAs(partner)))
	})
}

// FuzzSoloBodies sends anything as a trigger.
func FuzzSoloBodies(f *testing.F) {
	for _, seed := range []string{
		`{"company_id":1,"event":"Customer Created","url":"https://a.example/","auth":{"type":"basic","username":"u","password":"p"}}`,
		`{"event":"credit.ran","url":"https://a.example/","auth":{"type":"api_key","name":"k","value":"v","in":"query"}}`,
		`{"event":"credit_ran","url":"https://a.example/","auth":null,"id":1}`, `{"event":"\u0131","url":"x","auth":[]}`,
		`{"auth":{"type":"none","token":"********"}}`,
	} {
		f.Add([]byte(seed))
	}
	r := newRig(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		r.t, r.store.webhooks = t, nil
		decided(t, r, solo, r.post(solo, string(body), knownAs(partner)))
	})
}
