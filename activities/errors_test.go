package activities_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

func asApplicationError(t *testing.T, err error) *temporal.ApplicationError {
	t.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	return app
}

// overTheWire is what becomes of an error on its way through Temporal.
func overTheWire(err error) error {
	converter := temporal.GetDefaultFailureConverter()
	return converter.FailureToError(converter.ErrorToFailure(err))
}

func TestErrorsKeepTheirCodeThroughTemporal(t *testing.T) {
	t.Parallel()
	for code, retried := range map[pipeline.Code]bool{
		pipeline.CodeIllegalTransition: false, pipeline.CodeInvalid: false, pipeline.CodeNotFound: false, pipeline.CodeConflict: false,
		pipeline.CodeIdempotencyKeyReused: false, pipeline.CodeUnavailable: true, pipeline.CodeUnauthenticated: false,
		pipeline.CodeForbidden: false, pipeline.CodeMethodNotAllowed: false, pipeline.CodeTooLarge: false,
		pipeline.CodeUnsupportedMediaType: false, pipeline.CodeRateLimited: false, pipeline.CodeInternal: true,
	} {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			before := &pipeline.Error{
				Code: code, Message: "no, thank you",
				Fields:  []pipeline.FieldError{{Pointer: "/data/status", Detail: "is not a status"}},
				Allowed: []pipeline.EventType{pipeline.TypeProposalSent, pipeline.TypeProposalSaved},
			}
			// As the store hands it over: with what it was doing, and the cause behind.
			chain := fmt.Errorf("append proposal.sent: %w: %w", before, errors.New("pq: something"))

			for range 2 { // once is an activity's way to the workflow, twice the workflow's to the caller
				chain = overTheWire(activities.Failure(chain))
				requireFailure(t, chain, code, retried)
				require.Equal(t, before, activities.Refusal(chain))
			}
		})
	}
}

func TestErrorsWithoutACodeAreInternal(t *testing.T) {
	t.Parallel()
	err := overTheWire(activities.Failure(errors.New("the roof is on fire")))
	requireFailure(t, err, pipeline.CodeInternal, true)
	require.Equal(t, "the roof is on fire", activities.Refusal(err).Message)
}

func TestSeveralErrorsHaveTheCodeOfTheFirst(t *testing.T) {
	t.Parallel()
	err := activities.Failure(errors.Join(errors.New("who knows"), unavailable, pipeline.Errorf(pipeline.CodeNotFound, "gone")))
	requireFailure(t, err, pipeline.CodeUnavailable, true)
	require.ErrorContains(t, err, "gone")
}

func TestNoErrorIsNoFailure(t *testing.T) {
	t.Parallel()
	require.NoError(t, activities.Failure(nil))
	require.NoError(t, activities.Failure(errors.Join(nil, nil)))
}

func TestRefusalOfForeignErrors(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"not of Temporal":     errors.New("who knows"),
		"without details":     temporal.NewApplicationError("who knows", "unavailable"),
		"with other details":  temporal.NewApplicationError("who knows", "unavailable", "who", "knows"),
		"with an empty error": temporal.NewApplicationError("who knows", "unavailable", pipeline.Error{}),
		"a timeout":           temporal.NewTimeoutError(1, errors.New("who knows")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refusal := activities.Refusal(overTheWire(err))
			require.Equal(t, pipeline.CodeInternal, refusal.Code)
			require.NotEmpty(t, refusal.Message)
		})
	}
}
