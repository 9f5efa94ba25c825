package webhook_test

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
	"github.com/dealwright/dealwright/webhook"
)

// Whatever happens to a deal, in whatever order is legal: no format fails, the same delivery
// always gives the same messages, and each is what its schema promises.
func TestWhateverHappensEveryFormatKeepsItsPromise(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		customers := wander(t, pipeline.NewCustomer(1, 12345))
		last := customers[len(customers)-1].State
		for _, e := range append(customers, wander(t, pipeline.NewProposal(1, 12345, 54321))...) {
			for _, s := range speakers() {
				d := pipeline.Dispatch{Webhook: s.webhook, Event: e}
				if e.Stream.Kind() == pipeline.KindProposal {
					d.Customer = last
				}
				messages, err := webhook.Messages(d)
				require.NoError(t, err)
				again, err := webhook.Messages(d)
				require.NoError(t, err)
				require.Equal(t, messages, again)
				for _, m := range messages {
					keepsItsPromise(t, e, s.webhook, m)
				}
			}
		}
	})
}

func keepsItsPromise(t *rapid.T, e pipeline.Event, w pipeline.Webhook, m webhook.Message) {
	switch w.ContentType {
	case pipeline.ContentXML:
		_, err := parse(m.Body)
		require.NoError(t, err, "%s", m.Body)
	case pipeline.ContentForm:
		require.Regexp(t, `^type=[a-z.]+&objectid=[0-9]+&content=[^&]+$`, string(m.Body))
	default:
		name := schemaOf(filepath.Join(w.Format, string(e.Type)+"."+string(e.Stream.Kind())+"."))
		require.NoError(t, schemas.Validate(name, m.Body), "%s", m.Body)
	}
}

// wander makes up to twenty legal things happen, with the examples' data.
func wander[S pipeline.State[S]](t *rapid.T, state S) []pipeline.Event {
	events := rapid.IntRange(1, 20).Draw(t, "events")
	out := make([]pipeline.Event, 0, events)
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for i := range events {
		eventType := rapid.SampledFrom(state.Allowed()).Draw(t, "type")
		actor := pipeline.UserID(rapid.IntRange(0, 2).Draw(t, "actor"))
		event, next, err := pipeline.Next(state, pipeline.Command{
			Type: eventType, Data: anyData(t, eventType, i), Actor: pipeline.Actor{UserID: actor},
			OccurredAt: at.Add(time.Duration(i) * time.Second),
		}, strconv.Itoa(i))
		require.NoError(t, err, eventType)
		event.Position = int64(i + 1)
		out, state = append(out, event), next
	}
	return out
}

// anyData is an example's data, with some of what may be left out left out, and with what the
// engine adds to it.
func anyData(t *rapid.T, eventType pipeline.EventType, i int) []byte {
	example, err := schemas.DataExample(eventType)
	require.NoError(t, err)
	var data map[string]any
	require.NoError(t, json.Unmarshal(example, &data))
	required := map[string]bool{
		"name": true, "email": true, "outcome": true, "starts_at": true, "uuid": true, "content_type": true, "size": true, "sha256": true,
	}
	maps.DeleteFunc(data, func(field string, _ any) bool {
		return !required[field] && rapid.Bool().Draw(t, "without "+field)
	})
	switch eventType {
	case pipeline.TypeCustomerCreated:
		maps.Copy(data, map[string]any{"uuid": customerUUID, "status": 1, "status_name": "New Contacts"})
	case pipeline.TypeCustomerUpdated:
		data["name"] = strings.Repeat("<", i+1)
	case pipeline.TypeCustomerStatusChanged:
		maps.Copy(data, map[string]any{"status": i + 2, "status_name": "Status " + strconv.Itoa(i)})
	case pipeline.TypeProposalDrafted, pipeline.TypeProposalRequested:
		if i == 0 {
			maps.Copy(data, map[string]any{"uuid": proposalUUID, "customer_uuid": customerUUID})
		}
	default: // needs nothing
	}
	text, err := json.Marshal(data)
	require.NoError(t, err)
	return text
}
