package pipeline

import "time"

// ReplayKind says what a replay goes through.
type ReplayKind string

// The kinds of replay.
const (
	ReplayEvents  ReplayKind = "replay"  // a range of the event store, whether it was delivered or not
	ReplayRecover ReplayKind = "recover" // the deliveries that were given up, held or discarded
	ReplayStart   ReplayKind = "start"   // the past, for a new webhook, before its live stream
)

// ReplayStatus says where a replay stands.
type ReplayStatus string

// A replay runs until it is done or cancelled.
const (
	ReplayRunning   ReplayStatus = "running"
	ReplayPaused    ReplayStatus = "paused"
	ReplayCancelled ReplayStatus = "cancelled"
	ReplayDone      ReplayStatus = "done"
)

// Replay sends what is in the event store to one webhook once more, oldest first, with the
// original ids. It moves through positions After < position <= Until; Position is how far it
// has come, and it goes on from there after a crash. A webhook has one at a time.
type Replay struct {
	ID         int64        `json:"id"`
	WebhookID  int64        `json:"webhook_id"`
	Kind       ReplayKind   `json:"kind"`
	Status     ReplayStatus `json:"status"`
	After      int64        `json:"after"`
	Until      int64        `json:"until"`
	Types      []string     `json:"types"`    // patterns; empty: what the webhook subscribes to
	Position   int64        `json:"position"` // the last event that was queued
	Total      int64        `json:"total"`    // events to go through
	Done       int64        `json:"done"`     // of these: sent, or left out by the filter
	Queued     int64        `json:"queued"`   // deliveries that it made
	Rate       float64      `json:"rate"`     // events per second, since it was started or resumed
	ETA        Instant      `json:"eta"`      // when it will be done at that rate; null where that is not known
	CreatedAt  time.Time    `json:"created_at"`
	FinishedAt Instant      `json:"finished_at"`
}

// NewReplay asks for a replay. Where After or Until are not given as positions, the store finds
// them: Since stands for the last position before that time, Until 0 for the newest.
type NewReplay struct {
	CompanyID int64
	WebhookID int64
	Kind      ReplayKind
	After     int64
	Since     time.Time
	Until     int64
	UntilTime time.Time
	Types     []string
}

// Start says where a new webhook begins: with what happens from now on (the zero Start), or
// with the past from the beginning, from after a position, or from a time on.
type Start struct {
	Past  bool
	After int64
	Since time.Time
}

// Drain is how a webhook may be sent to while its workflow is at work.
type Drain struct {
	RateLimit      Rate
	MaxConcurrency int
	PacedUntil     time.Time // the rate limit allows nothing before
}

// Gap is an event that a webhook subscribes to and that its partner has not acknowledged.
// Status is that of its delivery, empty where there is none.
type Gap struct {
	EventID   string    `json:"event_id"`
	EventType EventType `json:"event_type"`
	Position  int64     `json:"position"`
	Stream    Stream    `json:"stream"`
	Version   int64     `json:"seq"`
	Timestamp time.Time `json:"timestamp"`
	Status    Text      `json:"delivery_status"`
	Delivery  ID        `json:"delivery_id"`
}

// GapQuery asks for the gaps of a webhook with positions after After, up to Until (0: the
// newest). At most Limit are answered, and a bounded number of events is looked at for that.
type GapQuery struct {
	CompanyID int64
	WebhookID int64
	After     int64
	Until     int64
	Limit     int
}

// Gaps is a part of the gaps of a webhook; what was looked at ends at Next, the After of the
// next question, which is 0 where everything was.
type Gaps struct {
	Gaps []Gap
	Next int64
}

// StatsHour sums up the attempts at a webhook in one hour.
type StatsHour struct {
	Hour        time.Time `json:"hour"`
	Attempts    int64     `json:"attempts"`
	Succeeded   int64     `json:"succeeded"`
	SuccessRate float64   `json:"success_rate"` // 0 to 1
	P50MS       float64   `json:"p50_ms"`       // of the time to an answer
	P95MS       float64   `json:"p95_ms"`
}
