package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestCreateProposal(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	customer := r.customer()
	a := r.post(customer+"/proposals", object{"nickname": "Roof", "price": object{"amount": "100.50", "currency": "AUD"}})
	got := a.must(http.StatusCreated)
	require.Equal(t, path("/v1/proposals/", got), a.header.Get("Location"))
	require.Equal(t, "requested", got["status"])
	require.Equal(t, "none", got["contract_status"])
	require.Equal(t, object{"amount": "100.50", "currency": "AUD"}, got["price"])
	require.Equal(t, r.get(customer).must(http.StatusOK)["uuid"], got["customer_uuid"])

	draft := r.post(customer+"/proposals", object{"draft": true, "uuid": "7CF8D5DB-BB05-4A39-A40B-C83E17988C37"}).must(http.StatusCreated)
	require.Equal(t, "draft", draft["status"])
	require.Equal(t, "7cf8d5db-bb05-4a39-a40b-c83e17988c37", draft["uuid"])
}

func TestCreateProposalNeedsALiveCustomerOfTheCompany(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	customer := r.customer()
	r.post("/v1/customers/999999/proposals", object{}).problem(http.StatusNotFound, pipeline.CodeNotFound)
	r.post(customer+"/proposals", object{}, as(stranger)).problem(http.StatusNotFound, pipeline.CodeNotFound)

	first := r.post(customer+"/proposals", object{}, idempotencyKey("k")).must(http.StatusCreated)
	r.post(customer+"/transitions", object{"type": "customer.deleted"}).must(http.StatusCreated)
	refused := r.post(customer+"/proposals", object{"nickname": "late"}).problem(http.StatusConflict, pipeline.CodeIllegalTransition)
	require.Equal(t, []any{"customer.restored"}, refused["allowed"])
	again := r.post(customer+"/proposals", object{}, idempotencyKey("k")).must(http.StatusCreated)
	require.Equal(t, first["id"], again["id"], "what was made before is still answered")
}

func TestListProposals(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	one, two := r.customer(), r.customer()
	sent := r.proposal(one)
	r.proposal(two)
	r.post(sent+"/transitions", object{"type": "proposal.sent"}).must(http.StatusCreated)

	require.Len(t, r.get("/v1/proposals").rows(), 2)
	require.Len(t, r.get("/v1/proposals?customer_id="+strings.TrimPrefix(one, "/v1/customers/")).rows(), 1)
	require.Len(t, r.get("/v1/proposals?status=sent").rows(), 1)
	require.Len(t, r.get("/v1/proposals?contract_status=none").rows(), 2)
	require.Empty(t, r.get("/v1/proposals", as(stranger)).rows())
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	proposal := r.proposal(r.customer())
	require.Empty(t, r.get(proposal+"/documents").rows())
	for _, step := range []object{
		{"type": "proposal.sent"},
		{"type": "proposal.selected"},
		{"type": "contract.requested"},
		{"type": "contract.sent"},
		{"type": "contract.signed", "data": object{"documents": []object{
			{"uuid": "4f0c9a56-2f0e-4a1b-9d0b-6f6f2b1e7c11", "name": "Contract", "creation_type": "UPLOADED"},
		}}},
	} {
		r.post(proposal+"/transitions", step).must(http.StatusCreated)
	}
	documents := r.get(proposal + "/documents").rows()
	require.Len(t, documents, 1)
	require.Equal(t, "Contract", documents[0]["name"])
	r.get(proposal+"/documents", as(stranger)).problem(http.StatusNotFound, pipeline.CodeNotFound)
}
