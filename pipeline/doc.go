// Package pipeline is the domain: what customers and proposals are, which events may
// happen to them and in which state, and what each event does.
//
// It is pure. There is no clock, no I/O and no SDK here; a time, an id or a name that a
// rule needs is handed in. The same code therefore decides a live command inside a
// Temporal workflow, folds a stream read from Postgres, and explains itself to a caller.
//
// The three ideas, in reading order:
//
//   - rules.go: one table that says where each event is legal and what it moves.
//   - Decide (customer.go, proposal.go): command + state → payload of the event, or an error.
//   - Apply: state + event → next state. State is always fold(events).
package pipeline
