package webhook_test

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// Whatever a URL looks like, vetting it ends with yes or with a proper refusal, and where
// nothing is allowed nothing private gets through: as Go reads the host, or as the old
// inet_aton does, which most C libraries still use.
func FuzzVetURL(f *testing.F) {
	for _, seed := range []string{
		"https://partner.example/hook?a=b", "http://partner.example", "https://127.0.0.1/", "https://10.1.2.3:8443/", "https://2130706433/",
		"https://0x7f.1/", "https://017700000001/", "https://0xA.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]:443/",
		"https://[64:ff9b::7f00:1]/", "https://[fe80::1%25eth0]/", "https://u:p@10.0.0.1/", "https://127.0.0.1./", "https://①27.0.0.1/",
		"https://%31%30.0.0.1/", "https://8.8.8.8:25/", "https://localhost/", "//10.0.0.1/", "https:10.0.0.1", "https://10.0.0.1\\@8.8.8.8/",
		"https://8.8.8.8\t/", "https://a:b:c/", "https://[/", "\x00", "https://1.1.1.1/#", "HTTPS://0/",
	} {
		f.Add(seed)
	}
	targets := strict(f)
	f.Fuzz(func(t *testing.T, raw string) {
		if err := targets.VetURL(t.Context(), raw); err != nil {
			requireRefused(t, err, "")
			return
		}
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" {
			t.Fatalf("%q was taken", raw)
		}
		for _, a := range readings(u.Hostname()) {
			if a = a.Unmap(); a.IsLoopback() || a.IsPrivate() || a.IsUnspecified() || a.IsLinkLocalUnicast() || a.IsMulticast() {
				t.Fatalf("%q was taken and may lead to %s", raw, a)
			}
		}
	})
}

func readings(host string) []netip.Addr {
	var out []netip.Addr
	if a, err := netip.ParseAddr(host); err == nil {
		out = append(out, a)
	}
	if a, ok := inetAton(strings.TrimSuffix(host, ".")); ok {
		out = append(out, a)
	}
	return out
}

// inetAton reads one to four numbers, each decimal, octal or hexadecimal, the last of which
// fills what is left of the address.
func inetAton(host string) (netip.Addr, bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var address uint64
	for i, part := range parts {
		n, ok := cNumber(part)
		room := uint64(1) << 8
		if i == len(parts)-1 {
			room = 1 << (8 * (5 - len(parts)))
		}
		if !ok || n >= room {
			return netip.Addr{}, false
		}
		address = address*room + n
	}
	return netip.AddrFrom4([4]byte{byte(address >> 24), byte(address >> 16), byte(address >> 8), byte(address)}), true
}

func cNumber(s string) (uint64, bool) {
	base := 10
	switch lower := strings.ToLower(s); {
	case strings.HasPrefix(lower, "0x"):
		base, s = 16, lower[2:]
	case strings.HasPrefix(s, "0") && len(s) > 1:
		base = 8
	}
	n, err := strconv.ParseUint(s, base, 40)
	return n, err == nil
}
