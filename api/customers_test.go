package api_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestCreateCustomer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.post("/v1/customers", object{"name": "John Doe", "email": "john@example.com"})
	got := a.must(http.StatusCreated)
	require.Equal(t, fmt.Sprintf("/v1/customers/%v", got["id"]), a.header.Get("Location"))
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-`, got["uuid"])
	delete(got, "uuid")
	delete(got, "id")
	require.Equal(t, object{
		"company_id": 1.0, "name": "John Doe", "email": "john@example.com", "phone": nil, "type": "RESIDENTIAL",
		"status": 1.0, "status_name": "New Contacts", "owner_id": nil, "address": nil, "attributes": nil, "version": 1.0,
		"created_at": "2026-11-21T09:00:00.123Z", "updated_at": "2026-11-21T09:00:00.123Z", "deleted": false,
	}, got)
}

func TestCreateCustomerTakesEveryField(t *testing.T) {
	t.Parallel()
	got := newRig(t).post("/v1/customers", object{
		"name": "Depot", "email": "depot@example.com", "phone": "+61 400", "type": "COMMERCIAL", "owner_id": 7, "status": 3,
		"address": object{"street": "Wharf Road"}, "attributes": object{"roof": "tile"},
	}).must(http.StatusCreated)
	require.Equal(t, "+61 400", got["phone"])
	require.Equal(t, "COMMERCIAL", got["type"])
	require.InDelta(t, 7, got["owner_id"], 0)
	require.Equal(t, "Mega Status", got["status_name"])
	require.Equal(t, object{"street": "Wharf Road"}, got["address"])
	require.Equal(t, object{"roof": "tile"}, got["attributes"])
}

func TestGetCustomer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	customer := r.customer()
	require.Equal(t, "John Doe", r.get(customer).must(http.StatusOK)["name"])
	require.Equal(t, "John Doe", r.get(customer, as(app)).must(http.StatusOK)["name"])
	r.get(customer, as(stranger)).problem(http.StatusNotFound, pipeline.CodeNotFound)
}

func TestListCustomersByPages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 5 {
		r.post("/v1/customers", object{"name": fmt.Sprintf("C%d", i), "email": "c@example.com", "owner_id": 1 + i%2}).must(http.StatusCreated)
	}
	r.customer(as(stranger))

	var names []any
	next := "/v1/customers?limit=2"
	for range 3 {
		a := r.get(next)
		for _, row := range a.rows() {
			names = append(names, row["name"])
		}
		cursor, more := a.must(http.StatusOK)["next_cursor"].(string)
		if !more {
			break
		}
		next = "/v1/customers?limit=2&cursor=" + cursor
	}
	require.Equal(t, []any{"C4", "C3", "C2", "C1", "C0"}, names)

	require.Len(t, r.get("/v1/customers?owner_id=2").rows(), 2)
	require.Len(t, r.get("/v1/customers?q=C3").rows(), 1)
	require.Empty(t, r.get("/v1/customers?status=0").rows())
	require.Len(t, r.get("/v1/customers?status=1&limit=5").rows(), 5)
	require.Nil(t, r.get("/v1/customers?limit=5").must(http.StatusOK)["next_cursor"], "a full last page has no next one")
}

func TestStatusesAreLookedUpOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.customer()
	r.customer()
	require.Equal(t, 1, r.store.lookedUp)
	r.customer(as(stranger))
	require.Equal(t, 2, r.store.lookedUp, "each company has its own")
}
