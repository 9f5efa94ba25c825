package e2e_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// signatures that a request carries of one version of the scheme.
func (d *delivery) signatures(version string) []string {
	var found []string
	for s := range strings.FieldsSeq(d.header.Get("Webhook-Signature")) {
		if signature, ok := strings.CutPrefix(s, version+","); ok {
			found = append(found, signature)
		}
	}
	return found
}

// requireSignedFor checks the ed25519 signature by hand.
func (d *delivery) requireSignedFor(t *testing.T, publicKey string) {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(publicKey, "whpk_"))
	require.NoError(t, err)
	require.Len(t, key, ed25519.PublicKeySize)
	all := d.signatures("v1a")
	require.Len(t, all, 1)
	signature, err := base64.StdEncoding.DecodeString(all[0])
	require.NoError(t, err)
	signed := d.header.Get("Webhook-Id") + "." + d.header.Get("Webhook-Timestamp") + "." + string(d.body)
	require.True(t, ed25519.Verify(key, []byte(signed), signature))
}

func (c caller) publicKey(t *testing.T, h hook) string {
	t.Helper()
	shown := want[struct {
		PublicKey string `json:"public_key"`
	}](t, c.get(t, h.path()+"/public-key"), http.StatusOK)
	require.True(t, strings.HasPrefix(shown.PublicKey, "whpk_"))
	return shown.PublicKey
}

func TestDeliveriesAreSignedWithTheSecretAndForThePublicKey(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	h := c.webhook(t, partner.URL+"/", nil)
	other := c.webhook(t, partner.URL+"/other", nil)
	key := c.publicKey(t, h)
	require.Equal(t, key, c.publicKey(t, h))
	require.NotEqual(t, key, c.publicKey(t, other))
	c.customer(t)
	c.allAre(t, h, pipeline.DeliveryDelivered, 1)
	d := partner.at("/")[0]
	d.requireSigned(t, h.Secret)
	d.requireSignedFor(t, key)
	require.Len(t, d.signatures("v1"), 1)
}

// newSecret is one as a careful partner makes it.
func newSecret() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(b)
}

func TestWhileASecretIsReplacedBothSign(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	h := c.webhook(t, partner.URL+"/", object{"secret": newSecret()})
	key := c.publicKey(t, h)
	next := func() *delivery {
		n := partner.count("/")
		c.customer(t)
		eventually(t, "the next delivery", func() bool { return partner.count("/") == n+1 })
		return partner.at("/")[n]
	}
	next().requireSigned(t, h.Secret)

	rotated := want[hook](t, c.post(t, h.path()+"/rotate-secret", object{"overlap": "24h"}), http.StatusOK)
	require.NotEqual(t, h.Secret, rotated.Secret)
	d := next()
	d.requireSigned(t, h.Secret)
	d.requireSigned(t, rotated.Secret)
	d.requireSignedFor(t, key)

	own := newSecret()
	last := want[hook](t, c.post(t, h.path()+"/rotate-secret", object{"overlap": 0, "secret": own}), http.StatusOK)
	require.Equal(t, own, last.Secret)
	d = next()
	d.requireSigned(t, own)
	require.Len(t, d.signatures("v1"), 1, "no overlap, no second signature")
}

func TestASecretThatCanBeGuessedIsRefused(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	h := c.webhook(t, partner.URL+"/", nil)
	for _, secret := range []string{
		"secret", "whsec_c2VjcmV0", "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32)),
		"whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("ab", 16))),
	} {
		made := c.post(t, "/v1/webhooks", object{"url": partner.URL + "/", "events": []string{"*"}, "secret": secret})
		require.Equal(t, "/secret", refused(t, made, http.StatusUnprocessableEntity, pipeline.CodeInvalid).Errors[0].Pointer)
		rotated := c.post(t, h.path()+"/rotate-secret", object{"secret": secret})
		require.Equal(t, "/secret", refused(t, rotated, http.StatusUnprocessableEntity, pipeline.CodeInvalid).Errors[0].Pointer)
	}
}
