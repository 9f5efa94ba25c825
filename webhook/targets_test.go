package webhook_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/webhook"
)

// requireRefused: CodeInvalid, one field /url, and a sentence about it.
func requireRefused(tb testing.TB, err error, sentence string) {
	tb.Helper()
	var refusal *pipeline.Error
	require.ErrorAs(tb, err, &refusal)
	require.Equal(tb, pipeline.CodeInvalid, refusal.Code)
	require.Len(tb, refusal.Fields, 1)
	require.Equal(tb, "/url", refusal.Fields[0].Pointer)
	require.Contains(tb, refusal.Fields[0].Detail, sentence)
	require.NotEmpty(tb, refusal.Fields[0].Detail)
}

// strict targets allow nothing private and know no names.
func strict(tb testing.TB) *webhook.Targets {
	tb.Helper()
	targets := newTargets(tb, "")
	targets.UseResolver(noNameServer())
	return targets
}

func TestAddressesThatAreRefused(t *testing.T) {
	t.Parallel()
	targets := strict(t)
	for what, list := range map[string][]string{
		"this network":        {"0.0.0.0", "0.1.2.3"},
		"private":             {"10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.1", "192.168.255.255"},
		"carrier":             {"100.64.0.0", "100.127.255.255"},
		"loopback":            {"127.0.0.1", "127.255.255.255"},
		"link-local":          {"169.254.0.1", "169.254.169.254"},
		"protocols":           {"192.0.0.1", "192.0.0.255"},
		"documentation":       {"192.0.2.1", "198.51.100.1", "203.0.113.255"},
		"6to4 relays":         {"192.88.99.1"},
		"benchmarks":          {"198.18.0.1", "198.19.255.255"},
		"multicast":           {"224.0.0.1", "239.255.255.255"},
		"reserved, broadcast": {"240.0.0.1", "255.255.255.255"},
		"IPv6 unspecified":    {"[::]", "[0:0:0:0:0:0:0:0]"},
		"IPv6 loopback":       {"[::1]", "[0000::0001]"},
		"IPv4-mapped":         {"[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[::ffff:7f00:1]", "[::FFFF:a9fe:a9fe]", "[::ffff:127.0.0.1%25eth0]"},
		"IPv4-compatible":     {"[::127.0.0.1]", "[::10.0.0.1]", "[::7f00:1]"},
		"IPv4-translated":     {"[::ffff:0:127.0.0.1]"},
		"NAT64":               {"[64:ff9b::127.0.0.1]", "[64:ff9b::a00:1]", "[64:ff9b::8.8.8.8]", "[64:ff9b:1::1]"},
		"6to4":                {"[2002:7f00:1::]", "[2002:a00:1::1]"},
		"Teredo":              {"[2001::1]", "[2001:0:a00:1::]"},
		"IPv6 documentation":  {"[2001:db8::1]", "[3fff::1]"},
		"discard":             {"[100::1]"},
		"unique local":        {"[fc00::1]", "[fdff:ffff::1]"},
		"IPv6 link-local":     {"[fe80::1]", "[febf::1]", "[fe80::1%25eth0]", "[fe80::1%25lo]"},
		"site-local":          {"[fec0::1]"},
		"IPv6 multicast":      {"[ff02::1]"},
		"segment routing":     {"[5f00::1]"},
		"not given out":       {"[1000::1]", "[4000::1]", "[9000::1]"},
	} {
		for _, host := range list {
			t.Run(what+" "+host, func(t *testing.T) {
				t.Parallel()
				requireRefused(t, targets.VetURL(t.Context(), "https://"+host+"/hook"), "not a public address")
				requireRefused(t, targets.VetURL(t.Context(), "http://"+host+":8080/hook"), "not a public address")
			})
		}
	}
}

func TestAddressesThatArePublic(t *testing.T) {
	t.Parallel()
	targets := strict(t)
	for _, host := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
		"169.253.255.255", "172.15.255.255", "172.32.0.0", "192.0.1.1", "192.167.255.255", "192.169.0.0", "198.17.255.255",
		"198.20.0.0", "223.255.255.255", "[2606:4700:4700::1111]", "[2a00:1450::1]", "[::ffff:8.8.8.8]", "[2001:200::1]",
		"[3ffe:ffff::1]",
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, targets.VetURL(t.Context(), "https://"+host+"/hook?key=1"))
			require.NoError(t, targets.VetURL(t.Context(), "https://"+host+":8443/hook"))
			requireRefused(t, targets.VetURL(t.Context(), "http://"+host+"/hook"), "has to begin with https://")
		})
	}
}

