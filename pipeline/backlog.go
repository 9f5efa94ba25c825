package pipeline

import "time"

// Backlog is what waits to be delivered, in all companies.
type Backlog struct {
	Queues    []Queue       // of the webhooks that have something to wait for or whose circuit is open
	OldestDue time.Duration // for how long a delivery has been due at an endpoint whose circuit is closed
	Workers   int           // alive
}

// Queue is what waits for one webhook.
type Queue struct {
	WebhookID   int64 `db:"webhook_id"`
	Due         int64 `db:"due"`
	Held        int64 `db:"held"`
	CircuitOpen bool  `db:"circuit_open"`
}
