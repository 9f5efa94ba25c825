package postgres_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// everySetting is a webhook that has all of them. Whatever is secret says so.
func everySetting(w *pipeline.Webhook) {
	w.Filter = `{"data.seq":{"$gt":1},"data.state.type":"COMMERCIAL"}`
	w.Signing.Secret = "whsec_topsecret1"
	w.Auth = pipeline.Auth{
		Type: pipeline.AuthOAuth2, TokenURL: "https://id.partner.example/token", ClientID: "dealwright", ClientSecret: "topsecret2", Scope: "a b",
	}
	w.Headers = pipeline.Headers{"X-Tenant": "topsecret3", "X-Other": "Zoë"}
	w.ClientCertificate = pipeline.ClientCertificate{
		Certificate: "-----BEGIN CERTIFICATE-----", Key: "topsecret4", Subject: "CN=dealwright", NotAfter: noon,
	}
	w.LatestOnly = true
	w.RetrySchedule = []pipeline.Duration{pipeline.Duration(5 * time.Second), pipeline.Duration(36 * time.Hour)}
	w.Timeout = pipeline.Duration(2500 * time.Millisecond)
	w.RateLimit = 0.5
	w.MaxConcurrency = 7
}

func TestWebhookSettings(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	key := newKey(t, d.Store, 1, pipeline.RolePartner)
	want := pipeline.Webhook{
		CompanyID: 1, KeyID: key.ID, URL: "https://partner.example/a", Events: []string{"*"}, Format: pipeline.FormatNative, Active: true,
	}
	everySetting(&want)
	idem := pipeline.Idempotency{Key: "K", Fingerprint: "f"}
	made, _, err := d.Store.CreateWebhook(t.Context(), want, pipeline.Start{}, idem)
	require.NoError(t, err)
	want.ID, want.CreatedAt, want.UpdatedAt, want.Signing.Seed = made.ID, made.CreatedAt, made.UpdatedAt, made.Signing.Seed
	require.Equal(t, want, made)
	again, replayed, err := d.Store.CreateWebhook(t.Context(), want, pipeline.Start{}, idem)
	require.NoError(t, err)
	require.True(t, replayed)
	require.Equal(t, made, again)
	read, err := d.Store.Webhook(t.Context(), 1, 0, made.ID)
	require.NoError(t, err)
	require.Equal(t, want, read)
	listed, err := d.Store.Webhooks(t.Context(), 1, key.ID, pipeline.Page{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []pipeline.Webhook{want}, listed)

	_, _, replayed, err = d.Store.RotateSecret(t.Context(), 1, made.ID, "whsec_topsecret5", time.Hour, pipeline.Idempotency{Key: "R"})
	require.NoError(t, err)
	require.False(t, replayed)
	read.Auth = pipeline.Auth{Type: pipeline.AuthBearer, Token: "topsecret6"}
	_, _, err = d.Store.UpdateWebhook(t.Context(), read.CompanyID, read.ID, as(read))
	require.NoError(t, err)
	for _, table := range []string{"webhooks", "idempotency", "webhook_health", "events", "deliveries"} {
		var rows []string
		require.NoError(t, d.DB.Select(&rows, `SELECT t::text FROM `+table+` t`))
		for _, row := range rows {
			require.NotContains(t, row, "topsecret", table)
			require.NotContains(t, row, hex.EncodeToString([]byte("topsecret")), table)
			require.NotContains(t, row, hex.EncodeToString(want.Signing.Seed), table)
		}
	}
	for _, shown := range []any{made, again, listed, read} {
		b, err := json.Marshal(shown)
		require.NoError(t, err)
		require.False(t, bytes.Contains(b, []byte("topsecret")), "%s", b)
		require.NotContains(t, strings.ReplaceAll(fmt.Sprintf("%v %+v %#v", shown, shown, shown), "URL", ""), "topsecret")
	}

	// All of it can be taken away again.
	read, err = d.Store.Webhook(t.Context(), 1, 0, made.ID)
	require.NoError(t, err)
	read.Auth, read.Headers, read.ClientCertificate = pipeline.Auth{}, nil, pipeline.ClientCertificate{}
	read.Filter, read.RetrySchedule, read.RateLimit = "", nil, 0
	updated, _, err := d.Store.UpdateWebhook(t.Context(), read.CompanyID, read.ID, as(read))
	require.NoError(t, err)
	read.UpdatedAt = updated.UpdatedAt
	require.Equal(t, read, updated)
	require.Equal(t, 1, count(t, d, `SELECT count(*) FROM webhooks WHERE credentials IS NULL AND filter IS NULL AND retry_schedule IS NULL
		AND rate_limit IS NULL`))

	// One attempt and no other is a schedule too.
	read.RetrySchedule = []pipeline.Duration{}
	updated, _, err = d.Store.UpdateWebhook(t.Context(), read.CompanyID, read.ID, as(read))
	require.NoError(t, err)
	require.NotNil(t, updated.RetrySchedule)
	require.Empty(t, updated.RetrySchedule)
}

// The subscription begins with the next event.
func TestWebhookBegins(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other := newCompany(t, d.Store)
	empty := newWebhook(t, d.Store, 1, []string{"*"})
	newCustomer(t, d.Store, 1)
	newCustomer(t, d.Store, other)
	w := newWebhook(t, d.Store, 1, []string{"*"})
	var from []int64
	require.NoError(t, d.DB.Select(&from, `SELECT from_position FROM webhooks WHERE id IN ($1, $2) ORDER BY id`, empty.ID, w.ID))
	require.Equal(t, []int64{0, int64(count(t, d, `SELECT max(position) FROM events WHERE company_id = 1`))}, from)
	off := newWebhook(t, d.Store, 1, []string{"*"}, inactive)
	require.EqualValues(t, pipeline.DisabledByHand, off.DisabledReason)
}

// A secret is replaced together with other settings, or neither is.
func TestUpdateWebhook_ReplacesTheSecret(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"*"})
	_, until, _, err := d.Store.RotateSecret(t.Context(), 1, w.ID, "whsec_bmV3", 24*time.Hour, noKey)
	require.NoError(t, err)
	require.NotZero(t, until)
	_, _, err = d.Store.UpdateWebhook(t.Context(), 1, w.ID, func(w pipeline.Webhook) (pipeline.Webhook, error) {
		w.Description = "T"
		return w, nil
	})
	require.NoError(t, err)
	read, err := d.Store.Webhook(t.Context(), 1, 0, w.ID)
	require.NoError(t, err)
	require.Equal(t, "whsec_bmV3", read.Signing.Secret)
	require.NotEmpty(t, read.Signing.PreviousSecret, "what was not changed stays")

	changed, _, err := d.Store.UpdateWebhook(t.Context(), 1, w.ID, func(w pipeline.Webhook) (pipeline.Webhook, error) {
		w.Description, w.Signing.Secret = "U", "whsec_bGFzdA"
		return w, nil
	})
	require.NoError(t, err)
	require.Equal(t, pipeline.Text("U"), changed.Description)
	require.Equal(t, pipeline.Signing{Secret: "whsec_bGFzdA", Seed: w.Signing.Seed}, changed.Signing)
	_, _, err = d.Store.UpdateWebhook(t.Context(), 1, w.ID, func(w pipeline.Webhook) (pipeline.Webhook, error) {
		w.Signing.Secret = "whsec_"
		return w, pipeline.Invalid(pipeline.FieldError{Detail: "is refused"})
	})
	requireCode(t, pipeline.CodeInvalid, err)
	read, err = d.Store.Webhook(t.Context(), 1, 0, w.ID)
	require.NoError(t, err)
	require.Equal(t, changed.Signing, read.Signing)
}

