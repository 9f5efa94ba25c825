package activities

import (
	"context"
	"errors"

	"github.com/dealwright/dealwright/pipeline"
)

// ErasureStore is what cleaning up after an erased customer needs of the store.
type ErasureStore interface {
	ErasedTraces(ctx context.Context, companyID, customerID int64) (pipeline.ErasedTraces, error)
	BlankErased(ctx context.Context, companyID int64, streams []pipeline.Stream) error
	ErasureDone(ctx context.Context, of pipeline.ErasedCustomer, contents []string) error
}

// Histories are those of workflows. Forget has them deleted which tell of a customer, and counts
// those that are still there: Temporal takes its time.
type Histories interface {
	Forget(ctx context.Context, customer pipeline.ErasedCustomer, traces pipeline.ErasedTraces) (left int, err error)
}

// Contents are the bytes of documents: Forget removes what has come of one that was being fetched.
// That something is not there is no error.
type Contents interface {
	Forget(ctx context.Context, id string) error
	Delete(ctx context.Context, sha256 string) error
}

// Erasures are the activities that clean up after erased customers: what is not in the store's
// tables, where erasing was one transaction.
type Erasures struct {
	Store     ErasureStore
	Histories Histories
	Contents  Contents
	Starter   EraseStarter
}

// EraseStarter starts the workflow that cleans up after a customer.
type EraseStarter interface {
	EraseTraces(ctx context.Context, customer pipeline.ErasedCustomer) error
}

// BeginErasureResult is empty.
type BeginErasureResult struct{}

// BeginErasure starts cleaning up after a customer. It waits for none of it: the workflow that
// asks for it is among what is to be cleaned up.
func (e *Erasures) BeginErasure(ctx context.Context, in pipeline.ErasedCustomer) (BeginErasureResult, error) {
	return BeginErasureResult{}, Failure(e.Starter.EraseTraces(ctx, in))
}

// EraseTracesInput names a customer that was erased. Patient: its workflow is left to tell
// partners of the end, as long as it has not.
type EraseTracesInput struct {
	Customer pipeline.ErasedCustomer
	Patient  bool
}

// EraseTracesResult says whether the customer's workflow is still sending, and how many histories
// are left; where neither is so, it is done.
type EraseTracesResult struct {
	Sending   bool
	Histories int
}

// Done reports that there is nothing left.
func (r EraseTracesResult) Done() bool { return !r.Sending && r.Histories == 0 }

// EraseTraces deletes the histories of workflows that tell of an erased customer, and the bytes of
// its documents unless somebody else has the very same. It can be run again at any point.
func (e *Erasures) EraseTraces(ctx context.Context, in EraseTracesInput) (EraseTracesResult, error) {
	of := in.Customer
	traces, err := e.Store.ErasedTraces(ctx, of.CompanyID, of.CustomerID)
	if err != nil {
		return EraseTracesResult{}, Failure(err)
	}
	if traces.Sending && in.Patient {
		return EraseTracesResult{Sending: true}, nil
	}
	streams := []pipeline.Stream{pipeline.StreamOf(pipeline.KindCustomer, of.CustomerID)}
	for _, id := range traces.Proposals {
		streams = append(streams, pipeline.StreamOf(pipeline.KindProposal, id))
	}
	if err := e.Store.BlankErased(ctx, of.CompanyID, streams); err != nil {
		return EraseTracesResult{}, Failure(err)
	}
	left, err := e.Histories.Forget(ctx, of, traces)
	for _, uuid := range traces.Documents {
		err = errors.Join(err, e.Contents.Forget(ctx, fetchID(of.CompanyID, uuid)))
	}
	for _, content := range traces.Contents {
		err = errors.Join(err, e.Contents.Delete(ctx, content))
	}
	if err != nil || left > 0 {
		return EraseTracesResult{Histories: left}, Failure(err)
	}
	return EraseTracesResult{}, Failure(e.Store.ErasureDone(ctx, of, traces.Contents))
}
