package api_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func payloads(text string) object {
	return object{"payloads": []object{{
		"metadata": object{"encoding": base64.StdEncoding.EncodeToString([]byte("json/plain"))},
		"data":     base64.StdEncoding.EncodeToString([]byte(text)),
	}}}
}

func TestTheCodecEncodesAndDecodes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	encoded := r.post("/v1/codec/encode", payloads(`"Ada"`)).must(http.StatusOK)
	require.NotEqual(t, payloads(`"Ada"`)["payloads"], encoded["payloads"])
	a := r.post("/v1/codec/decode?preserveStorageRefs=true", encoded)
	a.must(http.StatusOK)
	require.JSONEq(t, `{"payloads":[{"metadata":{"encoding":"anNvbi9wbGFpbg=="},"data":"IkFkYSI="}]}`, string(a.body))
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
}

func TestTheCodecIsForTheOperatorOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, route := range []string{"/v1/codec/decode", "/v1/codec/encode"} {
		for _, key := range []string{app, partner, stranger} {
			r.post(route, payloads("x"), as(key)).problem(http.StatusForbidden, pipeline.CodeForbidden)
		}
		r.post(route, payloads("x"), without("Authorization")).problem(http.StatusUnauthorized, pipeline.CodeUnauthenticated)
	}
	r.get("/v1/codec/login", as(stranger)).problem(http.StatusForbidden, pipeline.CodeForbidden)
}

func TestTheCodecRefusesWhatAreNoPayloads(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, body := range []string{
		"", "[]", "no JSON", `{"payloads":[{"data":1}]}`, `{"payloads":[{"metadata":{"encoding":"YmluYXJ5L3psaWI="},"data":"AA=="}]}`,
	} {
		r.post("/v1/codec/decode", body).problem(http.StatusUnprocessableEntity, pipeline.CodeInvalid)
	}
	r.post("/v1/codec/decode", "{}", header("Content-Type", "text/plain")).
		problem(http.StatusUnsupportedMediaType, pipeline.CodeUnsupportedMediaType)
	r.post("/v1/codec/decode", `{"payloads":"`+strings.Repeat("x", 4<<20)+`"}`).
		problem(http.StatusRequestEntityTooLarge, pipeline.CodeTooLarge)
	r.post("/v1/codec/decode", payloads(strings.Repeat("x", 2<<20))).must(http.StatusOK)
}

func TestOnlyTheUIsPagesReadTheCodec(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	basic := func(key string) option {
		return func(r *http.Request) { r.SetBasicAuth("admin", key) }
	}
	from := func(origin string) option { return header("Origin", origin) }
	crossSite := header("Sec-Fetch-Site", "cross-site")

	asked := r.call(http.MethodOptions, "/v1/codec/decode", nil, from(uiOrigin), without("Authorization"), crossSite)
	require.Equal(t, http.StatusNoContent, asked.status)
	require.Equal(t, uiOrigin, asked.header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, "true", asked.header.Get("Access-Control-Allow-Credentials"))
	require.Contains(t, asked.header.Get("Access-Control-Allow-Headers"), "X-Namespace")

	for _, credentials := range []option{as(admin), basic(admin)} {
		a := r.post("/v1/codec/decode", payloads("x"), credentials, from(uiOrigin), crossSite)
		a.must(http.StatusOK)
		require.Equal(t, uiOrigin, a.header.Get("Access-Control-Allow-Origin"))
		require.Contains(t, a.header.Values("Vary"), "Origin")
	}
	a := r.post("/v1/codec/decode", payloads("x"), without("Authorization"), from(uiOrigin), crossSite)
	a.problem(http.StatusUnauthorized, pipeline.CodeUnauthenticated)
	require.Equal(t, uiOrigin, a.header.Get("Access-Control-Allow-Origin"), "the UI can say why")

	for _, origin := range []string{"https://evil.example", "http://temporal.example", uiOrigin + ".evil.example", "null"} {
		asked := r.call(http.MethodOptions, "/v1/codec/decode", nil, from(origin), without("Authorization"), crossSite)
		require.NotEqual(t, http.StatusNoContent, asked.status, origin)
		require.Empty(t, asked.header.Get("Access-Control-Allow-Origin"), origin)
		forged := r.post("/v1/codec/decode", payloads("x"), basic(admin), from(origin), crossSite)
		forged.problem(http.StatusForbidden, pipeline.CodeForbidden)
		require.Empty(t, forged.header.Get("Access-Control-Allow-Origin"), origin)
	}
	require.Empty(t, r.get("/v1/customers", from(uiOrigin)).header.Get("Access-Control-Allow-Origin"), "the UI reads nothing else")
	r.get("/v1/customers", basic(admin)).problem(http.StatusUnauthorized, pipeline.CodeUnauthenticated)
}

func TestABrowserIsAskedForTheKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.get("/v1/codec/login", without("Authorization"))
	a.problem(http.StatusUnauthorized, pipeline.CodeUnauthenticated)
	require.Contains(t, a.header.Get("WWW-Authenticate"), "Basic")
	require.Equal(t, http.StatusOK, r.get("/v1/codec/login", func(r *http.Request) { r.SetBasicAuth("", admin) }).status)
	require.NotContains(t, r.logged.String(), admin)
}
