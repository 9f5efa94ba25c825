package webhook_test

import (
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/webhook"
)

func TestAuthIsSent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		auth   pipeline.Auth
		header http.Header // beside the usual ones
		query  string
	}{
		"no type": {pipeline.Auth{}, nil, "?b=1&a=2"},
		"none":    {pipeline.Auth{Type: pipeline.AuthNone}, nil, "?b=1&a=2"},
		"basic": {
			pipeline.Auth{Type: pipeline.AuthBasic, Username: "Aladdin", Password: "open sesame"}, // RFC 7617, section 2
			http.Header{"Authorization": {"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}}, "?b=1&a=2",
		},
		"bearer": {
			pipeline.Auth{Type: pipeline.AuthBearer, Token: "mF_9.B5f-4.1JqM"},
			http.Header{"Authorization": {"Bearer mF_9.B5f-4.1JqM"}},
			"?b=1&a=2",
		},
		"key in a header": {
			pipeline.Auth{Type: pipeline.AuthAPIKey, Name: "x-api-key", Value: "k=1&", In: pipeline.InHeader},
			http.Header{"X-Api-Key": {"k=1&"}},
			"?b=1&a=2",
		},
		"key in the query": {
			pipeline.Auth{Type: pipeline.AuthAPIKey, Name: "api key", Value: "k=1&ü", In: pipeline.InQuery}, nil, "?b=1&a=2&api+key=k%3D1%26%C3%BC",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPartner(t, answerOK)
			d := dispatchTo(t, p.URL+"/hook?b=1&a=2")
			d.Webhook.Auth = c.auth
			r := newSender(t, ample).Deliver(t.Context(), d)
			require.True(t, r.OK(), r.Attempt.Error)
			got := p.got()[0]
			require.Equal(t, "/hook"+c.query, got.url)
			for _, own := range []string{"Authorization", "X-Api-Key"} {
				require.Equal(t, c.header.Values(own), got.header.Values(own))
			}
		})
	}
}

func TestKeyInAnEmptyQuery(t *testing.T) {
	t.Parallel()
	p := newPartner(t, answerOK)
	d := dispatchTo(t, p.URL)
	d.Webhook.Auth = pipeline.Auth{Type: pipeline.AuthAPIKey, Name: "key", Value: "v", In: pipeline.InQuery}
	require.True(t, newSender(t, ample).Deliver(t.Context(), d).OK())
	require.Equal(t, "/?key=v", p.got()[0].url)
}

// What an endpoint was sent may come back in its answer, in whatever form. It is not kept.
func TestCredentialsThatComeBackAreNotKept(t *testing.T) {
	t.Parallel()
	const hidden = `s3cret/"value\1`
	auths := map[string]pipeline.Auth{
		"none":   {},
		"basic":  {Type: pipeline.AuthBasic, Username: "u", Password: hidden},
		"bearer": {Type: pipeline.AuthBearer, Token: hidden},
		"header": {Type: pipeline.AuthAPIKey, Name: "X-Key", Value: hidden, In: pipeline.InHeader},
		"query":  {Type: pipeline.AuthAPIKey, Name: "key", Value: hidden, In: pipeline.InQuery},
	}
	for name, auth := range auths {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPartner(t, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusInternalServerError)
				for key, values := range r.Header {
					_, _ = io.WriteString(w, key+": "+strings.Join(values, ", ")+"\n")
				}
				_, _ = io.WriteString(w, r.URL.RawQuery+` {"php":"s3cret\/\"value\\1","value":"s3cret/\"value\\1","x":"`+hidden+`"}`)
			})
			d := dispatchTo(t, p.URL)
			d.Webhook.Auth = auth
			d.Webhook.Headers = pipeline.Headers{"X-Other": hidden + "-and-more", "X-Tenant": "acme"}
			r := newSender(t, ample).Deliver(t.Context(), d)
			body := string(r.Attempt.ResponseBody)
			for _, trace := range []string{
				"s3cret", "and-more", base64.StdEncoding.EncodeToString([]byte("u:" + hidden)), url.QueryEscape(hidden),
			} {
				if auth.Type != "" {
					require.NotContains(t, body, trace)
				}
			}
			require.NotContains(t, body, "-and-more")
			require.Contains(t, body, "X-Tenant: acme", "what is too short to be a secret stays")
			require.Contains(t, body, "[credential]")
		})
	}
}

