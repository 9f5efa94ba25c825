package pipeline_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestCheckFormat(t *testing.T) {
	t.Parallel()
	solve360 := func(content, event, constraint string) pipeline.Webhook {
		return pipeline.Webhook{Format: pipeline.FormatSolve360, ContentType: content, EventName: event, Constraint: constraint}
	}
	for name, c := range map[string]struct {
		webhook pipeline.Webhook
		want    []string // "pointer detail"
	}{
		"native":                               {pipeline.Webhook{Format: "native"}, nil},
		"solo":                                 {pipeline.Webhook{Format: "solo", EventName: "Credit Ran"}, nil},
		"solarproof":                           {pipeline.Webhook{Format: "solarproof", EventName: "recent_draft_project"}, nil},
		"sighten":                              {pipeline.Webhook{Format: "sighten", EventName: "SIGN", Method: "PATCH"}, nil},
		"solve360":                             {solve360("form", "items.categorize", "contact"), nil},
		"solve360, everything by default":      {solve360("", "", ""), nil},
		"solve360, all":                        {solve360("xml", "activities.update", "all"), nil},
		"solve360, what never happens":         {solve360("json", "activities.restore", "timerecord"), nil},
		"solve360, a constraint without event": {solve360("json", "", "opportunity"), nil},
		"solve360, another class of constraint": {
			solve360("json", "items.update", "task"), []string{"/constraint is not a constraint of this event"},
		},
		"solve360, no such things": {solve360("yaml", "items.touch", "thing"), []string{
			"/content_type has to be xml, json or form", "/event_name is not an event of this format",
			"/constraint is not a constraint of this event",
		}},
		"no such format": {pipeline.Webhook{Format: "morse"}, []string{"/format has to be native, solo, solarproof, solve360 or sighten"}},
		"what is another format's": {
			pipeline.Webhook{Format: "solo", ContentType: "json", Method: "PUT", Constraint: "all", EventName: "items.update"},
			[]string{
				"/content_type is for the format solve360 only", "/method is for the format sighten only",
				"/event_name is not an event of this format", "/constraint is for the format solve360 only",
			},
		},
		"a method that is not one": {
			pipeline.Webhook{Format: "sighten", Method: "DELETE"}, []string{"/method has to be POST, PUT or PATCH"},
		},
		"native has no names": {pipeline.Webhook{Format: "native", EventName: "SIGN"}, []string{"/event_name is not an event of this format"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := pipeline.CheckFormat(c.webhook)
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			var refusal *pipeline.Error
			require.ErrorAs(t, err, &refusal)
			got := make([]string, len(refusal.Fields))
			for i, field := range refusal.Fields {
				got[i] = field.Pointer + " " + field.Detail
			}
			require.Equal(t, c.want, got)
		})
	}
}

// Every name that the catalogue gives an event of Solve360 is one that Solve360 has.
func TestTheCataloguesNamesAreSolve360s(t *testing.T) {
	t.Parallel()
	for _, entry := range pipeline.Catalogue() {
		for _, n := range entry.Names.Solve360 {
			require.NoError(t, pipeline.CheckFormat(pipeline.Webhook{
				Format: pipeline.FormatSolve360, EventName: n.Event, Constraint: n.ConstraintType,
			}), entry.Type)
		}
	}
}

func TestTypesOfAWebhook(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		webhook pipeline.Webhook
		want    []pipeline.EventType
	}{
		"a trigger of Solo": {
			pipeline.Webhook{Format: pipeline.FormatSolo, EventName: "Customer Created"},
			[]pipeline.EventType{pipeline.TypeCustomerCreated},
		},
		"a subscription of Solar Proof to two of ours": {
			pipeline.Webhook{Format: pipeline.FormatSolarProof, EventName: "recent_draft_project"},
			[]pipeline.EventType{pipeline.TypeProposalDrafted, pipeline.TypeProposalSaved},
		},
		"a hook of Solve360": {
			pipeline.Webhook{Format: pipeline.FormatSolve360, EventName: "items.update", Constraint: "contact"},
			[]pipeline.EventType{pipeline.TypeCustomerUpdated},
		},
		"a hook for all constraints": {
			pipeline.Webhook{Format: pipeline.FormatSolve360, EventName: "items.update", Constraint: "all"},
			[]pipeline.EventType{pipeline.TypeCustomerUpdated, pipeline.TypeProposalSaved},
		},
		"a hook for what never happens": {
			pipeline.Webhook{Format: pipeline.FormatSolve360, EventName: "activities.restore"}, nil,
		},
		"all of Sighten": {pipeline.Webhook{Format: pipeline.FormatSighten}, []pipeline.EventType{
			pipeline.TypeContractRequested, pipeline.TypeContractSent, pipeline.TypeContractSigned, pipeline.TypeContractVoided,
		}},
	} {
		require.Equal(t, c.want, c.webhook.Types(), name)
	}
	require.Len(t, pipeline.Webhook{Format: pipeline.FormatNative}.Types(), len(pipeline.Catalogue()))
}
