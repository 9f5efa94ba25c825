package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/standalone/stack"
)

// What is planted into a deal. Each is one of a kind, so that one look tells where it got to.
const (
	plantedName   = "Zaphira Quillfeather"
	plantedEmail  = "zaphira@quillfeather.example.com"
	plantedPhone  = "+61 491 570 156"
	plantedStreet = "17 Nightjar Lane"
	plantedNote   = "prefers Wörter \"in quotes\" & <tags>"
	plantedMail   = "Dear Zaphira, your roof is a lovely one"
	plantedText   = "Nightjar Lane tomorrow at nine?"
	plantedReason = "Quillfeather wants another price"
)

var personal = []string{
	plantedName, plantedEmail, plantedPhone, plantedStreet, plantedNote, plantedMail, plantedText, plantedReason, "Quillfeather",
}

// forms are the ways in which a text can stand in a file: as it is, as JSON writes it, and in base64, where it can begin at
// any of three places.
func forms(text string) []string {
	all := []string{text}
	for _, escapeHTML := range []bool{true, false} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(escapeHTML)
		_ = e.Encode(text) //nolint:errchkjson // a text can be encoded
		all = append(all, strings.Trim(strings.TrimSpace(b.String()), `"`))
	}
	for shift := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + text))
		// The first and the last group hold bits of what stands before and behind it.
		from, to := (shift+2)/3*4, len(strings.TrimRight(encoded, "="))/4*4-4
		if to-from >= 6 { // what is shorter stands there by chance
			all = append(all, encoded[from:to])
		}
	}
	return all
}

// temporalFiles are the bytes of Temporal's databases, what is not yet in the main files included.
func (e *engine) temporalFiles(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	files, err := filepath.Glob(filepath.Join(e.dir, "temporal", "*"))
	require.NoError(t, err)
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		all[filepath.Base(file)] = content
	}
	require.Contains(t, all, "temporal.db")
	require.Contains(t, all, "temporal.db-wal")
	require.Contains(t, all, "visibility.db")
	return all
}

// whereInTemporal lists where one of these texts stands, in any form.
func (e *engine) whereInTemporal(t *testing.T, texts ...string) []string {
	t.Helper()
	var found []string
	for name, content := range e.temporalFiles(t) {
		for _, text := range texts {
			for _, form := range forms(text) {
				if bytes.Contains(content, []byte(form)) {
					found = append(found, fmt.Sprintf("%s in %s as %s", text, name, form))
				}
			}
		}
	}
	return found
}

func plantedCustomer() object {
	return object{
		"name": plantedName, "email": plantedEmail, "phone": plantedPhone,
		"address":    object{"street": plantedStreet},
		"attributes": object{"note": plantedNote, plantedStreet: true},
	}
}

// eventful leads a customer through all that holds personal data or secrets.
func (c company) eventful(t *testing.T) (customer, proposal pipeline.Stream) {
	t.Helper()
	partner := newReceiver(t)
	partner.on("/failing", scripts(echo(http.StatusInternalServerError), echo(http.StatusBadGateway), echo(http.StatusOK)))
	pair := issued(t, "dealwright at the partner's")
	for _, more := range []object{
		{"auth": object{"type": "basic", "username": "dealwright", "password": confidential}},
		{"auth": object{"type": "bearer", "token": confidential}},
		{"auth": object{"type": "api_key", "name": "key", "value": confidential, "in": "query"}},
		{"auth": newTokens(t, confidential, 3600).auth(confidential)},
		{"headers": object{"X-Key": confidential}},
		{"client_certificate": object{"certificate": pair.certificate, "key": pair.key}},
	} {
		h := c.webhook(t, partner.URL+"/failing", more)
		want[object](t, c.post(t, h.path()+"/rotate-secret", object{"overlap": "1h"}), http.StatusOK)
	}
	key := idempotent("signup:" + plantedEmail)
	made := want[pipeline.Customer](t, c.post(t, "/v1/customers", plantedCustomer(), key), http.StatusCreated)
	customer = made.Ref().Stream()
	c.walk(t, customer,
		step{pipeline.TypeCustomerUpdated, object{"phone": plantedPhone, "address": plantedStreet}},
		step{pipeline.TypeEmailSent, object{"to": plantedEmail, "subject": plantedMail, "template": plantedNote}},
		step{pipeline.TypeSMSSent, object{"body": plantedText}},
		step{pipeline.TypeAppointmentSet, object{"starts_at": "2026-12-01T09:00:00Z", "location": plantedStreet}},
	)
	draft := newProposal()
	draft["nickname"], draft["site_address"] = plantedName, plantedStreet
	path := fmt.Sprintf("/v1/customers/%d/proposals", made.ID)
	proposal = want[pipeline.Proposal](t, c.post(t, path, draft), http.StatusCreated).Ref().Stream()
	c.walk(t, proposal, wholeLife[:5]...)
	c.moved(t, proposal, pipeline.TypeContractVoided, object{"reason": plantedReason})

	// A command that fails, in the workflow and before it.
	refused(t, c.post(t, pathOf(proposal)+"/transitions", body(pipeline.TypeContractSigned, nil), idempotent(plantedEmail)),
		http.StatusConflict, pipeline.CodeIllegalTransition)
	atOnce(t, 6, func(int) (answer, error) {
		return c.try(http.MethodPost, pathOf(proposal)+"/transitions", body(pipeline.TypeContractRequested, object{"template": plantedReason}))
	})
	return customer, proposal
}

