package schemas

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/message"
)

// newCompiler makes a compiler for which "format" is a rule and not a remark, which reads
// points in time as Go does, and for which an integer is written in digits alone.
func newCompiler() *jsonschema.Compiler {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.RegisterFormat(&jsonschema.Format{Name: "date-time", Validate: checkInstant})
	c.RegisterVocabulary(&jsonschema.Vocabulary{
		URL:     baseURL + "plain-integers",
		Schema:  &jsonschema.Schema{DraftVersion: 2020},
		Compile: compileInteger,
	})
	c.AssertVocabs()
	return c
}

// The years that a point in time may lie in. Neither Postgres nor time.Time can keep all that
// RFC 3339 can write.
const (
	firstYear = 1900
	lastYear  = 2999
)

var (
	errInstant = errors.New("not a point in time")
	errYear    = errors.New("the year is out of range")
)

func checkInstant(v any) error {
	text, ok := v.(string)
	if !ok {
		return nil
	}
	var t time.Time
	if err := t.UnmarshalText([]byte(text)); err != nil {
		return errInstant
	}
	if year := t.UTC().Year(); year < firstYear || year > lastYear {
		return errYear
	}
	return nil
}

// plainInteger refuses 5.0 and 5e0 where a schema wants an integer. JSON Schema takes them
// for integers, encoding/json does not.
type plainInteger struct{}

func compileInteger(_ *jsonschema.CompilerContext, schema map[string]any) (jsonschema.SchemaExt, error) {
	types, ok := schema["type"].([]any)
	if !ok {
		types = []any{schema["type"]}
	}
	if slices.Contains(types, any("integer")) {
		return plainInteger{}, nil
	}
	return nil, nil //nolint:nilnil // how the library wants "no keyword of ours here" said
}

// Validate is for the library to call.
func (plainInteger) Validate(ctx *jsonschema.ValidatorContext, v any) {
	if number, ok := v.(json.Number); ok && strings.ContainsAny(string(number), ".eE") {
		ctx.AddError(notPlain{})
	}
}

// notPlain is what plainInteger finds wrong.
type notPlain struct{}

// KeywordPath names the keyword that is broken.
func (notPlain) KeywordPath() []string { return []string{"type"} }

// LocalizedString is for those who print the library's own errors.
func (notPlain) LocalizedString(p *message.Printer) string {
	return p.Sprintf("not an integer in plain digits")
}
