package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"golang.org/x/sync/errgroup"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

// Target is the engine, as a sales app knows it; DatabaseURL is for making a second company, which
// the API has no route for.
type Target struct {
	APIs        []string
	Key         string
	DatabaseURL string
}

// LoadOptions say how much is asked of the engine: requests per second of all clients together.
type LoadOptions struct {
	Clients int
	Rate    float64
	Seed    int64
}

// Load is clients that drive lifecycles, receivers that are told, and readers of the feeds.
type Load struct {
	target    Target
	options   LoadOptions
	ledger    *Ledger
	receivers *receivers
	parties   []*party
	board     *board

	stopping chan struct{} // closed: nothing new begins
	drivers  sync.WaitGroup
	end      context.CancelFunc // of requests that are under way, and of the readers
	readers  sync.WaitGroup
}

// party is a company that takes part.
type party struct {
	name    string
	id      int64
	key     string
	clients int
	hooks   []hook
}

// hook is a webhook in the making.
type hook struct {
	Subscription

	temper   temper
	settings map[string]any
	switched bool // the load disables and enables it
}

// StartLoad makes webhooks and receivers and starts driving. The context bounds the start only.
func StartLoad(ctx context.Context, target Target, options LoadOptions) (*Load, error) {
	if options.Clients < 1 || options.Rate <= 0 {
		return nil, errors.New("a load needs clients and a rate")
	}
	l := &Load{target: target, options: options, ledger: NewLedger(), board: &board{}, stopping: make(chan struct{})}
	var err error
	if l.receivers, err = startReceivers(ctx, l.ledger); err != nil {
		return nil, err
	}
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	l.end = end
	if err := l.prepare(ctx); err != nil {
		end()
		return nil, errors.Join(err, l.receivers.close())
	}
	l.start(running)
	return l, nil
}

// prepare makes the companies' webhooks.
func (l *Load) prepare(ctx context.Context) error {
	ours := &party{name: "ours", key: l.target.Key, clients: l.options.Clients, hooks: ourHooks()}
	theirs, err := l.otherCompany(ctx)
	if err != nil {
		return err
	}
	l.parties = []*party{ours, theirs}
	for _, p := range l.parties {
		c := newClient(l.target.APIs, p.key, 0)
		for i := range p.hooks {
			if err := l.subscribe(ctx, c, p, &p.hooks[i]); err != nil {
				return err
			}
		}
		c.close()
	}
	return nil
}

// otherCompany has a key, a client and a webhook of its own.
func (l *Load) otherCompany(ctx context.Context) (*party, error) {
	store, err := postgres.Open(postgres.Config{URL: l.target.DatabaseURL, MaxConns: 1})
	if err != nil {
		return nil, err
	}
	defer store.Close()
	id, err := store.CreateCompany(ctx, "Another company")
	if err != nil {
		return nil, err
	}
	key := postgres.NewSecretKey()
	if err := store.EnsureKey(ctx, id, "chaos", key); err != nil {
		return nil, err
	}
	return &party{name: "theirs", id: id, key: key, clients: 1, hooks: []hook{{
		Subscription: Subscription{Name: "theirs", Patterns: []string{"*"}, Steady: true},
	}}}, nil
}

// ourHooks: what partners are like.
func ourHooks() []hook {
	const (
		nowAndThen = 6 // per cent
		rarely     = 2
		period     = 30 * time.Second
		down       = 8 * time.Second
	)
	impatient := map[string]any{"timeout": "1s"}
	moving := []string{"sent", "selected", "sold"}
	return []hook{
		{Subscription: Subscription{Name: "steady", Patterns: []string{"*"}, Steady: true}},
		{
			Subscription: Subscription{Name: "ordered", Patterns: []string{"*"}, Ordered: true},
			temper:       temper{fails: rarely}, settings: map[string]any{"ordered": true, "timeout": "1s"},
		},
		{
			Subscription: Subscription{Name: "filtered", Patterns: []string{"proposal.*", "contract.*"}, Filter: hasStatus(moving), Steady: true},
			settings:     map[string]any{"filter": map[string]any{"data.state.status": moving}},
		},
		{Subscription: Subscription{Name: "slow", Patterns: []string{"*"}}, temper: temper{slow: nowAndThen}},
		{Subscription: Subscription{Name: "failing", Patterns: []string{"*"}}, temper: temper{fails: nowAndThen}, settings: impatient},
		{
			Subscription: Subscription{Name: "down", Patterns: []string{"contract.*", "customer.*"}, Interrupted: true},
			temper:       temper{period: period, down: down}, settings: impatient,
		},
		{
			Subscription: Subscription{Name: "switched", Patterns: []string{"customer.*", "proposal.*"}, Interrupted: true},
			switched:     true,
		},
	}
}

