package temporalserver

import (
	"fmt"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
)

const (
	clusterName = "active"
	storeName   = "sqlite"
	// What operators list and search has a file of its own: an entry there costs as much as a
	// step of a workflow, and SQLite lets one writer at a time into a file.
	visibilityName = "sqlite-visibility"

	// shards is fixed at the first start. More than one would only wait for the one writer of the file.
	shards = 1
)

// newTemporal builds the server: all its services in this process, told of each other's addresses instead of gossiping.
func newTemporal(options Options, chosen ports, now *phase) (temporal.Server, error) {
	local := func(port int) static.Hosts { return static.SingleLocalHost(options.hostPort(port)) }
	server, err := temporal.NewServer(
		temporal.WithConfig(serverConfig(options, chosen)),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(map[primitives.ServiceName]static.Hosts{
			primitives.FrontendService: local(chosen.frontend),
			primitives.HistoryService:  local(chosen.history),
			primitives.MatchingService: local(chosen.matching),
			primitives.WorkerService:   local(chosen.worker),
		}),
		temporal.WithLogger(newLogger(options.Logger, now)),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return authorization.NewNoopClaimMapper() }),
		temporal.WithDynamicConfigClient(dynamicConfig(options)),
	)
	if err != nil {
		return nil, fmt.Errorf("set up: %w", err)
	}
	return server, nil
}

func serverConfig(options Options, chosen ports) *config.Config {
	frontend := options.hostPort(chosen.frontend)
	service := func(port int) config.Service {
		return config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: options.Address}}
	}
	return &config.Config{
		Global: config.Global{
			Membership: config.Membership{BroadcastAddress: options.Address},
			Metrics:    metricsConfig(options),
		},
		Persistence: config.Persistence{
			DefaultStore:     storeName,
			VisibilityStore:  visibilityName,
			NumHistoryShards: shards,
			DataStores: map[string]config.DataStore{
				storeName:      {SQL: databaseConfig(options.databaseFile())},
				visibilityName: {SQL: databaseConfig(options.visibilityFile())},
			},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: frontend},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services: map[string]config.Service{
			string(primitives.FrontendService): service(chosen.frontend),
			string(primitives.HistoryService):  service(chosen.history),
			string(primitives.MatchingService): service(chosen.matching),
			string(primitives.WorkerService):   service(chosen.worker),
		},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: config.ArchivalDisabled},
			Visibility: config.VisibilityArchival{State: config.ArchivalDisabled},
		},
		NamespaceDefaults: config.NamespaceDefaults{
			Archival: config.ArchivalNamespaceDefaults{
				History:    config.HistoryArchivalNamespaceDefaults{State: config.ArchivalDisabled},
				Visibility: config.VisibilityArchivalNamespaceDefaults{State: config.ArchivalDisabled},
			},
		},
		PublicClient: config.PublicClient{HostPort: frontend},
	}
}

// metricsConfig uses the one of Temporal's two frameworks that closes its listener at the end.
func metricsConfig(options Options) *metrics.Config {
	if options.MetricsPort == 0 {
		return nil
	}
	return &metrics.Config{
		Prometheus: &metrics.PrometheusConfig{
			Framework:     metrics.FrameworkOpentelemetry,
			ListenAddress: options.hostPort(options.MetricsPort),
			HandlerPath:   "/metrics",
		},
	}
}
