package pipeline

// CheckFilter says what is wrong with a webhook's filter, as CodeInvalid with pointers that
// begin with pointer; nil where it may be saved. The empty filter is fine.
func CheckFilter(filter Object, pointer string) error {
	return nil
}
