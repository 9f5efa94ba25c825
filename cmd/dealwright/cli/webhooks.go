package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/dealwright/dealwright/client"
)

func (s *settings) webhooks() *cobra.Command {
	c := &cobra.Command{Use: "webhooks", Short: "List, make, test and replay webhooks", Aliases: []string{"webhook"}}
	c.AddCommand(s.listWebhooks(), s.showWebhook(), s.createWebhook(), s.testWebhook(), s.replay(), s.deleteWebhook())
	return c
}

func (s *settings) listWebhooks() *cobra.Command {
	limit := 50
	c := &cobra.Command{
		Use: "list", Short: "List webhooks, newest first", Args: cobra.NoArgs,
		RunE: s.call(func(cmd *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			a, err := api.ListWebhooksWithResponse(cmd.Context(), &client.ListWebhooksParams{Limit: &limit})
			if err != nil {
				return err
			}
			if err := client.Check(a, a.ApplicationproblemJSONDefault); err != nil {
				return err
			}
			header := "ID\tURL\tFORMAT\tEVENTS\tACTIVE\tFAILURES"
			return table(s, cmd, a.JSON200.Data, header, func(w client.Webhook) []any {
				return []any{w.Id, w.Url, w.Format, w.Events, w.Active, w.Health.Failures}
			})
		}),
	}
	c.Flags().IntVar(&limit, "limit", limit, "how many at most, up to 500")
	return c
}

