package pipeline

import "time"

// ProviderSighten is the one provider of contracts and documents that there is.
const ProviderSighten = "sighten"

// Connection is an account at a provider of contracts: where its documents are fetched, and
// the address at which it tells us what has become of a contract.
//
// Its JSON is what the API shows an admin, beside inbound_url: credentials are write-only.
type Connection struct {
	ID            int64     `json:"id"`
	CompanyID     int64     `json:"company_id"`
	Provider      string    `json:"provider"`
	BaseURL       string    `json:"base_url"` // without a slash at its end
	Auth          Auth      `json:"auth"`
	CreateMissing bool      `json:"create_missing"` // a customer and a proposal of which we know nothing are made
	Token         string    `json:"-"`              // the last part of inbound_url
	CreatedAt     time.Time `json:"created_at"`
}

// InboundStatus says what has become of something that a provider told us.
type InboundStatus string

// What a provider tells us begins as received and ends in one of the others. What is unmatched
// can be tried again.
const (
	InboundReceived  InboundStatus = "received"  // it is kept, and a workflow is at work on it
	InboundHandled   InboundStatus = "handled"   // it led to events, or to a document that is fetched
	InboundIgnored   InboundStatus = "ignored"   // it was nothing new
	InboundUnmatched InboundStatus = "unmatched" // it is about a proposal that we do not know
	InboundFailed    InboundStatus = "failed"    // what it says cannot be recorded
)

// Inbound is one thing that a provider told us, as it came. Note says in a sentence why its
// status is what it is.
type Inbound struct {
	ID             int64         `json:"id"`
	CompanyID      int64         `json:"company_id"`
	ConnectionID   int64         `json:"connection_id"`
	Status         InboundStatus `json:"status"`
	Note           Text          `json:"note"`
	DocumentStatus Text          `json:"document_status"`
	Quote          Text          `json:"quote"`
	Site           Text          `json:"site"`
	UpdatedAt      Instant       `json:"date_updated"` // by the provider's clock
	ProposalID     ID            `json:"proposal_id"`
	ReceivedAt     time.Time     `json:"received_at"`
	HandledAt      Instant       `json:"handled_at"`
	Body           Object        `json:"body"`

	// Connection is what it came by, CreateMissing that connection's setting.
	CreateMissing bool `json:"-"`
}

// InboundQuery asks for what providers told a company, newest first.
type InboundQuery struct {
	CompanyID    int64
	ConnectionID int64
	Status       InboundStatus
	Page         Page
}

// KeptStatus says whether we have a document.
type KeptStatus string

// A document is waiting until it was fetched, or until there is no hope any more.
const (
	KeptWaiting KeptStatus = "waiting"
	KeptStored  KeptStatus = "stored"
	KeptFailed  KeptStatus = "failed"
)

// KeptDocument is a contract document that is in our keeping, or is to be. Where the provider
// gave it no uuid, it has one derived from the event that says where to fetch it.
type KeptDocument struct {
	CompanyID    int64
	UUID         string
	ProposalID   int64
	ConnectionID int64  // at which provider it is; 0: it has a URL of its own
	URL          string // where it is fetched, where that is not at a provider
	EventID      string // the contract.signed that named it, where it has a URL of its own
	Status       KeptStatus
	Note         string // why it is not there yet
	File         File
	CreatedAt    time.Time
	StoredAt     Instant
}

// File is what a document consists of. SHA256 is in lower-case hex; it is also where the bytes
// are kept.
type File struct {
	Name        string
	ContentType string
	Size        int64
	SHA256      string
}

// Remote is where a file is fetched, and what lets us in there.
type Remote struct {
	URL  string
	Auth Auth
}
