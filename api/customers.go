package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
	"github.com/dealwright/dealwright/workflows"
)

const customersPath = "/v1/customers/"

// newCustomer is the body of POST /v1/customers.
type newCustomer struct {
	Name       string                `json:"name"`
	Email      string                `json:"email"`
	Phone      pipeline.Text         `json:"phone"`
	Type       pipeline.CustomerType `json:"type"`
	OwnerID    pipeline.UserID       `json:"owner_id"`
	Status     *int                  `json:"status"`
	Address    pipeline.Object       `json:"address"`
	Attributes pipeline.Object       `json:"attributes"`
}

// createCustomer answers POST /v1/customers.
func (s *Server) createCustomer(c *gin.Context) error {
	var in newCustomer
	idem, err := decodeKeyed(c, schemas.CreateCustomer, &in)
	if err != nil {
		return err
	}
	cmd, err := s.customerCreated(c, in)
	if err != nil {
		return err
	}
	companyID := caller(c).CompanyID
	if err := canBegin(pipeline.NewCustomer(companyID, 0), cmd); err != nil {
		return err
	}
	ctx := c.Request.Context()
	reserved, err := s.store.Reserve(ctx, companyID, pipeline.KindCustomer, idem)
	if err != nil {
		return err
	}
	if reserved.EventID != "" {
		return s.replayCreation(c, customersPath, reserved)
	}
	stream, command := pipeline.StreamOf(pipeline.KindCustomer, reserved.ID), commandID(idem)
	outcome, err := s.engine.Submit(ctx, workflows.Submission{
		Stream:    stream,
		CompanyID: companyID, CustomerID: reserved.ID, ID: reserved.ID,
		Command: cmd, CommandID: command, Idempotency: idem,
	})
	return s.answerCreated(c, customersPath, reserved.ID, outcome.Event, err, pipeline.EventID(stream, command))
}

// customerCreated makes the command, with what the caller may leave out filled in.
func (s *Server) customerCreated(c *gin.Context, in newCustomer) (pipeline.Command, error) {
	status := pipeline.StatusNew
	if in.Status != nil {
		status = *in.Status
	}
	statusName, err := s.statuses.name(c.Request.Context(), caller(c).CompanyID, status, "/status")
	if err != nil {
		return pipeline.Command{}, err
	}
	return s.command(pipeline.TypeCustomerCreated, pipeline.CustomerCreated{
		UUID: uuid.NewString(), Name: in.Name, Email: in.Email, Phone: in.Phone, Type: in.Type, OwnerID: in.OwnerID,
		Status: status, StatusName: statusName, Address: in.Address, Attributes: in.Attributes,
	})
}

// command makes a command out of typed data, which happens now.
func (s *Server) command(t pipeline.EventType, data any) (pipeline.Command, error) {
	cmd, err := pipeline.NewCommand(t, data, pipeline.Actor{}, pipeline.Cause{})
	cmd.OccurredAt = s.clock()
	return cmd, err
}

// canBegin decides a first command before a workflow is started for it, so that one that
// cannot succeed leaves no trace.
func canBegin[S pipeline.State[S]](fresh S, cmd pipeline.Command) error {
	_, _, err := pipeline.Next(fresh, cmd, "")
	return aboutBody(err)
}

// aboutBody turns pointers into the data of a command to pointers into the body of a
// creation, whose fields the data was made of.
func aboutBody(err error) error {
	var e *pipeline.Error
	if !errors.As(err, &e) || e.Code != pipeline.CodeInvalid {
		return err
	}
	moved := make([]pipeline.FieldError, len(e.Fields))
	for i, f := range e.Fields {
		moved[i] = pipeline.FieldError{Pointer: strings.TrimPrefix(f.Pointer, "/data"), Detail: f.Detail}
	}
	return &pipeline.Error{Code: e.Code, Message: e.Message, Fields: moved}
}

// replayCreation answers what the first request with this idempotency key made, as it was then.
func (s *Server) replayCreation(c *gin.Context, location string, made pipeline.Reservation) error {
	e, err := s.store.Event(c.Request.Context(), caller(c).CompanyID, made.EventID)
	if err != nil {
		return err
	}
	markReplayed(c)
	return answerCreation(c, location, made.ID, e)
}

// answerCreated answers what came of the first command of an entity, which like any other may be
// refused although it happened.
func (s *Server) answerCreated(c *gin.Context, location string, id int64, e pipeline.Event, refusal error, eventID string) error {
	if refusal != nil {
		var err error
		if e, err = s.happened(c, eventID, refusal); err != nil {
			return aboutBody(err)
		}
	}
	return answerCreation(c, location, id, e)
}

// answerCreation answers a new entity: the state after its first event, which workflow and store
// give in the same form.
func answerCreation(c *gin.Context, location string, id int64, e pipeline.Event) error {
	return created(c, location, id, e.State)
}

// listCustomers answers GET /v1/customers, newest first.
func (s *Server) listCustomers(c *gin.Context) error {
	query := newQuery(c)
	q := pipeline.CustomerQuery{
		CompanyID: caller(c).CompanyID,
		OwnerID:   query.id("owner_id"),
		Search:    query.text("q"),
		Page:      query.page(),
	}
	if query.text("status") != "" {
		const maxStatus = 9999 // as in the schema
		q.Status = pipeline.Give(int(query.number("status", 0, maxStatus, 0)))
	}
	if err := query.err(); err != nil {
		return err
	}
	rows, err := s.store.Customers(c.Request.Context(), q)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, newList(rows, q.Page, func(row pipeline.Customer) int64 { return row.ID }))
}

// getCustomer answers GET /v1/customers/{id}.
func (s *Server) getCustomer(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	customer, err := s.store.Customer(c.Request.Context(), caller(c).CompanyID, id)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, customer)
}