func TestCredentialsAreNotQuotedInErrors(t *testing.T) {
	t.Parallel()
	const hidden = `s3cret/"value\1`
	a := newAuthority(t, nil)
	for name, c := range map[string]struct {
		auth pipeline.Auth
		echo string
	}{
		"bearer": {pipeline.Auth{Type: pipeline.AuthBearer, Token: hidden}, hidden},
		"query":  {pipeline.Auth{Type: pipeline.AuthAPIKey, Name: "key", Value: hidden, In: pipeline.InQuery}, url.QueryEscape(hidden)},
		"oauth2": {oauth2To(t, "", a).Webhook.Auth, tokenValue(1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			garbage := rawPartner(t, func(_ int, conn net.Conn) {
				readRequest(conn)
				say(conn, "HTTP/1.1 "+c.echo+"\r\n\r\n")
			})
			s := newSender(t, ample)
			for hook, sentence := range map[string]string{
				garbage:              `malformed HTTP status code "[credential]"`,
				"http://127.0.0.1:1": "the connection was refused",
				"http://127.0.0.1:x": "the URL cannot be used",
			} {
				d := dispatchTo(t, hook+privatePath)
				d.Webhook.Auth = c.auth
				r := s.Deliver(t.Context(), d)
				require.Zero(t, r.Attempt.Status)
				require.Contains(t, r.Attempt.Error, sentence)
				for _, trace := range []string{"s3cret", "token-value", "query-token", "path-token"} {
					require.NotContains(t, r.Attempt.Error, trace)
				}
			}
		})
	}
}

func TestCredentialIsNotCutInTwo(t *testing.T) {
	t.Parallel()
	const most = 16 << 10
	secretValue := strings.Repeat("s3cret", 100)
	p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", most-20)+secretValue)
	})
	d := dispatchTo(t, p.URL)
	d.Webhook.Auth = pipeline.Auth{Type: pipeline.AuthBearer, Token: secretValue}
	r := newSender(t, ample).Deliver(t.Context(), d)
	require.NotContains(t, r.Attempt.ResponseBody, "s3")
	require.LessOrEqual(t, len(r.Attempt.ResponseBody), most)
}

// authority is a token endpoint. It gives the tokens token-value-1, token-value-2, ….
type authority struct {
	*httptest.Server
	mu       sync.Mutex
	requests []received
	given    atomic.Int64
}

func newAuthority(tb testing.TB, answer http.HandlerFunc) *authority {
	tb.Helper()
	a := &authority{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		a.mu.Lock()
		a.requests = append(a.requests, received{r.Method, r.URL.String(), r.ProtoMajor, r.Header.Clone(), body})
		a.mu.Unlock()
		if answer != nil {
			answer(w, r)
			return
		}
		a.give(w, 3600)
	}))
	tb.Cleanup(func() {
		a.CloseClientConnections()
		a.Close()
	})
	return a
}

