package temporalserver

import (
	"time"

	"go.temporal.io/server/common/dynamicconfig"
)

// dynamicConfig is where this server differs from Temporal's defaults, which are those of one host among many in a shared
// cluster. Limits per workflow (its updates, signals, history) are left alone, so that what runs here runs on a
// cluster too.
func dynamicConfig(options Options) dynamicconfig.StaticClient {
	// Higher than one machine can do: here the machine is the limit, and a client waits for it instead of being refused.
	const plenty = 100_000

	settings := dynamicconfig.StaticClient{
		// One partition holds all pollers and all tasks of a queue, so they meet at once. With more, a task that arrives where
		// no poller waits is forwarded or written to disk.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,

		// A worker gets an activity with the answer to its workflow task, without a task queue between.
		dynamicconfig.EnableActivityEagerExecution.Key(): true,
		dynamicconfig.EnableEagerWorkflowStart.Key():     true,

		// How often the queues of a shard may be read. The default (20 a second) suits thousands of shards on a host; here
		// one shard has it all, and a signal would take 60 ms to reach its workflow instead of 8.
		dynamicconfig.TransferProcessorMaxPollRPS.Key():   plenty,
		dynamicconfig.TimerProcessorMaxPollRPS.Key():      plenty,
		dynamicconfig.VisibilityProcessorMaxPollRPS.Key(): plenty,
		dynamicconfig.OutboundProcessorMaxPollRPS.Key():   plenty,

		dynamicconfig.FrontendRPS.Key():                                         plenty,
		dynamicconfig.FrontendMaxNamespaceRPSPerInstance.Key():                  plenty,
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key():        plenty,
		dynamicconfig.FrontendMaxConcurrentLongRunningRequestsPerInstance.Key(): plenty,
		dynamicconfig.HistoryRPS.Key():                                          plenty,
		dynamicconfig.MatchingRPS.Key():                                         plenty,
		dynamicconfig.FrontendPersistenceMaxQPS.Key():                           plenty,
		dynamicconfig.HistoryPersistenceMaxQPS.Key():                            plenty,
		dynamicconfig.MatchingPersistenceMaxQPS.Key():                           plenty,
		dynamicconfig.WorkerPersistenceMaxQPS.Key():                             plenty,
		dynamicconfig.VisibilityPersistenceMaxReadQPS.Key():                     plenty,
		dynamicconfig.VisibilityPersistenceMaxWriteQPS.Key():                    plenty,

		// Workflows kept in memory between their transitions, tens of kilobytes each, and as much again on the worker's side.
		// The default is thirty times that.
		dynamicconfig.HistoryCacheHostLevelMaxSize.Key(): 4_000,

		// The share of requests that fail decides whether a host leaves a cluster. This one has nowhere to go.
		dynamicconfig.PersistenceHealthSignalMetricsEnabled.Key():     false,
		dynamicconfig.PersistenceHealthSignalAggregationEnabled.Key(): false,
		dynamicconfig.HistoryHealthSignalMetricsEnabled.Key():         false,

		// A client that waits for an update's result is slow by intent; only what never ends is worth a warning.
		dynamicconfig.SlowRequestLoggingThreshold.Key(): time.Minute,

		// Asks a service on the internet whether there is a newer version.
		dynamicconfig.EnableServerVersionCheck.Key(): false,
	}
	if options.RenewAfter > 0 {
		settings[dynamicconfig.HistoryCountSuggestContinueAsNew.Key()] = options.RenewAfter
	}
	return settings
}
