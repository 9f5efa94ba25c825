package activities

import (
	"context"

	"github.com/dealwright/dealwright/pipeline"
)

// match finds the proposal that the news are about: by its own uuid, else, where its customer
// has no other, by the customer's. Where there is none, and the connection says so, it is made.
// Without a proposal, why says why.
func (b *Inbox) match(ctx context.Context, item pipeline.Inbound, news pipeline.ContractNews) (id int64, why string, err error) {
	if news.Quote != "" {
		p, err := b.Store.ProposalByUUID(ctx, item.CompanyID, news.Quote)
		if err == nil || pipeline.CodeOf(err) != pipeline.CodeNotFound {
			return p.ID, "", err
		}
	}
	if item.CreateMissing && news.Quote != "" && news.Site != "" {
		return b.create(ctx, item, news)
	}
	if news.Site == "" {
		return 0, "there is no proposal with the uuid of the quote", nil
	}
	c, err := b.Store.CustomerByUUID(ctx, item.CompanyID, news.Site)
	if c.Erased {
		return 0, erasedCustomer, nil
	}
	if pipeline.CodeOf(err) == pipeline.CodeNotFound {
		return 0, "there is neither a proposal with the uuid of the quote nor a customer with that of the site", nil
	}
	if err != nil {
		return 0, "", err
	}
	proposals, err := b.Store.Proposals(ctx, pipeline.ProposalQuery{
		CompanyID: item.CompanyID, CustomerID: c.ID, Page: pipeline.Page{Limit: 2},
	})
	switch {
	case err != nil:
		return 0, "", err
	case len(proposals) == 1:
		return proposals[0].ID, "", nil
	case len(proposals) == 0:
		return 0, "the customer with the uuid of the site has no proposal", nil
	default:
		return 0, "the customer with the uuid of the site has several proposals, and none has the uuid of the quote", nil
	}
}

// What a customer is called of whom the provider told us nothing but a uuid: names that everybody
// sees are none, and an address at a name that never leads anywhere (RFC 2606).
const (
	erasedCustomer  = "the customer was erased"
	unknownCustomer = "Sighten site "
	unknownEmail    = "@sighten.invalid"
	unknownProposal = "Sighten quote "
	shortUUID       = 8 // characters of a uuid that tell it from others
)

// create makes the proposal, with the provider's uuid, and its customer where that is missing.
// What is reserved for the uuid is found again by whoever else makes the same one.
func (b *Inbox) create(ctx context.Context, item pipeline.Inbound, news pipeline.ContractNews) (id int64, why string, err error) {
	c, err := b.Store.CustomerByUUID(ctx, item.CompanyID, news.Site)
	if c.Erased {
		return 0, erasedCustomer, nil
	}
	if pipeline.CodeOf(err) == pipeline.CodeNotFound {
		c, err = b.createCustomer(ctx, item, news)
	}
	if err != nil {
		return 0, "", err
	}
	if c.Deleted {
		return 0, "the customer with the uuid of the site is deleted", nil
	}
	reserved, err := b.reserve(ctx, item, pipeline.KindProposal, news.Quote)
	if err != nil {
		return 0, "", err
	}
	nickname := news.Task
	if nickname == "" {
		nickname = unknownProposal + news.Quote[:shortUUID]
	}
	ref := pipeline.Ref{Kind: pipeline.KindProposal, ID: reserved, CompanyID: item.CompanyID, CustomerID: c.ID}
	err = b.command(ctx, item, ref, pipeline.Step{Type: pipeline.TypeProposalRequested, Implied: true, Data: pipeline.ProposalDetails{
		UUID: news.Quote, CustomerUUID: c.UUID, Nickname: pipeline.Give(pipeline.Text(nickname)),
	}})
	return reserved, "", err
}

func (b *Inbox) createCustomer(ctx context.Context, item pipeline.Inbound, news pipeline.ContractNews) (pipeline.Customer, error) {
	statuses, err := b.Store.Statuses(ctx, item.CompanyID)
	if err != nil {
		return pipeline.Customer{}, err
	}
	status := pipeline.StatusNew
	name, ok := statuses.Name(status)
	if !ok && len(statuses) > 0 { // a company's own may be others
		status, name = statuses[0].Code, statuses[0].Name
	}
	reserved, err := b.reserve(ctx, item, pipeline.KindCustomer, news.Site)
	if err != nil {
		return pipeline.Customer{}, err
	}
	ref := pipeline.Ref{Kind: pipeline.KindCustomer, ID: reserved, CompanyID: item.CompanyID, CustomerID: reserved}
	err = b.command(ctx, item, ref, pipeline.Step{Type: pipeline.TypeCustomerCreated, Implied: true, Data: pipeline.CustomerCreated{
		UUID: news.Site, Name: unknownCustomer + news.Site[:shortUUID], Email: "site-" + news.Site + unknownEmail,
		Status: status, StatusName: name,
	}})
	if err != nil {
		return pipeline.Customer{}, err
	}
	return b.Store.CustomerByUUID(ctx, item.CompanyID, news.Site)
}

// reserve gives the id for a uuid, the same each time.
func (b *Inbox) reserve(ctx context.Context, item pipeline.Inbound, kind pipeline.Kind, uuid string) (int64, error) {
	r, err := b.Store.Reserve(ctx, item.CompanyID, kind, pipeline.Idempotency{Key: "inbound " + string(kind) + " " + uuid})
	return r.ID, err
}
