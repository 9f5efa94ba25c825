package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/dealwright/dealwright/pipeline"
)

// Window is the time of one fault, until what it broke was whole again.
type Window struct {
	Fault  string
	From   time.Time
	Healed time.Time
}

// Row sums up all faults of a name, or the time without any. What happened is counted to the
// fault that began last before it.
type Row struct {
	Fault      string
	Times      int
	Acked      int
	Lost       int
	Doubled    int
	OutOfOrder int
	// LongestStall is the longest that it took from a request until every steady receiver had its
	// event, faults included.
	LongestStall time.Duration
	// UntilDelivered is how long after the end of a fault the last event was delivered that had been
	// asked for before that end.
	UntilDelivered time.Duration
}

// Stall is the longest that a webhook waited for an event, from the request on.
type Stall struct {
	Webhook string
	Fault   string
	Event   string
	Waited  time.Duration
}

// Report is what the checker found. Nothing is wrong where there are no Breaches.
type Report struct {
	PerFault []Row
	Breaches []Breach
	Stalls   []Stall // by webhook

	Acked, Refused, Open, Repeats int // requests
	Events, Deliveries            int // in the store
	Receptions, Again             int // Again: of what had been taken before; partners get things at least once
	// LastDelivered is when the last event was taken for the first time, AfterHealed how long that
	// was after the last fault was healed.
	LastDelivered time.Time
	AfterHealed   time.Duration
}

// quiet is the name of the time without faults.
const quiet = "none"

// deadline is how long after the last fault everything has to be delivered; outside of faults it is
// what no webhook may be kept waiting for.
const deadline = 15 * time.Second

// Check holds the store against the ledger once everything is settled. Windows are in the order in
// which they began. It fails where it cannot read the store; what is wrong stands in the report.
func Check(ctx context.Context, db *sqlx.DB, ledger *Ledger, windows []Window) (Report, error) {
	ledger.mu.Lock()
	defer ledger.mu.Unlock()
	c := &check{
		requests: ledger.requests, receptions: slices.Clone(ledger.receptions), hooks: ledger.hooks, feeds: ledger.feeds,
		mended: ledger.mended, windows: windows, found: slices.Clone(ledger.breaches), taken: firstTaken(ledger.receptions),
	}
	slices.SortStableFunc(c.receptions, func(a, b Reception) int { return a.At.Compare(b.At) })
	var err error
	if c.store, err = readStore(ctx, db, c.companies()); err != nil {
		return Report{}, err
	}
	c.index()
	for _, prove := range []func(){
		c.acked, c.refused, c.accounted, c.followedUp, // 1 and 3
		c.gapless, c.folded, // 2
		c.delivered, c.received, // 4 and 5
		c.inOrder, c.strictlyInOrder, // 6
		c.inTime,     // 7
		c.feedsWhole, // 8
	} {
		prove()
	}
	report := c.report()
	report.Repeats = ledger.repeats
	return report, nil
}

// check is one run of the checker.
type check struct {
	store      stored
	requests   []Request
	receptions []Reception // in the order in which they came
	hooks      []Subscription
	feeds      map[int64][]pipeline.Event
	mended     time.Time
	windows    []Window
	taken      map[message]time.Time

	told   map[string]pipeline.Event // by id, what the feeds told
	asked  map[string]Request        // by event id
	stalls map[int64]Stall           // by webhook
	found  []Breach
}

func (c *check) companies() []int64 {
	companies := slices.Collect(maps.Keys(c.feeds))
	for _, h := range c.hooks {
		companies = append(companies, h.CompanyID)
	}
	slices.Sort(companies)
	return slices.Compact(companies)
}

func (c *check) index() {
	c.told, c.asked, c.stalls = map[string]pipeline.Event{}, map[string]Request{}, map[int64]Stall{}
	for _, events := range c.feeds {
		for _, e := range events {
			c.told[e.ID] = e
		}
	}
	for _, r := range c.requests {
		if r.Outcome != OutcomeRefused {
			c.asked[cmp.Or(r.EventID, pipeline.EventID(r.Stream, r.Key))] = r
		}
	}
}

