package pipeline

import (
	"fmt"
	"slices"
	"strings"
)

// Mermaid draws a track as the text of a Mermaid state diagram, from the rules themselves:
// docs/architecture.md embeds it and a test compares. The state "none", where every track
// starts, is drawn as [*]; what an event needs of the other tracks stands in brackets.
func Mermaid(track Track) string {
	kind := KindProposal
	if track == TrackCustomer {
		kind = KindCustomer
	}
	rules := Rules(kind)
	states := statesOf(rules, track)
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n")
	for _, r := range rules {
		if r.Track != track {
			continue
		}
		for _, from := range r.from(track, states) {
			fmt.Fprintf(&b, "    %s --> %s: %s\n", node(from), node(r.To), r.label())
		}
	}
	for _, state := range states {
		if still := unmoved(rules, track, state); len(still) > 0 {
			fmt.Fprintf(&b, "    %s --> %s: %s\n", node(state), node(state), strings.Join(still, ", "))
		}
	}
	return b.String()
}

// statesOf lists the states of a track in the order in which the rules reach them.
func statesOf(rules []Rule, track Track) []string {
	states := []string{StateNone}
	for _, r := range rules {
		if r.Track == track && !slices.Contains(states, r.To) {
			states = append(states, r.To)
		}
	}
	return states
}

// from lists the states of its track that a rule leads out of: those it needs, or all.
func (r Rule) from(track Track, all []string) []string {
	for _, n := range r.Needs {
		if n.Track == track {
			return n.In
		}
	}
	return all
}

// label names the event, and what it needs of tracks other than its own.
func (r Rule) label() string {
	words := []string{string(r.Type)}
	for _, n := range r.Needs {
		if n.Track != r.Track {
			words = append(words, fmt.Sprintf("[%s %s]", n.Track, strings.Join(n.In, " or ")))
		}
	}
	return strings.Join(words, " ")
}

// unmoved lists the events that look at this track in this state and move nothing.
func unmoved(rules []Rule, track Track, state string) []string {
	var still []string
	for _, r := range rules {
		if r.To == "" && slices.Contains(r.from(track, nil), state) {
			still = append(still, string(r.Type))
		}
	}
	return still
}

func node(state string) string {
	if state == StateNone {
		return "[*]"
	}
	return state
}
