package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// proxies stand between each process and each server that it uses, so that a fault can hit one way alone.
type proxies struct {
	all []*link
}

// link is the way of one process to one server.
type link struct {
	from, to string
	proxy    *toxiproxy.Proxy
	toxics   []string // what is on it now, by name
}

// The two servers.
const (
	toPostgres = "postgres"
	toTemporal = "temporal"
)

func (p *proxies) add(from, to, listen, upstream string) error {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, from+" to "+to, listen, upstream)
	if err := proxy.Start(); err != nil {
		return fmt.Errorf("proxy from %s to %s: %w", from, to, err)
	}
	p.all = append(p.all, &link{from: from, to: to, proxy: proxy})
	return nil
}

// of are the links of a process to a server; empty stands for any.
func (p *proxies) of(from, to string) []*link {
	var found []*link
	for _, l := range p.all {
		if (from == "" || l.from == from) && (to == "" || l.to == to) {
			found = append(found, l)
		}
	}
	return found
}

func (p *proxies) close() {
	for _, l := range p.all {
		l.proxy.Stop()
	}
}

// toxic is what toxiproxy's API takes, but for the direction.
type toxic struct {
	kind       string
	toxicity   float64
	attributes map[string]int
}

var (
	// A link is slow: 100 to 500 ms each way.
	slowness = toxic{kind: "latency", toxicity: 1, attributes: map[string]int{"latency": 300, "jitter": 200}}
	// Nothing comes through, and nobody is told: what is sent is lost, as with an unplugged cable.
	silence = toxic{kind: "timeout", toxicity: 1, attributes: map[string]int{"timeout": 0}}
	// Half of the connections are reset a moment after something is sent on them.
	resets = toxic{kind: "reset_peer", toxicity: 0.5, attributes: map[string]int{"timeout": 300}}
)

// poison puts a toxic on links, both ways.
func poison(links []*link, t toxic) error {
	for _, l := range links {
		for _, direction := range []string{"upstream", "downstream"} {
			name := t.kind + " " + direction
			body, err := json.Marshal(map[string]any{
				"name": name, "type": t.kind, "stream": direction, "toxicity": t.toxicity, "attributes": t.attributes,
			})
			if err != nil {
				return err
			}
			if _, err := l.proxy.Toxics.AddToxicJson(bytes.NewReader(body)); err != nil {
				return fmt.Errorf("put %s on the way from %s to %s: %w", name, l.from, l.to, err)
			}
			l.toxics = append(l.toxics, name)
		}
	}
	return nil
}

// cure takes everything off again.
func cure(ctx context.Context, links []*link) error {
	var all []error
	for _, l := range links {
		for _, name := range l.toxics {
			if err := l.proxy.Toxics.RemoveToxic(ctx, name); err != nil {
				all = append(all, fmt.Errorf("take %s off the way from %s to %s: %w", name, l.from, l.to, err))
			}
		}
		l.toxics = nil
	}
	return errors.Join(all...)
}

// shut cuts the connections of links and refuses new ones, as the port of a server that is away does.
func shut(links []*link) {
	for _, l := range links {
		l.proxy.Stop()
	}
}

// open lets connections through again.
func open(links []*link) error {
	var all []error
	for _, l := range links {
		if err := l.proxy.Start(); err != nil && !errors.Is(err, toxiproxy.ErrProxyAlreadyStarted) {
			all = append(all, fmt.Errorf("open the way from %s to %s: %w", l.from, l.to, err))
		}
	}
	return errors.Join(all...)
}
