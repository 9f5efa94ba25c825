package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	promexport "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"
)

// tracing says whether the environment wants traces: OpenTelemetry's own variables name an
// exporter or where it sends to, and nothing switches it off.
func tracing() bool {
	if os.Getenv("OTEL_SDK_DISABLED") == "true" || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	for _, name := range []string{"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return false
}

// StartTracing sends traces to where OTEL_… variables say. The stop function sends what is left.
// Where no variable asks for it, nothing is traced and nothing paid.
func StartTracing(ctx context.Context, version string) (stop func() error, err error) {
	if !tracing() {
		return func() error { return nil }, nil
	}
	exporter, err := newExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces, as OTEL_… variables say: %w", err)
	}
	// What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say goes before ours.
	about, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "dealwright"), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("resource of traces: %w", err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(about))
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	return func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tracesPatience)
		defer cancel()
		return provider.Shutdown(ctx)
	}, nil
}

// newExporter speaks OTLP; the exporters read where to, with which headers and certificates, by
// themselves. OpenTelemetry's own reader of all variables brings exporters of logs with it whose
// versions do not go with those of Temporal's server in standalone.
func newExporter(ctx context.Context) (trace.SpanExporter, error) {
	if kind := os.Getenv("OTEL_TRACES_EXPORTER"); kind != "" && kind != "otlp" {
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER has to be otlp or none, not %q", kind)
	}
	protocol := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf")
	switch protocol {
	case "http/protobuf":
		return otlptracehttp.New(ctx) //nolint:wrapcheck // the caller says what it is about
	case "grpc":
		return otlptracegrpc.New(ctx) //nolint:wrapcheck // the caller says what it is about
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL has to be http/protobuf or grpc, not %q", protocol)
	}
}

// watched adds to options what counts and traces the SDK's own work: tasks, activities, and their
// waits, as temporal_… in the registry.
func watched(options client.Options, registry prometheus.Registerer, log *slog.Logger) (client.Options, error) {
	exporter, err := promexport.New(promexport.WithRegisterer(registry), promexport.WithoutScopeInfo(), promexport.WithoutTargetInfo())
	if err != nil {
		return options, fmt.Errorf("metrics of the temporal SDK: %w", err)
	}
	meters := metric.NewMeterProvider(metric.WithReader(exporter), metric.WithView(metric.NewView(
		metric.Instrument{Kind: metric.InstrumentKindHistogram},
		metric.Stream{Aggregation: metric.AggregationExplicitBucketHistogram{
			Boundaries: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}})))
	options.MetricsHandler = opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{
		Meter: meters.Meter("temporal-sdk-go"), UseMonotonicCounters: true,
		OnError: func(err error) { log.Warn("temporal SDK metric", "error", err) },
	})
	if !tracing() {
		return options, nil
	}
	spans, err := opentelemetry.NewTracingInterceptor(opentelemetry.TracerOptions{
		TextMapPropagator: propagation.TraceContext{}, AllowInvalidParentSpans: true,
	})
	if err != nil {
		return options, fmt.Errorf("traces of the temporal SDK: %w", err)
	}
	options.Interceptors = append(options.Interceptors, spans)
	return options, nil
}

// numbersPatience bounds each part of a request for numbers.
const numbersPatience = 15 * time.Second

// serveNumbers serves /metrics and /healthz of a worker on DEALWRIGHT_METRICS_ADDR, where that is
// set, until the context ends.
func (p *Process) serveNumbers(ctx context.Context) (stop func() error, err error) {
	if p.cfg.MetricsAddr == "" {
		return func() error { return nil }, nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.cfg.MetricsAddr)
	if err != nil {
		return nil, fmt.Errorf("listen on DEALWRIGHT_METRICS_ADDR: %w", err)
	}
	routes := http.NewServeMux()
	routes.Handle("GET /metrics", promhttp.HandlerFor(p.metrics, promhttp.HandlerOpts{}))
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	server := &http.Server{
		Handler: routes, ReadHeaderTimeout: numbersPatience, ReadTimeout: numbersPatience, WriteTimeout: numbersPatience,
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	p.log.Info("serving metrics", "addr", l.Addr().String())
	return func() error {
		err := server.Close()
		if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		return err
	}, nil
}

// tracesPatience is how long the last traces may take to be sent when a process ends.
const tracesPatience = 5 * time.Second
