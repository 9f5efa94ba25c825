package temporalserver

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// ports are what the services of one server listen on. Only the frontend's and the UI's are for others.
type ports struct {
	frontend, history, matching, worker int
	ui                                  int
}

// choosePorts checks the ports that were asked for and finds free ones for the rest. All are held until all are known, so that
// they differ; then they are let go for the services to take, which is a small gap that their own libraries leave no way to close.
func choosePorts(options Options) (chosen ports, err error) {
	wanted := []struct {
		port     int
		variable string
		chosen   *int
	}{
		{options.Port, "DEALWRIGHT_TEMPORAL_PORT", &chosen.frontend},
		{options.UIPort, "DEALWRIGHT_UI_PORT", &chosen.ui},
		{options.MetricsPort, "", new(int)},
		{0, "", &chosen.history},
		{0, "", &chosen.matching},
		{0, "", &chosen.worker},
	}
	var held []net.Listener
	defer func() {
		for _, listener := range held {
			err = errors.Join(err, listener.Close())
		}
	}()
	for _, want := range wanted {
		listener, err := net.Listen("tcp", options.hostPort(want.port)) //nolint:noctx // it does not wait
		if err != nil {
			return ports{}, explainPort(want.port, want.variable, err)
		}
		held = append(held, listener)
		address, ok := listener.Addr().(*net.TCPAddr)
		if !ok {
			return ports{}, fmt.Errorf("unexpected address %s", listener.Addr())
		}
		*want.chosen = address.Port
	}
	return chosen, nil
}

func explainPort(port int, variable string, cause error) error {
	if !errors.Is(cause, syscall.EADDRINUSE) {
		return fmt.Errorf("listen on port %d: %w", port, cause)
	}
	if variable == "" {
		return fmt.Errorf("port %d is in use", port)
	}
	return fmt.Errorf("port %d is in use; set %s=0 for a free one", port, variable)
}
