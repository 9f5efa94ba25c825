package api_test

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

func (s *fakeStore) CreateWebhook(
	_ context.Context, w pipeline.Webhook, start pipeline.Start, idem pipeline.Idempotency,
) (pipeline.Webhook, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return pipeline.Webhook{}, false, s.broken
	}
	known, err := s.once(w.CompanyID, idem)
	if err != nil {
		return pipeline.Webhook{}, false, err
	}
	if known.done {
		return known.webhook, true, nil
	}
	s.asks = append(s.asks, start)
	w.ID, w.CreatedAt, w.UpdatedAt, w.CatchingUp = s.id(), s.now, s.now, start.Past
	s.webhooks = append(s.webhooks, w)
	known.webhook, known.done = w, true
	return w, false, nil
}

func (s *fakeStore) Webhook(_ context.Context, companyID, partnerKey, id int64) (pipeline.Webhook, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.webhooks {
		if w.ID == id && w.CompanyID == companyID && (partnerKey == 0 || w.KeyID == partnerKey) {
			return w, s.broken
		}
	}
	return pipeline.Webhook{}, cmp.Or(s.broken, notFound("webhook"))
}

func (s *fakeStore) Webhooks(_ context.Context, companyID, partnerKey int64, page pipeline.Page) ([]pipeline.Webhook, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []pipeline.Webhook
	for _, w := range s.webhooks {
		if w.CompanyID == companyID && (partnerKey == 0 || w.KeyID == partnerKey) {
			out = append(out, w)
		}
	}
	return newestFirst(out, page, func(w pipeline.Webhook) int64 { return w.ID }), s.broken
}

func (s *fakeStore) UpdateWebhook(
	_ context.Context, _, id int64, f func(pipeline.Webhook) (pipeline.Webhook, error),
) (pipeline.Webhook, []int64, error) {
	var refused error
	w, wake, err := s.changeWebhook(id, func(kept *pipeline.Webhook) {
		var wanted pipeline.Webhook
		if wanted, refused = f(*kept); refused == nil {
			*kept = wanted
		}
	})
	return w, wake, cmp.Or(err, refused)
}

func (s *fakeStore) EnableWebhook(_ context.Context, _, id int64, skipHeld bool) (pipeline.Webhook, []int64, error) {
	return s.changeWebhook(id, func(w *pipeline.Webhook) {
		w.Active, w.DisabledReason = true, ""
		s.asks = append(s.asks, skipHeld)
	})
}

func (s *fakeStore) DisableWebhook(_ context.Context, _, id int64) (pipeline.Webhook, []int64, error) {
	return s.changeWebhook(id, func(w *pipeline.Webhook) { w.Active, w.DisabledReason = false, pipeline.DisabledByHand })
}

// away is what is answered once the webhook was found.
func (s *fakeStore) away() error { return cmp.Or(s.broken, s.lost) }

func (s *fakeStore) changeWebhook(id int64, change func(*pipeline.Webhook)) (pipeline.Webhook, []int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.away(); err != nil {
		return pipeline.Webhook{}, nil, err
	}
	w := s.kept(id)
	change(w)
	return *w, s.released, nil
}

// kept is the webhook as it is kept; the API asks only for those that are there.
func (s *fakeStore) kept(id int64) *pipeline.Webhook {
	return &s.webhooks[slices.IndexFunc(s.webhooks, func(w pipeline.Webhook) bool { return w.ID == id })]
}

func (s *fakeStore) DeleteWebhook(_ context.Context, _, id int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.webhooks = slices.DeleteFunc(s.webhooks, func(w pipeline.Webhook) bool { return w.ID == id })
	return s.broken
}

func (s *fakeStore) Deliveries(_ context.Context, q pipeline.DeliveryQuery) ([]pipeline.Delivery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []pipeline.Delivery
	for _, d := range s.deliveries {
		if s.owns(q.CompanyID, q.PartnerKey, d) && (q.WebhookID == 0 || q.WebhookID == d.WebhookID) &&
			(q.Status == "" || q.Status == d.Status) && (q.EventID == "" || q.EventID == d.EventID) {
			out = append(out, d)
		}
	}
	return newestFirst(out, q.Page, func(d pipeline.Delivery) int64 { return d.ID }), s.broken
}

func (s *fakeStore) Delivery(_ context.Context, companyID, partnerKey, id int64) (pipeline.Delivery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.deliveries {
		if d.ID == id && s.owns(companyID, partnerKey, d) {
			return d, s.broken
		}
	}
	return pipeline.Delivery{}, cmp.Or(s.broken, notFound("delivery"))
}

