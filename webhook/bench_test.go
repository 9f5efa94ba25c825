package webhook_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// What one attempt costs, with a partner on the same machine and in the same process: the
// figures include the partner's side, which is the same for all.
func BenchmarkDeliver(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"ok":true}`)
	}))
	b.Cleanup(server.Close)
	for name, change := range map[string]func(*pipeline.Webhook){
		"v1": func(*pipeline.Webhook) {},
		"v1+v1a": func(w *pipeline.Webhook) {
			w.Signing.Seed = seed()
		},
		"v1+headers+bearer": func(w *pipeline.Webhook) {
			w.Headers = pipeline.Headers{"X-Tenant": "acme", "X-Environment": "production"}
			w.Auth = pipeline.Auth{Type: pipeline.AuthBearer, Token: "0123456789abcdef0123456789abcdef"}
		},
	} {
		b.Run(name, func(b *testing.B) {
			d := dispatchTo(b, server.URL)
			change(&d.Webhook)
			s := newSender(b, ample)
			b.ReportAllocs()
			for b.Loop() {
				r := s.Deliver(b.Context(), d)
				require.True(b, r.OK())
			}
		})
	}
}

// seed is the first secret key of RFC 8032, section 7.1.
func seed() []byte {
	return []byte{
		0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
		0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
	}
}
