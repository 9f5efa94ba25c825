package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// engine is the real thing, through its HTTP API, seen by one company.
type engine struct {
	api  string
	key  string
	http *http.Client
}

// requestPatience bounds a request; the API itself gives up before.
const requestPatience = 30 * time.Second

func newEngine(api, key string) *engine {
	return &engine{
		api: api, key: key,
		http: &http.Client{Timeout: requestPatience, Transport: &http.Transport{MaxIdleConnsPerHost: 256}},
	}
}

// subscribe makes a webhook that matches everything, with the settings that a webhook has where nobody says otherwise, and
// gives its id.
func (e *engine) subscribe(ctx context.Context, url string) (int64, error) {
	body, err := json.Marshal(map[string]any{"url": url, "events": []string{"*"}})
	if err != nil {
		return 0, err
	}
	var made struct {
		ID int64 `json:"id"`
	}
	if err := e.post(ctx, "/v1/webhooks", string(body), &made); err != nil {
		return 0, fmt.Errorf("make a webhook: %w", err)
	}
	return made.ID, nil
}

// subscribeAll makes a webhook for each of an audience.
func (e *engine) subscribeAll(ctx context.Context, partners audience) error {
	for _, partner := range partners {
		if _, err := e.subscribe(ctx, partner.url); err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) close() error {
	e.http.CloseIdleConnections()
	return nil
}

// post sends what a careful client sends: an idempotency key with every request. Anything but 2xx is an error.
func (e *engine) post(ctx context.Context, path, body string, answer any) error {
	return e.do(ctx, http.MethodPost, path, body, answer)
}

func (e *engine) do(ctx context.Context, method, path, body string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, e.api+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Authorization", "Bearer "+e.key)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", rand.Text())
	}
	resp, err := e.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s answered %d: %s", method, path, resp.StatusCode, content)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(content, answer)
}

// story is a deal, request by request: a customer, a proposal, and five transitions of the proposal.
var story = []func(c *engineCaller, ctx context.Context) (transition, error){
	(*engineCaller).createCustomer,
	(*engineCaller).createProposal,
	proposalMoves(`{"type":"proposal.sent","data":{"channel":"email"},"actor":{"user_id":7}}`),
	proposalMoves(`{"type":"credit.ran","data":{"outcome":"approved","provider":"Acme Credit","score":720},"actor":{"user_id":7}}`),
	proposalMoves(`{"type":"proposal.selected","actor":{"user_id":7}}`),
	proposalMoves(`{"type":"contract.requested","data":{"template":"residential"},"actor":{"user_id":7}}`),
	proposalMoves(`{"type":"contract.sent","data":{"envelope_id":"env-1"},"actor":{"user_id":7}}`),
}

// engineCaller is one salesperson, who takes one deal after the other through its story.
type engineCaller struct {
	engine   *engine
	step     int
	customer int64
	proposal int64
}

func (e *engine) newCaller() caller { return &engineCaller{engine: e} }

func (c *engineCaller) next(ctx context.Context) (transition, error) {
	t, err := story[c.step](c, ctx)
	c.step = (c.step + 1) % len(story)
	return t, err
}

const (
	newCustomer = `{"name":"Ada Example","email":"ada@example.com","phone":"+61 2 5550 1234",` +
		`"address":{"line1":"1 Example Street","city":"Sydney","postcode":"2000"}}`
	newProposal = `{"nickname":"Roof","site_address":"1 Example Street, Sydney","system":{"size_kw":6.6,"panels":15},` +
		`"price":{"amount":"12345.00","currency":"AUD"}}`
)

// Creations answer with the entity, which does not say when it was committed.

func (c *engineCaller) createCustomer(ctx context.Context) (transition, error) {
	var made struct {
		ID int64 `json:"id"`
	}
	err := c.engine.post(ctx, "/v1/customers", newCustomer, &made)
	c.customer = made.ID
	return transition{event: eventName(fmt.Sprintf("customer-%d", made.ID), 1)}, err
}

func (c *engineCaller) createProposal(ctx context.Context) (transition, error) {
	var made struct {
		ID int64 `json:"id"`
	}
	err := c.engine.post(ctx, fmt.Sprintf("/v1/customers/%d/proposals", c.customer), newProposal, &made)
	c.proposal = made.ID
	return transition{event: eventName(fmt.Sprintf("proposal-%d", made.ID), 1)}, err
}

func proposalMoves(body string) func(c *engineCaller, ctx context.Context) (transition, error) {
	return func(c *engineCaller, ctx context.Context) (transition, error) {
		var answer json.RawMessage
		err := c.engine.post(ctx, fmt.Sprintf("/v1/proposals/%d/transitions", c.proposal), body, &answer)
		if err != nil {
			return transition{}, err
		}
		return movedIn(answer)
	}
}

// movedIn reads the answer to a transition.
func movedIn(content []byte) (transition, error) {
	var answer struct {
		Event struct {
			Stream     string    `json:"stream"`
			Seq        int64     `json:"seq"`
			RecordedAt time.Time `json:"recorded_at"`
		} `json:"event"`
	}
	err := json.Unmarshal(content, &answer)
	return transition{event: eventName(answer.Event.Stream, answer.Event.Seq), recorded: answer.Event.RecordedAt}, err
}