func (c *check) breachf(kind BreachKind, at time.Time, format string, args ...any) {
	c.found = append(c.found, breachf(kind, at, format, args...))
}

// acked: what was answered with an event is in the store, as it was answered.
func (c *check) acked() {
	for _, r := range c.requests {
		if r.Outcome != OutcomeAcked {
			continue
		}
		e, ok := c.store.byID[r.EventID]
		if !ok {
			c.breachf(BreachLost, r.Answered, "%s #%d %s (%s)", r.Stream, r.Version, r.Type, r.EventID)
			continue
		}
		if r.EventID != pipeline.EventID(r.Stream, r.Key) {
			c.breachf(BreachAnswer, r.Answered, "%s was answered to another key than it follows from", e)
		}
		if e.Stream != r.Stream || e.Version != r.Version || e.Type != r.Type || e.CompanyID != r.CompanyID {
			c.breachf(BreachAnswer, r.Answered, "%s was answered as %s #%d %s", e, r.Stream, r.Version, r.Type)
		}
		if told, ok := c.told[e.ID]; ok && !equalJSON(told.State, r.State) {
			c.breachf(BreachAnswer, r.Answered, "%s was answered with another state than the store has", e)
		}
	}
}

// refused: of what was refused there is no event, and its key is not taken.
func (c *check) refused() {
	for _, r := range c.requests {
		if r.Outcome != OutcomeRefused {
			continue
		}
		if e, ok := c.store.byID[pipeline.EventID(r.Stream, r.Key)]; ok {
			c.breachf(BreachTrace, r.Answered, "%s was refused", e)
		}
		if c.store.keys[r.Key] {
			c.breachf(BreachTrace, r.Answered, "%s %s was refused, and its key is remembered", r.Stream, r.Type)
		}
	}
}

// accounted: every event was asked for by one request, or follows from one that was.
func (c *check) accounted() {
	seen, followed := map[string]bool{}, map[string]bool{}
	for _, e := range c.store.events {
		if seen[e.ID] {
			c.breachf(BreachDoubled, e.RecordedAt, "%s is there twice", e)
		}
		seen[e.ID] = true
		if e.Type.Operational() {
			continue
		}
		if _, ok := c.asked[e.ID]; ok {
			continue
		}
		what := c.origin(e)
		if what == "" {
			c.breachf(BreachDoubled, e.RecordedAt, "%s was not asked for", e)
			continue
		}
		if followed[what] {
			c.breachf(BreachDoubled, e.RecordedAt, "%s follows from the same as another", e)
		}
		followed[what] = true
	}
}

// origin names what an event that nobody asked for follows from, "" where that is not to be seen.
func (c *check) origin(e storedEvent) string {
	if e.CauseID != "" && c.store.byID[e.CauseID].ID != "" {
		return string(e.Type) + " after " + e.CauseID
	}
	if e.Type != pipeline.TypeContractDocumentStored {
		return ""
	}
	var document struct {
		UUID string `json:"uuid"`
	}
	if json.Unmarshal(c.told[e.ID].Payload, &document) != nil || document.UUID == "" {
		return ""
	}
	return string(e.Type) + " " + document.UUID
}