func (s *fakeStore) owns(companyID, partnerKey int64, d pipeline.Delivery) bool {
	return slices.ContainsFunc(s.webhooks, func(w pipeline.Webhook) bool {
		return w.ID == d.WebhookID && w.CompanyID == companyID && (partnerKey == 0 || w.KeyID == partnerKey)
	})
}

func (s *fakeStore) Resend(ctx context.Context, companyID, partnerKey, id int64) (pipeline.Delivery, error) {
	d, err := s.Delivery(ctx, companyID, partnerKey, id)
	if err != nil {
		return d, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.kept(d.WebhookID).Active {
		return d, pipeline.Errorf(pipeline.CodeConflict, "the webhook is not active: enable it first")
	}
	d.Status, d.NextAttemptAt = pipeline.DeliveryPending, pipeline.Instant(s.now)
	return d, nil
}

func (s *fakeStore) RotateSecret(
	_ context.Context, companyID, id int64, secret string, overlap time.Duration, idem pipeline.Idempotency,
) (string, time.Time, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.away(); err != nil {
		return "", time.Time{}, false, err
	}
	known, err := s.once(companyID, idem)
	if err != nil {
		return "", time.Time{}, false, err
	}
	var until time.Time
	if overlap > 0 {
		until = s.now.Add(overlap)
	}
	if known.done {
		return known.secret, until, true, nil
	}
	s.kept(id).Signing.Secret = secret
	known.secret, known.done = secret, true
	return secret, until, false, nil
}

func (s *fakeStore) SigningSeed(context.Context, int64, int64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Repeat([]byte{7}, 32), s.away()
}

func (s *fakeStore) StartReplay(_ context.Context, r pipeline.NewReplay, idem pipeline.Idempotency) (pipeline.Replay, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.away(); err != nil {
		return pipeline.Replay{}, false, err
	}
	known, err := s.once(r.CompanyID, idem)
	if err != nil {
		return pipeline.Replay{}, false, err
	}
	if known.done {
		return known.replay, true, nil
	}
	if !s.kept(r.WebhookID).Active {
		return pipeline.Replay{}, false, pipeline.Errorf(pipeline.CodeConflict, "the webhook is not active: enable it first")
	}
	if slices.ContainsFunc(s.replays, func(other pipeline.Replay) bool { return other.WebhookID == r.WebhookID && !over(other) }) {
		return pipeline.Replay{}, false, pipeline.Errorf(pipeline.CodeConflict, "a replay is under way: wait for its end, or cancel it")
	}
	s.asks = append(s.asks, r)
	replay := pipeline.Replay{
		ID: s.id(), WebhookID: r.WebhookID, Kind: r.Kind, Status: pipeline.ReplayRunning,
		After: r.After, Until: cmp.Or(r.Until, int64(len(s.events))), Types: r.Types, Position: r.After, CreatedAt: s.now,
	}
	s.replays = append(s.replays, replay)
	known.replay, known.done = replay, true
	return replay, false, nil
}

func over(r pipeline.Replay) bool {
	return r.Status == pipeline.ReplayCancelled || r.Status == pipeline.ReplayDone
}

func (s *fakeStore) Replays(_ context.Context, _, webhookID int64, page pipeline.Page) ([]pipeline.Replay, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := slices.DeleteFunc(slices.Clone(s.replays), func(r pipeline.Replay) bool { return r.WebhookID != webhookID })
	return newestFirst(rows, page, func(r pipeline.Replay) int64 { return r.ID }), s.away()
}

func (s *fakeStore) Replay(_ context.Context, _, webhookID, id int64) (pipeline.Replay, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.replays {
		if r.ID == id && r.WebhookID == webhookID {
			return r, s.broken
		}
	}
	return pipeline.Replay{}, cmp.Or(s.broken, notFound("replay"))
}

func (s *fakeStore) SetReplayStatus(
	_ context.Context, _, webhookID, id int64, status pipeline.ReplayStatus,
) (pipeline.Replay, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range s.replays {
		if r.ID != id || r.WebhookID != webhookID {
			continue
		}
		if over(r) {
			return r, pipeline.Errorf(pipeline.CodeConflict, "the replay is over: start another one")
		}
		s.replays[i].Status = status
		return s.replays[i], s.away()
	}
	return pipeline.Replay{}, cmp.Or(s.away(), notFound("replay"))
}

func (s *fakeStore) Gaps(_ context.Context, q pipeline.GapQuery) (pipeline.Gaps, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asks = append(s.asks, q)
	return s.gaps, s.away()
}

func (s *fakeStore) Stats(_ context.Context, _, _ int64, since time.Time) ([]pipeline.StatsHour, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asks = append(s.asks, since)
	return s.stats, s.away()
}

// lastAsk is the last of the questions that the store was asked.
func (s *fakeStore) lastAsk() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asks[len(s.asks)-1]
}