func TestRotateSecret(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"*"})
	idem := pipeline.Idempotency{Key: "K", Fingerprint: "f"}
	now, until, replayed, err := d.Store.RotateSecret(t.Context(), 1, w.ID, "whsec_bmV3", 24*time.Hour, idem)
	require.NoError(t, err)
	require.False(t, replayed)
	require.Equal(t, "whsec_bmV3", now)
	require.WithinDuration(t, time.Now().Add(24*time.Hour), until, patience)
	read, err := d.Store.Webhook(t.Context(), 1, 0, w.ID)
	require.NoError(t, err)
	require.Equal(t, pipeline.Signing{
		Secret: "whsec_bmV3", PreviousSecret: "whsec_c2VjcmV0", PreviousUntil: until, Seed: w.Signing.Seed,
	}, read.Signing)

	again, untilAgain, replayed, err := d.Store.RotateSecret(t.Context(), 1, w.ID, "whsec_b3RoZXI", time.Hour, idem)
	require.NoError(t, err)
	require.True(t, replayed)
	require.Equal(t, now, again)
	require.True(t, until.Equal(untilAgain))

	_, until, _, err = d.Store.RotateSecret(t.Context(), 1, w.ID, "whsec_bGFzdA", 0, noKey)
	require.NoError(t, err)
	require.Zero(t, until)
	read, err = d.Store.Webhook(t.Context(), 1, 0, w.ID)
	require.NoError(t, err)
	require.Equal(t, pipeline.Signing{Secret: "whsec_bGFzdA", Seed: w.Signing.Seed}, read.Signing, "the old one is gone at once")

	for _, company := range []int64{newCompany(t, d.Store), 999} {
		_, _, _, err = d.Store.RotateSecret(t.Context(), company, w.ID, "whsec_", 0, noKey)
		requireCode(t, pipeline.CodeNotFound, err)
	}
}

