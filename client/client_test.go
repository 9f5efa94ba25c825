package client_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/client"
)

// TestTheClientIsOfToday: the generator takes minutes to build, so what it read is compared and not
// what it writes.
func TestTheClientIsOfToday(t *testing.T) {
	t.Parallel()
	made, err := os.ReadFile("made-from.sha256")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(made)), "\n")
	require.Len(t, lines, 3)
	for _, line := range lines {
		want, name, _ := strings.Cut(line, "  ")
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		sum := sha256.Sum256(content)
		require.Equal(t, want, hex.EncodeToString(sum[:]), "%s has changed: run make client", name)
	}
}

func TestARefusalSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer dw_key" {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = w.Write([]byte(`{"type":"t","title":"t","status":422,"detail":"the input is not valid","code":"invalid","request_id":"r",
			"errors":[{"pointer":"/name","detail":"must not be empty"}]}`))
	}))
	defer server.Close()
	ask := func(key string) error {
		c, err := client.New(server.URL+"/", key, nil)
		require.NoError(t, err)
		a, err := c.GetCustomerWithResponse(t.Context(), 1)
		require.NoError(t, err)
		return client.Check(a, a.ApplicationproblemJSONDefault)
	}
	require.EqualError(t, ask("dw_key"), "the input is not valid (invalid)\n  /name must not be empty")
	require.EqualError(t, ask("other"), "the API answered with status 502")
}
