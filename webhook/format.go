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
	Header      http.Header // beside the content type and the signature; may be nil
	Body        []byte
}

// Format turns an event into what a partner expects. An event that the format has no name for
// gives no message, and one event may give several.
type Format interface {
	Messages(e pipeline.Event) ([]Message, error)
}

// formats by the name that a webhook's "format" gives.
var formats = map[string]Format{
	pipeline.FormatNative: native{},
}
