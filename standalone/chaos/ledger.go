package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// Ledger is what was seen from outside: what was asked and answered, what receivers got, what
// readers of the feed read. The checker holds it against the store. It is safe for concurrent use.
type Ledger struct {
	mu         sync.Mutex
	requests   []Request
	receptions []Reception
	hooks      []Subscription
	feeds      map[int64][]pipeline.Event // by company, in the order in which they were read
	breaches   []Breach
	mended     time.Time
	repeats    int
}

// NewLedger gives an empty one.
func NewLedger() *Ledger { return &Ledger{feeds: map[int64][]pipeline.Event{}} }

// Outcome is what became of a request in the end.
type Outcome string

// A request is repeated until it is acked or refused. It is left open where the load was told to
// end before that: then its event may be there or not.
const (
	OutcomeAcked   Outcome = "acked"
	OutcomeRefused Outcome = "refused"
	OutcomeOpen    Outcome = "open"
)

// Request is a command as its client saw it, all its tries together.
type Request struct {
	Key       string // Idempotency-Key
	CompanyID int64
	Stream    pipeline.Stream // of a creation: known from its answer only
	Type      pipeline.EventType
	Sent      time.Time // the first try
	Answered  time.Time
	Tries     int
	Outcome   Outcome
	Status    int

	// What an acked one was answered.
	EventID string
	Version int64
	State   json.RawMessage
}

// Reception is one request that came to a receiver.
type Reception struct {
	At        time.Time // it had been read whole
	Answered  time.Time // zero: not at all
	WebhookID int64
	MessageID string // the header webhook-id
	EventID   string
	Type      pipeline.EventType
	CompanyID int64
	Stream    pipeline.Stream
	Version   int64
	Position  int64
	Status    int // 0: no answer
}

// Taken reports that the receiver said that it has the event.
func (r Reception) Taken() bool { return r.Status >= 200 && r.Status < 300 }

// Subscription is a webhook of the load's.
type Subscription struct {
	ID        int64
	CompanyID int64
	Name      string
	Patterns  []string
	Filter    func(pipeline.Event) bool // nil: every event of the patterns
	Ordered   bool
	// Steady: its receiver answers all it gets, and at once. So what it waits for, it waits for
	// because of others.
	Steady bool
	// Interrupted: by intent it does not get everything before the load ends.
	Interrupted bool
}

func (s Subscription) wants(e pipeline.Event) bool {
	if e.CompanyID != s.CompanyID {
		return false
	}
	patterns := pipeline.Patterns(e.Type)
	wanted := slices.ContainsFunc(s.Patterns, func(p string) bool { return slices.Contains(patterns, p) })
	return wanted && (s.Filter == nil || s.Filter(e))
}

// BreachKind says which promise was broken, and how.
type BreachKind string

// What can be broken. The number is that of the promise in the README.
const (
	BreachLost        BreachKind = "1: lost"              // acked, and not in the store
	BreachDoubled     BreachKind = "1: doubled"           // in the store, and nobody asked for it (again)
	BreachAnswer      BreachKind = "1: other answer"      // the store, or a repeat, says something else than the answer
	BreachRefusal     BreachKind = "1: wrongly refused"   // neither done nor refused for a reason
	BreachFollowUp    BreachKind = "1: no follow-up"      // a signature that did not reach its customer
	BreachGap         BreachKind = "2: gap"               // versions that are not 1, 2, 3…
	BreachFold        BreachKind = "2: not the fold"      // a state that the events do not lead to
	BreachTrace       BreachKind = "3: trace"             // of what was refused
	BreachNoDelivery  BreachKind = "4: no delivery"       // an event that matches, and no row
	BreachDelivery    BreachKind = "4: wrong delivery"    // a row too many
	BreachUnsent      BreachKind = "4: not delivered"     // at the end
	BreachNotReceived BreachKind = "5: not received"      // delivered says the store, and nobody took it
	BreachMessage     BreachKind = "5: wrong message"     // its id, its seq, its place or its signature
	BreachOrder       BreachKind = "6: out of order"      // first attempts
	BreachOvertaken   BreachKind = "6: overtaken"         // at an ordered webhook
	BreachStalled     BreachKind = "7: stalled"           // for no reason that is known
	BreachLate        BreachKind = "7: late"              // after the last fault was healed
	BreachFeed        BreachKind = "8: feed"              // it skipped something, or went back
	BreachForeign     BreachKind = "9: another company's" // data were seen
)

// Breach is a promise that was broken. At is when what it is about happened.
type Breach struct {
	Kind BreachKind
	What string
	At   time.Time
}

func (b Breach) String() string { return string(b.Kind) + ": " + b.What }

func breachf(kind BreachKind, at time.Time, format string, args ...any) Breach {
	return Breach{Kind: kind, At: at, What: fmt.Sprintf(format, args...)}
}

// complain notes what can be seen to be wrong at once.
func (l *Ledger) complain(b Breach) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.breaches = append(l.breaches, b)
}

func (l *Ledger) noteRequest(r Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = append(l.requests, r)
}

func (l *Ledger) noteRepeat() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.repeats++
}

func (l *Ledger) noteReception(r Reception) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.receptions = append(l.receptions, r)
}

func (l *Ledger) noteFeed(companyID int64, events []pipeline.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.feeds[companyID] = append(l.feeds[companyID], events...)
}

func (l *Ledger) subscribe(s Subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hooks = append(l.hooks, s)
}

// noteMended: from now on receivers take all they get.
func (l *Ledger) noteMended(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mended = at
}

// Acked counts the requests that were answered with what they led to.
func (l *Ledger) Acked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, r := range l.requests {
		if r.Outcome == OutcomeAcked {
			n++
		}
	}
	return n
}

// lastTaken is when the last event was taken by a receiver that had not taken it before.
func (l *Ledger) lastTaken() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	var last time.Time
	for _, at := range firstTaken(l.receptions) {
		if at.After(last) {
			last = at
		}
	}
	return last
}

// message is an event at a webhook.
type message struct {
	webhook int64
	event   string
}

// firstTaken is when each message was taken for the first time.
func firstTaken(receptions []Reception) map[message]time.Time {
	taken := map[message]time.Time{}
	for _, r := range receptions {
		if !r.Taken() {
			continue
		}
		m := message{r.WebhookID, r.EventID}
		if at, again := taken[m]; !again || r.At.Before(at) {
			taken[m] = r.At
		}
	}
	return taken
}

// readUpTo is the last position that was read of a company's feed.
func (l *Ledger) readUpTo(companyID int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	events := l.feeds[companyID]
	if len(events) == 0 {
		return 0
	}
	return events[len(events)-1].Position
}