// hasStatus does what the filter of the same webhook says.
func hasStatus(among []string) func(pipeline.Event) bool {
	return func(e pipeline.Event) bool {
		var state struct {
			Status json.RawMessage `json:"status"`
		}
		if json.Unmarshal(e.State, &state) != nil {
			return false
		}
		for _, s := range among {
			if string(state.Status) == `"`+s+`"` {
				return true
			}
		}
		return false
	}
}

// patientSchedule is patient enough for everything that may happen in a run, and never waits long.
func patientSchedule() []string {
	const most = 50
	waits := []string{"1s", "2s", "3s"}
	for len(waits) < most {
		waits = append(waits, "4s")
	}
	return waits
}

func (l *Load) subscribe(ctx context.Context, c *client, p *party, h *hook) error {
	partner := l.receivers.add(h.Name, h.temper, l.options.Seed)
	body := map[string]any{
		"url": l.receivers.urlOf(partner), "events": h.Patterns, "description": h.Name, "retry_schedule": patientSchedule(),
	}
	maps.Copy(body, h.settings)
	var made struct {
		ID        int64  `json:"id"`
		CompanyID int64  `json:"company_id"`
		Secret    string `json:"secret"`
	}
	if err := c.make(ctx, "/v1/webhooks", body, &made); err != nil {
		return fmt.Errorf("make webhook %s: %w", h.Name, err)
	}
	h.ID, h.CompanyID, p.id = made.ID, made.CompanyID, made.CompanyID
	l.ledger.subscribe(h.Subscription)
	return partner.know(made.ID, made.Secret)
}

func (l *Load) start(ctx context.Context) {
	all := 0
	for _, p := range l.parties {
		all += p.clients
	}
	number := 0
	for _, p := range l.parties {
		for range p.clients {
			d := l.newDriver(p, number, all)
			number++
			l.drivers.Go(func() { d.drive(ctx) })
		}
		for _, h := range p.hooks {
			if h.switched {
				l.drivers.Go(func() { l.switchOffAndOn(ctx, p, h) })
			}
		}
		l.readers.Go(func() { l.read(ctx, p) })
	}
}

// Ledger is what has been seen so far.
func (l *Load) Ledger() *Ledger { return l.ledger }

// Stop begins nothing new, and waits until what is under way has been answered. It fails where the
// context ends before that; such requests are open in the ledger. Receivers take all they get from
// now on.
func (l *Load) Stop(ctx context.Context) error {
	close(l.stopping)
	ended := make(chan struct{})
	go func() {
		l.drivers.Wait()
		close(ended)
	}()
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		err = fmt.Errorf("requests are still without an answer: %w", ctx.Err())
		l.end()
		<-ended
	}
	l.receivers.mended.Store(true)
	l.ledger.noteMended(time.Now())
	return err
}

// Settled waits until nothing is left to do and the feeds have been read to their ends, and answers
// when the last delivery came. It is for after Stop. It fails where the context ends before.
func (l *Load) Settled(ctx context.Context, db *sqlx.DB) (time.Time, error) {
	const look = 100 * time.Millisecond
	for {
		left, err := l.left(ctx, db)
		if err == nil && left == "" {
			return l.ledger.lastTaken(), nil
		}
		if !pause(ctx, look) {
			return l.ledger.lastTaken(), errors.Join(fmt.Errorf("not settled: %s", left), err)
		}
	}
}

// Close ends what reads and what receives. It is for after Settled.
func (l *Load) Close() error {
	l.end()
	l.readers.Wait()
	return l.receivers.close()
}

