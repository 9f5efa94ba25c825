// Command demo drives a running server the way a sales app does, and listens the way a partner
// does: one customer and two proposals go through their lifecycles, and every signed webhook is
// printed as it arrives. Start the server with make run, then: make demo.
//
// It is also an example of a client. It knows the HTTP API and nothing of the engine's code:
// client.go calls, receiver.go receives, story.go says what happens.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ui := flag.String("temporal-ui", "http://127.0.0.1:8233", "where the Temporal UI is")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *ui)
	stop()
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "demo: interrupted")
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, ui string) (err error) {
	c, err := connect(ctx)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for webhooks: %w", err)
	}
	hook, err := c.subscribe(ctx, "http://"+l.Addr().String()+"/hook")
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer func() { err = errors.Join(err, c.unsubscribe(ctx, hook.ID)) }()

	r, err := newReceiver(hook.Secret)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: time.Second}
	go server.Serve(l) //nolint:errcheck // ends with Close, and says nothing else of interest
	defer server.Close()

	t := &teller{client: c, receiver: r, out: os.Stdout}
	t.printf("server   %s\nwebhook  %d, to %s\n", c.base, hook.ID, hook.URL)
	return t.tell(ctx, ui)
}

// connect finds the server and the key, and tries both.
func connect(ctx context.Context) (*client, error) {
	base := strings.TrimRight(valueOr("DEALWRIGHT_API", "http://127.0.0.1:8080"), "/")
	key, from := os.Getenv("DEALWRIGHT_KEY"), "DEALWRIGHT_KEY"
	if key == "" {
		from = filepath.Join(valueOr("DEALWRIGHT_DATA", "./.dealwright"), "key")
		kept, err := os.ReadFile(from) //nolint:gosec // the caller says where its own key is
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("no key in %s: start the server with make run, or set DEALWRIGHT_KEY or DEALWRIGHT_DATA", from)
		}
		if err != nil {
			return nil, fmt.Errorf("read the key: %w", err)
		}
		key = strings.TrimSpace(string(kept))
	}
	c := newClient(base, key)
	err := c.get(ctx, "/v1/webhooks?limit=1", nil)
	var refused *problem
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusUnauthorized:
		return nil, fmt.Errorf("%s does not know the key in %s: it belongs to another server", base, from)
	case errors.As(err, &refused):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("nothing answers at %s: start it with make run, or set DEALWRIGHT_API (%w)", base, err)
	}
	return c, nil
}

func valueOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
