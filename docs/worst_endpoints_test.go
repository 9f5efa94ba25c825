package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// worstEndpoints is the table of what happens with endpoints at their worst, made from the names
// of the tests of it. Those are in the other module, so their source is read.
func worstEndpoints(t *testing.T) string {
	t.Helper()
	const source, variable = "../standalone/e2e/worst_test.go", "worstEndpoints"
	file, err := parser.ParseFile(token.NewFileSet(), source, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	var table strings.Builder
	table.WriteString("| your endpoint | what happens |\n|---|---|\n")
	cases := literalOf(file, variable)
	require.NotNil(t, cases, "%s has no %s", source, variable)
	for _, row := range cases.Elts {
		texts := textsIn(t, row)
		require.Len(t, texts, 2, "a case has a behaviour and an outcome")
		fmt.Fprintf(&table, "| %s | %s |\n", texts[0], texts[1])
	}
	return table.String()
}

// literalOf finds the value of a package variable.
func literalOf(file *ast.File, variable string) *ast.CompositeLit {
	var found *ast.CompositeLit
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != variable || len(spec.Values) == 0 {
			return true
		}
		found, _ = spec.Values[0].(*ast.CompositeLit)
		return false
	})
	return found
}

// textsIn are the texts of a case, in order.
func textsIn(t *testing.T, row ast.Node) []string {
	t.Helper()
	var texts []string
	ast.Inspect(row, func(n ast.Node) bool {
		literal, ok := n.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(literal.Value)
		require.NoError(t, err)
		texts = append(texts, text)
		return true
	})
	return texts
}