func (a *authority) give(w http.ResponseWriter, seconds int) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"access_token":"`+tokenValue(a.given.Add(1))+`","token_type":"bearer","expires_in":`+strconv.Itoa(seconds)+`}`)
}

func (a *authority) got() []received {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]received(nil), a.requests...)
}

const clientSecret = "client-s3cret"

func oauth2To(tb testing.TB, hook string, a *authority) pipeline.Dispatch {
	tb.Helper()
	d := dispatchTo(tb, hook)
	d.Webhook.Auth = pipeline.Auth{
		Type: pipeline.AuthOAuth2, TokenURL: a.URL + "/token?tenant=query-token", ClientID: "dealwright", ClientSecret: clientSecret,
		Scope: "hooks:write  read",
	}
	return d
}

// requireNoToken: the attempt failed before the endpoint was asked, and says why without what
// nobody may see.
func requireNoToken(t *testing.T, r pipeline.Result, sentence string) {
	t.Helper()
	require.Equal(t, pipeline.DeliveryPending, r.Status)
	require.Zero(t, r.Attempt.Status)
	require.Empty(t, r.Attempt.ResponseBody)
	requireSentence(t, r, "the token endpoint")
	requireSentence(t, r, sentence)
	require.NotContains(t, r.Attempt.Error, "s3cret")
	require.NotContains(t, r.Attempt.Error, "token-value")
}

func TestAccessTokenIsFetchedAndKept(t *testing.T) {
	t.Parallel()
	p := newPartner(t, answerOK)
	a := newAuthority(t, nil)
	s := newSender(t, ample)
	for range 3 {
		r := s.Deliver(t.Context(), oauth2To(t, p.URL, a))
		require.True(t, r.OK(), r.Attempt.Error)
	}
	for _, got := range p.got() {
		require.Equal(t, "Bearer token-value-1", got.header.Get("Authorization"))
		require.NotContains(t, string(got.body), "s3cret")
	}
	require.Len(t, a.got(), 1)
	asked := a.got()[0]
	require.Equal(t, http.MethodPost, asked.method)
	require.Equal(t, "/token?tenant=query-token", asked.url)
	require.Equal(t, "grant_type=client_credentials&scope=hooks%3Awrite+read", string(asked.body))
	require.Equal(t, "Basic "+base64.StdEncoding.EncodeToString([]byte("dealwright:"+clientSecret)), asked.header.Get("Authorization"))
	require.Equal(t, "Dealwright/test", asked.header.Get("User-Agent"))
}

func TestAccessTokensBelongToTheirSettings(t *testing.T) {
	t.Parallel()
	p := newPartner(t, answerOK)
	a := newAuthority(t, nil)
	s := newSender(t, ample)
	for i, change := range []func(*pipeline.Auth){
		func(*pipeline.Auth) {},
		func(w *pipeline.Auth) { w.ClientID = "other" },
		func(w *pipeline.Auth) { w.ClientSecret = "other" },
		func(w *pipeline.Auth) { w.Scope = "" },
		func(w *pipeline.Auth) { w.TokenURL += "&x" },
	} {
		d := oauth2To(t, p.URL, a)
		change(&d.Webhook.Auth)
		require.True(t, s.Deliver(t.Context(), d).OK())
		require.True(t, s.Deliver(t.Context(), d).OK())
		require.Len(t, a.got(), i+1)
		require.Equal(t, "Bearer "+tokenValue(int64(i+1)), p.got()[2*i+1].header.Get("Authorization"))
	}
}

// An endpoint that takes the client's secret in the body only.
func TestClientSecretInTheBody(t *testing.T) {
	t.Parallel()
	p := newPartner(t, answerOK)
	var a *authority
	a = newAuthority(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		a.give(w, 5) // expired at once: 10 s are left for the way
	})
	s := newSender(t, ample)
	for range 2 {
		require.True(t, s.Deliver(t.Context(), oauth2To(t, p.URL, a)).OK())
	}
	require.Len(t, a.got(), 3, "which way works is remembered")
	require.Contains(t, string(a.got()[2].body), "client_secret="+clientSecret)
	require.Equal(t, "Bearer token-value-2", p.got()[1].header.Get("Authorization"))
}

func TestAccessTokenIsReplacedWhenItIsRefused(t *testing.T) {
	t.Parallel()
	var refused atomic.Value
	refused.Store("Bearer token-value-2")
	p := newPartner(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == refused.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "refused "+r.Header.Get("Authorization"))
		}
	})
	a := newAuthority(t, nil)
	s := newSender(t, ample)
	d := oauth2To(t, p.URL, a)
	require.True(t, s.Deliver(t.Context(), d).OK())
	refused.Store("Bearer token-value-1")

	r := s.Deliver(t.Context(), d)

	require.True(t, r.OK(), r.Attempt.Error)
	require.EqualValues(t, http.StatusOK, r.Attempt.Status)
	require.Empty(t, r.Attempt.ResponseBody, "the answer that counts is the last one")
	require.Len(t, p.got(), 3)
	require.Len(t, a.got(), 2)
	first, second := p.got()[1], p.got()[2]
	require.Equal(t, first.body, second.body)
	require.Equal(t, first.header.Get("Webhook-Signature"), second.header.Get("Webhook-Signature"))
	require.True(t, s.Deliver(t.Context(), d).OK())
	require.Len(t, a.got(), 2, "the new one is kept")
}

func TestAccessTokenThatIsAlwaysRefused(t *testing.T) {
	t.Parallel()
	p := newPartner(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "refused "+r.Header.Get("Authorization"))
	})
	a := newAuthority(t, nil)
	s := newSender(t, ample)
	r := s.Deliver(t.Context(), oauth2To(t, p.URL, a))
	require.Equal(t, pipeline.DeliveryPending, r.Status)
	require.EqualValues(t, http.StatusUnauthorized, r.Attempt.Status)
	require.Equal(t, pipeline.Text("answered 401"), r.Attempt.Error)
	require.Equal(t, pipeline.Text("refused Bearer [credential]"), r.Attempt.ResponseBody)
	require.Len(t, p.got(), 2, "once more, and no more often")
	require.Len(t, a.got(), 2)
}

func TestNoNewAccessTokenAfterARefusal(t *testing.T) {
	t.Parallel()
	p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	var a *authority
	a = newAuthority(t, func(w http.ResponseWriter, _ *http.Request) {
		if len(a.got()) > 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		a.give(w, 3600)
	})
	requireNoToken(t, newSender(t, ample).Deliver(t.Context(), oauth2To(t, p.URL, a)), "the token endpoint answered 503")
}

// The twelve worst answers are not to be had from a token endpoint either.
func TestTokenEndpointFails(t *testing.T) {
	t.Parallel()
	elsewhere := newAuthority(t, nil)
	for name, c := range map[string]struct {
		answer   http.HandlerFunc
		sentence string
	}{
		"refuses": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"`+clientSecret+` is wrong"}`)
			},
			"the token endpoint answered 401 (invalid_client)",
		},
		"repeats what it was sent as an error": {
			func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"error":"`+clientSecret+r.Header.Get("Authorization")+`"}`)
			},
			"the token endpoint answered 400",
		},
		"refuses with 200": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/x-www-form-urlencoded")
				_, _ = io.WriteString(w, "error=invalid_scope")
			},
			"the token endpoint answered 200 (invalid_scope)",
		},
		"fails":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "the token endpoint answered 502"},
		"no token": {answerOK, "the token endpoint answered without a token that can be read"},
		"garbage": {
			func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>"+clientSecret) },
			"the token endpoint answered without a token that can be read",
		},
		"endless": {
			func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, `{"access_token":"`)
				chunk := []byte(strings.Repeat("x", 4096))
				for r.Context().Err() == nil {
					if _, err := w.Write(chunk); err != nil {
						return
					}
				}
			},
			"the token endpoint answered without a token that can be read",
		},
		"too large": {
			func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"access_token":"`+strings.Repeat("x", 64<<10)+`"}`)
			},
			"the token endpoint answered without a token that can be read",
		},
		"redirects": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", elsewhere.URL)
				w.WriteHeader(http.StatusTemporaryRedirect)
			},
			"the token endpoint answered 307",
		},
		"switches protocols": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Connection", "Upgrade")
				w.Header().Set("Upgrade", "x")
				w.WriteHeader(http.StatusSwitchingProtocols)
			},
			"the token endpoint answered 101",
		},
		"breaks off": {
			func(w http.ResponseWriter, _ *http.Request) {
				if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
					conn.Close()
				}
			},
			"the token endpoint: the connection was closed before an answer came",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPartner(t, answerOK)
			a := newAuthority(t, c.answer)
			requireNoToken(t, newSender(t, ample).Deliver(t.Context(), oauth2To(t, p.URL, a)), c.sentence)
			require.Empty(t, p.got())
			require.LessOrEqual(t, len(a.got()), 3)
			require.Empty(t, elsewhere.got())
		})
	}
}

func TestTokenEndpointHangs(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]string{"before the headers": "", "within the body": `{"access_token":"to`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPartner(t, answerOK)
			a := newAuthority(t, func(w http.ResponseWriter, r *http.Request) {
				if begin != "" {
					_, _ = io.WriteString(w, begin)
					_ = http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
			})
			requireNoToken(t, newSender(t, patience).Deliver(t.Context(), oauth2To(t, p.URL, a)), "the token endpoint: "+lateness)
			require.Empty(t, p.got())
		})
	}
}

