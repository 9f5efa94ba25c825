// Package api is the engine's HTTP face, version 1.
//
// A request goes through it in this order, and the files are named after it:
//
//   - server.go: the table of routes says who may call what.
//   - access_log.go, metrics.go, recover.go: every request is logged, counted, and survived.
//   - auth.go: whose key it is, and whether its role reaches that far.
//   - decode.go, pages.go, idempotency.go: the body, the query and the Idempotency-Key.
//   - customers.go, proposals.go, transitions.go, …: one file for each group of routes.
//   - problem.go: the one place that turns an error into a status and a problem document.
//
// The compat_*.go files are the routes of other systems; what they have in common, and what they
// do in their own way, is in compat.go.
//
// Commands go to the engine and reads to the store; what each has to offer is declared in
// ports.go.
package api
