package pipeline

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// AuthType says how a partner's endpoint knows us.
type AuthType string

// The kinds of authentication (shared facts on Solo, "API Trigger Events").
const (
	AuthNone   AuthType = "none"
	AuthBasic  AuthType = "basic"
	AuthBearer AuthType = "bearer"
	AuthAPIKey AuthType = "api_key"
	AuthOAuth2 AuthType = "oauth2" // client credentials
)

// Where an API key is put.
const (
	InHeader = "header"
	InQuery  = "query"
)

// Auth is what is sent to a partner's endpoint to be let in. Which fields count follows from
// the type. Its JSON and its text leave out what is secret; to keep it, convert it to
// KeptAuth.
type Auth struct {
	Type         AuthType `json:"type"`
	Username     string   `json:"username,omitempty"`
	Password     string   `json:"password,omitempty"`
	Token        string   `json:"token,omitempty"`
	Name         string   `json:"name,omitempty"`
	Value        string   `json:"value,omitempty"`
	In           string   `json:"in,omitempty"`
	TokenURL     string   `json:"token_url,omitempty"`
	ClientID     string   `json:"client_id,omitempty"`
	ClientSecret string   `json:"client_secret,omitempty"`
	Scope        string   `json:"scope,omitempty"`
}

// KeptAuth is an Auth whose JSON has everything, for the store to seal.
type KeptAuth Auth

// MarshalJSON writes what is not secret.
func (a Auth) MarshalJSON() ([]byte, error) {
	if a.Type == "" {
		a.Type = AuthNone
	}
	a.Password, a.Token, a.Value, a.ClientSecret = "", "", "", ""
	return json.Marshal(KeptAuth(a))
}

// String keeps credentials out of logs.
func (a Auth) String() string { return "auth " + string(a.Type) }

// GoString keeps credentials out of logs.
func (a Auth) GoString() string { return a.String() }

// Headers are sent with every delivery. Their values may be credentials, so that JSON and text
// have their names only.
type Headers map[string]string

// Names of the headers, sorted.
func (h Headers) Names() []string {
	names := slices.AppendSeq(make([]string, 0, len(h)), maps.Keys(h))
	slices.Sort(names)
	return names
}

// MarshalJSON writes the names.
func (h Headers) MarshalJSON() ([]byte, error) { return json.Marshal(h.Names()) }

// String keeps the values out of logs.
func (h Headers) String() string { return "headers" }

// GoString keeps the values out of logs.
func (h Headers) GoString() string { return h.String() }

// ClientCertificate is shown to endpoints that ask for one (mutual TLS). Both parts are PEM;
// Subject and NotAfter are read from the certificate when it is saved.
type ClientCertificate struct {
	Certificate string    `json:"-"`
	Key         string    `json:"-"`
	Subject     string    `json:"subject"`
	NotAfter    time.Time `json:"not_after"`
}

// MarshalJSON writes what tells it from others, and null where there is none.
func (c ClientCertificate) MarshalJSON() ([]byte, error) {
	if c == (ClientCertificate{}) {
		return []byte("null"), nil
	}
	type shown ClientCertificate
	return json.Marshal(shown(c))
}

// String keeps the key out of logs.
func (c ClientCertificate) String() string { return "client certificate " + c.Subject }

// GoString keeps the key out of logs.
func (c ClientCertificate) GoString() string { return c.String() }

// Signing is what deliveries are signed with, by Standard Webhooks: v1 (HMAC-SHA256) with the
// secret, and with the one before it until PreviousUntil; v1a (ed25519) with the key of Seed,
// where there is one.
type Signing struct {
	Secret         string // whsec_…, shown once
	PreviousSecret string
	PreviousUntil  time.Time
	Seed           []byte // 32 bytes
}

// String keeps the secrets out of logs.
func (s Signing) String() string { return "signing keys" }

// GoString keeps the secrets out of logs.
func (s Signing) GoString() string { return s.String() }
