package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
)

// timelineItem is one line of an entity's story. Kind says which of the fields is there.
type timelineItem struct {
	Kind     string            `json:"kind"` // event, delivery or attempt
	At       time.Time         `json:"at"`
	Event    *pipeline.Event   `json:"event,omitempty"`
	Delivery *timelineDelivery `json:"delivery,omitempty"`
	Attempt  *timelineAttempt  `json:"attempt,omitempty"`
}

// timelineDelivery is a delivery whose attempts stand on lines of their own.
type timelineDelivery struct {
	ID            int64                   `json:"id"`
	WebhookID     int64                   `json:"webhook_id"`
	EventID       string                  `json:"event_id"`
	EventType     pipeline.EventType      `json:"event_type"`
	Status        pipeline.DeliveryStatus `json:"status"`
	NextAttemptAt pipeline.Instant        `json:"next_attempt_at"`
}

type timelineAttempt struct {
	DeliveryID int64  `json:"delivery_id"`
	WebhookID  int64  `json:"webhook_id"`
	EventID    string `json:"event_id"`
	pipeline.Attempt
}

// timeline answers GET /v1/{customers,proposals}/{id}/timeline: what happened and who was
// told, as one. A customer's has its proposals' events too.
//
// A page is a number of events, in the order in which they were recorded, with all deliveries
// and attempts of those; within the page all is in the order of time.
func (s *Server) timeline(kind pipeline.Kind) handler {
	return func(c *gin.Context) error {
		stream, page, err := s.streamPage(c, kind)
		if err != nil {
			return err
		}
		events, deliveries, err := s.store.Timeline(c.Request.Context(), caller(c).CompanyID, stream, page.Cursor, page.Limit)
		if err != nil {
			return err
		}
		shown := newList(events, page, func(e pipeline.Event) int64 { return e.Position })
		return answer(c, http.StatusOK, list[timelineItem]{Data: story(shown.Data, deliveries), NextCursor: shown.NextCursor})
	}
}

// story puts events and what was delivered of them in the order of time. At the same time, an
// event comes before its deliveries and those before their attempts.
func story(events []pipeline.Event, deliveries []pipeline.Delivery) []timelineItem {
	ofEvent := map[string][]pipeline.Delivery{}
	for _, d := range deliveries {
		ofEvent[d.EventID] = append(ofEvent[d.EventID], d)
	}
	items := []timelineItem{}
	for i, e := range events {
		items = append(items, timelineItem{Kind: "event", At: e.RecordedAt, Event: &events[i]})
		for _, d := range ofEvent[e.ID] {
			items = append(items, told(e, d)...)
		}
	}
	slices.SortStableFunc(items, func(a, b timelineItem) int { return a.At.Compare(b.At) })
	return items
}

// told is a delivery and its attempts. A delivery is made in the transaction that records its
// event, so their time is the same.
func told(e pipeline.Event, d pipeline.Delivery) []timelineItem {
	items := make([]timelineItem, 0, 1+len(d.Attempts))
	items = append(items, timelineItem{Kind: "delivery", At: e.RecordedAt, Delivery: &timelineDelivery{
		ID: d.ID, WebhookID: d.WebhookID, EventID: d.EventID, EventType: d.EventType,
		Status: d.Status, NextAttemptAt: d.NextAttemptAt,
	}})
	for _, a := range d.Attempts {
		items = append(items, timelineItem{Kind: "attempt", At: a.At, Attempt: &timelineAttempt{
			DeliveryID: d.ID, WebhookID: d.WebhookID, EventID: d.EventID, Attempt: a,
		}})
	}
	return items
}
