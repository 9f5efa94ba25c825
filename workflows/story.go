package workflows

import (
	"fmt"
	"strings"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// storyLines bounds what the Temporal UI shows as a workflow's details.
const storyLines = 30

// story is the deal so far, as the Temporal UI shows it under "current details": event by
// event, without any personal data.
type story struct {
	lines []string
}

func (s *story) add(e pipeline.Event, deliveries int) {
	line := fmt.Sprintf("- **%d** %#q %s", e.Version, e.Type, e.Timestamp.UTC().Format(time.RFC3339))
	if e.Actor.UserID != 0 {
		line += fmt.Sprintf(", by user %d", e.Actor.UserID)
	}
	if e.Cause != nil {
		line += fmt.Sprintf(", because of %#q in %s", e.Cause.Type, e.Cause.Stream)
	}
	if deliveries > 0 {
		line += " → " + count(deliveries, "webhook")
	}
	s.lines = append(s.lines, line)
	if len(s.lines) > storyLines {
		s.lines = s.lines[len(s.lines)-storyLines:]
	}
}

func (s *story) String() string { return strings.Join(s.lines, "\n") }

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
