package activities_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

// ruins are what is left of an erased customer.
type ruins struct {
	traces  pipeline.ErasedTraces
	left    int
	broken  error
	blanked []pipeline.Stream
	deleted []string
	done    bool
}

func (r *ruins) ErasedTraces(context.Context, int64, int64) (pipeline.ErasedTraces, error) {
	return r.traces, nil
}

func (r *ruins) BlankErased(_ context.Context, _ int64, streams []pipeline.Stream) error {
	r.blanked = streams
	return nil
}

func (r *ruins) ErasureDone(context.Context, pipeline.ErasedCustomer, []string) error {
	r.done = true
	return nil
}

type ruinedHistories struct{ *ruins }

func (r ruinedHistories) Forget(context.Context, pipeline.ErasedCustomer, pipeline.ErasedTraces) (int, error) {
	return r.left, r.broken
}

type ruinedContents struct{ *ruins }

func (r ruinedContents) Delete(_ context.Context, sha256 string) error {
	r.deleted = append(r.deleted, sha256)
	return nil
}

func (r ruinedContents) Forget(_ context.Context, id string) error {
	r.deleted = append(r.deleted, id)
	return nil
}

func eraseTraces(t *testing.T, r *ruins, patient bool) (activities.EraseTracesResult, error) {
	t.Helper()
	e := &activities.Erasures{Store: r, Histories: ruinedHistories{r}, Contents: ruinedContents{r}}
	return e.EraseTraces(t.Context(), activities.EraseTracesInput{
		Customer: pipeline.ErasedCustomer{CompanyID: 1, CustomerID: 2}, Patient: patient,
	})
}

func TestEraseTraces(t *testing.T) {
	t.Parallel()
	traces := pipeline.ErasedTraces{Proposals: []int64{3}, Documents: []string{"d"}, Contents: []string{"s"}}
	sending := traces
	sending.Sending = true
	for name, c := range map[string]struct {
		ruins   ruins
		patient bool
		out     activities.EraseTracesResult
		deletes bool
	}{
		"partners are being told":                   {ruins{traces: sending}, true, activities.EraseTracesResult{Sending: true}, false},
		"partners are still being told":             {ruins{traces: sending}, false, activities.EraseTracesResult{}, true},
		"everything goes":                           {ruins{traces: traces}, true, activities.EraseTracesResult{}, true},
		"Temporal takes its time to delete what is": {ruins{traces: traces, left: 2}, true, activities.EraseTracesResult{Histories: 2}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := eraseTraces(t, &c.ruins, c.patient)
			require.NoError(t, err)
			require.Equal(t, c.out, out)
			require.Equal(t, out.Done(), c.ruins.done)
			if !c.deletes {
				require.Empty(t, c.ruins.deleted)
				return
			}
			require.Equal(t, []string{"1-d", "s"}, c.ruins.deleted)
			require.Equal(t, []pipeline.Stream{"customer-2", "proposal-3"}, c.ruins.blanked)
		})
	}
}

// The bytes go even where Temporal cannot be reached, and it is tried again.
func TestEraseTracesDoesWhatItCan(t *testing.T) {
	t.Parallel()
	r := &ruins{traces: pipeline.ErasedTraces{Contents: []string{"s"}}, broken: errors.New("down")}
	_, err := eraseTraces(t, r, true)
	require.ErrorContains(t, err, "down")
	require.Equal(t, []string{"s"}, r.deleted)
	require.False(t, r.done)
}

func TestWhatAProviderTellsOfAnErasedCustomerIsIgnored(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "SIGN")
	d.propose(t, 9, quote)
	p := d.proposals[9]
	p.Erased = true
	d.proposals[9] = p
	out, err := (&activities.Inbox{Store: d, Commander: d, Starter: d}).HandleInbound(t.Context(), activities.HandleInboundInput{ID: 7})
	require.NoError(t, err)
	require.Equal(t, pipeline.InboundIgnored, out.Status)
	require.Zero(t, d.steps)
}

func TestTheSweepBeginsErasuresAnew(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "SIGN")
	d.erased = []pipeline.ErasedCustomer{{CompanyID: 1, CustomerID: 2}}
	out, err := (&activities.Inbox{Store: d, Commander: d, Starter: d}).SweepInbound(t.Context(), activities.SweepInboundInput{})
	require.NoError(t, err)
	require.Equal(t, 1, out.Erasures)
	require.Contains(t, d.started, "erasure-2")
}
