package postgres

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/dealwright/dealwright/pipeline"
)

// webhookColumns are those of a webhook itself; healthColumns say how its endpoint has been
// answering.
const (
	webhookColumns = `id, company_id, key_id, url, events, filter, format, content_type, event_name, constraint_type, method,
	secret, previous_secret, previous_until, signing_seed,
	credentials, ordered, latest_only, retry_schedule, timeout_ms, rate_limit, max_concurrency, active, disabled_reason,
	catching_up, description, created_at, updated_at`
	healthColumns = `failures, failing_since, rest_until, slow, probes, told`
)

type webhookRow struct {
	ID             int64           `db:"id"`
	CompanyID      int64           `db:"company_id"`
	KeyID          int64           `db:"key_id"`
	URL            string          `db:"url"`
	Events         pq.StringArray  `db:"events"`
	Filter         []byte          `db:"filter"`
	Format         string          `db:"format"`
	ContentType    sql.NullString  `db:"content_type"`
	EventName      sql.NullString  `db:"event_name"`
	Constraint     sql.NullString  `db:"constraint_type"`
	Method         sql.NullString  `db:"method"`
	Secret         []byte          `db:"secret"`
	PreviousSecret []byte          `db:"previous_secret"`
	PreviousUntil  sql.NullTime    `db:"previous_until"`
	SigningSeed    []byte          `db:"signing_seed"`
	Credentials    []byte          `db:"credentials"`
	Ordered        bool            `db:"ordered"`
	LatestOnly     bool            `db:"latest_only"`
	RetrySchedule  pq.Int64Array   `db:"retry_schedule"`
	TimeoutMS      int64           `db:"timeout_ms"`
	RateLimit      sql.NullFloat64 `db:"rate_limit"`
	MaxConcurrency int             `db:"max_concurrency"`
	Active         bool            `db:"active"`
	DisabledReason sql.NullString  `db:"disabled_reason"`
	CatchingUp     bool            `db:"catching_up"`
	Description    string          `db:"description"`
	CreatedAt      time.Time       `db:"created_at"`
	UpdatedAt      time.Time       `db:"updated_at"`
}

// shownRow is a webhook together with its health.
type shownRow struct {
	webhookRow

	Failures     int          `db:"failures"`
	FailingSince sql.NullTime `db:"failing_since"`
	RestUntil    sql.NullTime `db:"rest_until"`
	Slow         bool         `db:"slow"`
	Probes       int          `db:"probes"`
	Told         bool         `db:"told"`
}

