package e2e_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// wholeLife leads a requested proposal to where everything is signed and sold.
var wholeLife = []step{
	{pipeline.TypeProposalSent, nil},
	{pipeline.TypeCreditRan, object{"outcome": "approved"}},
	{pipeline.TypeProposalSelected, nil},
	{pipeline.TypeContractRequested, nil},
	{pipeline.TypeContractSent, nil},
	{pipeline.TypeContractSigned, object{"signed_at": "2026-11-20T10:00:00Z"}},
	{pipeline.TypeProposalSold, nil},
}

func TestADealFromCreatedToSoldReachesPartnersSignedAndInOrder(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	all := c.webhook(t, partner.URL+"/all", nil)
	contracts := c.webhook(t, partner.URL+"/contracts", object{"events": []string{"contract.*"}})

	customer := c.customer(t)
	proposal := c.proposal(t, customer.ID)
	c.walk(t, proposal.Ref().Stream(), wholeLife...)

	// The signature moves the customer, which is told as the signature's consequence.
	eventually(t, "the customer is Signed", func() bool {
		path := pathOf(customer.Ref().Stream())
		return want[pipeline.Customer](t, c.get(t, path), http.StatusOK).Status == pipeline.StatusSigned
	})
	ofCustomer := c.requireStream(t, customer.Ref().Stream(), pipeline.TypeCustomerCreated, pipeline.TypeCustomerStatusChanged)
	ofProposal := c.requireStream(t, proposal.Ref().Stream(),
		pipeline.TypeProposalRequested, pipeline.TypeProposalSent, pipeline.TypeCreditRan, pipeline.TypeProposalSelected,
		pipeline.TypeContractRequested, pipeline.TypeContractSent, pipeline.TypeContractSigned, pipeline.TypeProposalSold)
	signature := ofProposal[6]
	require.Equal(t,
		&pipeline.Cause{EventID: signature.ID, Type: pipeline.TypeContractSigned, Stream: proposal.Ref().Stream()}, ofCustomer[1].Cause)

	sold := want[pipeline.Proposal](t, c.get(t, pathOf(proposal.Ref().Stream())), http.StatusOK)
	require.Equal(t, []string{"sold", "signed", "ran"}, []string{sold.Status, sold.ContractStatus, sold.CreditStatus})

	// One delivery for each event and webhook that matches, with its one attempt.
	c.allAre(t, all, pipeline.DeliveryDelivered, 10)
	c.allAre(t, contracts, pipeline.DeliveryDelivered, 3)
	requireOneDeliveryEach(t, c, all, slices.Concat(ofCustomer, ofProposal))
	requireOneDeliveryEach(t, c, contracts, ofProposal[4:7])

	require.Equal(t, upTo(2), partner.firstOf("/all", customer.Ref().Stream()))
	require.Equal(t, upTo(8), partner.firstOf("/all", proposal.Ref().Stream()))
	require.Equal(t, []int64{5, 6, 7}, partner.firstOf("/contracts", proposal.Ref().Stream()))
	require.Equal(t, 10, partner.count("/all"))
	require.Equal(t, 3, partner.count("/contracts"))
	for _, d := range partner.at("/all") {
		d.requireSigned(t, all.Secret)
	}
	for _, d := range partner.at("/contracts") {
		d.requireSigned(t, contracts.Secret)
	}
}

// requireOneDeliveryEach: a webhook has one delivery for each of the events and no other, and
// each can be looked at with its attempt.
func requireOneDeliveryEach(t *testing.T, c company, h hook, events []pipeline.Event) {
	t.Helper()
	of := map[string]int{}
	for _, d := range c.deliveries(t, h) {
		of[d.EventID]++
		one := want[pipeline.Delivery](t, c.get(t, fmt.Sprintf("/v1/deliveries/%d", d.ID)), http.StatusOK)
		require.Equal(t, d.EventID, one.EventID)
		require.Len(t, one.Attempts, 1)
		require.Equal(t, pipeline.ID(http.StatusOK), one.Attempts[0].Status)
	}
	expected := map[string]int{}
	for _, e := range events {
		expected[e.ID] = 1
	}
	require.Equal(t, slices.Sorted(maps.Keys(expected)), slices.Sorted(maps.Keys(of)))
	require.Equal(t, expected, of)
}

func TestAnIllegalTransitionLeavesNoTrace(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	h := c.webhook(t, partner.URL+"/", nil)
	customer := c.customer(t)
	stream := c.proposal(t, customer.ID).Ref().Stream()
	c.allAre(t, h, pipeline.DeliveryDelivered, 2)
	e.settled(t, string(stream))
	before := e.history(t, string(stream), "")

	for _, typ := range []pipeline.EventType{
		pipeline.TypeProposalSelected, pipeline.TypeProposalSold, pipeline.TypeContractRequested, pipeline.TypeContractSigned,
		pipeline.TypeProposalRequested, pipeline.TypeCustomerDeleted,
	} {
		p := refused(t, c.move(t, stream, typ, nil, idempotent("illegal-"+string(typ))), http.StatusConflict, pipeline.CodeIllegalTransition)
		require.Contains(t, p.Allowed, pipeline.TypeProposalSent)
		require.NotContains(t, p.Allowed, typ)
	}

	c.requireStream(t, stream, pipeline.TypeProposalRequested)
	require.Equal(t, map[pipeline.DeliveryStatus]int{pipeline.DeliveryDelivered: 2}, c.statuses(t, h))
	require.Equal(t, 2, partner.count("/"))
	require.Equal(t, typesOf(before), typesOf(e.history(t, string(stream), "")), "a refused update writes nothing in Temporal either")

	// The key of a refused command is not used up: once it is legal, it works.
	c.moved(t, stream, pipeline.TypeProposalSent, nil)
	again := c.move(t, stream, pipeline.TypeProposalSelected, nil, idempotent("illegal-"+string(pipeline.TypeProposalSelected)))
	want[transition](t, again, http.StatusCreated)
}

// A creation that cannot succeed starts no workflow.
func TestACreationThatIsRefusedLeavesNoWorkflow(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	customer := c.customer(t)
	proposal := c.proposal(t, customer.ID)
	c.moved(t, customer.Ref().Stream(), pipeline.TypeCustomerDeleted, nil)

	path := fmt.Sprintf("/v1/customers/%d/proposals", customer.ID)
	require.GreaterOrEqual(t, c.post(t, path, newProposal()).status, 400, "a deleted customer gets no proposals")
	for _, a := range []answer{
		c.post(t, path, object{"price": object{"amount": "much", "currency": "AUD"}}),
		c.post(t, "/v1/customers", object{"name": "John", "email": "john"}),
		c.post(t, "/v1/customers", object{"name": "John", "email": "john@example.com", "status": 99}),
	} {
		refused(t, a, http.StatusUnprocessableEntity, pipeline.CodeInvalid)
	}

	// What was made is listed, so what was refused would be too.
	found := e.listed(t, fmt.Sprintf("CompanyId = %d", c.id), 2)
	ids := []string{found[0].GetExecution().GetWorkflowId(), found[1].GetExecution().GetWorkflowId()}
	require.ElementsMatch(t, []string{string(customer.Ref().Stream()), string(proposal.Ref().Stream())}, ids)
}