// followedUp: a signature has moved its customer, unless they were signed already or deleted.
func (c *check) followedUp() {
	moved := map[string]bool{}
	nothingToDo := map[pipeline.Stream]int64{} // the last position at which the customer was signed or deleted
	for _, e := range c.store.events {
		moved[e.CauseID] = true
		var customer pipeline.Customer
		if e.Stream.Kind() == pipeline.KindCustomer && json.Unmarshal(c.told[e.ID].State, &customer) == nil &&
			(customer.Status == pipeline.StatusSigned || customer.Deleted) {
			nothingToDo[e.Stream] = e.Position
		}
	}
	for i, e := range c.store.events {
		if e.Type != pipeline.TypeContractSigned || moved[e.ID] {
			continue
		}
		customer := pipeline.StreamOf(pipeline.KindCustomer, e.CustomerID.Int64)
		if nothingToDo[customer] < e.Position && !c.wasSigned(customer, i) {
			c.breachf(BreachFollowUp, e.RecordedAt, "%s did not reach %s", e, customer)
		}
	}
}

// wasSigned tells whether a customer was signed or deleted when the nth event was recorded.
func (c *check) wasSigned(s pipeline.Stream, n int) bool {
	for _, e := range slices.Backward(c.store.events[:n]) {
		if e.Stream != s {
			continue
		}
		var customer pipeline.Customer
		err := json.Unmarshal(c.told[e.ID].State, &customer)
		return err == nil && (customer.Status == pipeline.StatusSigned || customer.Deleted)
	}
	return false
}

// gapless: the versions of a stream are 1, 2, 3… in the order of the positions.
func (c *check) gapless() {
	last := map[pipeline.Stream]int64{}
	for _, e := range c.store.events {
		if want := last[e.Stream] + 1; e.Version != want {
			c.breachf(BreachGap, e.RecordedAt, "%s, and #%d was to come", e, want)
		}
		last[e.Stream] = e.Version
	}
}

// folded: the state after each event, and the projection, are the fold of the events up to there.
func (c *check) folded() {
	streams := map[pipeline.Stream][]pipeline.Event{}
	for _, e := range c.store.events {
		told, ok := c.told[e.ID]
		if ok && !e.Type.Operational() { // what the feed skipped is a breach of its own
			streams[e.Stream] = append(streams[e.Stream], told)
		}
	}
	for s, events := range streams {
		if s.Kind() == pipeline.KindCustomer {
			foldStream(c, pipeline.NewCustomer(events[0].CompanyID, entityID(s)), events)
			continue
		}
		foldStream(c, pipeline.NewProposal(events[0].CompanyID, int64(events[0].CustomerID), entityID(s)), events)
	}
}

func foldStream[S pipeline.State[S]](c *check, state S, events []pipeline.Event) {
	var after []byte
	for _, e := range events {
		var err error
		if state, err = state.Apply(e); err == nil {
			after, err = json.Marshal(state)
		}
		if err != nil {
			c.breachf(BreachFold, e.RecordedAt, "%s #%d cannot be applied: %v", e.Stream, e.Version, err)
			return
		}
		if !equalJSON(after, e.State) {
			c.breachf(BreachFold, e.RecordedAt, "the state after %s #%d", e.Stream, e.Version)
			return
		}
	}
	last := events[len(events)-1]
	if !equalJSON(after, c.store.projections[last.Stream]) {
		c.breachf(BreachFold, last.RecordedAt, "the projection of %s", last.Stream)
	}
}

// delivered: each event has exactly one row for each webhook that wants it, and all of them were
// delivered in the end.
func (c *check) delivered() {
	rows := map[int64]map[int64]int{} // by webhook and position
	hooks := map[int64]Subscription{}
	for _, h := range c.hooks {
		rows[h.ID], hooks[h.ID] = map[int64]int{}, h
	}
	for _, d := range c.store.deliveries {
		h, ok := hooks[d.WebhookID]
		if !ok {
			continue // of before the run
		}
		e := c.store.byPosition[d.Position]
		rows[h.ID][d.Position]++
		if rows[h.ID][d.Position] > 1 {
			c.breachf(BreachDelivery, e.RecordedAt, "%s has a second one to %s", e, h.Name)
		}
		c.checkDelivery(h, d, e)
	}
	for _, h := range c.hooks {
		for _, e := range c.store.events {
			if e.Position > c.store.begins[h.ID] && h.wants(c.event(e)) && rows[h.ID][e.Position] == 0 {
				c.breachf(BreachNoDelivery, e.RecordedAt, "%s to %s", e, h.Name)
			}
		}
	}
}

