package activities_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

// eventStore has a stream, and an answer for an append.
type eventStore struct {
	appended pipeline.Appended
	refusal  error
	events   []pipeline.Event
	unread   error
	asked    pipeline.Idempotency
}

func (s *eventStore) Append(_ context.Context, _ pipeline.Event, idem pipeline.Idempotency) (pipeline.Appended, error) {
	s.asked = idem
	return s.appended, s.refusal
}

func (s *eventStore) EventsAfter(_ context.Context, from pipeline.Stream, version int64, limit int) ([]pipeline.Event, error) {
	var out []pipeline.Event
	for _, e := range s.events {
		if e.Stream == from && e.Version > version && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, s.unread
}

// history is a stream of so many events, each with so many bytes of state.
func history(events, bytes int) []pipeline.Event {
	out := make([]pipeline.Event, events)
	for i := range out {
		n := int64(i + 1)
		out[i] = pipeline.Event{
			ID: fmt.Sprintf("evt_%d", n), Stream: stream, Version: n,
			State: []byte(`"` + strings.Repeat("x", bytes) + `"`), Payload: []byte(`{}`),
		}
	}
	return out
}

func versions(events []pipeline.Event) []int64 {
	out := make([]int64, 0, len(events))
	for _, e := range events {
		out = append(out, e.Version)
	}
	return out
}

func record(s *eventStore) *testsuite.TestActivityEnvironment {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(&activities.Recording{Store: s})
	return env
}

// append is of the third event, by whatever id.
func (s *eventStore) append(id string) (activities.AppendResult, error) {
	return run(record(s), recording.AppendEvent, activities.AppendInput{
		Event:       pipeline.Event{ID: id, Stream: stream, Version: 3, State: []byte(`{}`), Payload: []byte(`{}`)},
		Idempotency: pipeline.Idempotency{Scope: 4, Key: "k", Fingerprint: "f"},
	})
}

var (
	errConflict = fmt.Errorf("append: %w", pipeline.Errorf(pipeline.CodeConflict, "proposal-1 is not at version 2"))
	errKeyTaken = fmt.Errorf("append: %w", pipeline.Errorf(pipeline.CodeIdempotencyKeyReused, "the key was used for another request"))
)

func TestAppend(t *testing.T) {
	t.Parallel()
	s := &eventStore{appended: pipeline.Appended{Position: 9, Deliveries: 2}}
	out, err := s.append("evt_3")
	require.NoError(t, err)
	require.Equal(t, s.appended, out.Appended)
	require.Empty(t, out.Newer)
	require.Equal(t, pipeline.Idempotency{Scope: 4, Key: "k", Fingerprint: "f"}, s.asked)
}

func TestAppendBehindTheStore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refusal error
		id      string
		newer   []int64 // none: the refusal stands
		code    pipeline.Code
	}{
		"others were faster":                       {errConflict, "evt_mine", []int64{3, 4, 5}, ""},
		"it is there from an earlier run":          {errConflict, "evt_3", []int64{3, 4, 5}, ""},
		"its key is taken by its own earlier run":  {errKeyTaken, "evt_4", []int64{3, 4, 5}, ""},
		"its key is taken, and others were faster": {errKeyTaken, "evt_mine", nil, pipeline.CodeIdempotencyKeyReused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &eventStore{refusal: c.refusal, events: history(5, 10)}
			out, err := s.append(c.id)
			if c.newer == nil {
				requireFailure(t, err, c.code, false)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.newer, versions(out.Newer))
			require.Zero(t, out.Appended)
		})
	}
}

func TestAppendThatIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refusal error
		retried bool
	}{
		"a conflict with nothing there": {errConflict, false},
		"its key is taken":              {errKeyTaken, false},
		"invalid":                       {pipeline.Invalid(pipeline.FieldError{Pointer: "/uuid", Detail: "is taken"}), false},
		"the store is away":             {unavailable, true},
		"the store is broken":           {pipeline.Errorf(pipeline.CodeInternal, "the store failed"), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &eventStore{refusal: c.refusal, events: history(2, 10)}
			_, err := s.append("evt_mine")
			requireFailure(t, err, pipeline.CodeOf(c.refusal), c.retried)
		})
	}
}

func TestAppendThatCannotReadWhatIsNewer(t *testing.T) {
	t.Parallel()
	_, err := (&eventStore{refusal: errConflict, events: history(5, 10), unread: unavailable}).append("evt_mine")
	requireFailure(t, err, pipeline.CodeUnavailable, true)
}

func TestReadStreamInPortions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		events []pipeline.Event
		reads  int
	}{
		"nothing":          {nil, 1},
		"a few":            {history(3, 10), 1},
		"one portion":      {history(500, 10), 2}, // only the second look tells that there is no more
		"many":             {history(1201, 10), 3},
		"large ones":       {history(10, 300<<10), 4},
		"larger than fits": {history(3, 1<<20), 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &eventStore{events: c.events}
			var got []pipeline.Event
			reads, more := 0, true
			for ; more; reads++ {
				out, err := run(record(s), recording.ReadStream, activities.ReadInput{Stream: stream, Version: int64(len(got))})
				require.NoError(t, err)
				got, more = append(got, out.Events...), out.More
			}
			require.Equal(t, versions(c.events), versions(got))
			require.Equal(t, c.reads, reads)
		})
	}
}

func TestNewerEventsAreCutToOneResult(t *testing.T) {
	t.Parallel()
	out, err := (&eventStore{refusal: errConflict, events: history(10, 300<<10)}).append("evt_mine")
	require.NoError(t, err)
	require.Equal(t, []int64{3, 4, 5}, versions(out.Newer))
}

func TestReadStreamWithoutAStore(t *testing.T) {
	t.Parallel()
	_, err := run(record(&eventStore{unread: unavailable}), recording.ReadStream, activities.ReadInput{Stream: stream})
	requireFailure(t, err, pipeline.CodeUnavailable, true)
}
