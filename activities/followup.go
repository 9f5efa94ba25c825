package activities

import (
	"context"
	"fmt"

	"github.com/dealwright/dealwright/pipeline"
)

// CustomerStore is what follow-ups need of the store.
type CustomerStore interface {
	Customer(ctx context.Context, companyID, id int64) (pipeline.Customer, error)
	Statuses(ctx context.Context, companyID int64) (pipeline.Statuses, error)
	Event(ctx context.Context, companyID int64, id string) (pipeline.Event, error)
}

// Commander submits a command to the workflow of an entity.
type Commander interface {
	Command(ctx context.Context, to pipeline.Ref, cmd pipeline.Command, commandID string) error
}

// FollowUps are the activities that carry an event over to another entity.
type FollowUps struct {
	Store     CustomerStore
	Commander Commander
}

// SignCustomerInput is the contract.signed event, in short.
type SignCustomerInput struct {
	CompanyID  int64
	CustomerID int64
	Actor      pipeline.Actor
	Cause      pipeline.Cause
	Documents  bool // it names documents that can be fetched
}

// SignCustomerResult says whether the customer was moved, and why not where it was not.
type SignCustomerResult struct {
	Moved bool
	Note  string
}

// SignCustomer moves a customer to Signed after a contract of theirs was signed, through the
// customer's own workflow. A customer who is there already, or deleted, stays as they are.
func (f *FollowUps) SignCustomer(ctx context.Context, in SignCustomerInput) (SignCustomerResult, error) {
	customer, err := f.Store.Customer(ctx, in.CompanyID, in.CustomerID)
	if err != nil {
		return SignCustomerResult{}, Failure(err)
	}
	if customer.Erased {
		return SignCustomerResult{Note: "was erased"}, nil
	}
	if customer.Status == pipeline.StatusSigned {
		return SignCustomerResult{Note: "is signed already"}, nil
	}
	commandID := "signed by " + in.Cause.EventID
	// A workflow that was lost and starts anew comes past all its signatures again.
	_, err = f.Store.Event(ctx, in.CompanyID, pipeline.EventID(customer.Ref().Stream(), commandID))
	if err == nil {
		return SignCustomerResult{Note: "was moved by it before, and on since"}, nil
	}
	if pipeline.CodeOf(err) != pipeline.CodeNotFound {
		return SignCustomerResult{}, Failure(err)
	}
	statuses, err := f.Store.Statuses(ctx, in.CompanyID)
	if err != nil {
		return SignCustomerResult{}, Failure(err)
	}
	name, ok := statuses.Name(pipeline.StatusSigned)
	if !ok {
		return SignCustomerResult{Note: fmt.Sprintf("the company has no status %d", pipeline.StatusSigned)}, nil
	}
	data := pipeline.CustomerStatusChanged{Status: pipeline.StatusSigned, StatusName: name, Reason: "contract signed"}
	cmd, err := pipeline.NewCommand(pipeline.TypeCustomerStatusChanged, data, in.Actor, in.Cause)
	if err != nil {
		return SignCustomerResult{}, Failure(err)
	}
	return signed(f.Commander.Command(ctx, customer.Ref(), cmd, commandID))
}

// signed reads the outcome of the command. What the customer's state forbids is no failure:
// nothing is left to do. A conflict is over by the next try.
func signed(err error) (SignCustomerResult, error) {
	if err == nil {
		return SignCustomerResult{Moved: true}, nil
	}
	switch pipeline.CodeOf(err) {
	case pipeline.CodeIllegalTransition, pipeline.CodeInvalid:
		return SignCustomerResult{Note: err.Error()}, nil
	case pipeline.CodeConflict:
		return SignCustomerResult{}, Failure(pipeline.Errorf(pipeline.CodeUnavailable, "%s", err.Error()))
	default:
		return SignCustomerResult{}, Failure(err)
	}
}
