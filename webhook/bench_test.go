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
// figures include the partner's side, the same for all.
func BenchmarkDeliver(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	b.Cleanup(server.Close)
	for name, change := range map[string]func(*pipeline.Webhook){
		"v1": func(*pipeline.Webhook) {},
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
