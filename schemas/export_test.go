package schemas

// What the tests of this package look at from the inside.
var Patterns = patterns

// Decode is decode, with the flaw taken apart.
func Decode(body []byte) (value any, pointer, detail string) {
	value, f := decode(body)
	if f != nil {
		return nil, f.pointer, f.detail
	}
	return value, "", ""
}
