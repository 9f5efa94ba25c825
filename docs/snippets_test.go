package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// snippet is a fenced block that shows a whole file of examples/.
var snippet = regexp.MustCompile("<!-- snippet: ([a-z0-9/._]+) -->\n```[a-z]+\n((?s:.*?\n))```\n")

// The receivers that the documents show are those of examples/, which are run by a test.
func TestSnippetsAreTheExamples(t *testing.T) {
	t.Parallel()
	const file = "partners.md"
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	text := string(b)
	found := snippet.FindAllStringSubmatch(text, -1)
	require.Len(t, found, strings.Count(text, "<!-- snippet:"), "a snippet is not followed by a block")
	require.NotEmpty(t, found)
	for _, match := range found {
		name, shown := match[1], match[2]
		example, err := os.ReadFile(filepath.Join("..", "examples", filepath.FromSlash(name)))
		require.NoError(t, err)
		require.Equal(t, string(example), shown, "%s in %s is not what is in examples/", name, file)
	}
}
