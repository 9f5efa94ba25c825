// Package webhook is what a partner sees of the engine: formats (one file each), signatures,
// and the sender with its safety rules. It knows neither Temporal nor the store.
package webhook

import (
	"net/http"

	"github.com/dealwright/dealwright/pipeline"
)

// Message is one request body in a partner's format.
type Message struct {
	ContentType string
	Header      http.Header // beside the content type and the signature, names in their canonical form; may be nil
	Body        []byte
}

// Format turns an event into what a partner expects. An event that the format has no name for
// gives no message, and one event may give several. A test is a sample: the message says so
// where the format has a place for it; a header says so in any case.
type Format interface {
	Messages(e pipeline.Event, test bool) ([]Message, error)
}

// formats by the name that a webhook's "format" gives.
var formats = map[string]Format{
	pipeline.FormatNative: native{},
}