// Nothing that is anybody's stands in Temporal in clear, and no secret in Postgres.
func TestTemporalHoldsNothingInClear(t *testing.T) {
	t.Parallel()
	e, err := startEngine(t.Context(), func(*stack.Options) {})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.stop()) })
	c := e.newCompany(t)
	customer, proposal := c.eventful(t)
	r := recorder{engine: e, company: c, partner: newReceiver(t)}
	r.signature(t) // a connection, the inbox and a document
	for _, h := range want[list[hook]](t, c.get(t, "/v1/webhooks?limit=500"), http.StatusOK).Data {
		eventually(t, "everything is sent", func() bool {
			all := c.deliveries(t, h)
			for _, d := range all {
				if d.Status == pipeline.DeliveryPending {
					return false
				}
			}
			return len(all) > 0
		})
	}
	e.settled(t, string(customer))
	e.settled(t, string(proposal))

	require.Empty(t, e.whereInTemporal(t, append(personal, confidential, "whsec_")...))
	for _, word := range append(personal, confidential) {
		require.False(t, e.log.contains(word), "the log has %s", word)
	}
	e.requireNotStored(t, confidential)

	// The search would find it: what another client writes in clear is there.
	plain, err := client.DialContext(t.Context(), client.Options{HostPort: e.Ready().Temporal})
	require.NoError(t, err)
	defer plain.Close()
	_, err = plain.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "in-clear", TaskQueue: "nobody"}, "Nothing",
		plantedCustomer(), base64.StdEncoding.EncodeToString([]byte("x"+plantedEmail+" "+plantedEmail)))
	require.NoError(t, err)
	for _, word := range []string{plantedName, plantedEmail, plantedNote} {
		require.NotEmpty(t, e.whereInTemporal(t, word), word)
	}
	found := e.whereInTemporal(t, plantedEmail)
	require.GreaterOrEqual(t, len(found), 2, "in clear and in base64: %v", found)

	// And what is encrypted can be read by who has the key.
	var events []string
	for _, event := range e.history(t, string(customer), "") {
		if event.GetEventType() == enums.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED {
			events = append(events, event.String())
			id := event.GetWorkflowExecutionUpdateAcceptedEventAttributes().GetAcceptedRequest().GetMeta().GetUpdateId()
			require.Regexp(t, `^evt_[0-9a-z]{26}$`, id, "an update has its event's id")
		}
	}
	require.Contains(t, strings.Join(events, "\n"), "Quillfeather")
}

// The codec endpoint speaks to Temporal's own client of such endpoints, with the operator's key.
func TestTheCodecEndpointOpensWhatIsInTemporal(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	customer := want[pipeline.Customer](t, c.post(t, "/v1/customers", plantedCustomer()), http.StatusCreated).Ref().Stream()
	remote := func(key string) converter.PayloadCodec {
		return converter.NewRemotePayloadCodec(converter.RemotePayloadCodecOptions{
			Endpoint: e.Ready().API + "/v1/codec",
			ModifyRequest: func(r *http.Request) error {
				r.Header.Set("Authorization", "Bearer "+key)
				return nil
			},
		})
	}
	pages := e.temporal.GetWorkflowHistory(t.Context(), string(customer), "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for pages.HasNext() {
		event, err := pages.Next()
		require.NoError(t, err)
		input := event.GetWorkflowExecutionUpdateAcceptedEventAttributes().GetAcceptedRequest().GetInput().GetArgs().GetPayloads()
		if len(input) == 0 {
			continue
		}
		require.NotContains(t, input[0].String(), "Quillfeather")
		opened, err := remote(e.Ready().Key).Decode(input)
		require.NoError(t, err)
		require.Contains(t, string(opened[0].GetData()), plantedName)
		_, err = remote(c.key).Decode(input)
		require.ErrorContains(t, err, "403", "another company's admin reads it over the API, and reads nobody else's")
		return
	}
	t.Fatal("no update was found")
}
