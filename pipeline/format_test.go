package pipeline_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestSpeaks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format string
		event  pipeline.EventType
		want   bool
	}{
		{pipeline.FormatNative, pipeline.TypeContractVoided, true},
		{pipeline.FormatNative, pipeline.TypeWebhookFailing, true},
		{pipeline.FormatSolo, pipeline.TypeContractSigned, true},
		{pipeline.FormatSolo, pipeline.TypeContractVoided, false},
		{pipeline.FormatSolo, pipeline.TypeWebhookFailing, false},
		{pipeline.FormatSolarProof, pipeline.TypeEmailSent, true},
		{pipeline.FormatSolarProof, pipeline.TypeCustomerUpdated, false},
		{pipeline.FormatSolve360, pipeline.TypeContractDocumentStored, true},
		{pipeline.FormatSighten, pipeline.TypeContractVoided, true},
		{pipeline.FormatSighten, pipeline.TypeCustomerCreated, false},
		{"morse", pipeline.TypeCustomerCreated, false},
		{pipeline.FormatSolve360, "customer.greeted", false},
	} {
		require.Equal(t, c.want, pipeline.Speaks(c.format, c.event), "%s %s", c.format, c.event)
	}
}

// named are the names of the formats for an event, as "format event/constraint".
func named(t *testing.T, e pipeline.Event) []string {
	t.Helper()
	namings, err := pipeline.Namings(e)
	require.NoError(t, err)
	out := make([]string, 0, len(namings))
	for _, n := range namings {
		name := n.Format + " " + n.Event
		if n.ConstraintType != "" {
			name += "/" + n.ConstraintType
		}
		out = append(out, name)
	}
	return out
}

func TestNamingsOfAnEvent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event pipeline.Event
		want  []string
	}{
		"one of most systems": {
			pipeline.Event{Type: pipeline.TypeCustomerCreated, Stream: "customer-1"},
			[]string{"solo Customer Created", "solarproof customer_created", "solve360 items.create/contact"},
		},
		"two of one system": {
			pipeline.Event{Type: pipeline.TypeCustomerStatusChanged, Stream: "customer-1"},
			[]string{
				"solo Customer Status Changed", "solarproof customer_status_change",
				"solve360 items.categorize/contact", "solve360 items.uncategorize/contact",
			},
		},
		"of a kind that a system has no name for": {
			pipeline.Event{Type: pipeline.TypeEmailSent, Stream: "customer-1"}, []string{"solve360 activities.create/linkedemails"},
		},
		"of a kind that it has a name for": {
			pipeline.Event{Type: pipeline.TypeEmailSent, Stream: "proposal-1"},
			[]string{"solarproof project_email_sent", "solve360 activities.create/linkedemails"},
		},
		"while in the state": {
			pipeline.Event{Type: pipeline.TypeProposalSaved, Stream: "proposal-1", State: []byte(`{"status":"draft"}`)},
			[]string{"solo Proposal Saved", "solarproof recent_draft_project", "solve360 items.update/projectblog"},
		},
		"after that": {
			pipeline.Event{Type: pipeline.TypeProposalSaved, Stream: "proposal-1", State: []byte(`{"status":"sent"}`)},
			[]string{"solo Proposal Saved", "solve360 items.update/projectblog"},
		},
		"a notice": {pipeline.Event{Type: pipeline.TypeWebhookFailing, Stream: "webhook-1"}, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, named(t, c.event))
		})
	}
	_, err := pipeline.Namings(pipeline.Event{Type: pipeline.TypeProposalSaved, Stream: "proposal-1", State: []byte(`{"status":1}`)})
	require.ErrorContains(t, err, "state after proposal.saved")
}

// Speaks says no only where Namings would find nothing, whatever the event is like.
func TestSpeaksOfWhateverIsNamed(t *testing.T) {
	t.Parallel()
	for _, entry := range pipeline.Catalogue() {
		for _, kind := range entry.Kinds {
			namings, err := pipeline.Namings(pipeline.Event{
				Type: entry.Type, Stream: pipeline.StreamOf(kind, 1), State: []byte(`{"status":"draft"}`),
			})
			require.NoError(t, err)
			for _, n := range namings {
				require.True(t, pipeline.Speaks(n.Format, entry.Type), "%s %s", n.Format, entry.Type)
			}
		}
	}
}

