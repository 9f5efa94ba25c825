package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestErase(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	customer := r.customer()
	r.post(customer+"/erase", object{"reason": "Jo wrote"}).problem(http.StatusUnprocessableEntity, pipeline.CodeInvalid)
	r.post(customer+"/erase", nil, as(app)).problem(http.StatusForbidden, pipeline.CodeForbidden)
	r.post(customer+"/erase", nil, as(stranger)).problem(http.StatusNotFound, pipeline.CodeNotFound)
	r.post(customer+"/transitions", object{"type": "customer.erased"}).problem(http.StatusUnprocessableEntity, pipeline.CodeInvalid)

	request := object{"reason": "request", "actor": object{"user_id": 7}}
	first := r.post(customer+"/erase", request, idempotencyKey("k")).must(http.StatusCreated)
	require.Equal(t, []any{}, first["allowed"])
	state := r.get(customer).must(http.StatusOK)
	require.Equal(t, true, state["erased"])
	require.Empty(t, state["name"])
	again := r.post(customer+"/erase", request, idempotencyKey("k")).must(http.StatusCreated)
	require.Equal(t, first["event"], again["event"])

	before := len(r.engine.submitted)
	for path, body := range map[string]object{
		"/erase": {}, "/transitions": {"type": "sms.sent", "data": object{"body": "hello"}}, "/proposals": {"nickname": "late"},
	} {
		refused := r.post(customer+path, body).problem(http.StatusConflict, pipeline.CodeIllegalTransition)
		require.Equal(t, []any{}, refused["allowed"], path)
	}
	require.Len(t, r.engine.submitted, before, "no workflow hears of it")
}

func TestADeletedCustomerCanBeErased(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	customer := r.customer()
	r.post(customer+"/transitions", object{"type": "customer.deleted"}).must(http.StatusCreated)
	r.post(customer+"/erase", nil).must(http.StatusCreated)
}