func (c *check) checkDelivery(h Subscription, d storedDelivery, e storedEvent) {
	switch {
	case e.CompanyID != h.CompanyID && e.ID != "":
		c.breachf(BreachForeign, e.RecordedAt, "%s has a delivery to %s of company %d", e, h.Name, h.CompanyID)
	case e.ID == "" || !h.wants(c.event(e)) || d.Stream != e.Stream || d.Version != e.Version:
		c.breachf(BreachDelivery, e.RecordedAt, "%d to %s is for %s #%d, which it does not want or which is not there",
			d.ID, h.Name, d.Stream, d.Version)
	case d.Status != pipeline.DeliveryDelivered:
		c.breachf(BreachUnsent, e.RecordedAt, "%s to %s is %s", e, h.Name, d.Status)
	default:
		if _, ok := c.taken[message{h.ID, e.ID}]; !ok {
			c.breachf(BreachNotReceived, e.RecordedAt, "%s at %s", e, h.Name)
		}
	}
}

// event is what the feed told of an event; of one that it skipped, what the store's columns say.
func (c *check) event(e storedEvent) pipeline.Event {
	if told, ok := c.told[e.ID]; ok {
		return told
	}
	return pipeline.Event{ID: e.ID, Type: e.Type, Stream: e.Stream, Version: e.Version, CompanyID: e.CompanyID, Position: e.Position}
}

// received: what came to a receiver was what the store has, under the event's own id each time.
func (c *check) received() {
	hooks := map[int64]Subscription{}
	for _, h := range c.hooks {
		hooks[h.ID] = h
	}
	for _, r := range c.receptions {
		h := hooks[r.WebhookID]
		e, ok := c.store.byID[r.EventID]
		switch {
		case !ok:
			c.breachf(BreachMessage, r.At, "%s got %s, which is not in the store", h.Name, r.EventID)
		case e.CompanyID != h.CompanyID || r.CompanyID != h.CompanyID:
			c.breachf(BreachForeign, r.At, "%s got %s of company %d", h.Name, e, e.CompanyID)
		case r.MessageID != r.EventID:
			c.breachf(BreachMessage, r.At, "%s got %s under the id %s", h.Name, e, r.MessageID)
		case r.Stream != e.Stream || r.Version != e.Version || r.Position != e.Position || r.Type != e.Type:
			c.breachf(BreachMessage, r.At, "%s got %s as %s #%d %s at %d", h.Name, e, r.Stream, r.Version, r.Type, r.Position)
		}
	}
}

// line is what has an order: the events of a stream at a webhook.
type line struct {
	webhook int64
	stream  pipeline.Stream
}

// inOrder: each event of a stream came for the first time after those before it had.
func (c *check) inOrder() {
	highest := map[line]int64{}
	seen := map[message]bool{}
	for _, r := range c.receptions {
		m, l := message{r.WebhookID, r.EventID}, line{r.WebhookID, r.Stream}
		if seen[m] {
			continue
		}
		seen[m] = true
		if r.Version < highest[l] {
			c.breachf(BreachOrder, r.At, "webhook %d got %s #%d after #%d", r.WebhookID, r.Stream, r.Version, highest[l])
		}
		highest[l] = max(highest[l], r.Version)
	}
}

// strictlyInOrder: an ordered webhook got nothing before it had taken the event before.
func (c *check) strictlyInOrder() {
	for _, h := range c.hooks {
		if h.Ordered {
			c.notOvertaken(h)
		}
	}
}

