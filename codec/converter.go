package codec

import (
	"context"
	"errors"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/dealwright/dealwright/keyring"
)

// Data is what a Temporal client and its workers convert values with.
func (c *Codec) Data() converter.DataConverter {
	return data{converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), c)}
}

// Failures is what they convert errors with: messages and stack traces are encrypted too.
func (c *Codec) Failures() converter.FailureConverter {
	return temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter: c.Data(), EncodeCommonAttributes: true,
	})
}

// data is careful with workflows.
type data struct {
	converter.DataConverter
}

var _ workflow.ContextAware = data{}

// WithContext is for everything that is no workflow.
func (d data) WithContext(context.Context) converter.DataConverter { return d }

// WithWorkflowContext is for what is read and written by a workflow.
func (d data) WithWorkflowContext(workflow.Context) converter.DataConverter { return patient(d) }

// patient has a workflow wait for a key that its worker lacks. To the SDK an input that cannot be
// read is a reason to end the workflow, for good. A panic ends the workflow task alone, and Temporal
// tries that again until a worker has the key.
type patient struct {
	converter.DataConverter
}

// FromPayload reads one value.
func (p patient) FromPayload(payload *commonpb.Payload, into any) error {
	return wait(p.DataConverter.FromPayload(payload, into))
}

// FromPayloads reads several.
func (p patient) FromPayloads(payloads *commonpb.Payloads, into ...any) error {
	return wait(p.DataConverter.FromPayloads(payloads, into...))
}

func wait(err error) error {
	if _, missing := errors.AsType[keyring.UnknownKeyError](err); missing {
		panic(err) //nolint:forbidigo // see patient
	}
	return err
}
