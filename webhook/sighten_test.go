package webhook_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/webhook"
)

var toSighten = pipeline.Webhook{Format: pipeline.FormatSighten}

// contractWebhook is as much of the contract webhook as partners are told to look at.
type contractWebhook struct {
	Site       string            `json:"site"`
	Quote      string            `json:"quote"`
	Milestone  string            `json:"milestone"`
	UUID       string            `json:"uuid"`
	SubTasks   []contractSubTask `json:"sub_tasks"`
	AssignedTo struct {
		UUID         string `json:"uuid"`
		Organization string `json:"organization"`
	} `json:"assigned_to"`
}

type contractSubTask struct {
	UUID           string `json:"uuid"`
	Category       string `json:"category"`
	Status         string `json:"status"`
	DocumentStatus string `json:"document_status"`
	Data           struct {
		Documents []struct {
			UUID          string `json:"uuid"`
			CreationType  string `json:"creation_type"`
			DocumentGroup string `json:"document_group"`
			DateCreated   string `json:"date_created"`
		} `json:"documents"`
		Envelopes []struct {
			DateSigned string `json:"date_signed"`
		} `json:"envelopes"`
	} `json:"data"`
}

func contract(t *testing.T, e told) contractWebhook {
	t.Helper()
	var c contractWebhook
	require.NoError(t, json.Unmarshal(only(t, e, toSighten).Body, &c))
	require.Len(t, c.SubTasks, 1)
	require.Equal(t, "DOCUMENT", c.SubTasks[0].Category)
	return c
}

// download is what a partner would download, by the words of the document: the uuid where the
// creation_type is UPLOADED.
func (c contractWebhook) download() (id string) {
	for _, doc := range c.SubTasks[0].Data.Documents {
		if doc.CreationType == "UPLOADED" {
			id = doc.UUID
		}
	}
	return id
}

func (c contractWebhook) signed() string {
	for _, envelope := range c.SubTasks[0].Data.Envelopes {
		return envelope.DateSigned
	}
	return ""
}

func TestSightenContract(t *testing.T) {
	t.Parallel()
	byURL := webhook.SignedDocument(deal(t, "contract.signed.by_url").event.ID)
	const unlisted = "5d6c1f5e-0b1a-4f3e-9a55-4f8a0b8f6c11"
	for _, c := range []struct {
		event, documentStatus, status string
		documents                     int
		download, signed              string
	}{
		{"contract.requested", "GEN", "INPROG", 1, "", ""},
		{"contract.sent", "SENT", "INPROG", 1, "", ""},
		{"contract.signed", "SIGN", "COMP", 2, signedUUID, "2026-11-20T10:00:00.000000Z"},
		{"contract.voided", "VOID", "INPROG", 2, signedUUID, "2026-11-20T10:00:00.000000Z"},
		{"contract.requested.again", "GEN", "INPROG", 1, "", ""},
		{"contract.signed.by_url", "SIGN", "COMP", 2, byURL, "2026-11-21T10:17:00.123000Z"},
		{"contract.voided.stored", "VOID", "INPROG", 2, unlisted, "2026-11-21T10:17:00.123000Z"},
		{"contract.voided.unsigned", "VOID", "INPROG", 1, "", ""},
		{"contract.signed.bare", "SIGN", "COMP", 1, "", "2026-11-21T10:24:00.123000Z"},
	} {
		t.Run(c.event, func(t *testing.T) {
			t.Parallel()
			got := contract(t, deal(t, c.event))
			require.Equal(t, customerUUID, got.Site)
			require.Equal(t, proposalUUID, got.Quote)
			sub := got.SubTasks[0]
			require.Equal(t, []string{c.documentStatus, c.status}, []string{sub.DocumentStatus, sub.Status})
			require.Len(t, sub.Data.Documents, c.documents)
			require.Equal(t, "GENERATED", sub.Data.Documents[0].CreationType)
			require.Equal(t, c.download, got.download())
			require.Equal(t, c.signed, got.signed())
		})
	}
}

// The same event always names the same things, and so do all events of a contract; a contract
// that is requested again is another, in the same task.
func TestSightenUUIDsAreDerived(t *testing.T) {
	t.Parallel()
	requested, sent, again := contract(t, deal(t, "contract.requested")), contract(t, deal(t, "contract.sent")),
		contract(t, deal(t, "contract.requested.again"))
	require.Equal(t, requested, contract(t, deal(t, "contract.requested")))

	tasks := func(c contractWebhook) []string {
		return []string{c.Milestone, c.UUID, c.SubTasks[0].UUID, c.AssignedTo.UUID, c.AssignedTo.Organization}
	}
	require.Equal(t, tasks(requested), tasks(sent))
	require.Equal(t, tasks(requested), tasks(again))
	document, other := requested.SubTasks[0].Data.Documents[0], again.SubTasks[0].Data.Documents[0]
	require.Equal(t, document, sent.SubTasks[0].Data.Documents[0])
	require.NotEqual(t, document.UUID, other.UUID)
	require.NotEqual(t, document.DocumentGroup, other.DocumentGroup)

	seen := map[string]bool{}
	for _, id := range append(tasks(requested), document.UUID, document.DocumentGroup) {
		parsed, err := uuid.Parse(id)
		require.NoError(t, err)
		require.EqualValues(t, 5, parsed.Version())
		require.NotContains(t, seen, id, "one uuid for two things")
		seen[id] = true
	}
}

func TestSightenAssigneeIsTheUser(t *testing.T) {
	t.Parallel()
	by := func(actor pipeline.UserID, owner string) string {
		e := deal(t, "contract.sent")
		e.event.Actor.UserID = actor
		e.customer = owned(t, e.customer, owner)
		return contract(t, e).AssignedTo.UUID
	}
	require.Equal(t, by(seller, "4711"), by(seller, "1"), "who did it")
	require.Equal(t, by(4711, "1"), by(0, "4711"), "else the customer's owner")
	require.NotEqual(t, by(0, "4711"), by(0, "null"))
}

func TestSightenMethodIsTheWebhooks(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]string{
		"": http.MethodPost, http.MethodPost: http.MethodPost, http.MethodPut: http.MethodPut, http.MethodPatch: http.MethodPatch,
	} {
		t.Run("method "+method, func(t *testing.T) {
			t.Parallel()
			p := newPartner(t, answerOK)
			w := toSighten
			w.Method = method
			require.Equal(t, pipeline.DeliveryDelivered, newSender(t, ample).Deliver(t.Context(), sending(t, "contract.sent", p.URL, w)).Status)
			require.Equal(t, want, p.got()[0].method)
			require.Equal(t, "application/json", p.got()[0].header.Get("Content-Type"))
		})
	}
}

// A sample that is made of the schemas' examples: a proposal without a contract.
func TestSightenSample(t *testing.T) {
	t.Parallel()
	e := deal(t, "proposal.sent")
	e.event.Type = pipeline.TypeContractRequested
	got := contract(t, e)
	require.Equal(t, "2026-11-21T10:04:00.123000Z", got.SubTasks[0].Data.Documents[0].DateCreated)
}
