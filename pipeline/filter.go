package pipeline

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Within which bounds a filter may be. They keep what every append of the company has to
// evaluate small.
const (
	maxFilterPaths  = 20
	maxFilterPath   = 200 // characters
	maxFilterDepth  = 10  // segments of a path
	maxFilterList   = 100 // values
	maxFilterNumber = 40  // characters; what is longer is no amount, and a huge exponent costs memory
)

// filterNumber is a number as an amount is written, without an exponent.
var filterNumber = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// envelopeFields are what an event's data has in our own format (schemas/envelope.json).
var envelopeFields = []string{
	"id", "position", "company_id", "stream", "seq", "customer_id", "proposal_id", "actor", "cause", "implied", "erased", "state", "payload",
}

// filterOperators say what is wrong with the operand of each.
var filterOperators = map[string]func(f *faults, pointer string, operand any){
	"$ne": checkScalar,
	"$gt": checkComparison, "$gte": checkComparison, "$lt": checkComparison, "$lte": checkComparison,
	"$in": checkList, "$nin": checkList,
	"$exists": checkExists,
}

// CheckFilter says what is wrong with a webhook's filter, as CodeInvalid with pointers that
// begin with pointer; nil where it may be saved. The empty filter is fine.
//
// A filter is an object from paths in the envelope ("data.state.type", an index for a place in
// an array) to what has to be there: a value, a list of values of which it is one, or an object
// of operators. What that means is said by filter_matches in the migrations.
func CheckFilter(filter Object, pointer string) error {
	if filter == "" {
		return nil
	}
	dec := json.NewDecoder(strings.NewReader(string(filter)))
	dec.UseNumber()
	var conditions map[string]any
	if err := dec.Decode(&conditions); err != nil || conditions == nil {
		return Invalid(FieldError{Pointer: pointer, Detail: `has to be an object such as {"data.state.type":"COMMERCIAL"}`})
	}
	var f faults
	f.unless(len(conditions) <= maxFilterPaths, pointer,
		fmt.Sprintf("has %d paths; at most %d are possible", len(conditions), maxFilterPaths))
	for _, path := range slices.Sorted(maps.Keys(conditions)) {
		at := pointer + "/" + escapeToken(path)
		if detail := filterPath(path); detail != "" {
			f.unless(false, at, detail)
			continue
		}
		checkCondition(&f, at, conditions[path])
	}
	return Invalid(f...)
}

// filterPath says what is wrong with a path.
func filterPath(path string) string {
	segments := strings.Split(path, ".")
	switch {
	case len([]rune(path)) > maxFilterPath:
		return fmt.Sprintf("is a path of more than %d characters", maxFilterPath)
	case len(segments) > maxFilterDepth:
		return fmt.Sprintf("is a path of %d segments; at most %d are possible", len(segments), maxFilterDepth)
	case slices.Contains(segments, ""):
		return "has an empty segment"
	case strings.ContainsRune(path, 0):
		return "must not hold the character NUL"
	case segments[0] == "type" || segments[0] == "timestamp":
		if len(segments) > 1 {
			return "goes below " + segments[0] + ", which is a text"
		}
		return ""
	case segments[0] != "data":
		return "has to begin with type, timestamp or data, as the envelope does"
	case len(segments) == 1:
		return "has to name a field of data, such as data.state"
	case !slices.Contains(envelopeFields, segments[1]):
		return "names no field of data; there are " + strings.Join(envelopeFields, ", ")
	default:
		return ""
	}
}

// checkCondition checks what has to be there at a path.
func checkCondition(f *faults, pointer string, condition any) {
	switch condition := condition.(type) {
	case map[string]any:
		f.unless(len(condition) > 0, pointer, "has no operator; there are "+operatorNames())
		for _, name := range slices.Sorted(maps.Keys(condition)) {
			at := pointer + "/" + escapeToken(name)
			check, known := filterOperators[name]
			if !known {
				f.unless(false, at, "is no operator; there are "+operatorNames())
				continue
			}
			check(f, at, condition[name])
		}
	case []any:
		checkList(f, pointer, condition)
	default:
		checkScalar(f, pointer, condition)
	}
}

func operatorNames() string { return strings.Join(slices.Sorted(maps.Keys(filterOperators)), ", ") }

func checkList(f *faults, pointer string, operand any) {
	list, ok := operand.([]any)
	if !ok {
		f.unless(false, pointer, "has to be a list of values")
		return
	}
	f.unless(len(list) > 0, pointer, "has to list a value at least")
	f.unless(len(list) <= maxFilterList, pointer, fmt.Sprintf("lists %d values; at most %d are possible", len(list), maxFilterList))
	for i, value := range list {
		checkScalar(f, fmt.Sprintf("%s/%d", pointer, i), value)
	}
}

func checkScalar(f *faults, pointer string, operand any) {
	switch operand := operand.(type) {
	case map[string]any, []any:
		f.unless(false, pointer, "has to be a text, a number, true, false or null")
	case json.Number:
		checkNumber(f, pointer, operand)
	case string:
		f.unless(!strings.ContainsRune(operand, 0), pointer, "must not hold the character NUL")
	}
}

func checkNumber(f *faults, pointer string, n json.Number) {
	f.unless(len(n) <= maxFilterNumber && filterNumber.MatchString(string(n)), pointer,
		fmt.Sprintf("has to be a number without an exponent, of at most %d characters", maxFilterNumber))
}

func checkComparison(f *faults, pointer string, operand any) {
	switch operand.(type) {
	case string, json.Number:
		checkScalar(f, pointer, operand)
	default:
		f.unless(false, pointer, "has to be a number, an amount or a time")
	}
}

func checkExists(f *faults, pointer string, operand any) {
	_, ok := operand.(bool)
	f.unless(ok, pointer, "has to be true or false")
}
