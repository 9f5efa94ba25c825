package pipeline

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Within which bounds a webhook's owner may say how its endpoint is addressed.
const (
	MaxHeaders     = 20
	maxHeaderName  = 256
	maxCredential  = 4 << 10  // bytes of a header's value, a password, a token, …
	maxCertificate = 64 << 10 // bytes of PEM, each of certificate and key
)

// The headers that a webhook's owner may not set: those that say where a message begins and
// ends, that belong to the connection rather than the message, or that are the engine's own.
// In lower case.
var (
	reservedHeaders = map[string]bool{
		"host": true, "content-length": true, "content-type": true, "content-encoding": true, "transfer-encoding": true,
		"connection": true, "keep-alive": true, "upgrade": true, "http2-settings": true, "te": true, "trailer": true, "expect": true,
		"accept-encoding": true, "user-agent": true, "idempotency-key": true, "x-solve360-hmac-sha256": true,
		"traceparent": true, "tracestate": true,
	}
	reservedPrefixes = []string{"proxy-", "webhook-"}
)

// headerAuthorization is the one header that two settings may both want to set.
const headerAuthorization = "authorization"

// ReservedHeader reports that a webhook's owner may not set the header.
func ReservedHeader(name string) bool {
	name = strings.ToLower(name)
	if reservedHeaders[name] {
		return true
	}
	for _, prefix := range reservedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// faultsBelow gathers what is wrong with the members of one object.
type faultsBelow struct {
	faults

	pointer string
}

// add says what is wrong with a member; a detail of "" is fine.
func (f *faultsBelow) add(member, detail string) {
	f.unless(detail == "", f.at(member), detail)
}

// at points to a member.
func (f *faultsBelow) at(member string) string { return f.pointer + "/" + escapeToken(member) }

func (f *faultsBelow) err() error { return Invalid(f.faults...) }

// escapeToken writes a name as a token of a JSON pointer (RFC 6901).
func escapeToken(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// CheckHeaders says what is wrong with a webhook's headers, as CodeInvalid with a pointer to
// each wrong one; nil where they may be saved. What depends on its Auth as well is
// CheckAuthorization's.
func CheckHeaders(h Headers, pointer string) error {
	if len(h) > MaxHeaders {
		return Invalid(FieldError{Pointer: pointer, Detail: fmt.Sprintf("has %d headers; at most %d are possible", len(h), MaxHeaders)})
	}
	f := faultsBelow{pointer: pointer}
	seen := make(map[string]bool, len(h))
	for _, name := range h.Names() {
		lower := strings.ToLower(name)
		f.unless(!seen[lower], f.at(name), "is there twice; letter case makes no difference")
		seen[lower] = true
		detail := headerName(name)
		if detail == "" {
			detail = headerValue(h[name])
		}
		f.add(name, detail)
	}
	return f.err()
}

// CheckAuthorization refuses a header of one's own beside an Auth that sets the same one.
func CheckAuthorization(h Headers, a Auth, pointer string) error {
	f := faultsBelow{pointer: pointer}
	taken := a.header()
	for _, name := range h.Names() {
		if taken != "" && strings.EqualFold(name, taken) {
			f.add(name, "is set by the webhook's auth")
		}
	}
	return f.err()
}

// header is the one that the authentication sets, in lower case; empty where it sets none.
func (a Auth) header() string {
	switch a.Type {
	case AuthBasic, AuthBearer, AuthOAuth2:
		return headerAuthorization
	case AuthAPIKey:
		if a.In == InHeader {
			return strings.ToLower(a.Name)
		}
	case AuthNone:
	}
	return ""
}

// CheckAuth says what is wrong with a webhook's authentication, as CodeInvalid with a pointer
// to each wrong field; nil where it may be saved. Whether the token URL may be reached is
// another question.
func CheckAuth(a Auth, pointer string) error {
	checks, ok := authChecks[a.Type]
	f := faultsBelow{pointer: pointer}
	if !ok {
		f.add("type", "has to be one of none, basic, bearer, api_key, oauth2")
		return f.err()
	}
	for _, field := range authFields {
		value := field.of(a)
		check, known := checks[field.name]
		switch {
		case known:
			f.add(field.name, check(value))
		case value != "":
			f.add(field.name, "does not belong to auth of type "+string(a.kind()))
		}
	}
	if a.Type == AuthAPIKey && a.In == InHeader && needed(parameterName)(a.Name) == "" {
		f.add("name", headerName(a.Name))
	}
	return f.err()
}

// kind is the type, where none is given too.
func (a Auth) kind() AuthType {
	if a.Type == "" {
		return AuthNone
	}
	return a.Type
}

// authFields are all of them, in the order in which they are checked.
var authFields = []struct {
	name string
	of   func(Auth) string
}{
	{"username", func(a Auth) string { return a.Username }},
	{"password", func(a Auth) string { return a.Password }},
	{"token", func(a Auth) string { return a.Token }},
	{"name", func(a Auth) string { return a.Name }},
	{"value", func(a Auth) string { return a.Value }},
	{"in", func(a Auth) string { return a.In }},
	{"token_url", func(a Auth) string { return a.TokenURL }},
	{"client_id", func(a Auth) string { return a.ClientID }},
	{"client_secret", func(a Auth) string { return a.ClientSecret }},
	{"scope", func(a Auth) string { return a.Scope }},
}

// authChecks say for each type which fields it has and what is wrong with one.
var authChecks = map[AuthType]map[string]func(string) string{
	"":         {},
	AuthNone:   {},
	AuthBasic:  {"username": needed(userName), "password": credential}, // an empty password is a custom of API keys as user names
	AuthBearer: {"token": needed(visible)},
	AuthAPIKey: {"name": needed(parameterName), "value": needed(headerValue), "in": place},
	AuthOAuth2: {
		"token_url": needed(tokenURL), "client_id": needed(credential), "client_secret": needed(credential), "scope": scopes,
	},
}

// needed refuses the empty value.
func needed(check func(string) string) func(string) string {
	return func(s string) string {
		if s == "" {
			return "is missing"
		}
		return check(s)
	}
}

// headerName checks the form of a token (RFC 9110, section 5.6.2) and that the name is free.
func headerName(name string) string {
	switch {
	case name == "":
		return "is a header without a name"
	case len(name) > maxHeaderName:
		return fmt.Sprintf("is longer than %d bytes", maxHeaderName)
	case strings.ContainsFunc(name, func(r rune) bool { return !isTokenRune(r) }):
		return "is not a header's name: letters, digits and !#$%&'*+-.^_`|~ are possible"
	case ReservedHeader(name):
		return "is a header that the engine sets itself"
	default:
		return ""
	}
}

func isTokenRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

// headerValue: what would end the header, or be cut off by whoever reads it, is refused.
func headerValue(value string) string {
	if strings.Trim(value, " \t") != value {
		return "must not begin or end with white space"
	}
	return credential(value)
}

// credential is any text of bounded length without control characters.
func credential(s string) string {
	switch {
	case len(s) > maxCredential:
		return fmt.Sprintf("is longer than %d bytes", maxCredential)
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "must not hold control characters"
	default:
		return ""
	}
}

// userName: in basic authentication a colon ends it (RFC 7617).
func userName(s string) string {
	if strings.Contains(s, ":") {
		return "must not hold a colon"
	}
	return credential(s)
}

// visible is ASCII without white space, as every bearer token is (RFC 6750, section 2.1).
func visible(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "has to be ASCII without white space"
	}
	return credential(s)
}

func parameterName(s string) string {
	if len(s) > maxHeaderName {
		return fmt.Sprintf("is longer than %d bytes", maxHeaderName)
	}
	return visible(s)
}

func place(s string) string {
	if s != InHeader && s != InQuery {
		return "has to be header or query"
	}
	return ""
}

// scopes are words with a space between them (RFC 6749, section 3.3).
func scopes(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		return "has to be ASCII without quotes and backslashes"
	}
	return credential(s)
}