func (c *check) notOvertaken(h Subscription) {
	before, last := map[string]string{}, map[pipeline.Stream]string{} // by event id, the one before that it wants
	for _, e := range c.store.events {
		if e.Position > c.store.begins[h.ID] && h.wants(c.event(e)) {
			before[e.ID], last[e.Stream] = last[e.Stream], e.ID
		}
	}
	taken := map[string]bool{}
	answers := slices.DeleteFunc(slices.Clone(c.receptions), func(r Reception) bool { return r.WebhookID != h.ID || !r.Taken() })
	slices.SortStableFunc(answers, func(a, b Reception) int { return a.Answered.Compare(b.Answered) })
	for _, r := range c.receptions {
		if r.WebhookID != h.ID {
			continue
		}
		for len(answers) > 0 && !answers[0].Answered.After(r.At) {
			taken[answers[0].EventID] = true
			answers = answers[1:]
		}
		if earlier := before[r.EventID]; earlier != "" && !taken[earlier] {
			c.breachf(BreachOvertaken, r.At, "%s got %s #%d before it had taken the event before", h.Name, r.Stream, r.Version)
		}
	}
}

// inTime: nobody waited long without a fault, and after the last one nobody longer than the deadline.
func (c *check) inTime() {
	healed := c.lastHealed()
	for _, h := range c.hooks {
		for _, e := range c.store.events {
			at, ok := c.taken[message{h.ID, e.ID}]
			if !ok {
				continue
			}
			asked := c.askedAt(e)
			if waited := at.Sub(asked); !h.Interrupted && waited > c.stalls[h.ID].Waited {
				c.stalls[h.ID] = Stall{Webhook: h.Name, Fault: c.faultAt(asked), Event: e.String(), Waited: waited}
			}
			from := latest(asked, healed)
			if h.Interrupted {
				from = latest(from, c.mended)
			}
			if late := at.Sub(from); late > deadline {
				c.breachf(BreachLate, asked, "%s had %s %s after all was whole again", h.Name, e, late.Round(time.Millisecond))
			}
			if h.Steady && at.Sub(asked) > deadline && !c.disturbed(asked, at) {
				c.breachf(BreachStalled, asked, "%s waited %s for %s", h.Name, at.Sub(asked).Round(time.Millisecond), e)
			}
		}
	}
}

// askedAt is when an event was asked for; of one that follows from another, when it was recorded.
func (c *check) askedAt(e storedEvent) time.Time {
	if r, ok := c.asked[e.ID]; ok {
		return r.Sent
	}
	return e.RecordedAt
}

func (c *check) lastHealed() time.Time {
	var last time.Time
	for _, w := range c.windows {
		last = latest(last, w.Healed)
	}
	return last
}

// disturbed tells whether a fault, or its aftermath, lay between two times.
func (c *check) disturbed(from, until time.Time) bool {
	return slices.ContainsFunc(c.windows, func(w Window) bool {
		return w.From.Before(until) && w.Healed.Add(deadline).After(from)
	})
}

// feedsWhole: reading the feed position by position, one gets each event once, in order, and none of
// another company's.
func (c *check) feedsWhole() {
	for company, events := range c.feeds {
		var last int64
		told := map[int64]bool{}
		for _, e := range events {
			if e.Position <= last {
				c.breachf(BreachFeed, e.RecordedAt, "%s #%d at %d came after %d", e.Stream, e.Version, e.Position, last)
			}
			last = e.Position
			told[e.Position] = true
			switch kept, ok := c.store.byPosition[e.Position]; {
			case e.CompanyID != company:
				c.breachf(BreachForeign, e.RecordedAt, "the feed of company %d has %s of company %d", company, e.Stream, e.CompanyID)
			case !ok || kept.ID != e.ID || kept.Stream != e.Stream || kept.Version != e.Version:
				c.breachf(BreachFeed, e.RecordedAt, "%s #%d at %d is not what the store has there", e.Stream, e.Version, e.Position)
			}
		}
		for _, e := range c.store.events {
			if e.CompanyID == company && !told[e.Position] {
				c.breachf(BreachFeed, e.RecordedAt, "%s at %d was skipped", e, e.Position)
			}
		}
	}
}

