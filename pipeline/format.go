package pipeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// The formats of other systems, beside FormatNative: what a webhook's "format" may say.
const (
	FormatSolo       = "solo"
	FormatSolarProof = "solarproof"
	FormatSolve360   = "solve360"
	FormatSighten    = "sighten"
)

// Formats lists what a webhook's "format" may say.
func Formats() []string {
	return []string{FormatNative, FormatSolo, FormatSolarProof, FormatSolve360, FormatSighten}
}

// What Solve360 can write a notification in: a webhook's content_type, XML unless it says.
const (
	ContentXML  = "xml"
	ContentJSON = "json"
	ContentForm = "form"
)

// ConstraintAll is Solve360's constraint that lets everything pass.
const ConstraintAll = "all"

// in are the names that a format has for an event; none in the native one, which needs none.
func (n Names) in(format string) []Name {
	switch format {
	case FormatSolo:
		return n.Solo
	case FormatSolarProof:
		return n.SolarProof
	case FormatSolve360:
		return n.Solve360
	case FormatSighten:
		return n.Sighten
	default:
		return nil
	}
}

// Speaks reports that a format has a name for events of the type, if perhaps not for each of
// them: Namings tells. The native format speaks of everything.
func Speaks(format string, t EventType) bool {
	if format == FormatNative {
		return true
	}
	entry, _ := Lookup(t)
	return len(entry.Names.in(format)) > 0
}

// Naming is what a format calls an event.
type Naming struct {
	Format string
	Name
}

// Namings lists what the formats of other systems call this very event, by its kind of entity
// and the state after it. A webhook of such a format whose Wants refuses them all has nothing
// to be told.
func Namings(e Event) ([]Naming, error) {
	entry, _ := Lookup(e.Type)
	var out []Naming
	for _, format := range Formats() {
		for _, name := range entry.Names.in(format) {
			fits, err := name.fits(e)
			if err != nil {
				return nil, err
			}
			if fits {
				out = append(out, Naming{format, name})
			}
		}
	}
	return out, nil
}

func (n Name) fits(e Event) (bool, error) {
	if n.Kind != "" && n.Kind != e.Stream.Kind() {
		return false, nil
	}
	if n.While == "" {
		return true, nil
	}
	var after struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal(e.State, &after); err != nil {
		return false, fmt.Errorf("state after %s %s: %w", e.Type, e.ID, err)
	}
	return n.While == after.Status, nil
}

// Wants reports that the webhook is to be told of what has this name: it is of its format, and
// it is the one that the webhook subscribed to, where it named one.
func (w Webhook) Wants(n Naming) bool {
	if n.Format != w.Format || (w.EventName != "" && w.EventName != n.Event) {
		return false
	}
	return n.ConstraintType == "" || w.Constraint == "" || w.Constraint == ConstraintAll || w.Constraint == n.ConstraintType
}

// Topic is what the webhook is to be told, in the words of its format; empty in the native one,
// which can tell every event. The webhook wants one of an event's namings where its topic is one
// of the event's Topics.
func (w Webhook) Topic() string {
	if w.Format == FormatNative {
		return ""
	}
	constraint := w.Constraint
	if constraint == ConstraintAll || w.Format != FormatSolve360 {
		constraint = ""
	}
	return topic(w.Format, w.EventName, constraint)
}

// topic has an empty part for "any".
func topic(format, event, constraint string) string {
	return strings.Join([]string{format, event, constraint}, "/")
}

// Topics are to the formats of other systems what Patterns are to event types: the topics of the
// webhooks that want to be told of this very event.
func Topics(e Event) ([]string, error) {
	namings, err := Namings(e)
	if err != nil {
		return nil, err
	}
	out := []string{}
	for _, n := range namings {
		out = append(out, topic(n.Format, "", ""), topic(n.Format, n.Event, ""))
		if n.ConstraintType != "" {
			out = append(out, topic(n.Format, "", n.ConstraintType), topic(n.Format, n.Event, n.ConstraintType))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// Shape is what an event has to be like, beside its type, for a format to have a name for it.
type Shape struct {
	Type  EventType
	Kind  Kind   // of the entity; empty: any
	While string // the entity's status after the event; empty: any
}

// Shapes are what Topics is for many events and one webhook: an event is one that it wants to be
// told of where it is like one of these. Not for the native format, which knows no such thing.
func (w Webhook) Shapes() []Shape {
	var out []Shape
	for _, entry := range catalogue {
		for _, n := range entry.Names.in(w.Format) {
			shape := Shape{entry.Type, n.Kind, n.While}
			if w.Wants(Naming{w.Format, n}) && !slices.Contains(out, shape) {
				out = append(out, shape)
			}
		}
	}
	return out
}

// Names are what the webhook is told an event by, none where it is told nothing of it.
func (w Webhook) Names(e Event) ([]Name, error) {
	all, err := Namings(e)
	var out []Name
	for _, n := range all {
		if w.Wants(n) {
			out = append(out, n.Name)
		}
	}
	return out, err
}

// Types lists the event types that the webhook can be told of at all, by its format, EventName
// and Constraint: what a subscription in its system's words comes to in ours.
func (w Webhook) Types() []EventType {
	var out []EventType
	for _, entry := range catalogue {
		wants := func(n Name) bool { return w.Wants(Naming{w.Format, n}) }
		if w.Format == FormatNative || slices.ContainsFunc(entry.Names.in(w.Format), wants) {
			out = append(out, entry.Type)
		}
	}
	return out
}
