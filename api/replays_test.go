package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestReplay(t *testing.T) {
	t.Parallel()
	at := func(hour int) time.Time { return time.Date(2026, time.November, 20, hour, 0, 0, 0, time.UTC) }
	for _, tc := range []struct {
		body any
		want pipeline.NewReplay
	}{
		{nil, pipeline.NewReplay{}},
		{object{}, pipeline.NewReplay{}},
		{object{"after": nil, "until": nil, "types": nil}, pipeline.NewReplay{}},
		{object{"after": 2, "until": 5}, pipeline.NewReplay{After: 2, Until: 5}},
		{
			object{"after": "2026-11-20T10:00:00Z", "until": "2026-11-20T11:00:00Z"},
			pipeline.NewReplay{Since: at(10), UntilTime: at(11)},
		},
		{object{"after": 2, "until": "2026-11-20T11:00:00Z"}, pipeline.NewReplay{After: 2, UntilTime: at(11)}},
		{object{"types": []string{"proposal.*", "sms.sent", "proposal.*"}}, pipeline.NewReplay{Types: []string{"proposal.*", "sms.sent"}}},
		{object{"types": "proposal.*,webhook.failing"}, pipeline.NewReplay{Types: []string{"proposal.*", "webhook.failing"}}},
	} {
		r := newRig(t)
		webhook := r.webhook()
		a := r.post(webhook+"/replay", tc.body)
		got := a.must(http.StatusAccepted)
		require.Equal(t, path(webhook+"/replays/", got), a.header.Get("Location"))
		require.Equal(t, "replay", got["kind"])
		require.Equal(t, "running", got["status"])

		tc.want.CompanyID, tc.want.WebhookID, tc.want.Kind = 1, r.store.webhooks[0].ID, pipeline.ReplayEvents
		asked, ok := r.store.lastAsk().(pipeline.NewReplay)
		require.True(t, ok)
		if len(tc.want.Types) == 0 {
			require.Empty(t, asked.Types)
			asked.Types = nil
		}
		require.Equal(t, tc.want, asked)
		require.Equal(t, []int64{r.store.webhooks[0].ID}, r.engine.woken)
		require.Equal(t, got, r.get(a.header.Get("Location"), as(app)).must(http.StatusOK))
	}
}

func TestRecover(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	a := r.post(webhook+"/recover", object{"since": "2026-11-20T10:00:00+10:00"})
	got := a.must(http.StatusAccepted)
	require.Equal(t, "recover", got["kind"])
	require.Equal(t, path(webhook+"/replays/", got), a.header.Get("Location"))
	asked, ok := r.store.lastAsk().(pipeline.NewReplay)
	require.True(t, ok)
	require.Equal(t, pipeline.ReplayRecover, asked.Kind)
	require.True(t, time.Date(2026, time.November, 20, 0, 0, 0, 0, time.UTC).Equal(asked.Since))
	require.Len(t, r.engine.woken, 1)

	// A clock that is a little ahead is nobody's fault.
	soon := r.webhook()
	r.post(soon+"/recover", object{"since": r.store.now.Add(time.Minute)}).must(http.StatusAccepted)
}

func TestReplayJSON(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	replay := r.replay(webhook)
	kept := &r.store.replays[0]
	kept.After, kept.Until, kept.Position, kept.Total, kept.Done, kept.Queued, kept.Rate = 10, 500, 110, 400, 100, 90, 25.5
	kept.ETA, kept.Types = pipeline.Instant(r.store.now.Add(time.Minute)), []string{"sms.sent"}
	require.Equal(t, object{
		"id": float64(kept.ID), "webhook_id": float64(kept.WebhookID), "kind": "replay", "status": "running",
		"after": 10.0, "until": 500.0, "types": []any{"sms.sent"}, "position": 110.0, "total": 400.0, "done": 100.0, "queued": 90.0,
		"rate": 25.5, "eta": "2026-11-21T09:01:00.123456789Z", "created_at": "2026-11-21T09:00:00.123456789Z", "finished_at": nil,
	}, r.get(replay).must(http.StatusOK))
}

func TestPauseResumeCancel(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	replay := r.replay(webhook)
	woken := len(r.engine.woken)
	for _, step := range []struct {
		verb, status string
		wakes        int
	}{
		{"/pause", "paused", 0}, {"/resume", "running", 1}, {"/pause", "paused", 0}, {"/cancel", "cancelled", 0},
	} {
		require.Equal(t, step.status, r.post(replay+step.verb, nil).must(http.StatusOK)["status"])
		woken += step.wakes
		require.Len(t, r.engine.woken, woken, step.verb)
	}
	for _, verb := range []string{"/pause", "/resume", "/cancel"} {
		a := r.post(replay+verb, nil)
		require.Contains(t, a.problem(http.StatusConflict, pipeline.CodeConflict)["detail"], "start another")
	}
	require.Len(t, r.engine.woken, woken)
}

func TestReplaysInEachOthersWay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	replay := r.replay(webhook)
	woken := len(r.engine.woken)
	since := object{"since": "2026-11-20T00:00:00Z"}
	for _, a := range []reply{r.post(webhook+"/replay", nil), r.post(webhook+"/recover", since)} {
		require.Contains(t, a.problem(http.StatusConflict, pipeline.CodeConflict)["detail"], "cancel")
	}
	r.post(replay+"/cancel", nil).must(http.StatusOK)
	r.post(webhook+"/disable", nil).must(http.StatusOK)
	delivery := path("/v1/deliveries/", r.delivered(webhook))
	for _, a := range []reply{r.post(webhook+"/replay", nil), r.post(webhook+"/recover", since), r.post(delivery+"/resend", nil)} {
		require.Contains(t, a.problem(http.StatusConflict, pipeline.CodeConflict)["detail"], "enable")
	}
	require.Len(t, r.engine.woken, woken, "what was refused wakes nobody")
	r.post(webhook+"/enable", nil).must(http.StatusOK)
	r.replay(webhook)
}

func TestListReplays(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	r.replay(r.webhook())
	var want []any
	for range 3 {
		replay := r.replay(webhook)
		r.post(replay+"/cancel", nil).must(http.StatusOK)
		want = append([]any{r.get(replay).must(http.StatusOK)["id"]}, want...)
	}
	first := r.get(webhook+"/replays?limit=2", as(app))
	require.Len(t, first.rows(), 2)
	cursor, more := first.must(http.StatusOK)["next_cursor"].(string)
	require.True(t, more)
	second := r.get(webhook + "/replays?limit=2&cursor=" + cursor)
	require.Nil(t, second.must(http.StatusOK)["next_cursor"])
	rows := append(first.rows(), second.rows()...)
	require.Len(t, rows, len(want))
	for i, row := range rows {
		require.Equal(t, want[i], row["id"], "newest first")
	}
}

func TestResend(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	d := r.delivered(webhook)
	a := r.post(path("/v1/deliveries/", d)+"/resend", nil)
	got := a.must(http.StatusAccepted)
	require.Equal(t, path("/v1/deliveries/", d), a.header.Get("Location"))
	require.Equal(t, "pending", got["status"])
	require.NotNil(t, got["next_attempt_at"])
	require.Equal(t, d["event_id"], got["event_id"])
	require.Equal(t, []int64{r.store.webhooks[0].ID}, r.engine.woken)
}
