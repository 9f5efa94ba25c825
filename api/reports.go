package api

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
)

// listGaps answers GET /v1/webhooks/{id}/gaps: the events that the webhook is subscribed to and
// its partner has not acknowledged, oldest first.
//
// A page ends where enough events were looked at, so it may be short, or empty, and have a next
// one all the same; only a next_cursor of null says that there is no more.
func (s *Server) listGaps(c *gin.Context) error {
	query := newQuery(c)
	page := query.page()
	q := pipeline.GapQuery{
		// A cursor is the position up to which was looked.
		After: max(query.number("after", 0, maxID, 0), page.Cursor),
		Until: query.number("until", 1, maxID, 0),
		Limit: page.Limit - 1, // the store says by itself whether there is more
	}
	if err := query.err(); err != nil {
		return err
	}
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	q.CompanyID, q.WebhookID = w.CompanyID, w.ID
	found, err := s.store.Gaps(c.Request.Context(), q)
	if err != nil {
		return err
	}
	shown := whole(found.Gaps)
	if found.Next > 0 {
		next := newCursor(found.Next)
		shown.NextCursor = &next
	}
	return answer(c, http.StatusOK, shown)
}

// How many hours statistics may go back; a week shows what a day of the week is like.
const (
	defaultHours = 24
	maxHours     = 7 * 24
)

// stats says how a webhook has been doing. Hours without attempts are left out.
type stats struct {
	WebhookID int64                `json:"webhook_id"`
	From      time.Time            `json:"from"`
	To        time.Time            `json:"to"`
	Total     totals               `json:"total"`
	Hours     []pipeline.StatsHour `json:"hours"`
	Health    pipeline.Health      `json:"health"`
}

// totals sum up hours. The rate is null where no attempt was made; medians cannot be summed up.
type totals struct {
	Attempts    int64    `json:"attempts"`
	Succeeded   int64    `json:"succeeded"`
	SuccessRate *float64 `json:"success_rate"` // 0 to 1
}

// showStats answers GET /v1/webhooks/{id}/stats: the present hour, of which only a part is
// over, and those before it.
func (s *Server) showStats(c *gin.Context) error {
	query := newQuery(c)
	hours := query.number("hours", 1, maxHours, defaultHours)
	if err := query.err(); err != nil {
		return err
	}
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	now := s.clock()
	from := now.Truncate(time.Hour).Add(-time.Duration(hours-1) * time.Hour)
	rows, err := s.store.Stats(c.Request.Context(), w.CompanyID, w.ID, from)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, stats{
		WebhookID: w.ID, From: from, To: now, Total: sum(rows), Hours: whole(rows).Data, Health: w.Health,
	})
}

func sum(hours []pipeline.StatsHour) totals {
	var t totals
	for _, hour := range hours {
		t.Attempts += hour.Attempts
		t.Succeeded += hour.Succeeded
	}
	if t.Attempts > 0 {
		rate := float64(t.Succeeded) / float64(t.Attempts)
		t.SuccessRate = &rate
	}
	return t
}
