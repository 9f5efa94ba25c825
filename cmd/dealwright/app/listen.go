package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// bounds are what a client may take of a listener, whoever it is: against those that send or read
// drop by drop, or come in thousands.
type bounds struct {
	header      time.Duration // until the last header is there
	request     time.Duration // until the last byte of the body is there
	answer      time.Duration // from the last header until the answer is taken
	idle        time.Duration // until the next request on the same connection
	drain       time.Duration // for what is under way when the process ends
	headerBytes int
	connections int // at a time; further ones wait to be accepted
}

// usual are the bounds of the API. What the header bytes are compared with is some 4 KiB more.
func usual(connections int) bounds {
	return bounds{
		header: 10 * time.Second, request: 30 * time.Second,
		answer: 60 * time.Second, // longer than the longest long poll
		idle:   2 * time.Minute, drain: 20 * time.Second,
		headerBytes: 32 << 10, connections: connections,
	}
}

// serveHTTP answers requests until the context ends, then lets those under way finish; finish
// asks those that could still wait to come to an end.
func serveHTTP(ctx context.Context, l net.Listener, routes http.Handler, b bounds, log *slog.Logger, finish func()) error {
	server := &http.Server{
		Handler:           routes,
		ReadHeaderTimeout: b.header, ReadTimeout: b.request, WriteTimeout: b.answer, IdleTimeout: b.idle,
		MaxHeaderBytes: b.headerBytes,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(netutil.LimitListener(l, b.connections)) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	finish()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.drain)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		return errors.Join(fmt.Errorf("finish requests: %w", err), server.Close())
	}
	return nil
}
