package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.post("/v1/keys", object{"name": "Sales app", "role": "app"})
	made := a.must(http.StatusCreated)
	require.Equal(t, path("/v1/keys/", made), a.header.Get("Location"))
	require.Equal(t, "Sales app", made["name"])
	require.Equal(t, "app", made["role"])
	secret, ok := made["key"].(string)
	require.True(t, ok)
	r.get("/v1/customers", as(secret)).must(http.StatusOK)
	r.get("/v1/keys", as(secret)).problem(http.StatusForbidden, pipeline.CodeForbidden)

	listed := r.get("/v1/keys")
	require.Len(t, listed.rows(), 5)
	require.NotContains(t, string(listed.body), secret)

	require.Equal(t, http.StatusNoContent, r.call(http.MethodDelete, path("/v1/keys/", made), nil).status)
	r.get("/v1/customers", as(secret)).problem(http.StatusUnauthorized, pipeline.CodeUnauthenticated)
	require.NotContains(t, r.logged.String(), secret)
}
