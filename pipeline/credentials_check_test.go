package pipeline_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// requireFaults: CodeInvalid, exactly these pointers, each with this in its sentence.
func requireFaults(t *testing.T, err error, want map[string]string) {
	t.Helper()
	if len(want) == 0 {
		require.NoError(t, err)
		return
	}
	var refusal *pipeline.Error
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, pipeline.CodeInvalid, refusal.Code)
	require.Len(t, refusal.Fields, len(want), "%v", refusal.Fields)
	for _, f := range refusal.Fields {
		sentence, ok := want[f.Pointer]
		require.True(t, ok, "nothing was expected at %s: %s", f.Pointer, f.Detail)
		require.Contains(t, f.Detail, sentence)
		require.NotContains(t, f.Detail, "hidden")
	}
}

func TestCheckHeaders(t *testing.T) {
	t.Parallel()
	const reserved = "is a header that the engine sets itself"
	long := strings.Repeat("x", 257)
	for name, c := range map[string]struct {
		headers pipeline.Headers
		want    map[string]string
	}{
		"none":                {nil, nil},
		"usual":               {pipeline.Headers{"X-Tenant": "acme", "Authorization": "Custom hidden", "accept": "*/*", "X-Empty": ""}, nil},
		"text beyond ASCII":   {pipeline.Headers{"X-Name": "Büro"}, nil},
		"tab within":          {pipeline.Headers{"X-Name": "a\tb"}, map[string]string{"/headers/X-Name": "control characters"}},
		"all that is allowed": {pipeline.Headers{"!#$%&'*+-.^_`|~azAZ09": strings.Repeat("x", 4<<10)}, nil},
		"line break":          {pipeline.Headers{"X-A": "hidden\r\nX-B: c"}, map[string]string{"/headers/X-A": "control characters"}},
		"NUL":                 {pipeline.Headers{"X-A": "hidden\x00"}, map[string]string{"/headers/X-A": "control characters"}},
		"DEL":                 {pipeline.Headers{"X-A": "hidden\x7f"}, map[string]string{"/headers/X-A": "control characters"}},
		"space around":        {pipeline.Headers{"X-A": " hidden"}, map[string]string{"/headers/X-A": "white space"}},
		"too long a value":    {pipeline.Headers{"X-A": strings.Repeat("x", 4<<10+1)}, map[string]string{"/headers/X-A": "longer than 4096"}},
		"too long a name":     {pipeline.Headers{long: ""}, map[string]string{"/headers/" + long: "longer than 256"}},
		"no name":             {pipeline.Headers{"": "hidden"}, map[string]string{"/headers/": "without a name"}},
		"names that are none": {
			pipeline.Headers{"X A": "", "X:A": "", "a/b~c": "", "Ü": "", "X\n": ""},
			map[string]string{
				"/headers/X A": "not a header's name", "/headers/X:A": "not a header's name", "/headers/a~1b~0c": "not a header's name",
				"/headers/Ü": "not a header's name", "/headers/X\n": "not a header's name",
			},
		},
		"twice": {pipeline.Headers{"X-A": "1", "x-a": "2"}, map[string]string{"/headers/x-a": "is there twice"}},
		"several wrong": {
			pipeline.Headers{"Host": "h", "X-A": "\n", "X-B": "fine"},
			map[string]string{"/headers/Host": reserved, "/headers/X-A": "control"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireFaults(t, pipeline.CheckHeaders(c.headers, "/headers"), c.want)
		})
	}
}

func TestReservedHeaders(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Host", "Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade", "TE",
		"Trailer", "Expect", "HTTP2-Settings", "Proxy-Authorization", "Proxy-Connection", "proxy-anything", "Accept-Encoding", "User-Agent",
		"Webhook-Id", "webhook-signature", "webhook-test", "Idempotency-Key", "X-Solve360-Hmac-Sha256", "Traceparent", "Tracestate",
	} {
		for _, spelt := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			require.True(t, pipeline.ReservedHeader(spelt), spelt)
			requireFaults(t, pipeline.CheckHeaders(pipeline.Headers{spelt: "x"}, "/h"), map[string]string{"/h/" + spelt: "engine sets itself"})
		}
	}
	for _, name := range []string{"Authorization", "Accept", "Cookie", "X-Webhook-Id", "Webhook", "Hosts", "X-Host"} {
		require.False(t, pipeline.ReservedHeader(name), name)
	}
}

func TestNumberOfHeadersIsBounded(t *testing.T) {
	t.Parallel()
	h := pipeline.Headers{}
	for i := range pipeline.MaxHeaders {
		h[fmt.Sprintf("X-%d", i)] = "x"
	}
	require.NoError(t, pipeline.CheckHeaders(h, "/headers"))
	h["X-More"] = "x"
	requireFaults(t, pipeline.CheckHeaders(h, "/headers"), map[string]string{"/headers": "at most 20"})
}

