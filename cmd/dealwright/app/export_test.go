package app

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Serve serves as ServeAPI does, within bounds that a test can wait for.
func Serve(ctx context.Context, l net.Listener, routes http.Handler, patience time.Duration, connections int) error {
	b := usual(connections)
	b.header, b.request, b.answer, b.idle = patience, patience, patience, patience
	return serveHTTP(ctx, l, routes, b, slog.New(slog.DiscardHandler), func() {})
}
