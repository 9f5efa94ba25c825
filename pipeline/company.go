package pipeline

import "time"

// Role says how far an API key reaches.
type Role string

// The roles: admin does all, app drives the lifecycles and reads, partner has its own
// webhooks and the events that they match.
const (
	RoleAdmin   Role = "admin"
	RoleApp     Role = "app"
	RolePartner Role = "partner"
)

// Key is an API key as it is kept: the key itself is shown once and stored only as a hash.
type Key struct {
	ID         int64     `json:"id"`
	CompanyID  int64     `json:"company_id"`
	Name       string    `json:"name"`
	Role       Role      `json:"role"`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt Instant   `json:"last_used_at"` // to the minute
	RevokedAt  Instant   `json:"revoked_at"`
	ExpiresAt  Instant   `json:"expires_at"` // from then on it opens nothing; null: it does not end by itself
	RateLimit  Rate      `json:"rate_limit"` // requests a second; null: what every key may
}

// Status is one of the statuses that a company gives its customers.
type Status struct {
	Code int    `json:"code"`
	Name string `json:"name"`
}

// StatusNew is what a customer starts with, StatusSigned what a signed contract moves it to
// (Solar Proof, "Webhook Events Reference": customer_status).
const (
	StatusNew    = 1
	StatusSigned = 2
)

// Statuses of a company.
type Statuses []Status

// DefaultStatuses are those of a company that has defined none of its own.
func DefaultStatuses() Statuses {
	return Statuses{{0, "No Status"}, {StatusNew, "New Contacts"}, {StatusSigned, "Signed"}, {3, "Mega Status"}}
}

// Name of a status, false where the company has no such status.
func (s Statuses) Name(code int) (string, bool) {
	for _, status := range s {
		if status.Code == code {
			return status.Name, true
		}
	}
	return "", false
}

// Idempotency is a caller's promise that equal keys mean the same request. Scope keeps the
// keys of partners apart (it is the API key's id for them, else 0); Fingerprint is a hash of
// the request, by which a key used twice for different things is found out.
type Idempotency struct {
	Scope       int64  `json:"scope,omitempty"`
	Key         string `json:"key,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
}

// Page asks for a part of a list: at most Limit rows after the one that Cursor names, from
// the newest on. Zero means from the start.
type Page struct {
	Cursor int64
	Limit  int
}

// NewKey is an API key at the one moment when its secret is known.
type NewKey struct {
	Key
	Secret string `json:"key"`
}

// Target is what is known of an entity before a command goes to its workflow. EventID is set
// where the caller's idempotency key has led to an event already.
type Target struct {
	Version    int64
	CustomerID int64
	EventID    string
	Erased     bool // the customer was
}

// Reservation is the id that a new entity is to have. EventID is set where a retry finds the
// entity made already.
type Reservation struct {
	ID      int64
	EventID string
}

// FeedQuery asks for a company's events after a position.
type FeedQuery struct {
	CompanyID  int64
	After      int64
	Types      []string
	PartnerKey int64 // not 0: only events that this key's webhooks matched
	Limit      int
}

// CustomerQuery asks for customers, newest first.
type CustomerQuery struct {
	CompanyID int64
	Status    Given[int]
	OwnerID   int64
	Search    string
	Page      Page
}

// ProposalQuery asks for proposals, newest first.
type ProposalQuery struct {
	CompanyID      int64
	CustomerID     int64
	Status         string
	ContractStatus string
	Page           Page
}

// DeliveryQuery asks for deliveries, newest first.
type DeliveryQuery struct {
	CompanyID  int64
	WebhookID  int64
	Status     DeliveryStatus
	EventID    string
	PartnerKey int64 // not 0: only those of this key's webhooks
	Page       Page
}