func TestCheckAuthorization(t *testing.T) {
	t.Parallel()
	const taken = "is set by the webhook's auth"
	for name, c := range map[string]struct {
		auth pipeline.Auth
		want map[string]string
	}{
		"no auth":          {pipeline.Auth{}, nil},
		"none":             {pipeline.Auth{Type: pipeline.AuthNone}, nil},
		"basic":            {pipeline.Auth{Type: pipeline.AuthBasic}, map[string]string{"/headers/aUTHORIZATION": taken}},
		"bearer":           {pipeline.Auth{Type: pipeline.AuthBearer}, map[string]string{"/headers/aUTHORIZATION": taken}},
		"oauth2":           {pipeline.Auth{Type: pipeline.AuthOAuth2}, map[string]string{"/headers/aUTHORIZATION": taken}},
		"key in the query": {pipeline.Auth{Type: pipeline.AuthAPIKey, In: pipeline.InQuery, Name: "X-Key"}, nil},
		"key in the header": {
			pipeline.Auth{Type: pipeline.AuthAPIKey, In: pipeline.InHeader, Name: "x-key"}, map[string]string{"/headers/X-Key": taken},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := pipeline.Headers{"aUTHORIZATION": "Custom x", "X-Key": "x"}
			requireFaults(t, pipeline.CheckAuthorization(h, c.auth, "/headers"), c.want)
		})
	}
}

func tokenURL(u string) func(*pipeline.Auth) { return func(a *pipeline.Auth) { a.TokenURL = u } }

func TestCheckAuth(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 4<<10+1)
	basic := pipeline.Auth{Type: pipeline.AuthBasic, Username: "dealwright", Password: "hidden"}
	bearer := pipeline.Auth{Type: pipeline.AuthBearer, Token: "hidden"}
	key := pipeline.Auth{Type: pipeline.AuthAPIKey, Name: "X-Key", Value: "hidden", In: pipeline.InHeader}
	oauth := pipeline.Auth{
		Type: pipeline.AuthOAuth2, TokenURL: "https://id.example/token?tenant=1", ClientID: "dealwright", ClientSecret: "hidden",
		Scope: "hooks:write read",
	}
	for name, c := range map[string]struct {
		auth   pipeline.Auth
		change func(*pipeline.Auth)
		want   map[string]string
	}{
		"no type":     {pipeline.Auth{}, nil, nil},
		"none":        {pipeline.Auth{Type: pipeline.AuthNone}, nil, nil},
		"basic":       {basic, nil, nil},
		"bearer":      {bearer, nil, nil},
		"header key":  {key, nil, nil},
		"query key":   {key, func(a *pipeline.Auth) { a.In, a.Name, a.Value = pipeline.InQuery, "api[key]", "a b&c" }, nil},
		"oauth2":      {oauth, nil, nil},
		"no scope":    {oauth, func(a *pipeline.Auth) { a.Scope = "" }, nil},
		"no password": {basic, func(a *pipeline.Auth) { a.Password = "" }, nil},
		"key named Authorization": {
			key, func(a *pipeline.Auth) { a.Name, a.Value = "Authorization", "Key hidden" }, nil,
		},
		"unknown type": {pipeline.Auth{Type: "digest", Username: "u"}, nil, map[string]string{"/auth/type": "has to be one of"}},
		"fields without a type": {
			pipeline.Auth{Token: "hidden"}, nil, map[string]string{"/auth/token": "does not belong to auth of type none"},
		},
		"fields of all types": {
			pipeline.Auth{
				Type: pipeline.AuthNone, Username: "a", Password: "b", Token: "c", Name: "d", Value: "e", In: "header", TokenURL: "f",
				ClientID: "g", ClientSecret: "h", Scope: "i",
			},
			nil,
			map[string]string{
				"/auth/username": "", "/auth/password": "", "/auth/token": "", "/auth/name": "", "/auth/value": "", "/auth/in": "",
				"/auth/token_url": "", "/auth/client_id": "", "/auth/client_secret": "", "/auth/scope": "does not belong",
			},
		},
		"basic, empty":  {pipeline.Auth{Type: pipeline.AuthBasic}, nil, map[string]string{"/auth/username": "is missing"}},
		"bearer, empty": {pipeline.Auth{Type: pipeline.AuthBearer}, nil, map[string]string{"/auth/token": "is missing"}},
		"api_key, empty": {
			pipeline.Auth{Type: pipeline.AuthAPIKey},
			nil,
			map[string]string{"/auth/name": "is missing", "/auth/value": "is missing", "/auth/in": "header or query"},
		},
		"header key, empty": {
			pipeline.Auth{Type: pipeline.AuthAPIKey, In: pipeline.InHeader},
			nil,
			map[string]string{"/auth/name": "is missing", "/auth/value": "is missing"},
		},
		"oauth2, empty": {
			pipeline.Auth{Type: pipeline.AuthOAuth2},
			nil,
			map[string]string{"/auth/token_url": "is missing", "/auth/client_id": "is missing", "/auth/client_secret": "is missing"},
		},
		"colon":             {basic, func(a *pipeline.Auth) { a.Username = "a:b" }, map[string]string{"/auth/username": "colon"}},
		"control character": {basic, func(a *pipeline.Auth) { a.Password = "hidden\n" }, map[string]string{"/auth/password": "control"}},
		"long password":     {basic, func(a *pipeline.Auth) { a.Password = long }, map[string]string{"/auth/password": "longer than"}},
		"long token":        {bearer, func(a *pipeline.Auth) { a.Token = long }, map[string]string{"/auth/token": "longer than"}},
		"token with spaces": {bearer, func(a *pipeline.Auth) { a.Token = "Bearer hidden" }, map[string]string{"/auth/token": "white space"}},
		"reserved header":   {key, func(a *pipeline.Auth) { a.Name = "Webhook-Id" }, map[string]string{"/auth/name": "engine sets itself"}},
		"no header's name":  {key, func(a *pipeline.Auth) { a.Name = "X(Key)" }, map[string]string{"/auth/name": "not a header's name"}},
		"space in the name": {key, func(a *pipeline.Auth) { a.Name = "X Key" }, map[string]string{"/auth/name": "white space"}},
		"long name":         {key, func(a *pipeline.Auth) { a.Name = long }, map[string]string{"/auth/name": "longer than 256"}},
		"header's value":    {key, func(a *pipeline.Auth) { a.Value = "hidden\r\nX: y" }, map[string]string{"/auth/value": "control"}},
		"elsewhere":         {key, func(a *pipeline.Auth) { a.In = "cookie" }, map[string]string{"/auth/in": "header or query"}},
		"field of another":  {key, func(a *pipeline.Auth) { a.Token = "hidden" }, map[string]string{"/auth/token": "type api_key"}},
		"relative":          {oauth, tokenURL("/token"), map[string]string{"/auth/token_url": "absolute"}},
		"another scheme":    {oauth, tokenURL("ftp://id.example/"), map[string]string{"/auth/token_url": "https://"}},
		"user in the URL":   {oauth, tokenURL("https://u:hidden@id.example/"), map[string]string{"/auth/token_url": "user name"}},
		"fragment":          {oauth, tokenURL("https://id.example/#a"), map[string]string{"/auth/token_url": "fragment"}},
		"unreadable URL":    {oauth, tokenURL("https://id.example/\x00hidden"), map[string]string{"/auth/token_url": "absolute"}},
		"long URL":          {oauth, func(a *pipeline.Auth) { a.TokenURL += long }, map[string]string{"/auth/token_url": "longer than"}},
		"odd scope":         {oauth, func(a *pipeline.Auth) { a.Scope = `a "b"` }, map[string]string{"/auth/scope": "quotes"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.change != nil {
				c.change(&c.auth)
			}
			requireFaults(t, pipeline.CheckAuth(c.auth, "/auth"), c.want)
		})
	}
}