func TestSigningSeed(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w, other := newWebhook(t, d.Store, 1, []string{"*"}), newWebhook(t, d.Store, 1, []string{"*"})
	require.NotEqual(t, w.Signing.Seed, other.Signing.Seed)
	seed, err := d.Store.SigningSeed(t.Context(), 1, w.ID)
	require.NoError(t, err)
	require.Equal(t, w.Signing.Seed, seed)

	// A webhook from before there were seeds.
	_, err = d.DB.Exec(`UPDATE webhooks SET signing_seed = NULL WHERE id = $1`, w.ID)
	require.NoError(t, err)
	read, err := d.Store.Webhook(t.Context(), 1, 0, w.ID)
	require.NoError(t, err)
	require.Nil(t, read.Signing.Seed)
	ask := func(ctx context.Context) ([]byte, error) { return d.Store.SigningSeed(ctx, 1, w.ID) }
	one, two := meanwhile(t, ask), meanwhile(t, ask)
	made := <-one
	require.Len(t, made, 32)
	require.Equal(t, made, <-two)
	_, err = d.Store.SigningSeed(t.Context(), newCompany(t, d.Store), w.ID)
	requireCode(t, pipeline.CodeNotFound, err)
}

// unwell is a webhook whose endpoint rests after failures.
func unwell(t *testing.T, d database, w pipeline.Webhook) {
	t.Helper()
	_, err := d.DB.Exec(`UPDATE webhook_health SET failures = 12, failing_since = now(), rest_until = now() + interval '1 hour', slow = true,
		probes = 3, told = true, paced_until = now() + interval '1 hour' WHERE webhook_id = $1`, w.ID)
	require.NoError(t, err)
}

func TestEnableAndDisable(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	p := backlog(t, d, 3)
	off, wake, err := d.Store.DisableWebhook(t.Context(), 1, w.ID)
	require.NoError(t, err)
	require.False(t, off.Active)
	require.EqualValues(t, pipeline.DisabledByHand, off.DisabledReason)
	require.Empty(t, wake)
	require.Equal(t, []string{"held", "held", "held"}, statuses(t, d, w))
	p, _ = happen(t, d.Store, p, pipeline.TypeProposalSent, `{}`)
	_, _, err = d.Store.DisableWebhook(t.Context(), 1, w.ID)
	require.NoError(t, err)
	require.Equal(t, 1, count(t, d, `SELECT count(*) FROM events WHERE type = 'webhook.disabled'`), "once")

	unwell(t, d, w)
	on, wake, err := d.Store.EnableWebhook(t.Context(), 1, w.ID, false)
	require.NoError(t, err)
	require.True(t, on.Active)
	require.Empty(t, on.DisabledReason)
	require.True(t, on.Health.Healthy())
	require.Equal(t, []int64{w.ID}, wake)
	require.Equal(t, []string{entry(p, 1), entry(p, 2), entry(p, 3), entry(p, 4)}, entries(due(t, d, w)), "in order")

	_, wake, err = d.Store.EnableWebhook(t.Context(), 1, w.ID, false)
	require.NoError(t, err)
	require.Empty(t, wake, "nothing to do")
	unwell(t, d, w)
	on, wake, err = d.Store.EnableWebhook(t.Context(), 1, w.ID, true)
	require.NoError(t, err)
	require.True(t, on.Health.Healthy(), "a webhook that is on is tried again at once")
	require.Equal(t, []int64{w.ID}, wake)
	require.Len(t, due(t, d, w), 4, "nothing was held")

	for _, company := range []int64{newCompany(t, d.Store), 999} {
		_, _, err = d.Store.EnableWebhook(t.Context(), company, w.ID, true)
		requireCode(t, pipeline.CodeNotFound, err)
		_, _, err = d.Store.DisableWebhook(t.Context(), company, w.ID)
		requireCode(t, pipeline.CodeNotFound, err)
	}
}

func TestEnableSkipsWhatIsHeld(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"}, inactive)
	p := newProposal(t, d.Store, newCustomer(t, d.Store, 1))
	const many = 5001 // more than one batch
	repeat(t, d, p, w, many)
	_, err := d.DB.Exec(`UPDATE deliveries SET status = 'pending' WHERE webhook_id = $1 AND version = 2`, w.ID) // a crash left it so
	require.NoError(t, err)
	on, wake, err := d.Store.EnableWebhook(t.Context(), 1, w.ID, true)
	require.NoError(t, err)
	require.True(t, on.Active)
	require.Empty(t, wake)
	require.Equal(t, many, count(t, d, `SELECT count(*) FROM deliveries WHERE webhook_id = $1 AND status = 'discarded'`, w.ID))
	require.Empty(t, due(t, d, w))
}

