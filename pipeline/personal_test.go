package pipeline_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// planted is in every text that a caller can give and that may tell of a person; kept in those
// that stay. What is personal of each event type is written out by hand.
const (
	planted = "PLANTED"
	kept    = "KEPT"
)

var personalFields = map[pipeline.EventType]string{
	"customer.created": `{"uuid":"` + customerUUID + `","name":"PLANTED","email":"PLANTED@example.com","phone":"PLANTED",
		"type":"COMMERCIAL","owner_id":67890,"status":1,"status_name":"KEPT","address":{"street":"PLANTED"},"attributes":{"PLANTED":1}}`,
	"customer.updated": `{"name":"PLANTED 2","email":"PLANTED2@example.com","phone":"PLANTED 2","address":"PLANTED",
		"attributes":{"a":"PLANTED"},"type":"LARGE-SCALE","owner_id":67891}`,
	"customer.status_changed": `{"status":2,"status_name":"KEPT","reason":"PLANTED"}`,
	"customer.deleted":        `{"reason":"PLANTED"}`,
	"customer.restored":       `{"reason":"PLANTED"}`,
	"customer.erased":         `{"reason":"request"}`,
	"appointment.set": `{"starts_at":"2026-11-24T10:00:00+11:00","ends_at":"2026-11-24T11:00:00+11:00",
		"location":"PLANTED","notes":"PLANTED"}`,
	"email.sent": `{"to":"PLANTED","subject":"PLANTED","template":"KEPT"}`,
	"sms.sent":   `{"to":"PLANTED","body":"PLANTED","template":"KEPT"}`,

	"proposal.drafted": `{"uuid":"` + proposalUUID + `","customer_uuid":"` + customerUUID + `","nickname":"PLANTED",
		"site_address":"PLANTED","system":{"PLANTED":"PLANTED"},"price":{"amount":"12345.00","currency":"AUD"}}`,
	"proposal.requested": `{"nickname":"PLANTED","site_address":"PLANTED","system":{"a":"PLANTED"},
		"price":{"amount":"12345.00","currency":"AUD"}}`,
	"proposal.saved": `{"nickname":"PLANTED","site_address":"PLANTED","system":{"a":"PLANTED"},
		"price":{"amount":"12345.00","currency":"AUD"}}`,
	"proposal.sent":           `{"channel":"KEPT"}`,
	"proposal.link_published": `{"url":"https://example.com/PLANTED"}`,
	"proposal.selected":       `{}`,
	"proposal.sold":           `{"price":{"amount":"12345.00","currency":"AUD"},"sold_at":"2026-11-24T10:00:00Z"}`,
	"credit.ran":              `{"outcome":"approved","provider":"KEPT","reference":"PLANTED","score":712.5}`,
	"contract.requested":      `{"template":"KEPT"}`,
	"contract.sent":           `{"envelope_id":"KEPT"}`,
	"contract.signed": `{"signed_at":"2026-11-24T10:00:00Z","document_url":"https://example.com/PLANTED",
		"documents":[{"uuid":"` + documentUUID + `","name":"PLANTED.pdf","creation_type":"UPLOADED","document_type":"KEPT"}]}`,
	"contract.document_stored": `{"uuid":"` + documentUUID + `","name":"PLANTED.pdf","content_type":"application/pdf",
		"size":1,"sha256":"` + sha256Hex + `"}`,
	"contract.voided": `{"reason":"PLANTED"}`,
}

func TestWhatIsPersonalOfEachEvent(t *testing.T) {
	t.Parallel()
	for _, entry := range pipeline.Catalogue() {
		require.Contains(t, personalFields, entry.Type, "say here what of it is personal, and in personalOf")
	}
	leavesNothingPersonal(t, pipeline.NewCustomer(1, 12345), words(`customer.created customer.updated customer.status_changed
		appointment.set email.sent sms.sent customer.deleted customer.restored customer.erased`))
	leavesNothingPersonal(t, pipeline.NewProposal(1, 12345, 54321), words(`proposal.drafted proposal.saved proposal.requested proposal.sent
		proposal.link_published email.sent sms.sent proposal.selected proposal.sold credit.ran contract.requested contract.sent
		contract.signed contract.document_stored contract.voided`))
}

func leavesNothingPersonal[S pipeline.State[S]](t *testing.T, state S, types []pipeline.EventType) {
	t.Helper()
	for _, eventType := range types {
		data := personalFields[eventType]
		e, next, err := pipeline.Next(state, command(eventType, data), "c "+string(eventType))
		require.NoError(t, err)
		bare, err := pipeline.EventWithoutPersonal(e)
		require.NoError(t, err)

		left := string(bare.Payload) + string(bare.State)
		require.NotContains(t, left, planted, eventType)
		require.NotContains(t, left, "712.5")
		require.Equal(t, strings.Count(data, kept), strings.Count(string(bare.Payload), kept), "%s: %s", eventType, bare.Payload)
		require.Contains(t, string(bare.State), `"erased":true`)
		require.True(t, bare.Erased)
		if strings.Contains(data, `"price"`) {
			require.Contains(t, string(bare.Payload), "12345.00")
		}
		state = next
	}
}

func TestAnErasedCustomerKeepsWhatIsAboutNobody(t *testing.T) {
	t.Parallel()
	s := givenCustomer(t, "customer.created", "customer.deleted", "customer.erased")
	want := s.before
	want.Name, want.Email, want.Version, want.Erased = "", "", 3, true
	want.UpdatedAt = s.after.UpdatedAt
	require.Equal(t, want, s.after)
	require.Equal(t, "erased", s.after.Stage())
}

func TestAProposalOfAnErasedCustomerTakesNothing(t *testing.T) {
	t.Parallel()
	s := givenProposal(t, "proposal.drafted")
	s.after.Erased = true
	require.Empty(t, s.after.Allowed())
	_, err := s.after.Decide(command("proposal.requested", `{}`))
	require.Equal(t, pipeline.NotForErased(), err)
}

func TestAnEventOfAnUnknownTypeIsNotSplit(t *testing.T) {
	t.Parallel()
	_, err := pipeline.EventWithoutPersonal(pipeline.Event{Type: "customer.praised", State: []byte(`{}`), Payload: []byte(`{}`)})
	require.ErrorContains(t, err, "customer.praised")
}
