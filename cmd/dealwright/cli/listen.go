package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dealwright/dealwright/client"
)

// listening is what a session of listen needs.
type listening struct {
	forwardTo string // where deliveries go on to; empty: they are only printed
	address   string // where we listen
	public    string // how the engine reaches us, where that is not address
	events    []string
	format    string
}

func (s *settings) listen() *cobra.Command {
	l := listening{}
	c := &cobra.Command{
		Use: "listen", Short: "Get real deliveries on this machine while developing: make a webhook for as long as this runs", Args: cobra.NoArgs,
		Long: `listen makes a webhook that sends to this command, prints each delivery, and forwards it as it is,
signature included, to --forward-to; what is answered there is what the engine gets to see. The webhook
is deleted in the end.

The engine has to reach this machine: that is so for a server on the same machine. For one elsewhere,
say with --public-url how it reaches --address, through a tunnel for example.`,
		Example: "  dealwright listen --forward-to http://localhost:3000/hooks --events 'proposal.*'",
		RunE: s.call(func(cmd *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			return s.runListen(cmd, api, l)
		}),
	}
	c.Flags().StringVar(&l.forwardTo, "forward-to", "", "where to forward deliveries to; left out: they are printed and taken")
	c.Flags().StringVar(&l.address, "address", "127.0.0.1:0", "where to listen")
	c.Flags().StringVar(&l.public, "public-url", "", "how the engine reaches --address")
	c.Flags().StringSliceVar(&l.events, "events", []string{"*"}, "types or patterns such as proposal.*")
	c.Flags().StringVar(&l.format, "format", "", "native, solo, solarproof, solve360 or sighten")
	return c
}

func (s *settings) runListen(cmd *cobra.Command, api *client.ClientWithResponses, l listening) error {
	if l.forwardTo != "" {
		if u, err := url.Parse(l.forwardTo); err != nil || u.Host == "" {
			return fmt.Errorf("--forward-to has to be a URL such as http://localhost:3000/hooks, not %q", l.forwardTo)
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(cmd.Context(), "tcp", l.address)
	if err != nil {
		return fmt.Errorf("listen on --address: %w", err)
	}
	received := make(chan receipt)
	server := &http.Server{Handler: &relay{to: l.forwardTo, received: received}, ReadHeaderTimeout: relayPatience}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer server.Close()

	target := l.public
	if target == "" {
		target = "http://" + listener.Addr().String()
	}
	made, err := create(cmd.Context(), api, target, l.events, func(r *client.CreateWebhookRequest) {
		r.Description = optional("dealwright listen")
		if l.format != "" {
			r.Format = optional(client.CreateWebhookRequestFormat(l.format))
		}
	})
	if err != nil {
		return fmt.Errorf("make the webhook: %w", err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "webhook %d sends %s here until you interrupt; its secret is %s\n",
		made.Id, strings.Join(l.events, ","), text(made.Secret))
	err = s.print(cmd, received, served)
	return errors.Join(err, forget(cmd.Context(), api, made.Id))
}

// print shows what comes until the user interrupts.
func (s *settings) print(cmd *cobra.Command, received <-chan receipt, served <-chan error) error {
	for {
		select {
		case <-cmd.Context().Done():
			return nil
		case err := <-served:
			return fmt.Errorf("listen: %w", err)
		case r := <-received:
			if err := s.printReceipt(cmd, r); err != nil {
				return err
			}
		}
	}
}

// receipt is a delivery that came, and what became of it.
type receipt struct {
	At     time.Time `json:"at"`
	ID     string    `json:"webhook_id"` // the webhook-id header
	Method string    `json:"method"`
	Type   string    `json:"content_type"`
	Body   string    `json:"body"`
	Status int       `json:"status"`
	Error  string    `json:"error,omitempty"`
}

func (s *settings) printReceipt(cmd *cobra.Command, r receipt) error {
	if s.json {
		return s.show(cmd, r)
	}
	outcome := fmt.Sprintf("%d %s", r.Status, http.StatusText(r.Status))
	if r.Error != "" {
		outcome += ": " + r.Error
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s  %s  -> %s\n%s\n", local(r.At).Format(time.TimeOnly), r.ID, outcome, r.Body)
	return err //nolint:wrapcheck // it says what it could not write
}

// forget deletes the webhook of the session. The context of the command has ended by then.
func forget(ctx context.Context, api *client.ClientWithResponses, webhook int64) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), relayPatience)
	defer cancel()
	a, err := api.DeleteWebhookWithResponse(ctx, webhook)
	if err == nil {
		err = gone(a.StatusCode(), a.ApplicationproblemJSONDefault)
	}
	if err != nil {
		return fmt.Errorf("webhook %d is left behind, delete it by hand: %w", webhook, err)
	}
	return nil
}

const (
	// relayPatience is longer than an engine waits for an answer by default.
	relayPatience = 10 * time.Second
	// maxRelayed is how large a delivery may be, in bytes.
	maxRelayed = 4 << 20
)

// relay forwards deliveries as they are, and answers what it was answered.
type relay struct {
	to       string
	received chan<- receipt
}

// ServeHTTP forwards a delivery and tells of it.
func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxRelayed))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return
	}
	got := receipt{
		At: time.Now(), ID: req.Header.Get("Webhook-Id"), Method: req.Method, Type: req.Header.Get("Content-Type"),
		Body: string(body), Status: http.StatusNoContent,
	}
	var answer []byte
	if r.to != "" {
		if got.Status, answer, err = r.forward(req, body); err != nil {
			got.Status, got.Error = http.StatusBadGateway, err.Error()
		}
	}
	select {
	case r.received <- got:
	case <-req.Context().Done():
	}
	w.WriteHeader(got.Status)
	// Where this fails the engine has hung up, and will try again.
	_, _ = w.Write(answer) //nolint:gosec // it goes to the engine, not to a browser
}

func (r *relay) forward(req *http.Request, body []byte) (int, []byte, error) {
	on, err := http.NewRequestWithContext(req.Context(), req.Method, r.to, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err //nolint:wrapcheck // it says what is wrong with the URL
	}
	on.Header = req.Header.Clone()
	answer, err := (&http.Client{Timeout: relayPatience}).Do(on) //nolint:gosec // it goes where the developer said
	if err != nil {
		return 0, nil, err //nolint:wrapcheck // it says which request failed
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxRelayed))
	return answer.StatusCode, text, err //nolint:wrapcheck // it is shown as it is
}