// The forms in which some readers see 127.0.0.1, or another address, and others a name.
func TestOddSpellingsOfAddressesAreRefused(t *testing.T) {
	t.Parallel()
	targets := newTargets(t, "0.0.0.0/0,::/0") // not even where everything is allowed
	targets.UseResolver(noNameServer())
	const decimal, ascii, ipv6 = "as four decimal numbers", "in ASCII", "no valid IPv6 address"
	for host, sentence := range map[string]string{
		"2130706433": decimal, "017700000001": decimal, "0x7f000001": decimal, "0X7F000001": decimal,
		"127.1": decimal, "127.0.1": decimal, "0x7f.1": decimal, "0177.0.0.1": decimal, "0x7f.0x0.0x0.0x1": decimal,
		"127.0.0.01": decimal, "127.0.0.1.": decimal, "2130706433.": decimal, "0": decimal, "0x": decimal, "1.1.1.1.1": decimal,
		"256.1.1.1": decimal, "a.b.1": decimal, "00000000000000000000000177.1": decimal,
		"\uff11\uff12\uff17.0.0.1": ascii,
		"127\u30020\u30020\u30021": ascii,
		"①②⑦.0.0.1":                ascii,
		"ⓛocalhost":                ascii,
		"büro.example":             ascii,
		"[127.0.0.1]":              ipv6, "[::1%25]": ipv6, "[1::2::3]": ipv6,
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			err := targets.VetURL(t.Context(), "https://"+host+"/hook")
			if strings.HasPrefix(host, "[") {
				sentence = "" // the URL itself may not parse
			}
			requireRefused(t, err, sentence)
		})
	}
}

func TestURLsThatAreRefused(t *testing.T) {
	t.Parallel()
	targets := strict(t)
	for raw, sentence := range map[string]string{
		"":                                "is not an absolute URL",
		"partner.example/hook":            "is not an absolute URL",
		"/hook":                           "is not an absolute URL",
		"https://":                        "is not an absolute URL",
		"https:///hook":                   "is not an absolute URL",
		"https://:443/hook":               "is not an absolute URL",
		"https:partner.example":           "is not an absolute URL",
		"https://partner.example:port/":   "is not an absolute URL",
		"https://%31%32%37.0.0.1/":        "is not an absolute URL",
		"https://partner.example/\x00":    "is not an absolute URL",
		"https://partner .example/":       "is not an absolute URL",
		"ftp://partner.example/":          "has to begin with https://",
		"gopher://partner.example/":       "has to begin with https://",
		"file://partner.example/etc":      "has to begin with https://",
		"http://partner.example/":         "has to begin with https://",
		"https://u:p@partner.example/":    "must not hold a user name",
		"https://u@partner.example/":      "must not hold a user name",
		"https://@partner.example/":       "must not hold a user name",
		"https://1.1.1.1@10.0.0.1/":       "must not hold a user name",
		"https://partner.example/#part":   "must not have a fragment",
		"https://partner.example:0/":      "has no valid port",
		"https://partner.example:65536/":  "has no valid port",
		"https://partner.example:22/":     "leads to port 22",
		"https://partner.example:1023/":   "leads to port 1023",
		"https://8.8.8.8:25/":             "leads to port 25",
		"https://localhost/":              "not a public address",
		"https://localhost:8443/":         "not a public address",
		"https://[2606:4700:4700::1]:53/": "leads to port 53",
	} {
		t.Run(raw, func(t *testing.T) {
			t.Parallel()
			requireRefused(t, targets.VetURL(t.Context(), raw), sentence)
		})
	}
}

