package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jellydator/ttlcache/v3"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/sync/singleflight"

	"github.com/dealwright/dealwright/pipeline"
)

const (
	maxTokenAnswer = 64 << 10 // bytes of a token endpoint's answer
	maxTokens      = 4096     // settings whose tokens are kept
)

type token = oauth2.Token

// tokens keeps the access tokens of the client credentials flow (RFC 6749, section 4.4), one
// for all webhooks with the same settings.
type tokens struct {
	client *http.Client
	kept   *ttlcache.Cache[settings, *tokenSource]
}

// settings are what an access token depends on.
type settings struct{ tokenURL, clientID, clientSecret, scope string }

// tokenSource fetches one token at a time, however many deliveries wait for it.
type tokenSource struct {
	config   *clientcredentials.Config // remembers how the endpoint wants to be told the secret
	fetching singleflight.Group
	current  atomic.Pointer[token]
}

func newTokens(transport http.RoundTripper, agent string) *tokens {
	return &tokens{
		client: &http.Client{
			Transport:     tokenTransport{transport, agent},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		kept: ttlcache.New(ttlcache.WithCapacity[settings, *tokenSource](maxTokens)),
	}
}

func (t *tokens) source(a pipeline.Auth) *tokenSource {
	key := settings{a.TokenURL, a.ClientID, a.ClientSecret, a.Scope}
	item, _ := t.kept.GetOrSetFunc(key, func() *tokenSource {
		return &tokenSource{config: &clientcredentials.Config{
			TokenURL: a.TokenURL, ClientID: a.ClientID, ClientSecret: a.ClientSecret, Scopes: strings.Fields(a.Scope),
		}}
	})
	return item.Value()
}

// get gives a token that is good as far as we know. All errors are tokenErrors.
func (t *tokens) get(ctx context.Context, a pipeline.Auth) (*token, error) {
	s := t.source(a)
	for {
		if kept := s.current.Load(); kept.Valid() {
			return kept, nil
		}
		fetched := s.fetching.DoChan("", func() (any, error) { return s.fetch(ctx, t.client) })
		select {
		case <-ctx.Done():
			return nil, tokenError{ctx.Err()}
		case r := <-fetched:
			if fresh, ok := r.Val.(*token); ok && r.Err == nil {
				return fresh, nil
			}
			// Whoever began the fetch may have had less time than there is left here.
			if ctx.Err() != nil || !errors.Is(r.Err, context.DeadlineExceeded) {
				return nil, tokenError{r.Err}
			}
		}
	}
}

// drop forgets a token that an endpoint did not take, unless there is a newer one already.
func (t *tokens) drop(a pipeline.Auth, refused *token) {
	t.source(a).current.CompareAndSwap(refused, nil)
}

func (s *tokenSource) fetch(ctx context.Context, client *http.Client) (*token, error) {
	if kept := s.current.Load(); kept.Valid() {
		return kept, nil // somebody else's fetch ended just before this one began
	}
	fresh, err := s.config.Token(context.WithValue(ctx, oauth2.HTTPClient, client))
	switch {
	case err == nil:
		s.current.Store(fresh)
		return fresh, nil
	case ctx.Err() != nil:
		return nil, ctx.Err() // the library hides it where the time was up within the body
	default:
		return nil, err //nolint:wrapcheck // tokenError makes a sentence of it
	}
}

// tokenTransport bounds what is read of a token endpoint's answers.
type tokenTransport struct {
	http.RoundTripper

	agent string
}

// RoundTrip makes one request; redirects are the client's matter.
func (t tokenTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	own := req.Clone(req.Context())
	own.Header.Set(headerUserAgent, t.agent)
	resp, err := t.RoundTripper.RoundTrip(own)
	if err != nil {
		return nil, err //nolint:wrapcheck // plain makes a sentence of it
	}
	body := resp.Body
	if resp.StatusCode == http.StatusSwitchingProtocols {
		body.Close() // the bare connection: a read from it would heed no time limit
		body = http.NoBody
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(body, maxTokenAnswer), body}
	return resp, nil
}

// tokenError says that there is no access token to send a delivery with.
type tokenError struct{ err error }

func (e tokenError) Error() string { return "no access token: " + e.err.Error() }
func (e tokenError) Unwrap() error { return e.err }

// tokenRetryAfter is how long the token endpoint asks to be left alone.
func tokenRetryAfter(err error) time.Duration {
	refusal, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return 0
	}
	return retryAfter(refusal.Response.Header, time.Now())
}

// tokenErrorCodes are those of RFC 6749, sections 4.1.2.1 and 5.2. No others are told: an
// endpoint may write into its errors what it was sent.
var tokenErrorCodes = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
	"access_denied", "server_error", "temporarily_unavailable",
}

// sentence says it without the endpoint's own words, which may repeat a credential.
func (e tokenError) sentence(timeout time.Duration) string {
	const who = "the token endpoint"
	if refusal, ok := errors.AsType[*oauth2.RetrieveError](e.err); ok {
		said := fmt.Sprintf("%s answered %d", who, refusal.Response.StatusCode)
		if slices.Contains(tokenErrorCodes, refusal.ErrorCode) {
			said += " (" + refusal.ErrorCode + ")"
		}
		return said
	}
	if unreached(e.err) {
		return who + ": " + plain(e.err, timeout)
	}
	return who + " answered without a token that can be read"
}
