package webhook_test

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

var toSolarProof = pipeline.Webhook{Format: pipeline.FormatSolarProof}

// Who did it, else who owns the customer, else 0: the field is an integer.
func TestTheUserOfASolarProofPayload(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event string
		actor pipeline.UserID
		owner string
		want  string
	}{
		"the actor of a customer's event":   {"customer.created", seller, "4711", `"fkuserid":67890,`},
		"the owner of a customer":           {"customer.created", 0, "4711", `"fkuserid":4711,`},
		"nobody":                            {"customer.created", 0, "null", `"fkuserid":0,`},
		"the actor of a status change":      {"customer.status_changed", seller, "4711", `"fkuserid":67890,`},
		"the owner, of a status change":     {"customer.status_changed", 0, "4711", `"fkuserid":4711,`},
		"the actor of a draft":              {"proposal.drafted", seller, "4711", `"fkuserid":67890,`},
		"the owner, of a draft":             {"proposal.drafted", 0, "4711", `"fkuserid":4711,`},
		"nobody, of a draft":                {"proposal.drafted", 0, "null", `"fkuserid":0,`},
		"the actor of an activity":          {"email.sent.proposal", seller, "4711", `"belongs_to_user":67890,`},
		"the owner, of an activity":         {"sms.sent.proposal", 0, "4711", `"belongs_to_user":4711,`},
		"nobody, of an activity":            {"proposal.link_published", 0, "null", `"belongs_to_user":0,`},
		"the owner in the customer's state": {"proposal.link_published", 0, "12", `"belongs_to_user":12,`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := deal(t, c.event)
			e.event.Actor.UserID = c.actor
			e.customer = owned(t, e.customer, c.owner)
			if e.event.Stream.Kind() == pipeline.KindCustomer {
				e.event.State = owned(t, e.event.State, c.owner)
			}
			require.Contains(t, string(only(t, e, toSolarProof).Body), c.want)
		})
	}
}

// A proposal's text that was never given is an empty string, as the field is a string.
func TestASolarProofDraftWithoutDetails(t *testing.T) {
	t.Parallel()
	e := deal(t, "proposal.drafted")
	e.event.State = []byte(`{"id":54321,"status":"draft","nickname":null,"site_address":null}`)
	require.JSONEq(t, `{"pkcustomerquotationid":54321,"fkuserid":67890,"quotenickname":"","siteaddress":""}`,
		string(only(t, e, toSolarProof).Body))
}

func TestSolarProofTakes200Alone(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{
		http.StatusOK:                  "",
		http.StatusCreated:             "answered 201: of this format only 200 is success",
		http.StatusAccepted:            "answered 202: of this format only 200 is success",
		http.StatusNoContent:           "answered 204: of this format only 200 is success",
		http.StatusFound:               "answered 302: redirects are not followed",
		http.StatusInternalServerError: "answered 500",
	} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
			r := newSender(t, ample).Deliver(t.Context(), sending(t, "customer.created", p.URL, toSolarProof))
			require.Equal(t, want, string(r.Attempt.Error))
			require.Equal(t, want == "", r.Status == pipeline.DeliveryDelivered)
		})
	}
}
