package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestCustomers(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other := newCompany(t, d.Store)
	for i, data := range []struct{ name, email string }{
		{"Ann Lee", "ann.lee@solar.example"},
		{"Bob O'Brien", "bob@post.example"},
		{"Jean-Luc Ångström", "jl@solar.example"},
		{"Zoë & Co", "zoe_co@x.example"},
	} {
		id := int64(i + 1)
		c, _ := happen(t, d.Store, pipeline.NewCustomer(1, id), pipeline.TypeCustomerCreated, customerData(id, data.name, data.email))
		if id == 2 {
			happen(t, d.Store, c, pipeline.TypeCustomerStatusChanged, `{"status":2,"status_name":"Signed"}`)
		}
		if id == 3 {
			happen(t, d.Store, c, pipeline.TypeCustomerUpdated, `{"owner_id":null,"phone":"0400999111"}`)
		}
	}
	happen(t, d.Store, pipeline.NewCustomer(other, 99), pipeline.TypeCustomerCreated, customerData(99, "Ann Lee", "ann.lee@solar.example"))

	for _, test := range []struct {
		name  string
		query pipeline.CustomerQuery
		want  []int64
	}{
		{"all, newest first", pipeline.CustomerQuery{}, []int64{4, 3, 2, 1}},
		{"by status", pipeline.CustomerQuery{Status: pipeline.Give(2)}, []int64{2}},
		{"by the status zero", pipeline.CustomerQuery{Status: pipeline.Give(0)}, []int64{}},
		{"by owner", pipeline.CustomerQuery{OwnerID: 7}, []int64{4, 2, 1}},
		{"by the beginning of a name", pipeline.CustomerQuery{Search: "an"}, []int64{1}},
		{"by words in any order", pipeline.CustomerQuery{Search: "LEE ann"}, []int64{1}},
		{"every word counts", pipeline.CustomerQuery{Search: "ann brien"}, []int64{}},
		{"by a part of an address", pipeline.CustomerQuery{Search: "solar"}, []int64{3, 1}},
		{"by a whole address", pipeline.CustomerQuery{Search: "ann.lee@solar.example"}, []int64{1}},
		{"by a part of a phone number", pipeline.CustomerQuery{Search: "+61 400 123"}, []int64{4, 2, 1}},
		{"by a phone number that changed", pipeline.CustomerQuery{Search: "0400999"}, []int64{3}},
		{"with an apostrophe", pipeline.CustomerQuery{Search: "o'brien"}, []int64{2}},
		{"with a hyphen", pipeline.CustomerQuery{Search: "Jean-Luc"}, []int64{3}},
		{"beyond ASCII", pipeline.CustomerQuery{Search: "ångs"}, []int64{3}},
		{"with signs of tsquery", pipeline.CustomerQuery{Search: "zoë & !co | (x:*"}, []int64{4}},
		{"all at once", pipeline.CustomerQuery{Search: "ann", Status: pipeline.Give(1), OwnerID: 7}, []int64{1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.query.CompanyID = 1
			test.query.Page.Limit = 100
			got, err := d.Store.Customers(t.Context(), test.query)
			require.NoError(t, err)
			require.Equal(t, test.want, ids(got))

			paged := []int64{}
			for test.query.Page.Limit = 1; ; {
				page, err := d.Store.Customers(t.Context(), test.query)
				require.NoError(t, err)
				if len(page) == 0 {
					break
				}
				paged = append(paged, ids(page)...)
				test.query.Page.Cursor = page[0].ID
			}
			require.Equal(t, test.want, paged, "page by page")
		})
	}
}

func TestProposals(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c, neighbour := newCustomer(t, d.Store, 1), newCustomer(t, d.Store, 1)
	foreign := newCustomer(t, d.Store, newCompany(t, d.Store))
	one, two, three := newProposal(t, d.Store, c), newProposal(t, d.Store, c), newProposal(t, d.Store, neighbour)
	newProposal(t, d.Store, foreign)
	for _, step := range walk {
		two, _ = happen(t, d.Store, two, step, `{}`)
	}
	three, _ = happen(t, d.Store, three, pipeline.TypeProposalSent, `{}`)

	for _, test := range []struct {
		name  string
		query pipeline.ProposalQuery
		want  []int64
	}{
		{"all", pipeline.ProposalQuery{}, []int64{three.ID, two.ID, one.ID}},
		{"of a customer", pipeline.ProposalQuery{CustomerID: c.ID}, []int64{two.ID, one.ID}},
		{"of another company's customer", pipeline.ProposalQuery{CustomerID: foreign.ID}, []int64{}},
		{"by status", pipeline.ProposalQuery{Status: "sent"}, []int64{three.ID}},
		{"by contract", pipeline.ProposalQuery{ContractStatus: "signed"}, []int64{two.ID}},
		{"without contract", pipeline.ProposalQuery{ContractStatus: "none"}, []int64{three.ID, one.ID}},
		{"all at once", pipeline.ProposalQuery{CustomerID: c.ID, Status: "requested", ContractStatus: "none"}, []int64{one.ID}},
		{"a page", pipeline.ProposalQuery{Page: pipeline.Page{Cursor: three.ID, Limit: 1}}, []int64{two.ID}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.query.CompanyID = 1
			if test.query.Page.Limit == 0 {
				test.query.Page.Limit = 100
			}
			got, err := d.Store.Proposals(t.Context(), test.query)
			require.NoError(t, err)
			require.Equal(t, test.want, ids(got))
		})
	}
}

// ids of customers or proposals.
func ids[S pipeline.State[S]](states []S) []int64 {
	out := make([]int64, len(states))
	for i, s := range states {
		out[i] = s.Ref().ID
	}
	return out
}