func TestURLsThatAreTaken(t *testing.T) {
	t.Parallel()
	targets := strict(t)
	for _, raw := range []string{
		"https://partner.example", "https://partner.example/", "HTTPS://Partner.Example/a/b?c=d&e=%20", "https://partner.example:443/",
		"https://partner.example:80/", "https://partner.example:1024/", "https://partner.example:65535/", "https://partner.example./",
		"https://partner.example:/", "https://xn--bcher-kva.example/", "https://127.0.0.1.nip.example/", "https://0xa.example/",
		"https://1.example/", "https://a_b.example/",
	} {
		t.Run(raw, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, targets.VetURL(t.Context(), raw), "a name that does not resolve now may do so later")
		})
	}
}

func TestAllowedTargets(t *testing.T) {
	t.Parallel()
	targets := newTargets(t, "127.0.0.0/8, ::1/128 10.1.0.0/16,fe80::/10")
	targets.UseResolver(noNameServer())
	for raw, ok := range map[string]bool{
		"http://127.0.0.1:8080/":        true,
		"https://127.0.0.1:8443/":       true,
		"http://127.9.9.9/":             true,
		"http://127.0.0.1:22/":          true, // what the operator allows, they allow whole
		"http://localhost:8080/":        true,
		"http://[::1]:8080/":            true,
		"http://[::ffff:127.0.0.1]/":    true,
		"http://10.1.255.255/":          true,
		"http://[fe80::1%25eth0]:8080/": true,
		"http://10.2.0.1/":              false,
		"https://10.2.0.1/":             false,
		"https://192.168.0.1/":          false,
		"http://8.8.8.8/":               false,
		"http://partner.example/":       false,
		"https://8.8.8.8/":              true,
	} {
		t.Run(raw, func(t *testing.T) {
			t.Parallel()
			err := targets.VetURL(t.Context(), raw)
			if ok {
				require.NoError(t, err)
				return
			}
			requireRefused(t, err, "")
		})
	}
}

func TestNewTargetsRefuses(t *testing.T) {
	t.Parallel()
	for _, allow := range []string{"127.0.0.1", "localhost", "10.0.0.0/8;127.0.0.0/8", "10.0.0.0/33", "::/129", "::ffff:127.0.0.0/104"} {
		t.Run(allow, func(t *testing.T) {
			t.Parallel()
			_, err := webhook.NewTargets(allow)
			require.ErrorContains(t, err, "DEALWRIGHT_ALLOW_TARGETS")
		})
	}
	for _, allow := range []string{"", " ", ",", "10.0.0.1/8", "::/0"} {
		_, err := webhook.NewTargets(allow)
		require.NoError(t, err)
	}
}

func TestNamesAreVettedByWhatTheyResolveTo(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		addrs []netip.Addr
		ok    bool
	}{
		"public":             {addrs("93.184.216.34"), true},
		"private":            {addrs("192.168.1.1"), false},
		"public and private": {addrs("93.184.216.34", "127.0.0.1"), false},
		"nothing":            {nil, true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			targets := newTargets(t, "")
			targets.UseResolver(newNameServer(t, c.addrs))
			err := targets.VetURL(t.Context(), "https://partner.example/hook")
			if c.ok {
				require.NoError(t, err)
				return
			}
			requireRefused(t, err, "not a public address")
		})
	}
}

// at is a server's URL under another host name.
func at(tb testing.TB, server, host string) string {
	tb.Helper()
	u, err := url.Parse(server)
	require.NoError(tb, err)
	u.Host = host + ":" + u.Port()
	return u.String()
}

// A name may be public when it is vetted and private when it is dialled.
func TestAddressIsVettedAgainWhenItIsDialled(t *testing.T) {
	t.Parallel()
	p := newPartner(t, answerOK)
	targets := newTargets(t, "")
	targets.UseResolver(newNameServer(t, addrs("93.184.216.34"), addrs("127.0.0.1")))
	target := at(t, p.URL, "rebinding.example") + "/hooks/path-token"
	require.NoError(t, targets.VetURL(t.Context(), secure(target)))

	s := webhook.NewSender(webhook.SenderConfig{Targets: targets, Timeout: ample})
	r := s.Deliver(t.Context(), dispatchTo(t, target))

	require.Equal(t, pipeline.DeliveryPending, r.Status)
	require.Equal(t, pipeline.Text("the URL leads to 127.0.0.1, which is not a public address"), r.Attempt.Error)
	require.Empty(t, p.got())
	require.Zero(t, p.connections())
}

