package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/dealwright/dealwright/client"
)

func (s *settings) customers() *cobra.Command {
	c := &cobra.Command{Use: "customers", Short: "List, show and move customers", Aliases: []string{"customer"}}
	c.AddCommand(s.listCustomers(), s.showCustomer(), s.moveCustomer())
	return c
}

func (s *settings) listCustomers() *cobra.Command {
	var q string
	var owner int64
	status, limit := -1, 50
	c := &cobra.Command{
		Use: "list", Short: "List customers, newest first", Args: cobra.NoArgs,
		RunE: s.call(func(cmd *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			params := &client.ListCustomersParams{Q: optional(q), OwnerId: optional(owner), Limit: &limit}
			if status >= 0 {
				params.Status = &status
			}
			a, err := api.ListCustomersWithResponse(cmd.Context(), params)
			if err != nil {
				return err
			}
			if err := client.Check(a, a.ApplicationproblemJSONDefault); err != nil {
				return err
			}
			return table(s, cmd, a.JSON200.Data, "ID\tNAME\tE-MAIL\tSTATUS\tVERSION\tUPDATED", func(c client.Customer) []any {
				return []any{c.Id, c.Name, c.Email, c.StatusName, c.Version, c.UpdatedAt}
			})
		}),
	}
	c.Flags().StringVar(&q, "q", "", "words of name, e-mail address or phone number")
	c.Flags().IntVar(&status, "status", status, "only those with this status")
	c.Flags().Int64Var(&owner, "owner", 0, "only those that this user looks after")
	c.Flags().IntVar(&limit, "limit", limit, "how many at most, up to 500")
	return c
}

func (s *settings) showCustomer() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a customer", Args: cobra.ExactArgs(1),
		RunE: s.call(func(cmd *cobra.Command, api *client.ClientWithResponses, args []string) error {
			n, err := id(args[0])
			if err != nil {
				return err
			}
			a, err := api.GetCustomerWithResponse(cmd.Context(), n)
			if err != nil {
				return err
			}
			if err := client.Check(a, a.ApplicationproblemJSONDefault); err != nil {
				return err
			}
			return s.show(cmd, a.JSON200)
		}),
	}
}

func (s *settings) moveCustomer() *cobra.Command {
	return s.moving("customer", `  dealwright customers move 12345 customer.status_changed --data '{"status":2}'`,
		func(ctx context.Context, api *client.ClientWithResponses, n int64, key *string, t client.TransitionRequest) (any, error) {
			a, err := api.MoveCustomerWithResponse(ctx, n, &client.MoveCustomerParams{IdempotencyKey: key}, t)
			if err != nil {
				return nil, err
			}
			return a.JSON201, client.Check(a, a.ApplicationproblemJSONDefault)
		})
}

// mover asks for a transition and gives what was answered.
type mover func(ctx context.Context, api *client.ClientWithResponses, n int64, key *string, t client.TransitionRequest) (any, error)

// moving is the command that moves entities of a kind.
func (s *settings) moving(kind, example string, move mover) *cobra.Command {
	var data, key string
	c := &cobra.Command{
		Use: "move ID TYPE", Short: "Ask for an event to happen to a " + kind, Args: cobra.ExactArgs(2), Example: example,
		RunE: s.call(func(cmd *cobra.Command, api *client.ClientWithResponses, args []string) error {
			n, err := id(args[0])
			if err != nil {
				return err
			}
			transition := client.TransitionRequest{Type: client.TransitionRequestType(args[1])}
			if transition.Data, err = payload(data); err != nil {
				return err
			}
			moved, err := move(cmd.Context(), api, n, optional(key), transition)
			if err != nil {
				return err
			}
			return s.show(cmd, moved)
		}),
	}
	c.Flags().StringVar(&data, "data", "", "the event's own fields, as a JSON object")
	c.Flags().StringVar(&key, "idempotency-key", "", "a name for this request, so that it can be repeated")
	return c
}

func (s *settings) proposals() *cobra.Command {
	c := &cobra.Command{Use: "proposals", Short: "List, show and move proposals", Aliases: []string{"proposal"}}
	c.AddCommand(s.listProposals(), s.showProposal(), s.moveProposal())
	return c
}

func (s *settings) listProposals() *cobra.Command {
	var status, contract string
	var customer int64
	limit := 50
	c := &cobra.Command{
		Use: "list", Short: "List proposals, newest first", Args: cobra.NoArgs,
		RunE: s.call(func(cmd *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			a, err := api.ListProposalsWithResponse(cmd.Context(), &client.ListProposalsParams{
				Status: optional(status), ContractStatus: optional(contract), CustomerId: optional(customer), Limit: &limit,
			})
			if err != nil {
				return err
			}
			if err := client.Check(a, a.ApplicationproblemJSONDefault); err != nil {
				return err
			}
			header := "ID\tCUSTOMER\tNICKNAME\tSTATUS\tCONTRACT\tCREDIT\tVERSION\tUPDATED"
			return table(s, cmd, a.JSON200.Data, header, func(p client.Proposal) []any {
				return []any{p.Id, p.CustomerId, p.Nickname, p.Status, p.ContractStatus, p.CreditStatus, p.Version, p.UpdatedAt}
			})
		}),
	}
	c.Flags().StringVar(&status, "status", "", "draft, requested, sent, selected or sold")
	c.Flags().StringVar(&contract, "contract-status", "", "none, requested, sent, signed or voided")
	c.Flags().Int64Var(&customer, "customer", 0, "only those of this customer")
	c.Flags().IntVar(&limit, "limit", limit, "how many at most, up to 500")
	return c
}

func (s *settings) showProposal() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a proposal", Args: cobra.ExactArgs(1),
		RunE: s.call(func(cmd *cobra.Command, api *client.ClientWithResponses, args []string) error {
			n, err := id(args[0])
			if err != nil {
				return err
			}
			a, err := api.GetProposalWithResponse(cmd.Context(), n)
			if err != nil {
				return err
			}
			if err := client.Check(a, a.ApplicationproblemJSONDefault); err != nil {
				return err
			}
			return s.show(cmd, a.JSON200)
		}),
	}
}

func (s *settings) moveProposal() *cobra.Command {
	return s.moving("proposal", "  dealwright proposals move 54321 proposal.sent",
		func(ctx context.Context, api *client.ClientWithResponses, n int64, key *string, t client.TransitionRequest) (any, error) {
			a, err := api.MoveProposalWithResponse(ctx, n, &client.MoveProposalParams{IdempotencyKey: key}, t)
			if err != nil {
				return nil, err
			}
			return a.JSON201, client.Check(a, a.ApplicationproblemJSONDefault)
		})
}