// The addresses of token endpoints are vetted as those of webhooks are, when they are dialled.
func TestTokenEndpointIsVetted(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, nil)
	for name, targetOf := range map[string]func(t *testing.T) (*webhook.Targets, string){
		"address": func(t *testing.T) (*webhook.Targets, string) {
			t.Helper()
			return newTargets(t, ""), a.URL
		},
		"rebinding": func(t *testing.T) (*webhook.Targets, string) {
			t.Helper()
			targets := newTargets(t, "")
			targets.UseResolver(newNameServer(t, addrs("93.184.216.34"), addrs("127.0.0.1")))
			target := at(t, a.URL, "rebinding.example")
			require.NoError(t, targets.VetAt(t.Context(), secure(target), "/auth/token_url"))
			return targets, target
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			targets, target := targetOf(t)
			d := oauth2To(t, "https://partner.example/", a)
			d.Webhook.Auth.TokenURL = target
			s := webhook.NewSender(webhook.SenderConfig{Targets: targets, Timeout: ample})
			r := s.Deliver(t.Context(), d)
			require.Equal(t, pipeline.Text("the token endpoint: the URL leads to 127.0.0.1, which is not a public address"), r.Attempt.Error)
		})
	}
	t.Cleanup(func() { require.Empty(t, a.got()) })
}