// What goes out in clear goes to allowed addresses only, whatever a name led to when it was saved.
func TestNothingGoesOutInClear(t *testing.T) {
	t.Parallel()
	targets := newTargets(t, loopback)
	targets.UseResolver(newNameServer(t, addrs("127.0.0.1"), addrs("93.184.216.34")))
	const target = "http://partner.example:8080/hooks/path-token"
	require.NoError(t, targets.VetURL(t.Context(), target))
	s := webhook.NewSender(webhook.SenderConfig{Targets: targets, Timeout: ample})
	for _, to := range []string{target, "http://93.184.216.34/hooks/path-token"} {
		r := s.Deliver(t.Context(), dispatchTo(t, to))
		require.Equal(t, pipeline.DeliveryPending, r.Status)
		require.Equal(t, pipeline.Text("the URL has to begin with https://, since the host is not one that the operator allows"), r.Attempt.Error)
	}
}

func TestVetAtPointsToTheField(t *testing.T) {
	t.Parallel()
	targets := strict(t)
	require.NoError(t, targets.VetAt(t.Context(), "https://id.example/token", "/auth/token_url"))
	for _, raw := range []string{"http://id.example/token", "https://10.0.0.1/token", "https://id.example:22/", "token"} {
		var refusal *pipeline.Error
		require.ErrorAs(t, targets.VetAt(t.Context(), raw, "/auth/token_url"), &refusal)
		require.Equal(t, pipeline.CodeInvalid, refusal.Code)
		require.Len(t, refusal.Fields, 1)
		require.Equal(t, "/auth/token_url", refusal.Fields[0].Pointer)
		of := refusal.Fields[0].Detail
		require.ErrorAs(t, targets.VetURL(t.Context(), raw), &refusal)
		require.Equal(t, []pipeline.FieldError{{Pointer: "/url", Detail: of}}, refusal.Fields)
	}
}

func TestDialerRefuses(t *testing.T) {
	t.Parallel()
	p := newPartner(t, answerOK)
	s := webhook.NewSender(webhook.SenderConfig{Targets: newTargets(t, ""), Timeout: ample})
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "[::]", "0.0.0.0", "127.1", "2130706433",
		"\uff11\uff12\uff17.0.0.1",
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			r := s.Deliver(t.Context(), dispatchTo(t, at(t, p.URL, host)))
			require.Equal(t, pipeline.DeliveryPending, r.Status)
			require.Regexp(t, "which is not a public address|could not be resolved", r.Attempt.Error)
		})
	}
	t.Cleanup(func() { require.Zero(t, p.connections()) })
}

func TestNameThatDoesNotResolve(t *testing.T) {
	t.Parallel()
	targets := newTargets(t, "")
	targets.UseResolver(newNameServer(t, nil))
	s := webhook.NewSender(webhook.SenderConfig{Targets: targets, Timeout: ample})
	r := s.Deliver(t.Context(), dispatchTo(t, "https://nobody.example"+privatePath))
	require.Equal(t, pipeline.DeliveryPending, r.Status)
	requireSentence(t, r, "the host name could not be resolved")
}

// The environment of these tests names a proxy that leads nowhere (see TestMain). Go never
// uses one for a literal loopback address, hence the name.
func TestEnvironmentsProxyIsIgnored(t *testing.T) {
	t.Parallel()
	require.Equal(t, "http://127.0.0.1:1", mustProxy(t, "http://partner.example/"))
	p := newPartner(t, answerOK)
	targets := newTargets(t, loopback)
	targets.UseResolver(newNameServer(t, addrs("127.0.0.1")))
	s := webhook.NewSender(webhook.SenderConfig{Targets: targets, Timeout: ample})
	r := s.Deliver(t.Context(), dispatchTo(t, at(t, p.URL, "partner.example")))
	require.True(t, r.OK(), r.Attempt.Error)
	require.Len(t, p.got(), 1)
}

func mustProxy(tb testing.TB, target string) string {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, target, http.NoBody)
	require.NoError(tb, err)
	proxy, err := http.ProxyFromEnvironment(r)
	require.NoError(tb, err)
	require.NotNil(tb, proxy)
	return proxy.String()
}