// webhook opens what is sealed. Health is not in the row, and so not in the answer.
func (s *Store) webhook(r webhookRow) (pipeline.Webhook, error) {
	w := pipeline.Webhook{
		ID: r.ID, CompanyID: r.CompanyID, KeyID: r.KeyID, URL: r.URL, Events: r.Events, Format: r.Format,
		ContentType: r.ContentType.String, EventName: r.EventName.String, Constraint: r.Constraint.String, Method: r.Method.String,
		Ordered: r.Ordered, LatestOnly: r.LatestOnly,
		Timeout: pipeline.Duration(time.Duration(r.TimeoutMS) * time.Millisecond), RateLimit: pipeline.Rate(r.RateLimit.Float64),
		MaxConcurrency: r.MaxConcurrency, Active: r.Active, DisabledReason: pipeline.Text(r.DisabledReason.String),
		CatchingUp: r.CatchingUp, Description: pipeline.Text(r.Description),
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
	if r.RetrySchedule != nil {
		w.RetrySchedule = make([]pipeline.Duration, 0, len(r.RetrySchedule))
	}
	for _, ms := range r.RetrySchedule {
		w.RetrySchedule = append(w.RetrySchedule, pipeline.Duration(time.Duration(ms)*time.Millisecond))
	}
	err := s.openSealed(r, &w)
	if err == nil && len(r.Filter) > 0 {
		err = json.Unmarshal(r.Filter, &w.Filter) // Postgres writes it with blanks
	}
	if err != nil {
		return pipeline.Webhook{}, fmt.Errorf("webhook %d: %w", r.ID, err)
	}
	return w, nil
}

func (s *Store) openSealed(r webhookRow, w *pipeline.Webhook) error {
	var seed, credentials string
	for _, sealed := range []struct {
		what string
		from []byte
		into *string
	}{
		{"secret", r.Secret, &w.Signing.Secret},
		{"previous secret", r.PreviousSecret, &w.Signing.PreviousSecret},
		{"signing seed", r.SigningSeed, &seed},
		{"credentials", r.Credentials, &credentials},
	} {
		if sealed.from == nil {
			continue
		}
		plain, err := s.sealer.Open(sealed.from)
		if err != nil {
			return fmt.Errorf("%s: %w", sealed.what, err)
		}
		*sealed.into = plain
	}
	if seed != "" {
		w.Signing.Seed = []byte(seed)
	}
	if r.PreviousUntil.Valid {
		w.Signing.PreviousUntil = r.PreviousUntil.Time.UTC()
	}
	if credentials == "" {
		return nil
	}
	var kept keptCredentials
	if err := json.Unmarshal([]byte(credentials), &kept); err != nil {
		return fmt.Errorf("decode credentials: %w", err)
	}
	kept.into(w)
	return nil
}

func (s *Store) shown(r shownRow) (pipeline.Webhook, error) {
	w, err := s.webhook(r.webhookRow)
	w.Health = pipeline.Health{
		Failures: r.Failures, FailingSince: instant(r.FailingSince), RestUntil: instant(r.RestUntil),
		Slow: r.Slow, Probes: r.Probes, Told: r.Told,
	}
	return w, err
}

// keptCredentials is what lets us in at an endpoint, in the form in which it is sealed: unlike
// the JSON of a webhook it leaves nothing out.
type keptCredentials struct {
	Auth              pipeline.KeptAuth `json:"auth,omitzero"`
	Headers           map[string]string `json:"headers,omitempty"`
	ClientCertificate keptCertificate   `json:"client_certificate,omitzero"`
}

type keptCertificate struct {
	Certificate string    `json:"certificate"`
	Key         string    `json:"key"`
	Subject     string    `json:"subject"`
	NotAfter    time.Time `json:"not_after"`
}

func credentialsOf(w pipeline.Webhook) keptCredentials {
	return keptCredentials{
		Auth: pipeline.KeptAuth(w.Auth), Headers: w.Headers, ClientCertificate: keptCertificate(w.ClientCertificate),
	}
}

func (k keptCredentials) into(w *pipeline.Webhook) {
	w.Auth, w.Headers, w.ClientCertificate = pipeline.Auth(k.Auth), k.Headers, pipeline.ClientCertificate(k.ClientCertificate)
}

// sealCredentials gives what is kept in the column; nil where there are none.
func (s *Store) sealCredentials(w pipeline.Webhook) ([]byte, error) {
	b, err := json.Marshal(credentialsOf(w))
	if err != nil {
		return nil, fmt.Errorf("encode credentials: %w", err)
	}
	if string(b) == "{}" {
		return nil, nil
	}
	return s.sealer.Seal(string(b)), nil
}

// keptWebhook is a webhook as it is remembered for an idempotency key, sealed. The JSON of the
// webhook itself shows no credentials, so they stand beside it, in place of what it shows.
type keptWebhook struct {
	pipeline.Webhook

	Auth              pipeline.KeptAuth `json:"auth"`
	Headers           map[string]string `json:"headers"`
	ClientCertificate keptCertificate   `json:"client_certificate,omitzero"`
	Signing           keptSigning       `json:"signing"`
	KeyID             int64             `json:"key_id"`
}

type keptSigning struct {
	Secret         string    `json:"secret"`
	PreviousSecret string    `json:"previous_secret"`
	PreviousUntil  time.Time `json:"previous_until"`
	Seed           []byte    `json:"seed"`
}

func keep(w pipeline.Webhook) keptWebhook {
	c := credentialsOf(w)
	return keptWebhook{
		Webhook: w, Auth: c.Auth, Headers: c.Headers, ClientCertificate: c.ClientCertificate, Signing: keptSigning(w.Signing), KeyID: w.KeyID,
	}
}

func (k keptWebhook) webhook() pipeline.Webhook {
	w := k.Webhook
	keptCredentials{Auth: k.Auth, Headers: k.Headers, ClientCertificate: k.ClientCertificate}.into(&w)
	w.Signing, w.KeyID = pipeline.Signing(k.Signing), k.KeyID
	return w
}

// CreateWebhook records a subscription that begins where start says: with the next event, or
// with the past, which a replay of kind start then sends before the live stream. Its secret is
// the caller's; the seed of its signing key is made here. Timeout and MaxConcurrency have their
// defaults where they are zero. With an idempotency key, a second call answers the webhook of
// the first, and replayed.
func (s *Store) CreateWebhook(
	ctx context.Context, w pipeline.Webhook, start pipeline.Start, idem pipeline.Idempotency,
) (created pipeline.Webhook, replayed bool, err error) {
	w = withDefaults(w, start)
	begin, err := s.beginning(ctx, w, start)
	if err != nil {
		return pipeline.Webhook{}, false, err
	}
	answer, replayed, err := s.once(ctx, w.CompanyID, idem, func(tx transaction) (string, error) {
		if err := s.insertWebhook(ctx, tx, &w, begin); err != nil {
			return "", err
		}
		b, err := json.Marshal(keep(w))
		return string(b), err
	})
	if err != nil {
		return pipeline.Webhook{}, false, err
	}
	var made keptWebhook
	if err := json.Unmarshal([]byte(answer), &made); err != nil {
		return pipeline.Webhook{}, false, fmt.Errorf("decode remembered webhook: %w", err)
	}
	return made.webhook(), replayed, nil
}

// seedSize is that of an ed25519 key's seed.
const seedSize = 32

func withDefaults(w pipeline.Webhook, start pipeline.Start) pipeline.Webhook {
	if w.Timeout == 0 {
		w.Timeout = pipeline.DefaultTimeout
	}
	if w.MaxConcurrency == 0 {
		w.MaxConcurrency = pipeline.DefaultMaxConcurrency
	}
	if !w.Active {
		w.DisabledReason = pipeline.DisabledByHand
	}
	w.CatchingUp = start.Past
	w.Signing.Seed = newSeed()
	return w
}

func newSeed() []byte {
	seed := make([]byte, seedSize)
	rand.Read(seed) // never fails: it ends the process instead
	return seed
}

// beginning is where a subscription begins, and for one that gets the past first, what its
// replay has to go through.
type beginning struct {
	from, newest, total int64
}

func (s *Store) beginning(ctx context.Context, w pipeline.Webhook, start pipeline.Start) (beginning, error) {
	if !start.Past {
		return beginning{}, nil
	}
	from, err := s.after(ctx, w.CompanyID, start.After, start.Since)
	if err != nil {
		return beginning{}, err
	}
	newest, err := s.newestPosition(ctx, w.CompanyID)
	if err != nil {
		return beginning{}, err
	}
	total, err := s.countEvents(ctx, w.CompanyID, subscribed(w, nil), from, newest)
	return beginning{from: from, newest: newest, total: total}, err
}

func (s *Store) insertWebhook(ctx context.Context, tx transaction, w *pipeline.Webhook, begin beginning) error {
	credentials, err := s.sealCredentials(*w)
	if err != nil {
		return err
	}
	if !w.CatchingUp {
		// With the company's turn, no event comes between the newest one and the subscription.
		if err := takeTurn(ctx, tx, w.CompanyID); err != nil {
			return err
		}
		if err := tx.GetContext(ctx, &begin.from, newestPosition, w.CompanyID); err != nil {
			return err
		}
	}
	err = tx.QueryRowxContext(ctx, `INSERT INTO webhooks (company_id, key_id, url, events, filter, format, secret, signing_seed,
			credentials, ordered, latest_only, retry_schedule, timeout_ms, rate_limit, max_concurrency, active, disabled_reason,
			catching_up, from_position, description, content_type, event_name, constraint_type, method, topic)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)
		RETURNING id, created_at, updated_at`,
		w.CompanyID, w.KeyID, w.URL, pq.Array(w.Events), nullText(string(w.Filter)), w.Format, s.sealer.Seal(w.Signing.Secret),
		s.sealer.Seal(string(w.Signing.Seed)), credentials, w.Ordered, w.LatestOnly, milliseconds(w.RetrySchedule),
		time.Duration(w.Timeout).Milliseconds(), nullRate(w.RateLimit), w.MaxConcurrency, w.Active,
		nullText(string(w.DisabledReason)), w.CatchingUp, begin.from, string(w.Description),
		nullText(w.ContentType), nullText(w.EventName), nullText(w.Constraint), nullText(w.Method), nullText(w.Topic()),
	).Scan(&w.ID, &w.CreatedAt, &w.UpdatedAt)
	if err != nil {
		return err
	}
	w.CreatedAt, w.UpdatedAt = w.CreatedAt.UTC(), w.UpdatedAt.UTC()
	if _, err := tx.ExecContext(ctx, `INSERT INTO webhook_health (webhook_id) VALUES ($1)`, w.ID); err != nil {
		return err
	}
	if !w.CatchingUp {
		return nil
	}
	_, err = insertReplay(ctx, tx, pipeline.Replay{
		WebhookID: w.ID, Kind: pipeline.ReplayStart, After: begin.from, Until: begin.newest, Total: begin.total,
	})
	return err
}

func nullText(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

func nullRate(r pipeline.Rate) sql.NullFloat64 {
	return sql.NullFloat64{Float64: float64(r), Valid: r != 0}
}

// milliseconds of a schedule; null where there is none. An empty one is a schedule too: one
// attempt, and no other.
func milliseconds(schedule []pipeline.Duration) any {
	if schedule == nil {
		return nil
	}
	ms := make(pq.Int64Array, len(schedule))
	for i, d := range schedule {
		ms[i] = time.Duration(d).Milliseconds()
	}
	return ms
}

// Webhook reads one webhook of a company with its credentials and its health; a partner's key
// (partnerKey not 0) finds only its own.
func (s *Store) Webhook(ctx context.Context, companyID, partnerKey, id int64) (pipeline.Webhook, error) {
	var row shownRow
	err := s.get(ctx, &row, "webhook", shownWebhooks+`
		WHERE id = $1 AND company_id = $2 AND deleted_at IS NULL AND ($3::bigint = 0 OR key_id = $3)`, id, companyID, partnerKey)
	if err != nil {
		return pipeline.Webhook{}, err
	}
	return s.shown(row)
}

const shownWebhooks = `SELECT ` + webhookColumns + `, ` + healthColumns + ` FROM webhooks JOIN webhook_health ON webhook_id = id`

// Webhooks lists a company's webhooks, newest first; a partner's key finds only its own.
func (s *Store) Webhooks(ctx context.Context, companyID, partnerKey int64, page pipeline.Page) ([]pipeline.Webhook, error) {
	f := newFilter(companyID, page)
	f.and("deleted_at IS NULL")
	if partnerKey != 0 {
		f.and("key_id = ?", partnerKey)
	}
	query, args := f.sql(shownWebhooks)
	var rows []shownRow
	if err := s.page(ctx, &rows, "webhooks", query, args...); err != nil {
		return nil, err
	}
	out := make([]pipeline.Webhook, len(rows))
	for i, r := range rows {
		w, err := s.shown(r)
		if err != nil {
			return nil, err
		}
		out[i] = w
	}
	return out, nil
}

// UpdateWebhook writes what f makes of a webhook: all but its format, where it begins and the keys
// that it signs with. Its secret it may replace, at once and without an overlap. f gets the
// webhook as it stands, and nobody else changes it meanwhile; what f refuses is not written. Where
// it was switched off, what is pending becomes held (but see keepsWhileOff), and webhook.disabled
// is recorded; where it was switched on, or its URL is another, its health begins anew, and what is
// held becomes due, as does what was parked where it is not ordered any more. wake names the
// webhooks whose workflow has something to do now.
func (s *Store) UpdateWebhook(
	ctx context.Context, companyID, id int64, f func(pipeline.Webhook) (pipeline.Webhook, error),
) (updated pipeline.Webhook, wake []int64, err error) {
	return s.change(ctx, companyID, id, f)
}

// EnableWebhook switches a webhook on and forgets how its endpoint has been answering. What is
// held becomes due, in the order of the events; with skipHeld it is discarded instead. A webhook
// that is on stays on.
func (s *Store) EnableWebhook(
	ctx context.Context, companyID, id int64, skipHeld bool,
) (enabled pipeline.Webhook, wake []int64, err error) {
	if skipHeld {
		if err := s.discardHeld(ctx, companyID, id); err != nil {
			return pipeline.Webhook{}, nil, err
		}
	}
	enabled, wake, err = s.change(ctx, companyID, id, func(w pipeline.Webhook) (pipeline.Webhook, error) {
		w.Active = true
		w.Health = pipeline.Health{}
		return w, nil
	})
	return enabled, wake, err
}

// DisableWebhook switches a webhook off: what is pending becomes held, and webhook.disabled is
// recorded. A webhook that is off stays off, and nothing is recorded.
func (s *Store) DisableWebhook(ctx context.Context, companyID, id int64) (disabled pipeline.Webhook, wake []int64, err error) {
	return s.change(ctx, companyID, id, func(w pipeline.Webhook) (pipeline.Webhook, error) {
		w.Active = false
		return w, nil
	})
}

// change reads a webhook under its locks, writes what f makes of it, and settles its deliveries.
// For the order of the locks see lockHealth.
func (s *Store) change(
	ctx context.Context, companyID, id int64, f func(pipeline.Webhook) (pipeline.Webhook, error),
) (changed pipeline.Webhook, wake []int64, err error) {
	var resumed bool
	err = s.inTx(ctx, "change webhook", func(tx transaction) error {
		before, err := s.lockWebhook(ctx, tx, companyID, id)
		if err != nil {
			return err
		}
		wanted, err := f(before)
		if err != nil {
			return err
		}
		after := asSwitched(before, wanted)
		if err := s.writeWebhook(ctx, tx, after); err != nil {
			return err
		}
		if err := s.replaceSecret(ctx, tx, before, after); err != nil {
			return err
		}
		if resumed, err = beginAnew(ctx, tx, before, after); err != nil {
			return err
		}
		if before.Active && !after.Active {
			wake, err = s.notice(ctx, tx, companyID, id, pipeline.TypeWebhookDisabled, pipeline.WebhookNotice{
				WebhookID: id, URL: after.URL, Failures: before.Health.Failures, FailingSince: before.Health.FailingSince,
				Reason: pipeline.DisabledByHand,
			})
		}
		return err
	})
	if err != nil {
		return pipeline.Webhook{}, nil, err
	}
	released, err := s.settle(ctx, id)
	if err != nil {
		return pipeline.Webhook{}, nil, err
	}
	if released || resumed {
		wake = append(wake, id)
	}
	changed, err = s.Webhook(ctx, companyID, 0, id)
	return changed, wake, err
}

func (s *Store) lockWebhook(ctx context.Context, tx transaction, companyID, id int64) (pipeline.Webhook, error) {
	if _, err := lockHealth(ctx, tx, []int64{id}); err != nil {
		return pipeline.Webhook{}, err
	}
	if err := takeTurn(ctx, tx, companyID); err != nil {
		return pipeline.Webhook{}, err
	}
	var rows []shownRow
	err := tx.SelectContext(ctx, &rows, shownWebhooks+` WHERE id = $1 AND company_id = $2 AND deleted_at IS NULL FOR UPDATE OF webhooks`,
		id, companyID)
	if err != nil {
		return pipeline.Webhook{}, err
	}
	if len(rows) == 0 {
		return pipeline.Webhook{}, noSuchWebhook()
	}
	return s.shown(rows[0])
}

func noSuchWebhook() error { return pipeline.Errorf(pipeline.CodeNotFound, "there is no such webhook") }

// asSwitched gives a webhook the reason why it is off, and the health to go on with.
func asSwitched(before, after pipeline.Webhook) pipeline.Webhook {
	switch {
	case after.Active:
		after.DisabledReason = ""
	case before.Active:
		after.DisabledReason = pipeline.DisabledByHand
	default:
		after.DisabledReason = before.DisabledReason
	}
	return after
}

func (s *Store) writeWebhook(ctx context.Context, tx transaction, w pipeline.Webhook) error {
	credentials, err := s.sealCredentials(w)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE webhooks
		SET url = $2, events = $3, filter = $4, credentials = $5, ordered = $6, latest_only = $7, retry_schedule = $8,
		    timeout_ms = $9, rate_limit = $10, max_concurrency = $11, active = $12, disabled_reason = $13, description = $14,
		    content_type = $15, event_name = $16, constraint_type = $17, method = $18, topic = $19, updated_at = now()
		WHERE id = $1`,
		w.ID, w.URL, pq.Array(w.Events), nullText(string(w.Filter)), credentials, w.Ordered, w.LatestOnly,
		milliseconds(w.RetrySchedule), time.Duration(w.Timeout).Milliseconds(), nullRate(w.RateLimit), w.MaxConcurrency,
		w.Active, nullText(string(w.DisabledReason)), string(w.Description),
		nullText(w.ContentType), nullText(w.EventName), nullText(w.Constraint), nullText(w.Method), nullText(w.Topic()))
	return err
}

func (s *Store) replaceSecret(ctx context.Context, tx transaction, before, after pipeline.Webhook) error {
	if before.Signing.Secret == after.Signing.Secret {
		return nil
	}
	_, err := tx.ExecContext(ctx, `UPDATE webhooks SET secret = $2, previous_secret = NULL, previous_until = NULL WHERE id = $1`,
		after.ID, s.sealer.Seal(after.Signing.Secret))
	return err
}

// beginAnew forgets how the endpoint answered where that says nothing any more: the webhook was
// switched on, or enabled once more, or has another URL; and the pace where the rate limit is
// another. It reports that the webhook's workflow had been waiting for that, or has a replay to
// go on with.
func beginAnew(ctx context.Context, tx transaction, before, after pipeline.Webhook) (resumed bool, err error) {
	if !after.Active {
		return false, nil
	}
	switchedOn := !before.Active
	forgotten := switchedOn || before.URL != after.URL || after.Health.Healthy() && !before.Health.Healthy()
	if forgotten {
		_, err = tx.ExecContext(ctx, `UPDATE webhook_health SET failures = 0, failing_since = NULL, rest_until = NULL, slow = false,
			probes = 0, told = false WHERE webhook_id = $1`, after.ID)
		if err != nil {
			return false, err
		}
	}
	paced := before.RateLimit != after.RateLimit
	if paced {
		if _, err = tx.ExecContext(ctx, `UPDATE webhook_health SET paced_until = NULL WHERE webhook_id = $1`, after.ID); err != nil {
			return false, err
		}
	}
	if !forgotten && !paced {
		return false, nil
	}
	err = tx.GetContext(ctx, &resumed, `SELECT EXISTS (SELECT FROM replays WHERE webhook_id = $1 AND status = 'running')`, after.ID)
	return resumed || paced || !before.Health.Healthy(), err
}

// discardHeld gives up what is held at a webhook that is off.
func (s *Store) discardHeld(ctx context.Context, companyID, id int64) error {
	w, err := s.Webhook(ctx, companyID, 0, id)
	if err != nil || w.Active {
		return err
	}
	// What was pending when it was switched off is held too, even where that was left half done.
	if _, err := s.settle(ctx, id); err != nil {
		return err
	}
	return s.inBatches(ctx, `WITH w AS MATERIALIZED (SELECT id FROM webhooks WHERE id = $1 AND NOT active FOR SHARE)
		UPDATE deliveries SET status = 'discarded' WHERE id IN (
			SELECT d.id FROM w CROSS JOIN LATERAL (
				SELECT id FROM deliveries WHERE webhook_id = w.id AND status = 'held' ORDER BY `+byEvent+` LIMIT $2) d)
		  AND status = 'held'`, id)
}

// inBatches runs an update of a webhook's deliveries ($1) of at most so many ($2), each in a
// transaction of its own, until there is nothing left to change.
func (s *Store) inBatches(ctx context.Context, query string, webhookID int64) error {
	for n := int64(settleAtOnce); n == settleAtOnce; {
		var err error
		if n, err = s.settleBatch(ctx, query, webhookID); err != nil {
			return err
		}
	}
	return nil
}

// DeleteWebhook ends a webhook. Its row and its deliveries stay as history; what was not
// delivered yet becomes discarded, and a replay that was under way is cancelled.
func (s *Store) DeleteWebhook(ctx context.Context, companyID, id int64) error {
	n, err := s.exec(ctx, "delete webhook", `WITH deleted AS (
			UPDATE webhooks SET deleted_at = now(), active = false
			WHERE id = $1 AND company_id = $2 AND deleted_at IS NULL RETURNING id
		), cancelled AS (
			UPDATE replays SET status = 'cancelled', finished_at = now(), updated_at = now()
			WHERE webhook_id = (SELECT id FROM deleted) AND status IN ('running', 'paused')
		)
		SELECT FROM deleted`, id, companyID)
	if err != nil {
		return err
	}
	if n == 0 {
		return noSuchWebhook()
	}
	_, err = s.settle(ctx, id)
	return err
}

// settlements bring the deliveries of a webhook in line with how the webhook stands. Each has
// an index for just the rows that it changes; see the migration.
var settlements = []struct {
	webhook  string // how the webhook stands
	delivery string // what then must not be
	order    string // that of the index, or batch after batch would read past the ones before
	becomes  string
	releases bool
}{
	{
		"NOT active AND deleted_at IS NULL AND " + keepsWhileOff, "status = 'pending'", byDue,
		"status = 'held', next_attempt_at = NULL", false,
	},
	{
		"(deleted_at IS NOT NULL OR NOT active AND NOT " + keepsWhileOff + ")", "status = 'pending'", byDue,
		"status = 'discarded', next_attempt_at = NULL", false,
	},
	{"deleted_at IS NOT NULL", "status = 'held'", byEvent, "status = 'discarded', next_attempt_at = NULL", false},
	{"active AND deleted_at IS NULL", "status = 'held'", byEvent, "status = 'pending', next_attempt_at = now()", true},
	{
		"active AND deleted_at IS NULL AND NOT ordered", "status = 'pending' AND next_attempt_at = 'infinity'", byDue,
		"next_attempt_at = now()", true,
	},
}

// keepsWhileOff: a webhook that is off gets later what happened meanwhile, but for Solve360's: of
// an inactive hook that system records nothing ("Webhook Management"). What was on its way when
// it was switched off is discarded.
const keepsWhileOff = `format <> '` + pipeline.FormatSolve360 + `'`

const (
	byDue   = "next_attempt_at, event_position"
	byEvent = "event_position"
)

// settleAtOnce is how many deliveries are changed in one transaction.
const settleAtOnce = 5000

// settle works through the settlements of a webhook and reports whether it released anything.
//
// There may be a million deliveries, so it goes in batches of their own: an append that is to
// queue for this webhook waits for one batch at most, and what a crash or a time limit leaves
// over, the sweep settles. Nothing is sent meanwhile that should not be, since what is read to
// be sent is that of active webhooks. The webhook's row is locked, so that two who switch it to
// and fro cannot both be at work.
func (s *Store) settle(ctx context.Context, webhookID int64) (released bool, err error) {
	for _, settlement := range settlements {
		query := `WITH w AS MATERIALIZED (SELECT id FROM webhooks WHERE id = $1 AND ` + settlement.webhook + ` FOR SHARE
			), batch AS MATERIALIZED (
				SELECT d.id, d.stream, d.webhook_id, d.version FROM w CROSS JOIN LATERAL (
					SELECT id, stream, webhook_id, version FROM deliveries WHERE webhook_id = w.id AND ` + settlement.delivery + `
					ORDER BY ` + settlement.order + ` LIMIT $2) d)`
		if settlement.releases {
			query += `, first AS MATERIALIZED (
				SELECT stream, webhook_id, min(version) AS version FROM batch GROUP BY stream, webhook_id
			), ahead AS (` + bringForward("first") + `)`
		}
		// The condition is asked once more, of the row as it is when it is locked. As it stands ("IS TRUE")
		// no index goes by it: the planner, who thinks that nothing is parked, would look each of
		// 5,000 up among 5,000.
		query += ` UPDATE deliveries SET ` + settlement.becomes + `
			WHERE id = ANY (ARRAY(SELECT id FROM batch)) AND (` + settlement.delivery + `) IS TRUE`
		for n := int64(settleAtOnce); n == settleAtOnce; {
			if n, err = s.settleBatch(ctx, query, webhookID); err != nil {
				return released, err
			}
			released = released || n > 0 && settlement.releases
		}
	}
	return released, nil
}

// settleBatch tries again where attempts are being recorded, which locks the same deliveries in
// another order.
func (s *Store) settleBatch(ctx context.Context, query string, webhookID int64) (int64, error) {
	return pastConflicts(func() (int64, error) {
		return s.execPlanned(ctx, "settle deliveries", query, webhookID, settleAtOnce)
	})
}

// unsettled finds webhooks whose deliveries are not in line with how the webhook stands. It does
// not say EXISTS: for that, the planner expects to meet a match soon wherever it begins, and
// reads the table from its start; the order leaves it only the index.
func (s *Store) unsettled(ctx context.Context) ([]int64, error) {
	var webhooks []int64
	wrong := make([]string, len(settlements))
	for i, settlement := range settlements {
		wrong[i] = settlement.webhook + ` AND (SELECT id FROM deliveries WHERE webhook_id = w.id AND ` + settlement.delivery +
			` ORDER BY ` + settlement.order + ` LIMIT 1) IS NOT NULL`
	}
	err := s.list(ctx, &webhooks, "unsettled webhooks", `SELECT id FROM webhooks w WHERE `+strings.Join(wrong, " OR "))
	return webhooks, err
}