func (s *settings) showWebhook() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a webhook", Args: cobra.ExactArgs(1),
		RunE: s.call(func(cmd *cobra.Command, api *client.ClientWithResponses, args []string) error {
			n, err := id(args[0])
			if err != nil {
				return err
			}
			a, err := api.GetWebhookWithResponse(cmd.Context(), n)
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

func (s *settings) createWebhook() *cobra.Command {
	var events []string
	var format, description string
	var ordered bool
	c := &cobra.Command{
		Use: "create URL", Short: "Subscribe to events; the secret is printed this once", Args: cobra.ExactArgs(1),
		Example: "  dealwright webhooks create https://partner.example.com/hooks --events 'proposal.*,contract.signed'",
		RunE: s.call(func(cmd *cobra.Command, api *client.ClientWithResponses, args []string) error {
			made, err := create(cmd.Context(), api, args[0], events, func(r *client.CreateWebhookRequest) {
				r.Ordered, r.Description = optional(ordered), optional(description)
				if format != "" {
					r.Format = optional(client.CreateWebhookRequestFormat(format))
				}
			})
			if err != nil {
				return err
			}
			return s.show(cmd, made)
		}),
	}
	c.Flags().StringSliceVar(&events, "events", []string{"*"}, "types or patterns such as proposal.*")
	c.Flags().StringVar(&format, "format", "", "native, solo, solarproof, solve360 or sighten")
	c.Flags().StringVar(&description, "description", "", "a note to yourself")
	c.Flags().BoolVar(&ordered, "ordered", false, "an entity's next event waits for the one before")
	return c
}

func create(
	ctx context.Context, api *client.ClientWithResponses, url string, events []string, with func(*client.CreateWebhookRequest),
) (*client.CreatedWebhook, error) {
	patterns := make([]client.CreateWebhookRequestEvents, len(events))
	for i, e := range events {
		patterns[i] = client.CreateWebhookRequestEvents(e)
	}
	body := client.CreateWebhookRequest{Url: url, Events: &patterns}
	with(&body)
	a, err := api.CreateWebhookWithResponse(ctx, nil, body)
	if err != nil {
		return nil, err
	}
	return a.JSON201, client.Check(a, a.ApplicationproblemJSONDefault)
}

func (s *settings) testWebhook() *cobra.Command {
	return &cobra.Command{
		Use: "test ID TYPE", Short: "Send a sample of an event and see what comes of it", Args: cobra.ExactArgs(2),
		RunE: s.call(func(cmd *cobra.Command, api *client.ClientWithResponses, args []string) error {
			n, err := id(args[0])
			if err != nil {
				return err
			}
			a, err := api.TestWebhookWithResponse(cmd.Context(), n, nil, client.TestWebhookRequest{Type: client.TestWebhookRequestType(args[1])})
			if err != nil {
				return err
			}
			if err := client.Check(a, a.ApplicationproblemJSONDefault); err != nil {
				return err
			}
			if err := s.show(cmd, a.JSON200); err != nil || a.JSON200.Delivered {
				return err
			}
			return fmt.Errorf("the sample was not delivered: %s", text(a.JSON200.Attempt.Error))
		}),
	}
}

func (s *settings) deleteWebhook() *cobra.Command {
	return &cobra.Command{
		Use: "delete ID", Short: "End a subscription", Args: cobra.ExactArgs(1),
		RunE: s.call(func(cmd *cobra.Command, api *client.ClientWithResponses, args []string) error {
			n, err := id(args[0])
			if err != nil {
				return err
			}
			a, err := api.DeleteWebhookWithResponse(cmd.Context(), n)
			if err != nil {
				return err
			}
			return gone(a.StatusCode(), a.ApplicationproblemJSONDefault)
		}),
	}
}

func (s *settings) replay() *cobra.Command {
	var after, until, types string
	var detach bool
	c := &cobra.Command{
		Use: "replay ID", Short: "Send a range of past events again, and show how far it is", Args: cobra.ExactArgs(1),
		Example: "  dealwright webhooks replay 4 --after 2026-11-20T00:00:00Z --types proposal.*",
		RunE: s.call(func(cmd *cobra.Command, api *client.ClientWithResponses, args []string) error {
			n, err := id(args[0])
			if err != nil {
				return err
			}
			a, err := api.ReplayEventsWithResponse(cmd.Context(), n, nil, replayRequest(after, until, types))
			if err != nil {
				return err
			}
			if err := client.Check(a, a.ApplicationproblemJSONDefault); err != nil {
				return err
			}
			if detach {
				return s.show(cmd, a.JSON202)
			}
			done, err := watchReplay(cmd.Context(), api, *a.JSON202, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return s.show(cmd, done)
		}),
	}
	c.Flags().StringVar(&after, "after", "", "begin after this position, or with what happened from this time on (RFC 3339)")
	c.Flags().StringVar(&until, "until", "", "end with this position, or at this time")
	c.Flags().StringVar(&types, "types", "", "types or patterns such as proposal.*, with commas between them")
	c.Flags().BoolVar(&detach, "detach", false, "do not wait until it is done")
	return c
}

// replayRequest: a place is a position or a time; the API tells which by its JSON type.
func replayRequest(after, until, types string) client.ReplayRequest {
	var r client.ReplayRequest
	r.After, r.Until = place(after), place(until)
	if types != "" {
		r.Types = new(any(types))
	}
	return r
}

func place(given string) *any {
	if given == "" {
		return nil
	}
	if n, err := id(given); err == nil || given == "0" {
		return new(any(n))
	}
	return new(any(given))
}

// watchReplay shows a bar until a replay is over.
func watchReplay(ctx context.Context, api *client.ClientWithResponses, r client.Replay, progress io.Writer) (client.Replay, error) {
	const every = 200 * time.Millisecond
	bar := progressbar.NewOptions64(max(r.Total, 1), progressbar.OptionSetWriter(progress), progressbar.OptionSetDescription("replay"),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionOnCompletion(func() { fmt.Fprintln(progress) }))
	for {
		if err := bar.Set64(min(r.Done, max(r.Total, 1))); err != nil {
			return r, fmt.Errorf("show progress: %w", err)
		}
		switch r.Status {
		case "running", "paused":
		case "cancelled":
			return r, fmt.Errorf("the replay was cancelled after %d of %d events", r.Done, r.Total)
		default:
			return r, bar.Finish() //nolint:wrapcheck // it says what it could not write
		}
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-time.After(every):
		}
		a, err := api.GetReplayWithResponse(ctx, r.WebhookId, r.Id)
		if err != nil {
			return r, err
		}
		if err := client.Check(a, a.ApplicationproblemJSONDefault); err != nil {
			return r, err
		}
		r = *a.JSON200
	}
}