func tokenURL(s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "":
		return "is not an absolute URL"
	case u.Scheme != "https" && u.Scheme != "http":
		return "has to begin with https://"
	case u.User != nil:
		return "must not hold a user name or password"
	case u.Fragment != "":
		return "must not have a fragment"
	default:
		return credential(s)
	}
}

// CheckClientCertificate reads a certificate, with those that vouch for it after it where
// there are any, and its private key, both PEM. It gives them with subject and end, or
// CodeInvalid with pointers to /certificate and /key below pointer.
func CheckClientCertificate(certificate, key, pointer string, now time.Time) (ClientCertificate, error) {
	f := faultsBelow{pointer: pointer}
	f.add("certificate", pemText(certificate))
	f.add("key", pemText(key))
	if err := f.err(); err != nil {
		return ClientCertificate{}, err
	}
	leaf, err := firstCertificate(certificate)
	if err != nil {
		f.add("certificate", "is not a certificate in PEM form")
		return ClientCertificate{}, f.err()
	}
	// What crypto/tls says about a key that it cannot read is not handed on, in case it ever
	// quotes one.
	if _, err := tls.X509KeyPair([]byte(certificate), []byte(key)); err != nil {
		f.add("key", "is not the unencrypted private key, in PEM form, of the certificate")
		return ClientCertificate{}, f.err()
	}
	if now.After(leaf.NotAfter) {
		f.add("certificate", "expired at "+leaf.NotAfter.UTC().Format(time.RFC3339))
		return ClientCertificate{}, f.err()
	}
	return ClientCertificate{Certificate: certificate, Key: key, Subject: leaf.Subject.String(), NotAfter: leaf.NotAfter.UTC()}, nil
}

func pemText(s string) string {
	switch {
	case s == "":
		return "is missing"
	case len(s) > maxCertificate:
		return fmt.Sprintf("is longer than %d bytes", maxCertificate)
	default:
		return ""
	}
}

// firstCertificate of a chain is the one that the key belongs to.
func firstCertificate(chain string) (*x509.Certificate, error) {
	for rest := []byte(chain); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New("there is no certificate")
		}
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes) //nolint:wrapcheck // the caller says it in its own words
		}
	}
}
