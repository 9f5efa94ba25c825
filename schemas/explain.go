package schemas

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/dealwright/dealwright/pipeline"
)

// maxFields is how many faults one answer lists.
const maxFields = 20

// explain turns what the validator found into pointers and sentences, in the order of the
// pointers so that the same body always gets the same answer.
func explain(found *jsonschema.ValidationError, prefix string) []pipeline.FieldError {
	var faults []pipeline.FieldError
	collect(found, func(pointer, detail string) {
		faults = append(faults, pipeline.FieldError{Pointer: prefix + pointer, Detail: detail})
	})
	slices.SortFunc(faults, func(a, b pipeline.FieldError) int {
		return cmp.Or(cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Detail, b.Detail))
	})
	faults = slices.Compact(faults)
	return faults[:min(len(faults), maxFields)]
}

// collect visits the causes at the leaves.
func collect(found *jsonschema.ValidationError, add func(pointer, detail string)) {
	if _, ok := found.ErrorKind.(*kind.AnyOf); ok {
		add(pointer(found.InstanceLocation), alternatives(found.Causes))
		return
	}
	if len(found.Causes) > 0 {
		for _, cause := range found.Causes {
			collect(cause, add)
		}
		return
	}
	at := pointer(found.InstanceLocation)
	for _, token := range missing(found.ErrorKind) {
		add(at+"/"+escape(token), "is missing")
	}
	switch k := found.ErrorKind.(type) {
	case *kind.Required, *kind.DependentRequired:
	case *kind.AdditionalProperties:
		for _, token := range k.Properties {
			add(at+"/"+escape(token), "is not a field that is known here")
		}
	default:
		add(at, sentence(k))
	}
}

// alternatives says why a value is none of the forms that it may have.
func alternatives(causes []*jsonschema.ValidationError) string {
	reasons := make([]string, len(causes))
	for i, cause := range causes {
		reasons[i] = sentence(cause.ErrorKind)
	}
	return "is none of what it may be: it " + strings.Join(reasons, "; it ")
}

// missing lists the fields whose absence is the fault: they are pointed at, not the object.
func missing(k jsonschema.ErrorKind) []string {
	switch k := k.(type) {
	case *kind.Required:
		return k.Missing
	case *kind.DependentRequired:
		return k.Missing
	default:
		return nil
	}
}

func pointer(location []string) string {
	var b strings.Builder
	for _, token := range location {
		b.WriteString("/" + escape(token))
	}
	return b.String()
}

// sentence says what is wrong with a value, without repeating the value.
func sentence(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return "has to be " + orList(plainTypes(k.Want)) + ", not " + plainType(k.Got)
	case notPlain:
		return "has to be a whole number in plain digits"
	case *kind.Enum:
		return "has to be " + oneOf(k.Want)
	case *kind.Const:
		return "has to be " + oneOf([]any{k.Want})
	case *kind.Format:
		return formatSentence(k)
	case *kind.Pattern:
		return patternSentence(k.Want)
	default:
		return boundSentence(k)
	}
}

func boundSentence(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.MinLength:
		if k.Got == 0 {
			return mustNotBeEmpty
		}
		return fmt.Sprintf("is too short: %d characters, at least %d", k.Got, k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("is too long: %d characters, at most %d", k.Got, k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("has too few entries: %d, at least %d", k.Got, k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("has too many entries: %d, at most %d", k.Got, k.Want)
	case *kind.MinProperties:
		return fmt.Sprintf("has too few fields: %d, at least %d", k.Got, k.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("has too many fields: %d, at most %d", k.Got, k.Want)
	case *kind.Minimum:
		return "has to be at least " + decimal(k.Want)
	case *kind.Maximum:
		return "has to be at most " + decimal(k.Want)
	default: // a keyword that no schema here uses yet
		return k.LocalizedString(message.NewPrinter(language.English))
	}
}

// decimal writes a bound as a schema does, and not as a fraction.
func decimal(bound *big.Rat) string {
	f, _ := bound.Float64()
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// plainType is a type of JSON in words that need no knowledge of JSON Schema.
func plainType(name string) string {
	switch name {
	case "string":
		return "a text"
	case "integer":
		return "a whole number"
	case "number":
		return "a number"
	case "boolean":
		return "true or false"
	case "array":
		return "a list"
	case "object":
		return "an object"
	default:
		return name
	}
}

// plainTypes puts null last, where it is an afterthought.
func plainTypes(names []string) []string {
	var plain []string
	for _, name := range names {
		if name != "null" {
			plain = append(plain, plainType(name))
		}
	}
	if slices.Contains(names, "null") {
		plain = append(plain, "null")
	}
	return plain
}

func orList(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func oneOf(values []any) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = "null"
		if v != nil {
			words[i] = fmt.Sprint(v)
		}
	}
	return orList(words)
}

const (
	mustNotBeEmpty = "must not be empty"
	notAnEmail     = "is not an e-mail address"
	notAStream     = `is not a stream, such as "proposal-54321"`
	notAURL        = "has to be a whole http:// or https:// address"
)

func formatSentence(k *kind.Format) string {
	switch k.Want {
	case "email":
		return notAnEmail
	case "uri":
		return notAURL
	case "uuid":
		return "is not a UUID, such as 7cf8d5db-bb05-4a39-a40b-c83e17988c37"
	}
	if k.Err == errYear { //nolint:errorlint // it is that very value, which the library passes on
		return fmt.Sprintf("has to lie in the years %d to %d", firstYear, lastYear)
	}
	return "is not a time in RFC 3339 form, such as 2026-11-20T10:00:00Z"
}

// patterns says in words what the schemas' regular expressions say.
var patterns = map[string]string{
	`\S`:                                mustNotBeEmpty,
	`^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$`:   notAnEmail,
	`^https?://[^/?#\s]+`:               notAURL,
	`^-?[0-9]{1,15}(\.[0-9]{1,4})?$`:    `has to be a decimal number as text, such as "12345.00"`,
	`^[A-Z]{3}$`:                        `has to be an ISO 4217 code, such as "AUD"`,
	`^[0-9a-f]{64}$`:                    "has to be a SHA-256 in 64 lower-case hex digits",
	`^evt_[0-9a-hjkmnp-tv-z]{26}$`:      "is not the id of an event",
	`^(customer|proposal)-[1-9][0-9]*$`: notAStream,
	`^(customer|proposal|webhook|document)-[1-9][0-9]*$`: notAStream,
	whsecPattern:    `has to be "whsec_" and then 24 to 64 bytes in base64`,
	durationPattern: `has to be a time such as "30s", "5m" or "1h30m", or a number of seconds`,
}

// durationPattern is a part of what time.ParseDuration reads: none that it could overflow on.
const durationPattern = `^([0-9]{1,4}h)?([0-9]{1,6}m)?([0-9]{1,6}(\.[0-9]{1,3})?s)?([0-9]{1,9}ms)?$`

const whsecPattern = `^whsec_([A-Za-z0-9+/]{4}){8,20}` +
	`([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{6}==)?$`

func patternSentence(pattern string) string {
	if words, ok := patterns[pattern]; ok {
		return words
	}
	return "has to match " + pattern
}
