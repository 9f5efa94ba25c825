package temporalserver

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// phase is where the server is in its life, which decides what in its log is news.
type phase struct {
	current atomic.Int32
}

const (
	starting int32 = iota
	running
	stopping
)

// fatal is the level of what ends the process.
const fatal = slog.LevelError + 4

// startNoise is said at every start: the services are started one by one and call each other before all are there, and
// Temporal's HTTP interface is left out on purpose.
var startNoise = []string{"network dial error", "HTTP API port has not been set"}

// hears tells whether a level is worth hearing. Once stopping begins the services are cut off in the middle of calls to
// each other, and complain at length, some for as long as the process lives; whether it went well is for Stop to say.
func (p *phase) hears(level slog.Level) bool {
	if p.current.Load() == stopping {
		return level >= fatal
	}
	return level >= slog.LevelWarn
}

func (p *phase) expects(message string) bool {
	return p.current.Load() == starting && slices.ContainsFunc(startNoise, func(noise string) bool {
		return strings.HasPrefix(message, noise)
	})
}

// logger hands Temporal's log to slog.
type logger struct {
	target *slog.Logger
}

var (
	_ log.Logger      = logger{}
	_ log.WithLogger  = logger{}
	_ log.SLogWrapper = logger{}
)

func newLogger(target *slog.Logger, now *phase) logger {
	return logger{target: slog.New(newsOnly{target.Handler(), now})}
}

// Debug is what Temporal logs at that level.
func (l logger) Debug(message string, tags ...tag.Tag) { l.log(slog.LevelDebug, message, tags) }

// Info is what Temporal logs at that level.
func (l logger) Info(message string, tags ...tag.Tag) { l.log(slog.LevelInfo, message, tags) }

// Warn is what Temporal logs at that level.
func (l logger) Warn(message string, tags ...tag.Tag) { l.log(slog.LevelWarn, message, tags) }

// Error is what Temporal logs at that level.
func (l logger) Error(message string, tags ...tag.Tag) { l.log(slog.LevelError, message, tags) }

// DPanic is an error that would end a development build.
func (l logger) DPanic(message string, tags ...tag.Tag) { l.log(slog.LevelError, message, tags) }

// Panic is an error; Temporal goes on with an error of its own.
func (l logger) Panic(message string, tags ...tag.Tag) { l.log(slog.LevelError, message, tags) }

// Fatal ends the process, as Temporal relies on: it goes on with what it has not got otherwise. All state is on disk.
func (l logger) Fatal(message string, tags ...tag.Tag) {
	l.log(fatal, message, tags)
	os.Exit(1) //nolint:revive // see above
}

// With returns a logger that adds the tags to every line.
func (l logger) With(tags ...tag.Tag) log.Logger {
	attributes := make([]any, len(tags))
	for i, one := range tags {
		attributes[i] = slog.Any(one.Key(), one.Value())
	}
	return logger{target: l.target.With(attributes...)}
}

// SLog is where those parts of Temporal log to that use slog themselves.
func (l logger) SLog() *slog.Logger {
	return l.target
}

func (l logger) log(level slog.Level, message string, tags []tag.Tag) {
	ctx := context.Background()
	if !l.target.Enabled(ctx, level) {
		return
	}
	attributes := make([]slog.Attr, len(tags))
	for i, one := range tags {
		attributes[i] = slog.Any(one.Key(), one.Value())
	}
	l.target.LogAttrs(ctx, level, message, attributes...) //nolint:sloglint // the messages are Temporal's
}

// newsOnly is a handler that leaves out what is no news in the phase that the server is in.
type newsOnly struct {
	slog.Handler
	now *phase
}

// Enabled leaves out by level.
func (h newsOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return h.now.hears(level) && h.Handler.Enabled(ctx, level)
}

// Handle leaves out what every start says.
func (h newsOnly) Handle(ctx context.Context, record slog.Record) error {
	if h.now.expects(record.Message) {
		return nil
	}
	return h.Handler.Handle(ctx, record) //nolint:wrapcheck // a handler passes on
}

// WithAttrs passes on.
func (h newsOnly) WithAttrs(attributes []slog.Attr) slog.Handler {
	return newsOnly{h.Handler.WithAttrs(attributes), h.now}
}

// WithGroup passes on.
func (h newsOnly) WithGroup(name string) slog.Handler {
	return newsOnly{h.Handler.WithGroup(name), h.now}
}
