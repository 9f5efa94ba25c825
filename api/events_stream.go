package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
)

const (
	contentTypeStream = "text/event-stream"
	// streamBreath is how long a stream stays silent at most. Proxies take what is silent for
	// longer to be dead.
	streamBreath = 15 * time.Second
	// streamPatience is how long a reader may take to read what it was sent.
	streamPatience = 30 * time.Second
	// streamSpan is how long a stream lasts at most; its reader takes it up again.
	streamSpan = time.Hour
	// streamBatch is how many events are read at once.
	streamBatch = 100
)

// streamFeed answers GET /v1/events/stream: the feed as server-sent events (WHATWG HTML, 9.2), for as
// long as the caller listens. An event's id is its position, so that a browser that was cut off goes
// on where it was. Without a position it begins with what happens from now on.
//
// Where too many listen already the answer is 503; a stream that the server ends may be taken up again.
func (s *Server) streamFeed(c *gin.Context) error {
	query := newQuery(c)
	q := pipeline.FeedQuery{
		CompanyID: caller(c).CompanyID, PartnerKey: partnerKey(c), Limit: streamBatch,
		After: query.number("after", 0, maxID, -1), Types: query.eventTypes("types"),
	}
	if last := c.GetHeader("Last-Event-ID"); last != "" {
		position, err := strconv.ParseInt(last, 10, 64)
		if err != nil || position < 0 || position > maxID {
			return errors.Join(query.err(), invalid("Last-Event-ID has to be the id of an event of the stream: its position"))
		}
		q.After = position
	}
	if err := query.err(); err != nil {
		return err
	}
	ctx := c.Request.Context()
	if q.After < 0 {
		newest, err := s.store.LastPosition(ctx)
		if err != nil {
			return err
		}
		q.After = newest
	}
	news, leave, ok := s.watcher.join(ctx)
	if !ok {
		return pipeline.Errorf(pipeline.CodeUnavailable, "too many are listening already")
	}
	defer leave()
	c.Header("Content-Type", contentTypeStream)
	c.Header("Cache-Control", "no-store")
	c.Header("X-Accel-Buffering", "no") // nginx would keep events back
	c.Status(http.StatusOK)
	still := func() error { return s.authenticate(c) }
	s.sendFeed(ctx, eventStream{c.Writer, http.NewResponseController(c.Writer)}, q, news, still)
	return nil
}

// eventStream writes server-sent events.
type eventStream struct {
	http.ResponseWriter

	control *http.ResponseController
}

// send writes something and sees to it that it goes out now.
func (w eventStream) send(text string) error {
	deadline := time.Now().Add(streamPatience)
	if err := w.control.SetWriteDeadline(deadline); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("prolong the answer: %w", err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		return fmt.Errorf("write to the stream: %w", err)
	}
	return w.control.Flush() //nolint:wrapcheck // it ends the stream and goes no further
}

// event writes an event of the feed. Its data is one line, since JSON has no others.
func (w eventStream) event(e pipeline.Event) error {
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	return w.send(fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", e.Position, e.Type, data))
}

// sendFeed sends what there is and what comes, until the caller hangs up, the server is to end, or
// something fails: the status is out by then, so all that can be done is to end the stream, which
// the caller takes up again. A key that was revoked meanwhile gets nothing any more: still says
// whether it is good.
func (s *Server) sendFeed(ctx context.Context, w eventStream, q pipeline.FeedQuery, news <-chan struct{}, still func() error) {
	if w.send("retry: 1000\n\n") != nil {
		return
	}
	pause := firstPause
	breath := time.NewTicker(streamBreath)
	defer breath.Stop()
	for {
		sent, err := s.sendNew(ctx, w, &q, still)
		if err != nil {
			s.logger.DebugContext(ctx, "event stream ended", "error", err)
			return
		}
		if sent == q.Limit {
			continue
		}
		if sent > 0 {
			pause = firstPause
		}
		again := time.NewTimer(pause)
		select {
		case <-news:
			pause = firstPause
		case <-again.C:
			pause = min(2*pause, longestPause)
		case <-breath.C:
			if w.send(": \n\n") != nil {
				return
			}
		case <-s.draining:
			return
		case <-ctx.Done():
			return
		}
		again.Stop()
	}
}

// sendNew sends what is new, and moves the query on behind it.
func (s *Server) sendNew(ctx context.Context, w eventStream, q *pipeline.FeedQuery, still func() error) (int, error) {
	events, err := s.readNew(ctx, *q, still)
	if err != nil {
		return 0, err
	}
	for _, e := range events {
		if err := w.event(e); err != nil {
			return 0, err
		}
		q.After = e.Position
	}
	return len(events), nil
}

// readNew reads what is new, for a key that is still good. The request has a place among the others
// just for that, and none while it waits for news or for its reader.
func (s *Server) readNew(ctx context.Context, q pipeline.FeedQuery, still func() error) ([]pipeline.Event, error) {
	mine := claimOf(ctx)
	defer mine.rest()
	if mine.work(ctx) != nil {
		return nil, nil // there is too much to do just now; news do not go away
	}
	ctx, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	events, err := s.store.Feed(ctx, q)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	return events, still()
}
