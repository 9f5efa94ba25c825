package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/dealwright/dealwright/client"
)

func (s *settings) deliveries() *cobra.Command {
	c := &cobra.Command{Use: "deliveries", Short: "See who was told, and tell again", Aliases: []string{"delivery"}}
	c.AddCommand(s.listDeliveries(), s.showDelivery(), s.resendDelivery())
	return c
}

func (s *settings) listDeliveries() *cobra.Command {
	var status, event string
	var webhook int64
	limit := 50
	c := &cobra.Command{
		Use: "list", Short: "List deliveries, newest first", Args: cobra.NoArgs,
		RunE: s.call(func(cmd *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			a, err := api.ListDeliveriesWithResponse(cmd.Context(), &client.ListDeliveriesParams{
				Status: optional(status), EventId: optional(event), WebhookId: optional(webhook), Limit: &limit,
			})
			if err != nil {
				return err
			}
			if err := client.Check(a, a.ApplicationproblemJSONDefault); err != nil {
				return err
			}
			header := "ID\tWEBHOOK\tEVENT\tSTREAM\tSEQ\tSTATUS\tATTEMPTS\tNEXT ATTEMPT\tCREATED"
			return table(s, cmd, a.JSON200.Data, header, func(d client.Delivery) []any {
				return []any{d.Id, d.WebhookId, d.EventType, d.Stream, d.Seq, d.Status, len(d.Attempts), d.NextAttemptAt, d.CreatedAt}
			})
		}),
	}
	c.Flags().StringVar(&status, "status", "", "pending, delivered, exhausted, held, superseded or discarded")
	c.Flags().StringVar(&event, "event", "", "only those of this event")
	c.Flags().Int64Var(&webhook, "webhook", 0, "only those of this webhook")
	c.Flags().IntVar(&limit, "limit", limit, "how many at most, up to 500")
	return c
}

func (s *settings) showDelivery() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a delivery with its attempts", Args: cobra.ExactArgs(1),
		RunE: s.call(func(cmd *cobra.Command, api *client.ClientWithResponses, args []string) error {
			n, err := id(args[0])
			if err != nil {
				return err
			}
			a, err := api.GetDeliveryWithResponse(cmd.Context(), n)
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

func (s *settings) resendDelivery() *cobra.Command {
	return &cobra.Command{
		Use: "resend ID", Short: "Send a delivery again", Args: cobra.ExactArgs(1),
		RunE: s.call(func(cmd *cobra.Command, api *client.ClientWithResponses, args []string) error {
			n, err := id(args[0])
			if err != nil {
				return err
			}
			a, err := api.ResendDeliveryWithResponse(cmd.Context(), n, nil, client.ResendDeliveryJSONRequestBody{})
			if err != nil {
				return err
			}
			if err := client.Check(a, a.ApplicationproblemJSONDefault); err != nil {
				return err
			}
			return s.show(cmd, a.JSON202)
		}),
	}
}

func (s *settings) keys() *cobra.Command {
	c := &cobra.Command{Use: "keys", Short: "List, make and revoke API keys over the API"}
	c.AddCommand(s.listKeys(), s.createKey(), s.revokeKey())
	return c
}

func (s *settings) listKeys() *cobra.Command {
	limit := 50
	c := &cobra.Command{
		Use: "list", Short: "List API keys, newest first", Args: cobra.NoArgs,
		RunE: s.call(func(cmd *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			a, err := api.ListKeysWithResponse(cmd.Context(), &client.ListKeysParams{Limit: &limit})
			if err != nil {
				return err
			}
			if err := client.Check(a, a.ApplicationproblemJSONDefault); err != nil {
				return err
			}
			return table(s, cmd, a.JSON200.Data, "ID\tNAME\tROLE\tCREATED\tLAST USED\tREVOKED", func(k client.Key) []any {
				return []any{k.Id, k.Name, k.Role, k.CreatedAt, k.LastUsedAt, k.RevokedAt}
			})
		}),
	}
	c.Flags().IntVar(&limit, "limit", limit, "how many at most, up to 500")
	return c
}

func (s *settings) createKey() *cobra.Command {
	var expires time.Duration
	c := &cobra.Command{
		Use: "create NAME ROLE", Short: "Make an API key and print it, this once", Args: cobra.ExactArgs(2),
		RunE: s.call(func(cmd *cobra.Command, api *client.ClientWithResponses, args []string) error {
			body := client.CreateKeyRequest{Name: args[0], Role: client.CreateKeyRequestRole(args[1])}
			if expires > 0 {
				at := time.Now().Add(expires).UTC().Truncate(time.Second)
				body.ExpiresAt = &at
			}
			a, err := api.CreateKeyWithResponse(cmd.Context(), nil, body)
			if err != nil {
				return err
			}
			if err := client.Check(a, a.ApplicationproblemJSONDefault); err != nil {
				return err
			}
			if s.json {
				return s.show(cmd, a.JSON201)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), a.JSON201.Key)
			return err //nolint:wrapcheck // it says what it could not write
		}),
	}
	c.Flags().DurationVar(&expires, "expires", 0, "how long it opens anything; left out: until it is revoked")
	return c
}

func (s *settings) revokeKey() *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Revoke an API key at once", Args: cobra.ExactArgs(1),
		RunE: s.call(func(cmd *cobra.Command, api *client.ClientWithResponses, args []string) error {
			n, err := id(args[0])
			if err != nil {
				return err
			}
			a, err := api.RevokeKeyWithResponse(cmd.Context(), n)
			if err != nil {
				return err
			}
			return gone(a.StatusCode(), a.ApplicationproblemJSONDefault)
		}),
	}
}
