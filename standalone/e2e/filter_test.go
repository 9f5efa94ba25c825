package e2e_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// priced asks for a proposal at a price; an empty one is none.
func (c company) priced(t *testing.T, customerID int64, amount string) pipeline.Stream {
	t.Helper()
	request := newProposal()
	if amount != "" {
		request["price"] = object{"amount": amount, "currency": "AUD"}
	}
	path := fmt.Sprintf("/v1/customers/%d/proposals", customerID)
	return want[pipeline.Proposal](t, c.post(t, path, request), http.StatusCreated).Ref().Stream()
}

// streams that a path has heard of.
func (r *receiver) streams(path string) []pipeline.Stream {
	seen := map[pipeline.Stream]bool{}
	for _, d := range r.at(path) {
		seen[d.envelope.Data.Stream] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

func TestOfTheEventsThatMatchOnlyThoseThatFitTheFilterAreDelivered(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	price := func(condition any) object { return object{"data.payload.price.amount": condition} }
	filters := map[string]object{
		"/none":      nil,
		"/large":     price(object{"$gte": 10000}),
		"/between":   price(object{"$gt": "9999.99", "$lt": 12345}),
		"/these":     price([]any{"9999.99", "12345.00"}),
		"/notthis":   price(object{"$ne": "10000.00"}),
		"/priceless": price(object{"$exists": false}),
		"/null":      price(nil),
		"/both":      {"data.payload.price.amount": object{"$gte": 10000}, "data.state.status": "drafted"},
	}
	hooks := map[string]hook{}
	for path, filter := range filters {
		hooks[path] = c.webhook(t, partner.URL+path, object{"events": []string{"proposal.*"}, "filter": filter})
	}
	customer := c.customer(t).ID
	small, round := c.priced(t, customer, "9999.99"), c.priced(t, customer, "10000.00")
	large, none := c.priced(t, customer, "12345.00"), c.priced(t, customer, "")
	for path, fit := range map[string][]pipeline.Stream{
		"/none":      {small, round, large, none},
		"/large":     {round, large},
		"/between":   {round},
		"/these":     {small, large},
		"/notthis":   {small, large, none},
		"/priceless": {none},
		"/null":      {none},
		"/both":      nil,
	} {
		if len(fit) == 0 {
			require.Empty(t, c.deliveries(t, hooks[path]), path)
			continue
		}
		c.allAre(t, hooks[path], pipeline.DeliveryDelivered, len(fit))
		require.Equal(t, slices.Sorted(slices.Values(fit)), partner.streams(path), path)
	}
}

func TestTheFilterCountsThatThereWasWhenTheEventWasRecorded(t *testing.T) {
	t.Parallel()
	commercial := object{"data.state.type": "COMMERCIAL"}
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	h := c.webhook(t, partner.URL+"/", object{"filter": commercial, "active": false})
	of := func(kind string) pipeline.Stream {
		request := newCustomer()
		request["type"] = kind
		return want[pipeline.Customer](t, c.post(t, "/v1/customers", request), http.StatusCreated).Ref().Stream()
	}
	before := of("COMMERCIAL")
	of("RESIDENTIAL")
	c.allAre(t, h, pipeline.DeliveryHeld, 1)

	c.patch(t, h, object{"filter": object{"data.state.type": "RESIDENTIAL"}})
	of("COMMERCIAL")
	later := of("RESIDENTIAL")
	c.allAre(t, h, pipeline.DeliveryHeld, 2)
	c.enable(t, h, nil)
	c.allAre(t, h, pipeline.DeliveryDelivered, 2)
	require.ElementsMatch(t, []pipeline.Stream{before, later}, partner.streams("/"))

	c.patch(t, h, object{"filter": nil})
	of("COMMERCIAL")
	c.allAre(t, h, pipeline.DeliveryDelivered, 3)
}

func TestASubscriptionNamesTypesFamiliesOrEverything(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	hooks := map[string]hook{}
	for path, events := range map[string][]string{
		"/all": {"*"}, "/family": {"proposal.*"}, "/one": {"credit.ran"}, "/overlapping": {"proposal.*", "proposal.sent", "credit.*"},
	} {
		hooks[path] = c.webhook(t, partner.URL+path, object{"events": events})
	}
	stream := c.proposal(t, c.customer(t).ID).Ref().Stream()
	c.walk(t, stream, step{pipeline.TypeProposalSent, nil}, step{pipeline.TypeCreditRan, object{"outcome": "approved"}})
	for path, n := range map[string]int{"/all": 4, "/family": 2, "/one": 1, "/overlapping": 3} {
		c.allAre(t, hooks[path], pipeline.DeliveryDelivered, n)
		require.Equal(t, n, partner.count(path), path)
	}
}

func TestAFilterThatCannotBeMeantIsRefused(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	url := newReceiver(t).URL + "/"
	h := c.webhook(t, url, nil)
	for name, filter := range map[string]any{
		"no object":           []any{"data.state.type"},
		"an unknown operator": object{"data.state.type": object{"$regex": ".*"}},
		"an empty path":       object{"": 1},
		"no list for $in":     object{"data.state.type": object{"$in": "COMMERCIAL"}},
		"no boolean":          object{"data.state.type": object{"$exists": "yes"}},
		"not a bare value":    object{"data.state.type": object{"$gt": []any{1}}},
	} {
		for _, a := range []answer{
			c.post(t, "/v1/webhooks", object{"url": url, "events": []string{"*"}, "filter": filter}),
			c.do(t, http.MethodPatch, h.path(), object{"filter": filter}),
		} {
			p := refused(t, a, http.StatusUnprocessableEntity, pipeline.CodeInvalid)
			require.True(t, strings.HasPrefix(p.Errors[0].Pointer, "/filter"), "%s: %v", name, p.Errors)
		}
	}
}
