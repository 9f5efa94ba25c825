package e2e_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestAnUnsafeTargetIsRefusedWhenItIsSaved(t *testing.T) {
	t.Parallel()
	phoneBook.set("inside.test", "10.0.0.1")
	e := sharedEngine(t)
	c := e.newCompany(t)
	h := c.webhook(t, newReceiver(t).URL+"/", nil)
	for _, url := range []string{
		"https://10.0.0.1/", "https://192.168.1.1/", "https://172.16.0.1/", "https://169.254.169.254/latest/meta-data",
		"https://100.64.0.1/", "https://0.0.0.0/", "https://255.255.255.255/", "https://198.18.0.1/", "https://192.0.2.1/",
		"https://[::]/", "https://[fe80::1]/", "https://[fc00::1]/", "https://[2001:db8::1]/", "https://[2002:a00:1::]/",
		"https://[::ffff:10.0.0.1]/", "https://[64:ff9b::a00:1]/",
		"https://2852039166/", "https://0xa9fea9fe/", "https://0251.0376.0251.0376/", "https://0xa.1/",
		"https://inside.test/", "http://93.184.216.34/", "https://93.184.216.34:22/", "https://user:password@93.184.216.34/",
		"ftp://93.184.216.34/", "//93.184.216.34/", "https:///", "nonsense",
	} {
		made := c.post(t, "/v1/webhooks", object{"url": url, "events": []string{"*"}})
		require.Equal(t, "/url", refused(t, made, http.StatusUnprocessableEntity, pipeline.CodeInvalid).Errors[0].Pointer, url)
		changed := c.do(t, http.MethodPatch, h.path(), object{"url": url})
		refused(t, changed, http.StatusUnprocessableEntity, pipeline.CodeInvalid)
		auth := object{"type": "oauth2", "token_url": url, "client_id": "id", "client_secret": "secret"}
		token := c.do(t, http.MethodPatch, h.path(), object{"auth": auth})
		require.Equal(t, "/auth/token_url", refused(t, token, http.StatusUnprocessableEntity, pipeline.CodeInvalid).Errors[0].Pointer, url)
	}
}

func TestATokenIsNotFetchedFromAnUnsafePlaceEither(t *testing.T) {
	t.Parallel()
	phoneBook.set("tokens-rebind.test", "93.184.216.34", "169.254.169.254")
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	h := c.webhook(t, partner.URL+"/", object{"retry_schedule": []any{}, "auth": object{
		"type": "oauth2", "token_url": "https://tokens-rebind.test/token", "client_id": "id", "client_secret": confidential,
	}})
	c.customer(t)
	c.allAre(t, h, pipeline.DeliveryExhausted, 1)
	require.Contains(t, string(c.only(t, h).Attempts[0].Error), "169.254.169.254")
	require.Zero(t, partner.count("/"))
}
