package webhook

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/dealwright/dealwright/pipeline"
)

// authorize adds to a request what lets it in. The token is that of AuthOAuth2.
func authorize(req *http.Request, a pipeline.Auth, t *token) {
	switch a.Type {
	case pipeline.AuthBasic:
		req.SetBasicAuth(a.Username, a.Password)
	case pipeline.AuthBearer:
		req.Header.Set("Authorization", "Bearer "+a.Token)
	case pipeline.AuthAPIKey:
		if a.In == pipeline.InQuery {
			addQuery(req.URL, a.Name, a.Value)
			return
		}
		req.Header.Set(a.Name, a.Value)
	case pipeline.AuthOAuth2:
		t.SetAuthHeader(req)
	case pipeline.AuthNone:
	}
}

// addQuery leaves the rest of the query as it is: some endpoints care about its order.
func addQuery(u *url.URL, name, value string) {
	parameter := url.QueryEscape(name) + "=" + url.QueryEscape(value)
	if u.RawQuery != "" {
		parameter = "&" + parameter
	}
	u.RawQuery += parameter
}

const (
	// shortestSecret: shorter values occur in any text, and are no secret worth the name.
	shortestSecret = 6
	// longestSecret is what pipeline.CheckAuth and pipeline.CheckHeaders let through.
	longestSecret = 4 << 10
)

// credentials lists what was sent to an endpoint and must not be kept if it comes back, each
// in the forms in which it may. Nil where a webhook has none.
func credentials(w pipeline.Webhook, t *token) []string {
	var out []string
	add := func(s string) {
		if len(s) >= shortestSecret {
			out = append(out, forms(s)...)
		}
	}
	switch w.Auth.Type {
	case pipeline.AuthBasic:
		add(w.Auth.Password)
		add(base64.StdEncoding.EncodeToString([]byte(w.Auth.Username + ":" + w.Auth.Password)))
	case pipeline.AuthBearer:
		add(w.Auth.Token)
	case pipeline.AuthAPIKey:
		add(w.Auth.Value)
	case pipeline.AuthOAuth2:
		add(w.Auth.ClientSecret)
		add(base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(w.Auth.ClientID) + ":" + url.QueryEscape(w.Auth.ClientSecret))))
		if t != nil {
			add(t.AccessToken)
		}
	case pipeline.AuthNone:
	}
	for _, value := range w.Headers {
		add(value)
	}
	// The longest first: one may be a part of another.
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) })
	return out
}

// forms of a text: as it is, in a URL, and in JSON, as far as they differ.
func forms(s string) []string {
	out := []string{s}
	if escaped := url.QueryEscape(s); escaped != s {
		out = append(out, escaped)
	}
	quoted := inJSON.Replace(s)
	if quoted != s {
		out = append(out, quoted)
	}
	if strings.Contains(quoted, "/") {
		out = append(out, strings.ReplaceAll(quoted, "/", `\/`)) // as PHP writes JSON
	}
	return out
}

// inJSON writes what has to be escaped within a JSON text; a credential has no control
// characters.
var inJSON = strings.NewReplacer(`"`, `\"`, `\`, `\\`)

// hide takes credentials out of a text.
func hide(text string, secrets []string) string {
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, "[credential]")
	}
	return text
}
