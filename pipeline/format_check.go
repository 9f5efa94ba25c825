package pipeline

import (
	"slices"
	"strings"
)

// The constraints that Solve360 has for each class of its events, beside ConstraintAll
// ("Webhook Management"). Most are of things that do not exist here: a webhook may have them,
// and is told nothing.
var solve360Constraints = map[string][]string{
	"items": {"contact", "projectblog", "company"},
	"activities": {
		"call", "comment", "file", "googledoc", "linkedemails", "note", "photo", "photolist", "task", "tasklist", "website", "event",
		"separator", "opportunity", "timerecord", "scheduledemail", "attachmentfile", "freshbookswidget", "zendeskwidget", "xerowidget",
		"constantcontactwidget", "mailchimpwidget", "followup",
	},
}

// solve360Events are the events that Solve360 has ("Webhook Management"); no event here is an
// activity that is restored.
var solve360Events = []string{
	"items.categorize", "items.uncategorize", "items.update", "items.create", "items.delete", "items.restore",
	"activities.update", "activities.create", "activities.delete", "activities.restore",
}

// CheckFormat says what is wrong with a webhook's format and what the format leaves to choose,
// by pointers to the fields of the webhook. What is empty is chosen by the format.
func CheckFormat(w Webhook) error {
	var f faults
	f.unless(slices.Contains(Formats(), w.Format), "/format", "has to be "+orList(Formats()))
	f.choice(w.ContentType, "/content_type", w.Format, FormatSolve360, ContentXML, ContentJSON, ContentForm)
	f.choice(w.Method, "/method", w.Format, FormatSighten, "POST", "PUT", "PATCH")
	if w.EventName != "" {
		f.unless(slices.Contains(eventNames(w.Format), w.EventName), "/event_name", "is not an event of this format")
	}
	if w.Constraint != "" {
		f.unless(w.Format == FormatSolve360, "/constraint", "is for the format "+FormatSolve360+" only")
		f.unless(constrains(w.Constraint, w.EventName), "/constraint", "is not a constraint of this event")
	}
	return Invalid(f...)
}

// choice checks a value that is for one format only, and one of a few.
func (f *faults) choice(value, pointer, format, only string, of ...string) {
	if value == "" {
		return
	}
	f.unless(format == only, pointer, "is for the format "+only+" only")
	f.unless(slices.Contains(of, value), pointer, "has to be "+orList(of))
}

// eventNames lists what the events of a format's system are called.
func eventNames(format string) []string {
	if format == FormatSolve360 {
		return solve360Events
	}
	var out []string
	for _, entry := range catalogue {
		for _, n := range entry.Names.in(format) {
			out = append(out, n.Event)
		}
	}
	return out
}

// constrains reports that Solve360 has the constraint for the event, or for any of its events
// where that is empty.
func constrains(constraint, event string) bool {
	if constraint == ConstraintAll {
		return true
	}
	for class, constraints := range solve360Constraints {
		if (event == "" || strings.HasPrefix(event, class+".")) && slices.Contains(constraints, constraint) {
			return true
		}
	}
	return false
}

func orList(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
