package temporalserver

import (
	"context"
	"fmt"
	"net/http"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"
)

// startUI starts the web UI and waits until it answers.
func (s *Server) startUI(ctx context.Context) error {
	s.ui = uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
		TemporalGRPCAddress: s.HostPort(),
		Host:                s.options.Address,
		Port:                s.ports.ui,
		EnableUI:            true,
		DefaultNamespace:    s.options.Namespace,
		Codec:               uiconfig.Codec{Endpoint: s.options.CodecEndpoint},
		CORS:                uiconfig.CORS{CookieInsecure: true}, // loopback has no TLS
		DisableNewsFetch:    true,
		HideLogs:            true,
	}))
	go func() {
		if err := s.ui.Start(); err != nil {
			s.options.Logger.Error("the Temporal UI ended", "error", err)
		}
	}()
	return s.waitForUI(ctx)
}

func (s *Server) waitForUI(ctx context.Context) error {
	for {
		err := get(ctx, s.UIURL()+"/healthz")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the UI does not become ready: %w (%w)", ctx.Err(), err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask the UI: %w", err)
	}
	browser := http.Client{Timeout: time.Second}
	defer browser.CloseIdleConnections()
	response, err := browser.Do(request)
	if err != nil {
		return fmt.Errorf("ask the UI: %w", err)
	}
	if err := response.Body.Close(); err != nil {
		return fmt.Errorf("ask the UI: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}
