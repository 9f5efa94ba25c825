package api_test

import (
	"bytes"
	"encoding/base64"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the answers anew: go test ./api -run Conversations -update")

// A conversation is a file of requests (lines that begin with >) and answers (<), as a client of
// another system and the API have it. Everything else is for the reader. For his sake too, the
// credentials of HTTP Basic are not in base64, and of the answers' headers only those that say
// something about the body stand there.
const conversations = "testdata/conversations/*/*.txt"

// told are the headers of an answer that a conversation shows.
var told = []string{"Content-Type", "Location", "Allow", "WWW-Authenticate"}

func TestConversations(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(conversations)
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			got := converse(newRig(t), string(text))
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
			}
			require.Equal(t, string(text), got, "go test ./api -run Conversations -update writes it anew")
		})
	}
}

// converse makes the requests of a conversation and gives it with the answers as they are.
func converse(r *rig, text string) string {
	r.t.Helper()
	var out, request strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "<") {
			continue
		}
		if said, ok := strings.CutPrefix(line, ">"); ok {
			request.WriteString(strings.TrimPrefix(said, " "))
			out.WriteString(line)
			continue
		}
		if request.Len() > 0 {
			fmt.Fprint(&out, r.say(request.String()))
			request.Reset()
		}
		out.WriteString(line)
	}
	if request.Len() > 0 {
		fmt.Fprint(&out, r.say(request.String()))
	}
	return out.String()
}

// say makes a request, a line of which is empty between headers and body, and gives the answer
// as the lines of a conversation.
func (r *rig) say(request string) string {
	r.t.Helper()
	head, body, _ := strings.Cut(request, "\n\n")
	first, headers, _ := strings.Cut(strings.TrimSpace(head), "\n")
	method, path, ok := strings.Cut(first, " ")
	require.True(r.t, ok, first)
	a := r.call(method, path, strings.TrimSuffix(body, "\n"), func(q *http.Request) {
		q.Header = http.Header{}
		for line := range strings.Lines(headers) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			if basic, ok := strings.CutPrefix(value, "Basic "); ok {
				value = "Basic " + base64.StdEncoding.EncodeToString([]byte(basic))
			}
			q.Header.Set(name, value)
		}
	})
	var answer bytes.Buffer
	fmt.Fprintf(&answer, "%d %s\n", a.status, http.StatusText(a.status))
	for _, name := range told {
		if value := a.header.Get(name); value != "" {
			fmt.Fprintf(&answer, "%s: %s\n", name, value)
		}
	}
	if len(a.body) > 0 {
		fmt.Fprintf(&answer, "\n%s\n", bytes.TrimSuffix(a.body, []byte("\n")))
	}
	var out strings.Builder
	for line := range strings.Lines(answer.String()) {
		out.WriteString(strings.TrimRight("< "+line, " \n") + "\n")
	}
	return out.String()
}