// certificate gives a self-signed certificate and its key, both PEM.
func certificate(t *testing.T, name string, until time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{"Dealwright"}},
		NotBefore: until.Add(-time.Hour), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

func TestCheckClientCertificate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	until := now.Add(time.Minute)
	cert, key := certificate(t, "sender", until)
	authority, otherKey := certificate(t, "authority", until)
	const notACertificate, notTheKey = "is not a certificate in PEM form", "is not the unencrypted private key"
	for name, c := range map[string]struct {
		cert, key string
		now       time.Time
		want      map[string]string
	}{
		"pair":              {cert, key, now, nil},
		"chain":             {cert + authority, key, now, nil},
		"with text around":  {"subject=CN\n" + cert + "\n", "\n" + key, now, nil},
		"to its last":       {cert, key, until, nil},
		"nothing":           {"", "", now, map[string]string{"/cc/certificate": "is missing", "/cc/key": "is missing"}},
		"no key":            {cert, "", now, map[string]string{"/cc/key": "is missing"}},
		"no certificate":    {"", key, now, map[string]string{"/cc/certificate": "is missing"}},
		"another's key":     {cert, otherKey, now, map[string]string{"/cc/key": notTheKey}},
		"authority first":   {authority + cert, key, now, map[string]string{"/cc/key": notTheKey}},
		"swapped":           {key, cert, now, map[string]string{"/cc/certificate": notACertificate}},
		"no PEM":            {"hidden", key, now, map[string]string{"/cc/certificate": notACertificate}},
		"no PEM for a key":  {cert, "hidden", now, map[string]string{"/cc/key": notTheKey}},
		"broken":            {strings.Replace(cert, "MII", "AAA", 1), key, now, map[string]string{"/cc/certificate": notACertificate}},
		"expired":           {cert, key, until.Add(time.Second), map[string]string{"/cc/certificate": "expired at 2026-11-21T09:01:00Z"}},
		"large certificate": {strings.Repeat("x", 64<<10+1), key, now, map[string]string{"/cc/certificate": "longer than 65536"}},
		"large key":         {cert, strings.Repeat("x", 64<<10+1), now, map[string]string{"/cc/key": "longer than 65536"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := pipeline.CheckClientCertificate(c.cert, c.key, "/cc", c.now)
			requireFaults(t, err, c.want)
			if len(c.want) > 0 {
				require.Zero(t, got)
				return
			}
			require.Equal(t, pipeline.ClientCertificate{
				Certificate: c.cert, Key: c.key, Subject: "CN=sender,O=Dealwright", NotAfter: until,
			}, got)
		})
	}
}
