package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

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
// are not for the public. Of IPv6 only 2000::/3 is given out, so all around it is refused as a
// whole: what is private or local, and the many ways to wrap an IPv4 address.
var refused = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"::/3", "4000::/2", "8000::/1",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
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
		if p.Addr().Is4In6() {
			return nil, fmt.Errorf("DEALWRIGHT_ALLOW_TARGETS: %q has to be written as IPv4", s)
		}
		t.allowed = append(t.allowed, p)
	}
	return t, nil
}

// resolveTimeout bounds the look-up of a name when a webhook is saved.
const resolveTimeout = 2 * time.Second

// VetURL checks a webhook's URL when it is saved: CodeInvalid with pointer /url says why not.
func (t *Targets) VetURL(ctx context.Context, raw string) error { return t.VetAt(ctx, raw, "/url") }

// VetAt checks a URL that the engine is to call, such as a token endpoint's, when it is saved:
// CodeInvalid with the pointer says why not. A name that does not resolve now is let through,
// since it may later; the dialer vets every address again on every attempt.
func (t *Targets) VetAt(ctx context.Context, raw, pointer string) error {
	if err := t.vetURL(ctx, raw); err != nil {
		return pipeline.Invalid(pipeline.FieldError{Pointer: pointer, Detail: err.Error()})
	}
	return nil
}

func (t *Targets) vetURL(ctx context.Context, raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return targetError("is not an absolute URL")
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return targetError("has to begin with https://")
	}
	if u.User != nil {
		return targetError("must not hold a user name or password")
	}
	if u.Fragment != "" {
		return targetError("must not have a fragment")
	}
	if err := vetSpelling(u.Hostname()); err != nil {
		return err
	}
	port, err := portOf(u)
	if err != nil {
		return err
	}
	return t.vetHost(ctx, u, port)
}

// vetSpelling refuses a host that different readers may take for different things. Some
// resolvers see an address in 2130706433, 0x7f.1 or 017700000001, and some HTTP clients turn
// the digits of other scripts into ASCII: no public name looks like that.
func vetSpelling(host string) error {
	if strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) {
		return errors.New("has to write its host in ASCII, such as xn--bcher-kva.example")
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	if strings.Contains(host, ":") {
		return errors.New("has no valid IPv6 address")
	}
	name := strings.TrimSuffix(host, ".")
	if isNumber(name[strings.LastIndex(name, ".")+1:]) {
		return errors.New("has to write an IPv4 address as four decimal numbers")
	}
	return nil
}

// isNumber is how browsers tell an IPv4 address from a name, by its last part (WHATWG URL
// standard, "ends in a number").
func isNumber(label string) bool {
	digits, hex := strings.CutPrefix(strings.ToLower(label), "0x")
	if hex {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

func (t *Targets) vetHost(ctx context.Context, u *url.URL, port uint16) error {
	addrs := t.addresses(ctx, u.Hostname())
	if len(addrs) == 0 {
		if err := vetPort(port); err != nil {
			return err
		}
	}
	listed := len(addrs) > 0
	for _, a := range addrs {
		if err := t.vet(a, port); err != nil {
			return err
		}
		listed = listed && t.isAllowed(a)
	}
	if u.Scheme == "http" && !listed {
		return errPlain
	}
	return nil
}

// addresses of a host: itself where it is a literal, else what it resolves to now.
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

// isAllowed: an IPv4 address inside an IPv6 one counts as the IPv4 address.
func (t *Targets) isAllowed(a netip.Addr) bool { return contains(t.allowed, a) }

// targetError says why an address may not be reached; "the URL" goes before it.
type targetError string

func (e targetError) Error() string { return string(e) }

const errPlain = targetError("has to begin with https://, since the host is not one that the operator allows")

// vet refuses an address and port that a webhook may not reach.
func (t *Targets) vet(a netip.Addr, port uint16) error {
	if t.isAllowed(a) {
		return nil
	}
	if contains(refused, a) {
		return targetError(fmt.Sprintf("leads to %s, which is not a public address", a))
	}
	return vetPort(port)
}

func vetPort(port uint16) error {
	if port < 1024 && port != 80 && port != 443 {
		return targetError(fmt.Sprintf("leads to port %d; below 1024 only 80 and 443 are possible", port))
	}
	return nil
}

func contains(list []netip.Prefix, a netip.Addr) bool {
	bare := a.Unmap().WithZone("")
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(bare) })
}

// control vets the address that a connection is about to go to, after the name was resolved,
// so that a name cannot be vetted as one address and dialled as another.
func (t *Targets) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("read address %q: %w", address, err)
	}
	return t.vet(ap.Addr(), ap.Port())
}

// controlPlain is control for connections without TLS: a name that led to an allowed address
// when it was saved, and leads to another now, gets nothing in clear.
func (t *Targets) controlPlain(network, address string, c syscall.RawConn) error {
	if err := t.control(network, address, c); err != nil {
		return err
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !t.isAllowed(ap.Addr()) {
		return errPlain
	}
	return nil
}