func (c *check) report() Report {
	r := Report{
		PerFault: c.rows(), Breaches: c.found, Events: len(c.store.events), Deliveries: len(c.store.deliveries),
		Receptions: len(c.receptions),
	}
	for _, request := range c.requests {
		switch request.Outcome {
		case OutcomeAcked:
			r.Acked++
		case OutcomeRefused:
			r.Refused++
		case OutcomeOpen:
			r.Open++
		}
	}
	takes := 0
	for _, reception := range c.receptions {
		if reception.Taken() {
			takes++
		}
	}
	r.Again = takes - len(c.taken)
	for _, h := range c.hooks {
		if s, ok := c.stalls[h.ID]; ok {
			r.Stalls = append(r.Stalls, s)
		}
	}
	for _, at := range c.taken {
		r.LastDelivered = latest(r.LastDelivered, at)
	}
	if healed := c.lastHealed(); !healed.IsZero() {
		r.AfterHealed = max(0, r.LastDelivered.Sub(healed))
	}
	return r
}

// rows has the time without faults first, then each fault in the order in which it came first.
func (c *check) rows() []Row {
	rows := []Row{{Fault: quiet}}
	row := func(fault string) *Row {
		i := slices.IndexFunc(rows, func(r Row) bool { return r.Fault == fault })
		if i < 0 {
			rows = append(rows, Row{Fault: fault})
			i = len(rows) - 1
		}
		return &rows[i]
	}
	for _, w := range c.windows {
		r := row(w.Fault)
		r.Times++
		r.UntilDelivered = max(r.UntilDelivered, c.untilDelivered(w))
	}
	for _, request := range c.requests {
		if request.Outcome == OutcomeAcked {
			r := row(c.faultAt(request.Sent))
			r.Acked++
			r.LongestStall = max(r.LongestStall, c.waited(request))
		}
	}
	for _, b := range c.found {
		r := row(c.faultAt(b.At))
		switch b.Kind {
		case BreachLost, BreachNoDelivery, BreachUnsent, BreachNotReceived, BreachFollowUp:
			r.Lost++
		case BreachDoubled, BreachDelivery:
			r.Doubled++
		case BreachOrder, BreachOvertaken:
			r.OutOfOrder++
		default:
		}
	}
	return rows
}

// faultAt is the fault that began last before a time.
func (c *check) faultAt(at time.Time) string {
	fault := quiet
	for _, w := range c.windows {
		if !w.From.After(at) {
			fault = w.Fault
		}
	}
	return fault
}

// waited is how long it took from a request until its client had the answer and all steady receivers
// its event.
func (c *check) waited(r Request) time.Duration {
	longest := r.Answered.Sub(r.Sent)
	for _, h := range c.hooks {
		if at, ok := c.taken[message{h.ID, r.EventID}]; ok && h.Steady {
			longest = max(longest, at.Sub(r.Sent))
		}
	}
	return longest
}

// untilDelivered looks at what was asked for during a fault, or just before it.
func (c *check) untilDelivered(w Window) time.Duration {
	const before = 5 * time.Second
	var last time.Time
	for _, e := range c.store.events {
		asked := c.askedAt(e)
		if asked.Before(w.From.Add(-before)) || asked.After(w.Healed) {
			continue
		}
		for _, h := range c.hooks {
			if at, ok := c.taken[message{h.ID, e.ID}]; ok && !h.Interrupted {
				last = latest(last, at)
			}
		}
	}
	return max(0, last.Sub(w.Healed))
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func entityID(s pipeline.Stream) (id int64) {
	_, err := fmt.Sscanf(string(s), string(s.Kind())+"-%d", &id)
	if err != nil {
		return 0 // then nothing folds to what is there
	}
	return id
}

// equalJSON reports that two documents say the same, however they are written.
func equalJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