// left says what is still to be done, "" where nothing is.
func (l *Load) left(ctx context.Context, db *sqlx.DB) (string, error) {
	var n struct {
		Deliveries int `db:"deliveries"`
		Documents  int `db:"documents"`
		Signatures int `db:"signatures"`
	}
	err := db.GetContext(ctx, &n, `SELECT
		(SELECT count(*) FROM deliveries WHERE status IN ('pending', 'held')) AS deliveries,
		(SELECT count(*) FROM documents WHERE status = 'waiting') AS documents,
		(SELECT count(*) FROM events e JOIN customers c ON c.company_id = e.company_id AND c.id = e.customer_id
			WHERE e.type = 'contract.signed' AND c.status <> $1 AND NOT (c.state ->> 'deleted')::boolean
			AND NOT EXISTS (SELECT FROM events f WHERE f.company_id = e.company_id AND f.type = $2
				AND f.customer_id = e.customer_id AND f.position > e.position)) AS signatures`,
		pipeline.StatusSigned, pipeline.TypeCustomerStatusChanged)
	if err != nil {
		return "the store cannot be read", fmt.Errorf("look for what is left: %w", err)
	}
	if n.Deliveries+n.Documents+n.Signatures > 0 {
		return fmt.Sprintf("%d deliveries, %d documents and %d signatures are left", n.Deliveries, n.Documents, n.Signatures), nil
	}
	return l.unread(ctx, db)
}

// unread tells whether a feed has more than was read of it.
func (l *Load) unread(ctx context.Context, db *sqlx.DB) (string, error) {
	for _, p := range l.parties {
		var last int64
		err := db.GetContext(ctx, &last, `SELECT coalesce(max(position), 0) FROM events WHERE company_id = $1`, p.id)
		if err != nil {
			return "the store cannot be read", fmt.Errorf("look for the last event: %w", err)
		}
		if read := l.ledger.readUpTo(p.id); read < last {
			return fmt.Sprintf("the feed of %s was read up to %d of %d", p.name, read, last), nil
		}
	}
	return "", nil
}

// read follows the feed of a company: all types, those about webhooks too.
func (l *Load) read(ctx context.Context, p *party) {
	c := newClient(l.target.APIs, p.key, 1)
	defer c.close()
	entries := append(pipeline.Catalogue(), pipeline.Notices()...)
	types := make([]string, 0, len(entries))
	for _, entry := range entries {
		types = append(types, string(entry.Type))
	}
	c.follow(ctx, strings.Join(types, ","), func(_ int64, events []pipeline.Event) { l.ledger.noteFeed(p.id, events) })
}

// The webhook that is switched is on for a while and then off for less.
const (
	switchedOn  = 9 * time.Second
	switchedOff = 4 * time.Second
)

// switchOffAndOn ends with the webhook switched on.
func (l *Load) switchOffAndOn(ctx context.Context, p *party, h hook) {
	c := newClient(l.target.APIs, p.key, 0)
	defer c.close()
	set := func(what string) {
		path := fmt.Sprintf("/v1/webhooks/%d/%s", h.ID, what)
		a, err := c.do(ctx, call{method: http.MethodPost, path: path, key: rand.Text(), body: struct{}{}})
		if err == nil && !a.ok() {
			l.ledger.complain(breachf(BreachRefusal, time.Now(), "%s answered %d: %s", path, a.status, a.problem().Detail))
		}
	}
	for l.wait(switchedOn) {
		set("disable")
		l.wait(switchedOff)
		set("enable")
	}
}

// wait says false where the load is to stop.
func (l *Load) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.stopping:
		return false
	case <-timer.C:
		return true
	}
}

func (l *Load) newDriver(p *party, number, all int) *driver {
	step := time.Duration(float64(all) / l.options.Rate * float64(time.Second))
	return &driver{
		load: l, party: p, step: step, first: time.Duration(number) * step / time.Duration(all),
		clients: [2]*client{newClient(l.target.APIs, p.key, number), newClient(l.target.APIs, p.key, number+1)},
		random:  mathrand.New(mathrand.NewPCG(uint64(l.options.Seed), uint64(number))), //nolint:gosec // any seed will do
	}
}

// both runs something twice at the same time.
func both(f, g func()) {
	var group errgroup.Group
	group.Go(func() error { f(); return nil })
	g()
	_ = group.Wait() // has no errors
}
