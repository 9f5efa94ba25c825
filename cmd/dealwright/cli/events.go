package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dealwright/dealwright/client"
)

func (s *settings) events() *cobra.Command {
	c := &cobra.Command{Use: "events", Short: "Follow what happens", Aliases: []string{"event"}}
	var types string
	after := int64(-1)
	tail := &cobra.Command{
		Use: "tail", Short: "Print events as they happen, until interrupted; a lost connection is taken up again", Args: cobra.NoArgs,
		RunE: s.call(func(cmd *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			params := &client.StreamFeedParams{Types: optional(types)}
			if after >= 0 {
				params.After = &after
			}
			return follow(cmd.Context(), api, params, cmd.ErrOrStderr(), func(e client.Event) error { return s.printEvent(cmd, e) })
		}),
	}
	tail.Flags().StringVar(&types, "types", "", "types or patterns such as proposal.*, with commas between them")
	tail.Flags().Int64Var(&after, "after", after, "begin after this position; 0: with the first event; left out: with what happens now")
	c.AddCommand(tail)
	return c
}

func (s *settings) printEvent(cmd *cobra.Command, e client.Event) error {
	if s.json {
		return s.show(cmd, e)
	}
	data, err := json.Marshal(e.Payload)
	if err != nil {
		return fmt.Errorf("encode payload: %w", err)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d  %s  %-14s #%-3d %-24s %s\n",
		e.Position, local(e.Timestamp).Format(time.TimeOnly), e.Stream, e.Seq, e.Type, data)
	return err //nolint:wrapcheck // it says what it could not write
}

// reconnectAfter is how long to wait before a stream that was cut off is taken up again.
const reconnectAfter = time.Second

// follow reads the stream of events until the context ends, and goes on where it was when the
// connection is lost. What the API refuses ends it.
func follow(
	ctx context.Context, api *client.ClientWithResponses, params *client.StreamFeedParams, progress io.Writer, each func(client.Event) error,
) error {
	for {
		err := followOnce(ctx, api, params, each)
		if _, refused := errors.AsType[*client.RefusedError](err); ctx.Err() != nil || refused {
			if refused {
				return err
			}
			return nil
		}
		fmt.Fprintln(progress, "the stream ended; taking it up again:", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(reconnectAfter):
		}
	}
}

func followOnce(
	ctx context.Context, api *client.ClientWithResponses, params *client.StreamFeedParams, each func(client.Event) error,
) error {
	answer, err := api.StreamFeed(ctx, params)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		refused, err := client.ParseStreamFeedResponse(answer)
		if err != nil {
			return err
		}
		return client.Check(refused, refused.ApplicationproblemJSONDefault)
	}
	lines := bufio.NewReader(answer.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err //nolint:wrapcheck // the caller says what it means
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "data":
			var e client.Event
			if err := json.Unmarshal([]byte(value), &e); err != nil {
				return fmt.Errorf("decode event: %w", err)
			}
			if err := each(e); err != nil {
				return err
			}
		case "id":
			position, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return fmt.Errorf("read position: %w", err)
			}
			// An id comes before its data: a stream that is cut off in between skips nothing.
			before := position - 1
			params.LastEventID = &before
		}
	}
}
