package api

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
	"github.com/dealwright/dealwright/workflows"
)

const proposalsPath = "/v1/proposals/"

// newProposal is the body of POST /v1/customers/{id}/proposals.
type newProposal struct {
	Nickname    pipeline.Given[pipeline.Text]   `json:"nickname"`
	SiteAddress pipeline.Given[pipeline.Text]   `json:"site_address"`
	System      pipeline.Given[pipeline.Object] `json:"system"`
	Price       pipeline.Given[pipeline.Money]  `json:"price"`
	Draft       bool                            `json:"draft"`
	UUID        string                          `json:"uuid"`
}

// createProposal answers POST /v1/customers/{id}/proposals.
func (s *Server) createProposal(c *gin.Context) error {
	customerID, err := pathID(c)
	if err != nil {
		return err
	}
	var in newProposal
	idem, err := decodeKeyed(c, schemas.CreateProposal, &in)
	if err != nil {
		return err
	}
	ctx, companyID := c.Request.Context(), caller(c).CompanyID
	customer, err := s.store.Customer(ctx, companyID, customerID)
	if err != nil {
		return err
	}
	cmd, err := s.proposalBegun(in, customer)
	if err != nil {
		return err
	}
	if err := canBegin(pipeline.NewProposal(companyID, customerID, 0), cmd); err != nil {
		return err
	}
	reserved, err := s.store.Reserve(ctx, companyID, pipeline.KindProposal, idem)
	if err != nil {
		return err
	}
	if reserved.EventID != "" {
		return s.replayCreation(c, proposalsPath, reserved)
	}
	if customer.Erased {
		return pipeline.NotForErased()
	}
	if customer.Deleted { // only now: what was made before the customer was deleted is still answered
		return notForDeleted(customer)
	}
	stream, command := pipeline.StreamOf(pipeline.KindProposal, reserved.ID), commandID(idem)
	outcome, err := s.engine.Submit(ctx, workflows.Submission{
		Stream:    stream,
		CompanyID: companyID, CustomerID: customerID, ID: reserved.ID,
		Command: cmd, CommandID: command, Idempotency: idem,
	})
	return s.answerCreated(c, proposalsPath, reserved.ID, outcome.Event, err, pipeline.EventID(stream, command))
}

func notForDeleted(customer pipeline.Customer) error {
	return &pipeline.Error{
		Code: pipeline.CodeIllegalTransition, Message: "the customer is deleted and gets no new proposals",
		Allowed: customer.Allowed(),
	}
}

// proposalBegun makes the command that is a proposal's first.
func (s *Server) proposalBegun(in newProposal, customer pipeline.Customer) (pipeline.Command, error) {
	id, err := proposalUUID(in.UUID)
	if err != nil {
		return pipeline.Command{}, err
	}
	first := pipeline.TypeProposalRequested
	if in.Draft {
		first = pipeline.TypeProposalDrafted
	}
	return s.command(first, pipeline.ProposalDetails{
		UUID: id, CustomerUUID: customer.UUID,
		Nickname: in.Nickname, SiteAddress: in.SiteAddress, System: in.System, Price: in.Price,
	})
}

// proposalUUID is the caller's uuid in lower case, as Postgres too will write it, or a new one.
func proposalUUID(given string) (string, error) {
	if given == "" {
		return uuid.NewString(), nil
	}
	id, err := uuid.Parse(given)
	if err != nil {
		return "", pipeline.Invalid(pipeline.FieldError{Pointer: "/uuid", Detail: "is not a UUID"})
	}
	return id.String(), nil
}

// listProposals answers GET /v1/proposals, newest first.
func (s *Server) listProposals(c *gin.Context) error {
	query := newQuery(c)
	q := pipeline.ProposalQuery{
		CompanyID:  caller(c).CompanyID,
		CustomerID: query.id("customer_id"),
		Status: query.oneOf("status",
			pipeline.StateDraft, pipeline.StateRequested, pipeline.StateSent, pipeline.StateSelected, pipeline.StateSold),
		ContractStatus: query.oneOf("contract_status",
			pipeline.StateNone, pipeline.StateRequested, pipeline.StateSent, pipeline.StateSigned, pipeline.StateVoided),
		Page: query.page(),
	}
	if err := query.err(); err != nil {
		return err
	}
	rows, err := s.store.Proposals(c.Request.Context(), q)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, newList(rows, q.Page, func(row pipeline.Proposal) int64 { return row.ID }))
}

// getProposal answers GET /v1/proposals/{id}.
func (s *Server) getProposal(c *gin.Context) error {
	proposal, err := s.proposal(c)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, proposal)
}

// listDocuments answers GET /v1/proposals/{id}/documents: those of the present contract.
func (s *Server) listDocuments(c *gin.Context) error {
	proposal, err := s.proposal(c)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, whole(proposal.Documents))
}

// proposal reads the proposal that the path names.
func (s *Server) proposal(c *gin.Context) (pipeline.Proposal, error) {
	id, err := pathID(c)
	if err != nil {
		return pipeline.Proposal{}, err
	}
	return s.store.Proposal(c.Request.Context(), caller(c).CompanyID, id)
}
