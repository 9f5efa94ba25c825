package e2e_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestACompanySeesItsOwnDataOnly(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	partner := newReceiver(t)
	ours, theirs := e.newCompany(t), e.newCompany(t)
	h := ours.webhook(t, partner.URL+"/ours", nil)
	foreign := theirs.webhook(t, partner.URL+"/theirs", nil)

	customer := theirs.customer(t)
	proposal := theirs.proposal(t, customer.ID)
	theirs.allAre(t, foreign, pipeline.DeliveryDelivered, 2)
	delivery := theirs.deliveries(t, foreign)[0]
	event := theirs.events(t, customer.Ref().Stream())[0]

	customers, proposals := pathOf(customer.Ref().Stream()), pathOf(proposal.Ref().Stream())
	for _, request := range []struct {
		method, path string
		body         any
	}{
		{http.MethodGet, customers, nil},
		{http.MethodGet, customers + "/events", nil},
		{http.MethodGet, customers + "/timeline", nil},
		{http.MethodPost, customers + "/transitions", body(pipeline.TypeEmailSent, nil)},
		{http.MethodPost, customers + "/transitions", body(pipeline.TypeProposalSold, nil)},
		{http.MethodPost, customers + "/proposals", newProposal()},
		{http.MethodGet, proposals, nil},
		{http.MethodGet, proposals + "/events", nil},
		{http.MethodGet, proposals + "/timeline", nil},
		{http.MethodGet, proposals + "/documents", nil},
		{http.MethodPost, proposals + "/transitions", body(pipeline.TypeProposalSent, nil)},
		{http.MethodGet, foreign.path(), nil},
		{http.MethodPatch, foreign.path(), object{"active": false}},
		{http.MethodDelete, foreign.path(), nil},
		{http.MethodGet, fmt.Sprintf("/v1/deliveries/%d", delivery.ID), nil},
	} {
		a := ours.do(t, request.method, request.path, request.body)
		refused(t, a, http.StatusNotFound, pipeline.CodeNotFound)
	}

	// Nothing of theirs is in any list of ours, not even when asked for.
	for _, path := range []string{
		"/v1/customers", "/v1/customers?q=john", "/v1/proposals", fmt.Sprintf("/v1/proposals?customer_id=%d", customer.ID),
		"/v1/events?after=0", "/v1/deliveries", fmt.Sprintf("/v1/deliveries?webhook_id=%d", foreign.ID), "/v1/deliveries?event_id=" + event.ID,
	} {
		require.Empty(t, want[list[object]](t, ours.get(t, path), http.StatusOK).Data, path)
	}
	require.Len(t, want[list[hook]](t, ours.get(t, "/v1/webhooks"), http.StatusOK).Data, 1)
	require.Len(t, want[list[object]](t, ours.get(t, "/v1/keys"), http.StatusOK).Data, 1)

	// Each feed and each webhook has its own company's events.
	mine := ours.customer(t)
	ours.allAre(t, h, pipeline.DeliveryDelivered, 1)
	feed := want[list[pipeline.Event]](t, ours.get(t, "/v1/events?after=0"), http.StatusOK).Data
	require.Len(t, feed, 1)
	require.Equal(t, mine.Ref().Stream(), feed[0].Stream)
	require.Equal(t, 1, partner.count("/ours"))
	require.Equal(t, 2, partner.count("/theirs"))

	// The same Idempotency-Key is another one in another company.
	for _, c := range []company{ours, theirs} {
		made := want[pipeline.Customer](t, c.post(t, "/v1/customers", newCustomer(), idempotent("k")), http.StatusCreated)
		require.Equal(t, c.id, made.CompanyID)
	}
}

func TestAPartnerSeesItsOwnWebhooksAndWhatTheyMatch(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := c.newKey(t, pipeline.RolePartner)
	rx := newReceiver(t)
	own := partner.webhook(t, rx.URL+"/own", object{"events": []string{"contract.*", "proposal.sent"}})
	other := c.webhook(t, rx.URL+"/other", nil)

	customer := c.customer(t)
	stream := c.proposal(t, customer.ID).Ref().Stream()
	c.walk(t, stream, wholeLife...)
	partner.allAre(t, own, pipeline.DeliveryDelivered, 4)

	feed := want[list[pipeline.Event]](t, partner.get(t, "/v1/events?after=0"), http.StatusOK).Data
	types := make([]pipeline.EventType, len(feed))
	for i, event := range feed {
		types[i] = event.Type
	}
	require.Equal(t, []pipeline.EventType{
		pipeline.TypeProposalSent, pipeline.TypeContractRequested, pipeline.TypeContractSent, pipeline.TypeContractSigned,
	}, types)

	hooks := want[list[hook]](t, partner.get(t, "/v1/webhooks"), http.StatusOK).Data
	require.Len(t, hooks, 1)
	require.Equal(t, own.ID, hooks[0].ID)
	refused(t, partner.get(t, other.path()), http.StatusNotFound, pipeline.CodeNotFound)
	refused(t, partner.do(t, http.MethodDelete, other.path(), nil), http.StatusNotFound, pipeline.CodeNotFound)
	require.Len(t, want[list[object]](t, partner.get(t, "/v1/deliveries"), http.StatusOK).Data, 4)
	foreign := c.deliveries(t, other)[0]
	refused(t, partner.get(t, fmt.Sprintf("/v1/deliveries/%d", foreign.ID)), http.StatusNotFound, pipeline.CodeNotFound)

	for _, path := range []string{"/v1/customers", pathOf(customer.Ref().Stream()), pathOf(stream), pathOf(stream) + "/events", "/v1/keys"} {
		refused(t, partner.get(t, path), http.StatusForbidden, pipeline.CodeForbidden)
	}
	saved := partner.post(t, pathOf(stream)+"/transitions", body(pipeline.TypeProposalSaved, nil))
	refused(t, saved, http.StatusForbidden, pipeline.CodeForbidden)
}
