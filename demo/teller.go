package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// teller does the steps of a story: it asks for an event, prints the answer, and waits for the
// webhook that tells of it.
type teller struct {
	client   *client
	receiver *receiver
	out      io.Writer
	events   int
}

// subject is an entity of the story.
type subject struct {
	path    string // /v1/proposals/1
	stream  string // proposal-1, which is also the id of its workflow
	version int64  // how many events it has had
}

// move is an event to ask for, with the fields that go with it.
type move struct {
	event string
	data  object
}

func (m move) body() object {
	body := object{"type": m.event, "actor": actor}
	if m.data != nil {
		body["data"] = m.data
	}
	return body
}

// entity is what the demo shows of a customer or a proposal.
type entity struct {
	ID      int64 `json:"id"`
	Version int64 `json:"version"`

	StatusName string `json:"status_name"` // a customer's
	Deleted    bool   `json:"deleted"`

	Status         any    `json:"status"` // a word of a proposal; a number of a customer
	ContractStatus string `json:"contract_status"`
	CreditStatus   string `json:"credit_status"`
	CreditOutcome  string `json:"credit_outcome"`
}

func (e entity) String() string {
	switch {
	case e.Deleted:
		return e.StatusName + ", deleted"
	case e.ContractStatus == "":
		return e.StatusName
	case e.CreditOutcome != "":
		return fmt.Sprintf("%v, contract %s, credit %s", e.Status, e.ContractStatus, e.CreditOutcome)
	default:
		return fmt.Sprintf("%v, contract %s, credit %s", e.Status, e.ContractStatus, e.CreditStatus)
	}
}

func (t *teller) create(ctx context.Context, kind, path string, body object) (*subject, error) {
	var made entity
	if err := t.client.post(ctx, path, body, &made); err != nil {
		return nil, fmt.Errorf("make a %s: %w", kind, err)
	}
	s := &subject{
		path: fmt.Sprintf("/v1/%ss/%d", kind, made.ID), stream: fmt.Sprintf("%s-%d", kind, made.ID), version: made.Version,
	}
	t.answered("a new "+kind, s, http.StatusCreated, made.String())
	return s, t.arrival(ctx, s.stream, s.version)
}

func (t *teller) moves(ctx context.Context, s *subject, moves []move) error {
	for _, m := range moves {
		var done struct {
			State entity `json:"state"`
		}
		if err := t.client.post(ctx, s.path+"/transitions", m.body(), &done); err != nil {
			return fmt.Errorf("%s of %s: %w", m.event, s.stream, err)
		}
		s.version = done.State.Version
		t.answered(m.event, s, http.StatusCreated, done.State.String())
		if err := t.arrival(ctx, s.stream, s.version); err != nil {
			return err
		}
	}
	return nil
}

// refused asks for an event that is not legal now, and shows the refusal.
func (t *teller) refused(ctx context.Context, s *subject, m move) error {
	err := t.client.post(ctx, s.path+"/transitions", m.body(), nil)
	var refusal *problem
	if !errors.As(err, &refusal) || refusal.Code != "illegal_transition" {
		return fmt.Errorf("%s of %s should have been refused as illegal, not answered with: %w", m.event, s.stream, err)
	}
	t.answered(m.event, s, refusal.Status, refusal.Detail)
	t.printf("    ✗ legal now: %s\n", strings.Join(refusal.Allowed, ", "))
	return nil
}

// arrival waits for the webhook of an event and prints it.
func (t *teller) arrival(ctx context.Context, stream string, seq int64) error {
	d, err := t.receiver.await(ctx, stream, seq)
	if err != nil {
		return err
	}
	t.events++
	t.printf("    ✓ %-24s %-14s #%-4d %4d ms  %s\n", d.Type, stream, seq, d.took.Milliseconds(), d.Data.ID)
	return nil
}

func (t *teller) answered(asked string, s *subject, status int, outcome string) {
	t.printf("  → %-26s %-14s %d   %s\n", asked, s.stream, status, outcome)
}

func (t *teller) printf(format string, args ...any) { fmt.Fprintf(t.out, format, args...) }
