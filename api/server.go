package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/converter"

	"github.com/dealwright/dealwright/pipeline"
)

// Config says what the API stands on. Store, Engine and Targets are required.
type Config struct {
	Store   Store
	Engine  Engine
	Targets Targets
	// Documents is where signed documents are kept; nil: there are none to be had here.
	Documents Documents
	// Payloads is what encrypts what goes to Temporal; nil: there is no codec endpoint.
	Payloads  converter.PayloadCodec
	UIOrigins []string             // of the Temporal UI, whose pages may ask the codec endpoint
	Logger    *slog.Logger         // nil: nothing is logged
	Registry  *prometheus.Registry // what /metrics shows, and where our own metrics go; nil: a new one
	Version   string
	Limits    Limits
	Now       func() time.Time // nil: time.Now

	// AuthFailures is how many keys that open nothing an address may show at once, with one more
	// each second; 0: 100. KeyRate is how many requests a second a key may make that has no limit
	// of its own, twice as many in a burst; 0: 1000. Each process counts for itself.
	AuthFailures int
	KeyRate      float64
	// TrustedProxies are the addresses and networks of those whose X-Forwarded-For is believed.
	TrustedProxies []string
}

// Server answers the API's requests. It is safe for concurrent use.
type Server struct {
	store     Store
	engine    Engine
	targets   Targets
	documents Documents
	payloads  converter.PayloadCodec
	uiOrigins []string
	logger    *slog.Logger
	registry  *prometheus.Registry
	version   string
	now       func() time.Time

	router     *gin.Engine
	metrics    metrics
	load       *load
	origins    *http.CrossOriginProtection
	statuses   *statusCache
	watcher    *watcher
	gate       *gate
	eventTypes []eventType
	openAPI    []byte
	docs       docsPage

	drain    sync.Once
	draining chan struct{}
}

