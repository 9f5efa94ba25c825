package api

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics counts requests and how long they took. The labels have few values, whatever is
// sent to us: the route's pattern, a known method, and the class of the status.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(registry prometheus.Registerer) (metrics, error) {
	labels := []string{"route", "method", "status"}
	m := metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dealwright_http_requests_total",
			Help: "Requests by route, method and class of the status.",
		}, labels),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "dealwright_http_request_duration_seconds",
			Help:    "How long requests took by route, method and class of the status; long polls wait on purpose.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, labels),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration} {
		if err := registry.Register(c); err != nil {
			return m, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func (m metrics) observe(c *gin.Context, took time.Duration) {
	labels := prometheus.Labels{
		"route":  routePattern(c),
		"method": knownMethod(c.Request.Method),
		"status": strconv.Itoa(c.Writer.Status()/100) + "xx",
	}
	m.requests.With(labels).Inc()
	m.duration.With(labels).Observe(took.Seconds())
}

// routePattern is the route as the table has it, not as somebody called it.
func routePattern(c *gin.Context) string {
	if pattern := c.FullPath(); pattern != "" {
		return pattern
	}
	return "unmatched"
}

func knownMethod(method string) string {
	known := []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace,
	}
	if slices.Contains(known, method) {
		return method
	}
	return "OTHER"
}

// showMetrics answers GET /metrics.
func (s *Server) showMetrics(c *gin.Context) error {
	promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}).ServeHTTP(c.Writer, c.Request)
	return nil
}