// The notice of a webhook that is switched off goes to those who subscribe to such.
func TestDisabledByHandIsTold(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"*", "webhook.*"})
	told := newWebhook(t, d.Store, 1, []string{"webhook.disabled"}, func(o *pipeline.Webhook) { o.KeyID = w.KeyID })
	w.Active = false
	_, wake, err := d.Store.UpdateWebhook(t.Context(), w.CompanyID, w.ID, as(w))
	require.NoError(t, err)
	require.Equal(t, []int64{told.ID}, wake)
	sent, err := d.Store.DueDeliveries(t.Context(), told.ID, 10)
	require.NoError(t, err)
	require.Len(t, sent, 1)
	require.Equal(t, pipeline.TypeWebhookDisabled, sent[0].Event.Type)
	require.Contains(t, string(sent[0].Event.Payload), `"reason": "manual"`)
	require.Contains(t, string(sent[0].Event.State), `"active":false`)
	require.Empty(t, statuses(t, d, w), "not about itself")
}

// Another URL is another endpoint; another limit, another pace.
func TestUpdateForgetsTheEndpoint(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"*"}, func(w *pipeline.Webhook) { w.RateLimit = 1 })
	paced := func() bool {
		return count(t, d, `SELECT count(*) FROM webhook_health WHERE webhook_id = $1 AND paced_until > now()`, w.ID) > 0
	}
	unwell(t, d, w)
	w.Description = "new"
	updated, wake, err := d.Store.UpdateWebhook(t.Context(), w.CompanyID, w.ID, as(w))
	require.NoError(t, err)
	require.Empty(t, wake)
	require.Equal(t, 12, updated.Health.Failures, "as it was, though the caller had read it before")
	require.True(t, paced())

	w.RateLimit = 2
	updated, wake, err = d.Store.UpdateWebhook(t.Context(), w.CompanyID, w.ID, as(w))
	require.NoError(t, err)
	require.Equal(t, []int64{w.ID}, wake)
	require.Equal(t, 12, updated.Health.Failures)
	require.False(t, paced())

	w.URL = "https://elsewhere.example"
	updated, wake, err = d.Store.UpdateWebhook(t.Context(), w.CompanyID, w.ID, as(w))
	require.NoError(t, err)
	require.Equal(t, []int64{w.ID}, wake)
	require.True(t, updated.Health.Healthy())
}

func TestResend(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	p := backlog(t, d, 6)
	mine := fresh(t, d, p)
	for i, set := range []string{
		"status = 'delivered', attempts = 1, delivered_at = '2020-01-01'", "status = 'exhausted', attempts = 8", "status = 'superseded'",
		"status = 'discarded'", "next_attempt_at = now() + interval '1 hour', attempts = 4", "next_attempt_at = NULL",
	} {
		_, err := d.DB.Exec(`UPDATE deliveries SET `+set+` WHERE id = $1`, mine[i].DeliveryID)
		require.NoError(t, err)
	}
	for i, m := range mine {
		sent, err := d.Store.Resend(t.Context(), 1, w.KeyID, m.DeliveryID)
		require.NoError(t, err)
		require.Equal(t, pipeline.DeliveryPending, sent.Status)
		require.Equal(t, i == 5, at(sent.NextAttemptAt).IsZero(), "what its entity is about to send is left alone")
	}
	again := due(t, d, w)
	require.Len(t, again, 5)
	for _, a := range again {
		require.Zero(t, a.Attempts, "the schedule begins anew")
	}
	require.Equal(t, 1, count(t, d, `SELECT count(*) FROM deliveries WHERE delivered_at = '2020-01-01'`), "acknowledged once is acknowledged")

	id := mine[0].DeliveryID
	refused := func(code pipeline.Code, company, partner, id int64) {
		t.Helper()
		_, err := d.Store.Resend(t.Context(), company, partner, id)
		requireCode(t, code, err)
	}
	refused(pipeline.CodeNotFound, newCompany(t, d.Store), 0, id)
	refused(pipeline.CodeNotFound, 1, w.KeyID+1, id)
	refused(pipeline.CodeNotFound, 1, 0, 999)
	_, _, err := d.Store.DisableWebhook(t.Context(), 1, w.ID)
	require.NoError(t, err)
	refused(pipeline.CodeConflict, 1, 0, id)
	require.NoError(t, d.Store.DeleteWebhook(t.Context(), 1, w.ID))
	refused(pipeline.CodeConflict, 1, 0, id)
}