// New puts the API together. It fails where the schemas do not compile, or where the registry
// has other metrics of our names.
func New(cfg Config) (*Server, error) {
	s := &Server{
		store: cfg.Store, engine: cfg.Engine, targets: cfg.Targets, documents: cfg.Documents,
		payloads: cfg.Payloads, uiOrigins: cfg.UIOrigins,
		logger: cfg.Logger, registry: cfg.Registry, version: cfg.Version, now: cfg.Now,
		watcher:  newWatcher(cfg.Store.LastPosition),
		origins:  http.NewCrossOriginProtection(),
		docs:     newDocsPage(),
		draining: make(chan struct{}),
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.registry == nil {
		s.registry = prometheus.NewRegistry()
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.gate = newGate(cfg.AuthFailures, cfg.KeyRate, s.now)
	s.statuses = newStatusCache(cfg.Store.Statuses, s.now)
	var err error
	if s.metrics, err = newMetrics(s.registry); err != nil {
		return nil, err
	}
	if s.load, err = newLoad(cfg.Limits, s.registry); err != nil {
		return nil, err
	}
	s.engine = boundedEngine{Engine: cfg.Engine, load: s.load}
	if s.eventTypes, err = describeEventTypes(); err != nil {
		return nil, err
	}
	if s.openAPI, err = newOpenAPI(s.Routes()); err != nil {
		return nil, err
	}
	s.router = s.newRouter()
	if err = s.router.SetTrustedProxies(cfg.TrustedProxies); err != nil {
		return nil, fmt.Errorf("trusted proxies: %w", err)
	}
	return s, nil
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.router.ServeHTTP(w, r) }

// Drain gets the server ready to end: it is not ready any more, and those who wait for news
// get their answer now. Everything else is answered as before. Register it with
// http.Server.RegisterOnShutdown, since Shutdown waits for open requests.
func (s *Server) Drain() { s.drain.Do(func() { close(s.draining) }) }

// handler answers a request, or says why it cannot; serve turns that into a problem.
type handler func(c *gin.Context) error

// Route is one line of the table of routes.
type Route struct {
	Method string
	Path   string          // in the router's notation: /v1/customers/:id
	Roles  []pipeline.Role // whose keys may call it; none: anybody, without a key
	Query  []string        // the query parameters that it knows; any other is refused
	handle handler
}

var (
	admins      = []pipeline.Role{pipeline.RoleAdmin}
	drivers     = []pipeline.Role{pipeline.RoleAdmin, pipeline.RoleApp}
	subscribers = []pipeline.Role{pipeline.RoleAdmin, pipeline.RolePartner}
	everyone    = []pipeline.Role{pipeline.RoleAdmin, pipeline.RoleApp, pipeline.RolePartner}
	open        []pipeline.Role
)

// Routes is the table of all routes: what there is, who may call it, with which parameters.
func (s *Server) Routes() []Route {
	paged := []string{"limit", "cursor"}
	customers := append([]string{"status", "q", "owner_id"}, paged...)
	proposals := append([]string{"status", "contract_status", "customer_id"}, paged...)
	deliveries := append([]string{"webhook_id", "status", "event_id"}, paged...)
	gaps := append([]string{"after", "until"}, paged...)
	feed := []string{"after", "types", "limit", "wait"}
	return append(slices.Concat(compatRoutes(s), s.contractRoutes(), s.codecRoutes()), []Route{
		{http.MethodPost, "/v1/customers", drivers, nil, s.createCustomer},
		{http.MethodGet, "/v1/customers", drivers, customers, s.listCustomers},
		{http.MethodGet, "/v1/customers/:id", drivers, nil, s.getCustomer},
		{http.MethodGet, "/v1/customers/:id/events", drivers, paged, s.streamEvents(pipeline.KindCustomer)},
		{http.MethodGet, "/v1/customers/:id/timeline", drivers, paged, s.timeline(pipeline.KindCustomer)},
		{http.MethodPost, "/v1/customers/:id/transitions", drivers, nil, s.transition(pipeline.KindCustomer)},
		{http.MethodPost, "/v1/customers/:id/erase", admins, nil, s.eraseCustomer},
		{http.MethodPost, "/v1/customers/:id/proposals", drivers, nil, s.createProposal},

		{http.MethodGet, "/v1/proposals", drivers, proposals, s.listProposals},
		{http.MethodGet, "/v1/proposals/:id", drivers, nil, s.getProposal},
		{http.MethodGet, "/v1/proposals/:id/events", drivers, paged, s.streamEvents(pipeline.KindProposal)},
		{http.MethodGet, "/v1/proposals/:id/timeline", drivers, paged, s.timeline(pipeline.KindProposal)},
		{http.MethodGet, "/v1/proposals/:id/documents", drivers, nil, s.listDocuments},
		{http.MethodPost, "/v1/proposals/:id/transitions", drivers, nil, s.transition(pipeline.KindProposal)},

		{http.MethodGet, "/v1/events", everyone, feed, s.feed},
		{http.MethodGet, "/v1/events/stream", everyone, []string{"after", "types"}, s.streamFeed},
		{http.MethodGet, "/v1/event-types", everyone, nil, s.listEventTypes},

		{http.MethodPost, "/v1/webhooks", subscribers, nil, s.createWebhook},
		{http.MethodGet, "/v1/webhooks", everyone, paged, s.listWebhooks},
		{http.MethodGet, "/v1/webhooks/:id", everyone, nil, s.getWebhook},
		{http.MethodPatch, "/v1/webhooks/:id", subscribers, nil, s.patchWebhook},
		{http.MethodDelete, "/v1/webhooks/:id", subscribers, nil, s.deleteWebhook},

		{http.MethodPost, "/v1/webhooks/:id/enable", subscribers, nil, s.enableWebhook},
		{http.MethodPost, "/v1/webhooks/:id/disable", subscribers, nil, s.disableWebhook},
		{http.MethodPost, "/v1/webhooks/:id/test", subscribers, nil, s.testWebhook},
		{http.MethodPost, "/v1/webhooks/:id/rotate-secret", subscribers, nil, s.rotateSecret},
		{http.MethodGet, "/v1/webhooks/:id/public-key", everyone, nil, s.publicKey},
		{http.MethodPost, "/v1/webhooks/:id/replay", subscribers, nil, s.replayEvents},
		{http.MethodPost, "/v1/webhooks/:id/recover", subscribers, nil, s.recoverDeliveries},
		{http.MethodGet, "/v1/webhooks/:id/replays", everyone, paged, s.listReplays},
		{http.MethodGet, "/v1/webhooks/:id/replays/:rid", everyone, nil, s.getReplay},
		{http.MethodPost, "/v1/webhooks/:id/replays/:rid/pause", subscribers, nil, s.setReplay(pipeline.ReplayPaused)},
		{http.MethodPost, "/v1/webhooks/:id/replays/:rid/resume", subscribers, nil, s.setReplay(pipeline.ReplayRunning)},
		{http.MethodPost, "/v1/webhooks/:id/replays/:rid/cancel", subscribers, nil, s.setReplay(pipeline.ReplayCancelled)},
		{http.MethodGet, "/v1/webhooks/:id/gaps", everyone, gaps, s.listGaps},
		{http.MethodGet, "/v1/webhooks/:id/stats", everyone, []string{"hours"}, s.showStats},

		{http.MethodGet, "/v1/deliveries", everyone, deliveries, s.listDeliveries},
		{http.MethodGet, "/v1/deliveries/:id", everyone, nil, s.getDelivery},
		{http.MethodPost, "/v1/deliveries/:id/resend", subscribers, nil, s.resendDelivery},

		{http.MethodPost, "/v1/keys", admins, nil, s.createKey},
		{http.MethodGet, "/v1/keys", admins, paged, s.listKeys},
		{http.MethodDelete, "/v1/keys/:id", admins, nil, s.revokeKey},

		{http.MethodGet, "/", open, nil, s.about},
		{http.MethodGet, "/healthz", open, nil, s.healthz},
		{http.MethodHead, "/healthz", open, nil, s.healthz}, // some load balancers probe so
		{http.MethodGet, "/readyz", open, nil, s.readyz},
		{http.MethodHead, "/readyz", open, nil, s.readyz},
		{http.MethodGet, "/metrics", open, nil, s.showMetrics},
		{http.MethodGet, openAPIPath, open, nil, s.showOpenAPI},
		{http.MethodGet, docsPath, open, nil, s.showDocs},
		{http.MethodGet, docsPath + "/:file", open, nil, s.docsFile},
	}...)
}

// compatRoutes are those of other systems; see dialect. Their clients may write a path with and
// without a slash at its end, and parameters that are not known are passed over.
func compatRoutes(s *Server) []Route {
	either := []Route{
		{http.MethodPost, "/hooks", subscribers, nil, s.createHook},
		{http.MethodGet, "/hooks", subscribers, nil, s.listHooks},
		{http.MethodGet, "/hooks/:id", subscribers, nil, s.getHook},
		{http.MethodPut, "/hooks/:id", subscribers, nil, s.changeHook},
		{http.MethodDelete, "/hooks/:id", subscribers, nil, s.deleteHook},

		{http.MethodPost, "/api_trigger_events", subscribers, nil, s.createTrigger},
		{http.MethodGet, "/api_trigger_events", subscribers, nil, s.listTriggers},
		{http.MethodGet, "/api_trigger_events/:id", subscribers, nil, s.getTrigger},
		{http.MethodPut, "/api_trigger_events/:id", subscribers, nil, s.changeTrigger},
		{http.MethodDelete, "/api_trigger_events/:id", subscribers, nil, s.deleteTrigger},
	}
	routes := append(slices.Clone(either),
		Route{http.MethodPost, "/apidata.php", subscribers, nil, s.solarProof},
		Route{http.MethodDelete, "/apidata.php", subscribers, nil, s.solarProof},
	)
	for _, route := range either {
		route.Path += "/"
		routes = append(routes, route)
	}
	return routes
}

func (s *Server) newRouter() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	// A redirect makes clients send a POST again as a GET.
	router.RedirectTrailingSlash = false
	router.RedirectFixedPath = false
	router.HandleMethodNotAllowed = true
	router.RemoteIPHeaders = []string{"X-Forwarded-For"}
	router.Use(nameRequest, traceRequest, s.observe, s.survive, secure, s.admitUI, s.refuseForgeries)
	for _, route := range s.Routes() {
		router.Handle(route.Method, route.Path, s.serve(route))
	}
	router.NoRoute(s.noRoute)
	router.NoMethod(s.noMethod)
	return router
}

// serve lets those in who may call the route, and turns what goes wrong into a problem.
func (s *Server) serve(route Route) gin.HandlerFunc {
	return func(c *gin.Context) {
		err := s.within(c, route, func() error {
			if err := s.admit(c, route); err != nil {
				return err
			}
			return route.handle(c)
		})
		if err != nil {
			s.fail(c, err)
		}
	}
}

func (s *Server) noRoute(c *gin.Context) {
	s.fail(c, pipeline.Errorf(pipeline.CodeNotFound, "there is no such route"))
}

// noMethod: which methods a route has is in the Allow header already, put there by gin.
func (s *Server) noMethod(c *gin.Context) {
	if d := dialectOf(c); isVersioned(c) || (d != nil && !d.keyLast) {
		if err := s.authenticate(c); err != nil {
			s.fail(c, err)
			return
		}
	}
	s.fail(c, pipeline.Errorf(pipeline.CodeMethodNotAllowed, "this route does not take %s", knownMethod(c.Request.Method)))
}
