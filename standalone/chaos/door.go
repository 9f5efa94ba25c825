package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// door lets TCP in to a server that listens on a Unix socket only, as our Postgres does. What goes wrong behind it is seen in
// front of it: a connection that ends on one side ends on the other.
type door struct {
	listener net.Listener
	socket   string
	serving  sync.WaitGroup
}

func openDoor(ctx context.Context, address, socket string) (*door, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("open a door to %s: %w", socket, err)
	}
	d := &door{listener: l, socket: socket}
	d.serving.Go(d.serve)
	return d, nil
}

func (d *door) serve() {
	for {
		outside, err := d.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			go d.connect(outside)
		}
	}
}

func (d *door) connect(outside net.Conn) {
	defer outside.Close()
	inside, err := net.Dial("unix", d.socket) //nolint:noctx // it is there or not
	if err != nil {
		return // the client sees its connection closed, as by a server that is starting
	}
	defer inside.Close()
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{outside, inside}, {inside, outside}} {
		go func() {
			_, _ = io.Copy(way[0], way[1]) // how it ended is told by closing the other side
			ended <- struct{}{}
		}()
	}
	<-ended
}

func (d *door) close() error {
	err := d.listener.Close()
	d.serving.Wait()
	if err != nil {
		return fmt.Errorf("close the door to postgres: %w", err)
	}
	return nil
}