func TestTokenEndpointAsksToBeLeftAlone(t *testing.T) {
	t.Parallel()
	p := newPartner(t, answerOK)
	a := newAuthority(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7200")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	from := time.Now()
	r := newSender(t, ample).Deliver(t.Context(), oauth2To(t, p.URL, a))
	requireNoToken(t, r, "the token endpoint answered 429")
	require.WithinRange(t, r.NextAttemptAt, from.Add(2*time.Hour), time.Now().Add(2*time.Hour))
}

// However many deliveries need a token at once, one is asked for.
func TestTokenEndpointIsNotStormed(t *testing.T) {
	t.Parallel()
	const deliveries = 50
	p := newPartner(t, answerOK)
	all := make(chan struct{})
	var a *authority
	a = newAuthority(t, func(w http.ResponseWriter, _ *http.Request) {
		<-all
		a.give(w, 3600)
	})
	s := newSender(t, ample)
	d := oauth2To(t, p.URL, a)
	var under sync.WaitGroup
	var began atomic.Int64
	for range deliveries {
		under.Go(func() {
			if began.Add(1) == deliveries {
				close(all)
			}
			s.Deliver(t.Context(), d)
		})
	}
	under.Wait()
	require.Len(t, p.got(), deliveries)
	require.Len(t, a.got(), 1)
}

// Who has little time must not make the token fail for who has more.
func TestWaitingForATokenIsEachOnesOwn(t *testing.T) {
	t.Parallel()
	p := newPartner(t, answerOK)
	var a *authority
	asked := make(chan struct{}, 1)
	a = newAuthority(t, func(w http.ResponseWriter, r *http.Request) {
		if len(a.got()) == 1 {
			asked <- struct{}{}
			<-r.Context().Done() // the first fetch hangs until its attempt is over
			return
		}
		a.give(w, 3600)
	})
	s := newSender(t, ample)
	hurried := oauth2To(t, p.URL, a)
	hurried.Webhook.Timeout = pipeline.Duration(time.Second)
	var under sync.WaitGroup
	var late pipeline.Result
	under.Go(func() { late = s.Deliver(t.Context(), hurried) })
	<-asked
	r := s.Deliver(t.Context(), oauth2To(t, p.URL, a))
	under.Wait()
	requireNoToken(t, late, lateness)
	require.True(t, r.OK(), r.Attempt.Error)
}