// Whatever a webhook subscribed to, its topic is one of the topics
// of an event, and the event is of one of its shapes, exactly where it has a name for the event.
func TestTopicsAreWhatWebhooksWant(t *testing.T) {
	t.Parallel()
	events := []string{
		"", "items.create", "items.categorize", "activities.create", "recent_draft_project", "project_sms_sent", "Proposal Saved", "SIGN",
	}
	constraints := []string{"", pipeline.ConstraintAll, "contact", "note", "linkedemails"}
	webhooks := make([]pipeline.Webhook, 0, len(pipeline.Formats())*len(events)*len(constraints))
	for _, format := range pipeline.Formats() {
		for _, event := range events {
			for _, constraint := range constraints {
				webhooks = append(webhooks, pipeline.Webhook{Format: format, EventName: event, Constraint: constraint})
			}
		}
	}
	for _, entry := range append(pipeline.Catalogue(), pipeline.Notices()...) {
		for _, kind := range entry.Kinds {
			for _, status := range []string{"draft", "sent"} {
				e := pipeline.Event{Type: entry.Type, Stream: pipeline.StreamOf(kind, 1), State: []byte(`{"status":"` + status + `"}`)}
				topics, err := pipeline.Topics(e)
				require.NoError(t, err)
				for _, w := range webhooks {
					names, err := w.Names(e)
					require.NoError(t, err)
					fits := func(s pipeline.Shape) bool {
						return s.Type == e.Type && (s.Kind == "" || s.Kind == kind) && (s.While == "" || s.While == status)
					}
					require.Equal(t, len(names) > 0, slices.Contains(topics, w.Topic()), "%+v %s of a %s in %s", w, e.Type, kind, status)
					require.Equal(t, len(names) > 0, slices.ContainsFunc(w.Shapes(), fits), "%+v %s of a %s in %s", w, e.Type, kind, status)
				}
			}
		}
	}
	require.Empty(t, pipeline.Webhook{Format: pipeline.FormatNative}.Topic())
	_, err := pipeline.Topics(pipeline.Event{Type: pipeline.TypeProposalSaved, Stream: "proposal-1", State: []byte(`{"status":1}`)})
	require.Error(t, err)
}

func TestAWebhookWantsWhatItSubscribedTo(t *testing.T) {
	t.Parallel()
	changed := pipeline.Event{Type: pipeline.TypeCustomerStatusChanged, Stream: "customer-1"}
	for name, c := range map[string]struct {
		webhook pipeline.Webhook
		want    int
	}{
		"all of its system":      {pipeline.Webhook{Format: pipeline.FormatSolve360}, 2},
		"one event":              {pipeline.Webhook{Format: pipeline.FormatSolve360, EventName: "items.uncategorize"}, 1},
		"another event":          {pipeline.Webhook{Format: pipeline.FormatSolve360, EventName: "items.update"}, 0},
		"its constraint":         {pipeline.Webhook{Format: pipeline.FormatSolve360, Constraint: "contact"}, 2},
		"all constraints":        {pipeline.Webhook{Format: pipeline.FormatSolve360, Constraint: pipeline.ConstraintAll}, 2},
		"another constraint":     {pipeline.Webhook{Format: pipeline.FormatSolve360, Constraint: "company"}, 0},
		"without constraints":    {pipeline.Webhook{Format: pipeline.FormatSolo, Constraint: "company"}, 1},
		"nothing of this system": {pipeline.Webhook{Format: pipeline.FormatSighten}, 0},
		"native":                 {pipeline.Webhook{Format: pipeline.FormatNative}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			names, err := c.webhook.Names(changed)
			require.NoError(t, err)
			require.Len(t, names, c.want)
		})
	}
}
