package webhook

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// Getter fetches what a partner or provider has for us, under the safety rules of deliveries:
// every address is vetted when it is dialled. It is safe for concurrent use.
type Getter struct {
	transport *http.Transport
	tokens    *tokens
	agent     string
}

// NewGetter makes one with a pool of connections of its own.
func NewGetter(targets *Targets, version string) *Getter {
	g := &Getter{agent: "Dealwright/" + version}
	g.connect(targets, &tls.Config{MinVersion: tls.VersionTLS12})
	return g
}

func (g *Getter) connect(targets *Targets, secure *tls.Config) {
	g.transport = newTransport(targets, secure)
	g.transport.ResponseHeaderTimeout = answerTimeout
	g.tokens = newTokens(g.transport, g.agent)
}

// The bounds of a fetch before its body comes.
const (
	maxRedirects  = 5
	answerTimeout = 30 * time.Second
)

// Get asks for what is there, and answers whatever the answer's status is; its body is to be
// closed, and lasts as long as ctx. Redirects are followed: providers send on to where they keep
// their files. What lets us in is for the remote's own host and shown to no other.
//
// Its errors have a code: CodeForbidden where asking again is of no use (the address may not be
// reached), CodeUnavailable where it may be. They hold neither credentials nor URLs.
func (g *Getter) Get(ctx context.Context, r pipeline.Remote, header http.Header) (*http.Response, error) {
	resp, token, err := g.get(ctx, r, header)
	if err == nil {
		return resp, nil
	}
	w := pipeline.Webhook{Auth: r.Auth}
	sentence := storable(hide(plain(err, answerTimeout), credentials(w, token)), maxSentence)
	if _, refused := errors.AsType[targetError](err); refused {
		return nil, pipeline.Errorf(pipeline.CodeForbidden, "%s", sentence)
	}
	return nil, pipeline.Errorf(pipeline.CodeUnavailable, "%s", sentence)
}

func (g *Getter) get(ctx context.Context, r pipeline.Remote, header http.Header) (*http.Response, *token, error) {
	if r.Auth.Type != pipeline.AuthOAuth2 {
		resp, err := g.follow(ctx, r, header, nil)
		return resp, nil, err
	}
	for again := false; ; again = true {
		token, err := g.tokens.get(ctx, r.Auth)
		if err != nil {
			return nil, nil, err
		}
		resp, err := g.follow(ctx, r, header, token)
		if err != nil || resp.StatusCode != http.StatusUnauthorized || again {
			return resp, token, err
		}
		resp.Body.Close() // the token may have been revoked before its time: once more with another
		g.tokens.drop(r.Auth, token)
	}
}

func (g *Getter) follow(ctx context.Context, r pipeline.Remote, header http.Header, token *token) (*http.Response, error) {
	at, err := url.Parse(r.URL)
	if err != nil {
		return nil, targetError("is not one")
	}
	home := at
	for range 1 + maxRedirects {
		resp, err := g.request(ctx, at, header, authFor(r.Auth, home, at), token)
		if err != nil {
			return nil, err
		}
		next, err := redirection(resp, at)
		if err != nil || next == nil {
			return resp, err
		}
		resp.Body.Close()
		at = next
	}
	return nil, errors.New("answered with one redirect after the other")
}

// authFor is what to show: nothing to another host than the one that it is for.
func authFor(a pipeline.Auth, home, at *url.URL) pipeline.Auth {
	if at.Scheme != home.Scheme || at.Host != home.Host {
		return pipeline.Auth{Type: pipeline.AuthNone}
	}
	return a
}

func (g *Getter) request(ctx context.Context, at *url.URL, header http.Header, auth pipeline.Auth, token *token) (*http.Response, error) {
	if at.Scheme != "https" && at.Scheme != "http" || at.User != nil {
		return nil, targetError("has to begin with https://, without a user name")
	}
	if err := vetSpelling(at.Hostname()); err != nil {
		return nil, targetError(err.Error())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	maps.Copy(req.Header, header)
	req.Header.Set(headerUserAgent, g.agent)
	authorize(req, auth, token)
	return g.transport.RoundTrip(req) //nolint:wrapcheck // plain makes a sentence of it
}

// redirection is where an answer sends us on to, nil where it does not.
func redirection(resp *http.Response, at *url.URL) (*url.URL, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil //nolint:nilnil // there is none
	}
	next, err := at.Parse(cmp.Or(resp.Header.Get("Location"), at.String()))
	if err != nil {
		resp.Body.Close()
		return nil, errors.New("answered with a redirect to what is no URL")
	}
	if at.Scheme == "https" && next.Scheme != "https" {
		resp.Body.Close()
		return nil, targetError("leads on to one without TLS")
	}
	next.Fragment = ""
	return next, nil
}
