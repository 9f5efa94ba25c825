package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/dealwright/dealwright/pipeline"
)

// receivers are all partners together, on one address, each on a path of its own. They note what
// comes and answer as their temper has it. The documents that partners keep are there too.
type receivers struct {
	url    string
	ledger *Ledger
	server *http.Server
	served chan error
	mended atomic.Bool // all of them take what they get

	mu       sync.Mutex
	partners map[string]*partner // by path
}

// partner is what is at one path. Until its webhook is known, it takes nothing.
type partner struct {
	name   string
	temper temper

	mu       sync.Mutex
	random   *rand.Rand
	hook     int64
	verifier *standardwebhooks.Webhook
}

// temper is how a partner answers. What it does now and then is in per cent of its requests.
type temper struct {
	slow, fails int
	// Of every period it is down for a part.
	period, down time.Duration
}

const (
	partnerPath  = "/partner/"
	documentPath = "/documents/"
	maxBody      = 1 << 20
	// hookTimeout is what the webhooks that fail now and then give their partners, tooLong more
	// than that. longAnswer is over the second from which an endpoint counts as slow.
	hookTimeout = time.Second
	tooLong     = hookTimeout + 500*time.Millisecond
	longAnswer  = 1300 * time.Millisecond
)

func startReceivers(ctx context.Context, ledger *Ledger) (*receivers, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start receivers: %w", err)
	}
	r := &receivers{
		url: "http://" + l.Addr().String(), ledger: ledger, served: make(chan error, 1), partners: map[string]*partner{},
	}
	routes := http.NewServeMux()
	routes.HandleFunc("POST "+partnerPath+"{name}", r.receive)
	routes.HandleFunc("GET "+documentPath+"{name}", serveDocument)
	r.server = &http.Server{
		Handler: routes, ReadHeaderTimeout: time.Minute,
		// What goes wrong on purpose is nothing to report.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	go func() { r.served <- r.server.Serve(l) }()
	return r, nil
}

func (r *receivers) close() error {
	err := r.server.Close()
	if served := <-r.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// add makes a partner and answers where it is.
func (r *receivers) add(name string, t temper, seed int64) *partner {
	p := &partner{name: name, temper: t, random: rand.New(rand.NewPCG(uint64(seed), uint64(len(name))))} //nolint:gosec // any seed will do
	r.mu.Lock()
	defer r.mu.Unlock()
	r.partners[name] = p
	return p
}

func (r *receivers) urlOf(p *partner) string { return r.url + partnerPath + p.name }

func (r *receivers) documentURL(name string) string { return r.url + documentPath + name }

// know tells a partner which webhook it is and how that signs.
func (p *partner) know(hook int64, secret string) error {
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return fmt.Errorf("read the secret of %s: %w", p.name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hook, p.verifier = hook, verifier
	return nil
}

func (p *partner) known() (hook int64, verifier *standardwebhooks.Webhook) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hook, p.verifier
}

// envelope is what a receiver reads of what it gets.
type envelope struct {
	Type pipeline.EventType `json:"type"`
	Data struct {
		ID        string          `json:"id"`
		Position  int64           `json:"position"`
		CompanyID int64           `json:"company_id"`
		Stream    pipeline.Stream `json:"stream"`
		Seq       int64           `json:"seq"`
	} `json:"data"`
}

func (r *receivers) receive(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	p := r.partners[req.PathValue("name")]
	r.mu.Unlock()
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil || p == nil {
		http.Error(w, "nobody", http.StatusNotFound) // a sender that was killed while it sent
		return
	}
	at := time.Now()
	hook, verifier := p.known()
	if verifier == nil {
		http.Error(w, "not yet", http.StatusServiceUnavailable)
		return
	}
	var e envelope
	if err := errors.Join(verifier.Verify(body, req.Header), json.Unmarshal(body, &e)); err != nil {
		r.ledger.complain(breachf(BreachMessage, at, "%s got what is not signed or no envelope: %v", p.name, err))
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	got := Reception{
		At: at, WebhookID: hook, MessageID: req.Header.Get(standardwebhooks.HeaderWebhookID),
		EventID: e.Data.ID, Type: e.Type, CompanyID: e.Data.CompanyID, Stream: e.Data.Stream, Version: e.Data.Seq, Position: e.Data.Position,
	}
	got.Status = r.answer(w, req, p)
	if got.Status != 0 {
		got.Answered = time.Now()
	}
	r.ledger.noteReception(got)
	if got.Status != 0 {
		w.WriteHeader(got.Status)
	}
}

// answer waits for as long as the partner takes, and gives the status to answer with, 0 where the
// connection was broken instead.
func (r *receivers) answer(w http.ResponseWriter, req *http.Request, p *partner) int {
	if r.mended.Load() {
		return http.StatusNoContent
	}
	switch p.mood(time.Now()) {
	case moodSlow:
		pause(req.Context(), longAnswer)
	case moodFails:
		return http.StatusInternalServerError
	case moodHangs:
		pause(req.Context(), tooLong)
		return http.StatusGatewayTimeout
	case moodResets:
		return reset(w)
	case moodWell:
	}
	return http.StatusNoContent
}

type mood int

const (
	moodWell mood = iota
	moodSlow
	moodFails
	moodHangs
	moodResets
)

// mood is drawn anew for each request.
func (p *partner) mood(now time.Time) mood {
	t := p.temper
	if t.period > 0 && time.Duration(now.UnixNano())%t.period < t.down {
		return moodFails
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	const all = 100
	n := p.random.IntN(all)
	switch {
	case n < t.slow:
		return moodSlow
	case n < t.slow+t.fails:
		return []mood{moodFails, moodHangs, moodResets}[p.random.IntN(3)]
	default:
		return moodWell
	}
}

// reset breaks the connection so that the other side sees an error and no end.
func reset(w http.ResponseWriter) int {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return http.StatusInternalServerError
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // where that fails, it sees an end too early, which is as bad
	}
	_ = conn.Close()
	return 0
}

// serveDocument serves a document whose text is its name, some times over.
func serveDocument(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "application/pdf")
	const times = 1000
	_, _ = io.WriteString(w, strings.Repeat(req.PathValue("name")+"\n", times)) //nolint:gosec // no page: it is said to be a PDF
}

// pause waits, for as long as somebody waits for it.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
