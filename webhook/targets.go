package webhook

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// Targets decides which addresses a webhook may reach. Everything private, local or special
// is refused unless an operator has allowed it, so that a webhook is no way into the network
// that the engine runs in.
type Targets struct {
	allowed  []netip.Prefix
	resolver *net.Resolver
}

// refused lists the special ranges of the IANA registries for IPv4 and IPv6, as far as they
// are not for the public.
var refused = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"::/128", "::1/128", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32",
	"2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "ff00::/8",
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// NewTargets takes DEALWRIGHT_ALLOW_TARGETS: CIDRs, with commas between them, that a webhook
// may reach although they are private.
func NewTargets(allow string) (*Targets, error) {
	t := &Targets{resolver: net.DefaultResolver}
	for _, s := range strings.FieldsFunc(allow, func(r rune) bool { return r == ',' || r == ' ' }) {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("DEALWRIGHT_ALLOW_TARGETS: %q is not a CIDR such as 10.0.0.0/8", s)
		}
		t.allowed = append(t.allowed, p)
	}
	return t, nil
}

// resolveTimeout bounds the look-up of a name when a webhook is saved.
const resolveTimeout = 2 * time.Second

// VetURL checks a webhook's URL when it is saved: CodeInvalid with pointer /url says why not.
// A name that does not resolve now is let through, since it may later; the dialer vets every
// address again on every attempt.
func (t *Targets) VetURL(ctx context.Context, raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Hostname() == "" {
		return badURL("is not an absolute URL")
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return badURL("has to begin with https://")
	}
	if u.User != nil {
		return badURL("must not hold a user name or password")
	}
	if u.Fragment != "" {
		return badURL("must not have a fragment")
	}
	port, err := portOf(u)
	if err != nil {
		return badURL(err.Error())
	}
	return t.vetHost(ctx, u, port)
}

func (t *Targets) vetHost(ctx context.Context, u *url.URL, port uint16) error {
	addrs := t.addresses(ctx, u.Hostname())
	listed := len(addrs) > 0
	for _, a := range addrs {
		if err := t.vet(a, port); err != nil {
			return badURL(err.Error())
		}
		listed = listed && t.isAllowed(a)
	}
	if u.Scheme == "http" && !listed {
		return badURL("has to begin with https://, since the host is not one that the operator allows")
	}
	return nil
}

// addresses of a host: itself where it is a literal, else what it resolves to now. The forms
// in which only some resolvers see an address (2130706433, 0x7f.1, 017700000001) do not parse
// here, are looked up as names, and are vetted as whatever the look-up gives.
func (t *Targets) addresses(ctx context.Context, host string) []netip.Addr {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	addrs, err := t.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	return addrs
}

func portOf(u *url.URL) (uint16, error) {
	switch {
	case u.Port() != "":
		n, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || n == 0 {
			return 0, fmt.Errorf("has no valid port: %q", u.Port())
		}
		return uint16(n), nil
	case u.Scheme == "http":
		return 80, nil
	default:
		return 443, nil
	}
}

func badURL(detail string) error {
	return pipeline.Invalid(pipeline.FieldError{Pointer: "/url", Detail: detail})
}

func (t *Targets) isAllowed(a netip.Addr) bool {
	return contains(t.allowed, a.Unmap())
}

// vet refuses an address and port that a webhook may not reach. An IPv4 address inside an
// IPv6 one counts as the IPv4 address.
func (t *Targets) vet(a netip.Addr, port uint16) error {
	a = a.Unmap().WithZone("")
	if t.isAllowed(a) {
		return nil
	}
	if contains(refused, a) {
		return fmt.Errorf("leads to %s, which is not a public address", a)
	}
	if port < 1024 && port != 80 && port != 443 {
		return fmt.Errorf("leads to port %d; below 1024 only 80 and 443 are possible", port)
	}
	return nil
}

func contains(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// control vets the address that a connection is about to go to, after the name was resolved,
// so that a name cannot be vetted as one address and dialled as another.
func (t *Targets) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("read address %q: %w", address, err)
	}
	if err := t.vet(ap.Addr(), ap.Port()); err != nil {
		return fmt.Errorf("the URL %w", err)
	}
	return nil
}
