package webhook_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/webhook"
)

const providersKey = "the-providers-key"

func get(t *testing.T, allow, url string) (*http.Response, error) {
	t.Helper()
	resp, err := webhook.NewGetter(newTargets(t, allow), "test").Get(t.Context(),
		pipeline.Remote{URL: url, Auth: pipeline.Auth{Type: pipeline.AuthBearer, Token: providersKey}},
		http.Header{"Accept": {"application/pdf"}})
	if err == nil {
		t.Cleanup(func() { resp.Body.Close() })
	}
	return resp, err
}

// refused is why there is no answer.
func refused(t *testing.T, allow, url string) error {
	t.Helper()
	resp, err := get(t, allow, url)
	if err == nil {
		resp.Body.Close()
	}
	require.Error(t, err, url)
	return err
}

func TestGet(t *testing.T) {
	t.Parallel()
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			w.WriteHeader(http.StatusBadRequest) // as S3 does where there is a signature in the query as well
			return
		}
		fmt.Fprint(w, "the file")
	}))
	t.Cleanup(files.Close)
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer "+providersKey || r.Header.Get("Accept") != "application/pdf" ||
			r.Header.Get("User-Agent") != "Dealwright/test":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		case r.URL.Path == "/near":
			http.Redirect(w, r, "/direct", http.StatusMovedPermanently)
		case r.URL.Path == "/far":
			http.Redirect(w, r, files.URL+"/file", http.StatusTemporaryRedirect)
		case r.URL.Path == "/inwards":
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", http.StatusFound)
		case r.URL.Path == "/missing":
			w.WriteHeader(http.StatusNotFound)
		default:
			fmt.Fprint(w, "the file")
		}
	}))
	t.Cleanup(provider.Close)
	for _, path := range []string{"/direct", "/near", "/far"} {
		resp, err := get(t, loopback, provider.URL+path) //nolint:bodyclose // get does
		require.NoError(t, err, path)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "the file", string(body), path)
	}
	resp, err := get(t, loopback, provider.URL+"/missing") //nolint:bodyclose // get does
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	for path, want := range map[string]struct {
		code pipeline.Code
		says string
	}{
		"/round":   {pipeline.CodeUnavailable, "one redirect after the other"},
		"/inwards": {pipeline.CodeForbidden, "169.254.169.254, which is not a public address"},
	} {
		err := refused(t, loopback, provider.URL+path)
		require.Equal(t, want.code, pipeline.CodeOf(err), path)
		require.ErrorContains(t, err, want.says)
		require.NotContains(t, err.Error(), providersKey)
	}
	err = refused(t, "", provider.URL+"/direct")
	require.Equal(t, pipeline.CodeForbidden, pipeline.CodeOf(err), "nobody has allowed it")
	for _, url := range []string{"ftp://files.example/a", "https://user@files.example/", "https://2130706433/", "%"} {
		err = refused(t, loopback, url)
		require.Equal(t, pipeline.CodeForbidden, pipeline.CodeOf(err), url)
	}
	provider.Close()
	err = refused(t, loopback, provider.URL+"/direct")
	require.Equal(t, pipeline.CodeUnavailable, pipeline.CodeOf(err))
}

// A token that is refused is replaced once.
func TestGet_WithAccessTokens(t *testing.T) {
	t.Parallel()
	issued := 0
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			issued++
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer","expires_in":3600}`, strings.Repeat("x", issued))
			return
		}
		if r.Header.Get("Authorization") != "Bearer xx" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(provider.Close)
	resp, err := webhook.NewGetter(newTargets(t, loopback), "test").Get(t.Context(), pipeline.Remote{URL: provider.URL, Auth: pipeline.Auth{
		Type: pipeline.AuthOAuth2, TokenURL: provider.URL + "/token", ClientID: "c", ClientSecret: "very secret",
	}}, nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, 2, issued)
}
