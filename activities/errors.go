package activities

import (
	"errors"

	"go.temporal.io/sdk/temporal"

	"github.com/dealwright/dealwright/pipeline"
)

// Failure turns an error of ours into Temporal's: the code becomes the type, so that it reads
// in the Temporal UI and survives the way back to the API, and a retry is left to Temporal
// only where it can help.
func Failure(err error) error {
	if err == nil {
		return nil
	}
	var coded *pipeline.Error
	if !errors.As(err, &coded) {
		if _, made := errors.AsType[*temporal.ApplicationError](err); made {
			return err
		}
		coded = pipeline.Errorf(pipeline.CodeInternal, "%s", err.Error())
	}
	return temporal.NewApplicationErrorWithOptions(err.Error(), string(coded.Code), temporal.ApplicationErrorOptions{
		NonRetryable: !retryable(coded.Code),
		Details:      []any{*coded},
	})
}

func retryable(code pipeline.Code) bool {
	return code == pipeline.CodeUnavailable || code == pipeline.CodeInternal
}

// Refusal is the way back: the error that an ApplicationError carries, CodeInternal where it
// is not one of ours.
func Refusal(err error) *pipeline.Error {
	var app *temporal.ApplicationError
	if !errors.As(err, &app) {
		return pipeline.Errorf(pipeline.CodeInternal, "%s", err.Error())
	}
	var coded pipeline.Error
	if app.HasDetails() && app.Details(&coded) == nil && coded.Code != "" {
		return &coded
	}
	return pipeline.Errorf(pipeline.CodeInternal, "%s", app.Message())
}
