// Package examples_test runs the example receivers and sends them what they are for.
package examples_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	token  = "correct-horse-battery-staple"
	golden = "../webhook/testdata/golden/"
)

var standardKey = []byte(strings.Repeat("k3y!", 8))

// system is what a receiver is started with, and what it is sent.
type system struct {
	env    string
	bodies []string // golden files
	// sign makes a request one that the receiver takes.
	sign func(q *http.Request, body []byte)
	want int
}

func bearer(q *http.Request, _ []byte) { q.Header.Set("Authorization", "Bearer "+token) }

var systems = map[string]system{
	"native": {
		env:    "WEBHOOK_SECRET=whsec_" + base64.StdEncoding.EncodeToString(standardKey),
		bodies: []string{"native/contract.signed.json"},
		sign: func(q *http.Request, body []byte) {
			sent := strconv.FormatInt(time.Now().Unix(), 10)
			mac := hmac.New(sha256.New, standardKey)
			fmt.Fprintf(mac, "evt_1.%s.%s", sent, body)
			q.Header.Set("Webhook-Id", "evt_1")
			q.Header.Set("Webhook-Timestamp", sent)
			q.Header.Set("Webhook-Signature", "v1a,x v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		},
		want: http.StatusNoContent,
	},
	"solo": {
		env: "WEBHOOK_TOKEN=" + token, bodies: []string{"solo/customer.created.json", "solo/contract.signed.json"},
		sign: bearer, want: http.StatusNoContent,
	},
	"solarproof": {
		env: "WEBHOOK_TOKEN=" + token,
		bodies: []string{
			"solarproof/customer.created.json", "solarproof/customer.status_changed.json", "solarproof/proposal.drafted.json",
			"solarproof/proposal.link_published.json",
		},
		sign: func(q *http.Request, _ []byte) { q.URL.RawQuery = "token=" + token }, want: http.StatusOK,
	},
	"solve360": {
		env:    "WEBHOOK_SECRET=" + token,
		bodies: []string{"solve360/customer.created.json", "solve360/customer.created.form", "solve360/customer.created.xml"},
		sign: func(q *http.Request, body []byte) {
			mac := hmac.New(sha256.New, []byte(token))
			mac.Write(body)
			q.Header.Set("X-Solve360-Hmac-Sha256", hex.EncodeToString(mac.Sum(nil)))
		},
		want: http.StatusNoContent,
	},
	"sighten": {
		env: "WEBHOOK_TOKEN=" + token, bodies: []string{"sighten/contract.requested.json", "sighten/contract.signed.json"},
		sign: bearer, want: http.StatusNoContent,
	},
}

var contentTypes = map[string]string{
	".json": "application/json", ".xml": "application/xml", ".form": "application/x-www-form-urlencoded",
}

// receivers are the programs of a system, by the file that each is in.
func receivers(t *testing.T, name string) map[string][]string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), name)
	built, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./"+name).CombinedOutput()
	require.NoError(t, err, string(built))
	out := map[string][]string{"main.go": {binary}}
	for file, runtime := range map[string]string{"receiver.mjs": "node", "receiver.py": "python3"} {
		path := filepath.Join(name, file)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if _, err := exec.LookPath(runtime); err != nil {
			t.Logf("%s is not tested: there is no %s", path, runtime)
			continue
		}
		out[file] = []string{runtime, path}
	}
	return out
}

func TestReceivers(t *testing.T) {
	t.Parallel()
	for name, s := range systems {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for file, command := range receivers(t, name) {
				url := start(t, command, s.env)
				for _, path := range s.bodies {
					if file == "receiver.mjs" && filepath.Ext(path) == ".xml" {
						continue // Node has no reader of XML
					}
					body, err := os.ReadFile(golden + path)
					require.NoError(t, err)
					body = bytes.TrimSuffix(body, []byte("\n"))
					kind := contentTypes[filepath.Ext(path)]
					require.Equal(t, s.want, send(t, url, kind, body, s.sign), "%s takes %s", file, path)
					forged := func(q *http.Request, body []byte) { s.sign(q, append([]byte("x"), body...)) }
					if s.env == "WEBHOOK_TOKEN="+token {
						forged = func(q *http.Request, _ []byte) {
							q.Header.Set("Authorization", "Bearer "+token+"x")
							q.URL.RawQuery = "token=" + token + "x"
						}
					}
					require.Equal(t, http.StatusUnauthorized, send(t, url, kind, body, forged), "%s refuses what is forged", file)
					unsigned := func(*http.Request, []byte) {}
					require.Equal(t, http.StatusUnauthorized, send(t, url, kind, body, unsigned), "%s refuses what is unsigned", file)
				}
			}
		})
	}
}

// start runs a receiver on a free port until the test ends, and gives its URL once it answers.
func start(t *testing.T, command []string, env string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := listener.Addr().String()
	require.NoError(t, listener.Close())

	program := exec.CommandContext(t.Context(), command[0], command[1:]...)
	program.Env = append(os.Environ(), env, "ADDR="+addr)
	program.Stderr = t.Output()
	require.NoError(t, program.Start())
	t.Cleanup(func() { _ = program.Wait() }) // which the end of the test's context has killed
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, 30*time.Second, 20*time.Millisecond, "%v does not listen", command)
	return "http://" + addr + "/hook"
}

func send(t *testing.T, url, contentType string, body []byte, sign func(*http.Request, []byte)) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", contentType)
	sign(request, body)
	client := http.Client{Timeout: 30 * time.Second}
	response, err := client.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}

// Without its secret a receiver would take everything, so it does not start.
func TestReceiversWantASecret(t *testing.T) {
	t.Parallel()
	for name := range systems {
		for file, command := range receivers(t, name) {
			program := exec.CommandContext(t.Context(), command[0], command[1:]...)
			program.Env = append(os.Environ(), "WEBHOOK_SECRET=", "WEBHOOK_TOKEN=", "ADDR=127.0.0.1:0")
			out, err := program.CombinedOutput()
			require.Error(t, err, "%s/%s", name, file)
			require.Contains(t, string(out), "set WEBHOOK_", "%s/%s", name, file)
		}
	}
}
