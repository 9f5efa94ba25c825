package e2e_test

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// spans is a collector of traces that keeps one of them.
type spans struct {
	*httptest.Server

	trace string
	mu    sync.Mutex
	byID  map[string]*trace.Span
}

func newSpans(t *testing.T, traceID string) *spans {
	t.Helper()
	s := &spans{trace: traceID, byID: map[string]*trace.Span{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // what is missing is seen
		}
		var got collector.ExportTraceServiceRequest
		if proto.Unmarshal(body, &got) == nil {
			s.keep(&got)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *spans) keep(got *collector.ExportTraceServiceRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range got.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				if hex.EncodeToString(span.GetTraceId()) == s.trace {
					s.byID[hex.EncodeToString(span.GetSpanId())] = span
				}
			}
		}
	}
}

// lineage names a span and those that it came from, as far as they have ended: that of a workflow
// does when its run does.
func (s *spans) lineage(name string) (names []string, origin string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, span := range s.byID {
		if span.GetName() != name {
			continue
		}
		for ; span != nil; span = s.byID[origin] {
			names, origin = append(names, span.GetName()), hex.EncodeToString(span.GetParentSpanId())
		}
		return names, origin
	}
	return nil, ""
}

func TestOneTraceLeadsFromTheRequestToThePartner(t *testing.T) {
	t.Parallel()
	const traceID, caller = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	s := newSpans(t, traceID)
	p := startProcess(t, newFolder(t), "OTEL_EXPORTER_OTLP_ENDPOINT="+s.URL, "OTEL_BSP_SCHEDULE_DELAY=200")
	c := p.company()
	partner := newReceiver(t)
	c.webhook(t, partner.URL+"/", nil)
	a := c.post(t, "/v1/customers", newCustomer(), http.Header{"Traceparent": {"00-" + traceID + "-" + caller + "-01"}})
	require.Equal(t, http.StatusCreated, a.status)
	eventually(t, "the delivery", func() bool { return partner.count("/") == 1 })
	sent := partner.at("/")[0].header.Get("Traceparent")
	require.True(t, strings.HasPrefix(sent, "00-"+traceID+"-"), sent)

	eventually(t, "the spans", func() bool {
		request, origin := s.lineage("POST /v1/customers")
		attempt, _ := s.lineage("deliver customer.created")
		return len(request) == 1 && origin == caller && len(attempt) > 1 && attempt[1] == "RunActivity:DeliverWebhooks"
	})
}
