package activities_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

// office has one customer, and takes commands.
type office struct {
	customer    pipeline.Customer
	customerErr error
	statuses    pipeline.Statuses
	statusesErr error
	commandErr  error
	past        string // the id of an event that is there already
	pastErr     error

	to  pipeline.Ref
	cmd pipeline.Command
	id  string
}

func (o *office) Customer(_ context.Context, companyID, id int64) (pipeline.Customer, error) {
	if companyID != 1 || id != 12345 {
		return pipeline.Customer{}, pipeline.Errorf(pipeline.CodeNotFound, "no such customer")
	}
	return o.customer, o.customerErr
}

func (o *office) Statuses(context.Context, int64) (pipeline.Statuses, error) {
	return o.statuses, o.statusesErr
}

func (o *office) Event(_ context.Context, companyID int64, id string) (pipeline.Event, error) {
	if o.pastErr == nil && (companyID != 1 || id != o.past) {
		return pipeline.Event{}, pipeline.Errorf(pipeline.CodeNotFound, "no such event")
	}
	return pipeline.Event{ID: id}, o.pastErr
}

func (o *office) Command(_ context.Context, to pipeline.Ref, cmd pipeline.Command, id string) error {
	o.to, o.cmd, o.id = to, cmd, id
	return o.commandErr
}

func newOffice() *office {
	return &office{
		customer: pipeline.Customer{ID: 12345, CompanyID: 1, Version: 3, Status: pipeline.StatusNew, StatusName: "New Contacts"},
		statuses: pipeline.DefaultStatuses(),
	}
}

var signature = activities.SignCustomerInput{
	CompanyID: 1, CustomerID: 12345, Actor: pipeline.Actor{UserID: 67890},
	Cause: pipeline.Cause{EventID: "evt_7", Type: pipeline.TypeContractSigned, Stream: "proposal-54321"},
}

func (o *office) sign() (activities.SignCustomerResult, error) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(&activities.FollowUps{Store: o, Commander: o})
	return run(env, followUps.SignCustomer, signature)
}

func TestSignMovesTheCustomer(t *testing.T) {
	t.Parallel()
	o := newOffice()
	out, err := o.sign()
	require.NoError(t, err)
	require.Equal(t, activities.SignCustomerResult{Moved: true}, out)
	require.Equal(t, o.customer.Ref(), o.to)
	require.Equal(t, pipeline.TypeCustomerStatusChanged, o.cmd.Type)
	require.Equal(t, signature.Actor, o.cmd.Actor)
	require.Equal(t, signature.Cause, o.cmd.Cause)
	first := o.id
	require.Contains(t, first, "evt_7")

	event, customer, err := pipeline.Next(o.customer, o.cmd, o.id)
	require.NoError(t, err, "the customer takes the command")
	require.Equal(t, &signature.Cause, event.Cause)
	require.Equal(t, pipeline.StatusSigned, customer.Status)
	require.Equal(t, "Signed", customer.StatusName)

	_, err = o.sign()
	require.NoError(t, err)
	require.Equal(t, first, o.id, "a retry is the same command")
}

func TestSignUsesTheCompanysOwnNameForTheStatus(t *testing.T) {
	t.Parallel()
	o := newOffice()
	o.statuses = pipeline.Statuses{{Code: pipeline.StatusSigned, Name: "Sealed"}}
	_, err := o.sign()
	require.NoError(t, err)
	require.Contains(t, string(o.cmd.Data), `"status_name":"Sealed"`)
}

func TestSignWhereNothingIsToBeDone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		given func(*office)
		note  string
		asked bool
	}{
		"signed already": {func(o *office) { o.customer.Status = pipeline.StatusSigned }, "is signed already", false},
		"deleted": {
			func(o *office) {
				o.commandErr = fmt.Errorf("update: %w", pipeline.Errorf(pipeline.CodeIllegalTransition, "the customer is deleted"))
			}, "the customer is deleted", true,
		},
		"moved by somebody else meanwhile": {
			func(o *office) {
				o.commandErr = pipeline.Invalid(pipeline.FieldError{Pointer: "/data/status", Detail: "is the status already"})
			}, "is the status already", true,
		},
		"no such status": {func(o *office) { o.statuses = pipeline.Statuses{{Code: 1, Name: "Lead"}} }, "the company has no status 2", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice()
			c.given(o)
			out, err := o.sign()
			require.NoError(t, err)
			require.False(t, out.Moved)
			require.Contains(t, out.Note, c.note)
			require.Equal(t, c.asked, o.id != "")
		})
	}
}

func TestSignThatFails(t *testing.T) {
	t.Parallel()
	gone := pipeline.Errorf(pipeline.CodeNotFound, "no such customer")
	for name, c := range map[string]struct {
		given   func(*office)
		code    pipeline.Code
		retried bool
	}{
		"the store is away":         {func(o *office) { o.customerErr = unavailable }, pipeline.CodeUnavailable, true},
		"no such customer":          {func(o *office) { o.customerErr = gone }, pipeline.CodeNotFound, false},
		"the statuses are away":     {func(o *office) { o.statusesErr = unavailable }, pipeline.CodeUnavailable, true},
		"Temporal is away":          {func(o *office) { o.commandErr = unavailable }, pipeline.CodeUnavailable, true},
		"the customer keeps moving": {func(o *office) { o.commandErr = errConflict }, pipeline.CodeUnavailable, true},
		"something else goes wrong": {func(o *office) { o.commandErr = errors.New("no") }, pipeline.CodeInternal, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice()
			c.given(o)
			_, err := o.sign()
			requireFailure(t, err, c.code, c.retried)
		})
	}
}

// A workflow that starts anew from the store comes past all its signatures: a customer who was
// moved by one and has gone on since stays where they are.
func TestACustomerIsSignedOnceByASignature(t *testing.T) {
	t.Parallel()
	o := newOffice()
	o.customer.Status = 3
	o.past = pipeline.EventID(o.customer.Ref().Stream(), "signed by evt_7")
	out, err := o.sign()
	require.NoError(t, err)
	require.False(t, out.Moved)
	require.NotEmpty(t, out.Note)
	require.Empty(t, o.id, "nothing is commanded")

	o.pastErr = errors.New("no database")
	_, err = o.sign()
	require.Error(t, err)
}
