package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
)

// feedAnswer is a part of the feed. Position is what to ask on after: that of the last event,
// or the one that was asked for where there is nothing new. There are no further pages: the
// feed goes on for ever.
type feedAnswer struct {
	list[pipeline.Event]
	Position int64 `json:"position"`
}

// feed answers GET /v1/events: the company's events after a position, in order, operational
// ones only where types names them. With wait it waits that long for one to happen where there
// is none yet.
func (s *Server) feed(c *gin.Context) error {
	query := newQuery(c)
	q := pipeline.FeedQuery{
		CompanyID:  caller(c).CompanyID,
		After:      query.number("after", 0, maxID, 0),
		Types:      query.eventTypes("types"),
		PartnerKey: partnerKey(c),
		Limit:      query.limit(),
	}
	wait := query.wait("wait")
	if err := query.err(); err != nil {
		return err
	}
	events, err := s.store.Feed(c.Request.Context(), q)
	if err == nil && len(events) == 0 && wait > 0 {
		events, err = s.awaitEvents(c.Request.Context(), q, wait)
	}
	if err != nil {
		return err
	}
	position := q.After
	if len(events) > 0 {
		position = events[len(events)-1].Position
	}
	return answer(c, http.StatusOK, feedAnswer{list: whole(events), Position: position})
}

// eventTypes reads a list of types and families, such as "proposal.*,contract.signed", and
// gives the types that are meant; none where the parameter was left out.
func (q *query) eventTypes(name string) []string {
	text := q.text(name)
	if text == "" {
		return nil
	}
	var types []string
	for pattern := range strings.SplitSeq(text, ",") {
		matched := matching(pattern)
		if len(matched) == 0 {
			q.refusef(name, "has %q, which is no event type and no family of them", printable(pattern))
			return nil
		}
		types = append(types, matched...)
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// matching lists the event types that a pattern stands for, operational ones too.
func matching(pattern string) []string {
	var types []string
	for _, entry := range append(pipeline.Catalogue(), pipeline.Notices()...) {
		if slices.Contains(pipeline.Patterns(entry.Type), pattern) {
			types = append(types, string(entry.Type))
		}
	}
	return types
}

const maxWait = 30 * time.Second

// wait reads how long to wait, 0 where the parameter was left out.
func (q *query) wait(name string) time.Duration {
	text := q.text(name)
	if text == "" {
		return 0
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 || wait > maxWait {
		q.refusef(name, "has to be a time up to %s, such as 20s", maxWait)
		return 0
	}
	return wait
}

// A waiting reader looks again when the watcher has news, and by itself now and then: news
// can be known before its transaction is visible, and then looking once is not enough.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// awaitEvents waits until the query has an answer; it answers with nothing when the time is
// up, or when the server is to end. Where too many wait already it refuses: an answer would only
// make the caller ask again at once.
func (s *Server) awaitEvents(ctx context.Context, q pipeline.FeedQuery, wait time.Duration) ([]pipeline.Event, error) {
	news, leave, ok := s.watcher.join(ctx)
	if !ok {
		return nil, pipeline.Errorf(pipeline.CodeUnavailable, "too many wait for news; ask again")
	}
	defer leave()
	mine := claimOf(ctx)
	defer mine.rest()
	end := time.NewTimer(wait)
	defer end.Stop()
	pause := firstPause
	for {
		mine.rest()
		again := time.NewTimer(pause)
		select {
		case <-news:
			pause = firstPause
		case <-again.C:
			pause = min(2*pause, longestPause)
		case <-end.C:
			return nil, nil
		case <-s.draining:
			return nil, nil
		case <-ctx.Done(): // the caller hung up: nobody reads the answer
			return nil, nil
		}
		again.Stop()
		if mine.work(ctx) != nil {
			continue // there is too much to do just now; news do not go away
		}
		events, err := s.store.Feed(ctx, q)
		if err != nil || len(events) > 0 {
			return events, err
		}
	}
}

// streamEvents answers GET /v1/{customers,proposals}/{id}/events, oldest first.
func (s *Server) streamEvents(kind pipeline.Kind) handler {
	return func(c *gin.Context) error {
		stream, page, err := s.streamPage(c, kind)
		if err != nil {
			return err
		}
		rows, err := s.store.EventsAfter(c.Request.Context(), stream, page.Cursor, page.Limit)
		if err != nil {
			return err
		}
		return answer(c, http.StatusOK, newList(rows, page, func(e pipeline.Event) int64 { return e.Version }))
	}
}

// streamPage reads which part of which stream a request is about.
func (s *Server) streamPage(c *gin.Context, kind pipeline.Kind) (pipeline.Stream, pipeline.Page, error) {
	query := newQuery(c)
	page := query.page()
	if err := query.err(); err != nil {
		return "", page, err
	}
	stream, err := s.stream(c, kind)
	return stream, page, err
}

// stream names the stream of the entity in the path, once it is sure that the entity is the
// caller's company's: streams themselves know no company.
func (s *Server) stream(c *gin.Context, kind pipeline.Kind) (pipeline.Stream, error) {
	id, err := pathID(c)
	if err != nil {
		return "", err
	}
	stream := pipeline.StreamOf(kind, id)
	_, err = s.store.Target(c.Request.Context(), caller(c).CompanyID, stream, id, pipeline.Idempotency{})
	return stream, err
}
