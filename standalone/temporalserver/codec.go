package temporalserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"go.temporal.io/sdk/converter"
)

// codecPatience bounds each request of the UI's, maxPayloads its body: a payload may have 2 MiB, and a third more in base64.
const (
	codecPatience = 10 * time.Second
	maxPayloads   = 4 << 20
)

// startCodec starts the service that decodes payloads for the pages of the UI, and says in the UI's settings where it is.
//
// It asks for no key, as the embedded server does not: whoever has an account on this machine reads what is in both. What it
// keeps out is everybody else: it listens on loopback, and it answers no web page but the UI's.
func (s *Server) startCodec(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.options.hostPort(0))
	if err != nil {
		return fmt.Errorf("listen for the UI's codec: %w", err)
	}
	host := listener.Addr().String()
	port := strconv.Itoa(s.ports.ui)
	s.codec = &http.Server{
		Handler: onlyFor(host, []string{s.UIURL(), "http://localhost:" + port},
			http.MaxBytesHandler(converter.NewPayloadCodecHTTPHandler(s.options.Codec), maxPayloads)),
		ReadHeaderTimeout: codecPatience, ReadTimeout: codecPatience, WriteTimeout: codecPatience, IdleTimeout: time.Minute,
	}
	s.options.CodecEndpoint = "http://" + host
	go func() {
		if err := s.codec.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.options.Logger.Error("the Temporal UI's codec ended", "error", err)
		}
	}()
	return nil
}

// onlyFor answers the pages of these origins (CORS) and nobody else. A page of another site can have its own name point to
// this machine (DNS rebinding); then the request's Host is that name.
func onlyFor(host string, origins []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		if r.Host != host || !slices.Contains(origins, origin) {
			http.Error(w, "this is for the Temporal UI", http.StatusForbidden)
			return
		}
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Vary", "Origin")
		h.Set("Cache-Control", "no-store")
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", http.MethodPost)
			h.Set("Access-Control-Allow-Headers", "Authorization, Authorization-Extras, Content-Type, X-Namespace")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}
