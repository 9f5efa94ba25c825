package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below those that kernels give to outgoing connections: one that is free for the three seconds
// that its process is away would otherwise be given to somebody else.
const (
	firstPort = 20_000
	lastPort  = 32_000
)

// choosePorts finds free ports on loopback, which differ.
func choosePorts(ctx context.Context, n int) (addresses []string, err error) {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			err = errors.Join(err, l.Close())
		}
	}()
	for range 100 * n {
		if len(held) == n {
			return addresses, nil
		}
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(lastPort-firstPort)))
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			continue // taken
		}
		held, addresses = append(held, l), append(addresses, address)
	}
	return nil, fmt.Errorf("find %d free ports between %d and %d", n, firstPort, lastPort)
}
