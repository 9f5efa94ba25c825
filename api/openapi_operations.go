package api

import (
	"maps"
	"net/http"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
)

// operation is what the OpenAPI document says of a route beyond what the table of routes says.
type operation struct {
	id      string // what a generated client calls it
	tag     string
	summary string
	body    string // the schema of the request's body, by its name in package schemas; empty: none
	spare   bool   // the body may be left out
	status  int    // of success
	answer  shape  // of success; nil: no body
	media   string // of success, where it is not application/json
	refuses []int  // statuses of refusal beyond those that follow from the route
}

// The groups of routes, in the order in which they are shown.
const (
	tagCustomers   = "customers"
	tagProposals   = "proposals"
	tagEvents      = "events"
	tagWebhooks    = "webhooks"
	tagDeliveries  = "deliveries"
	tagConnections = "connections"
	tagKeys        = "keys"
	tagOperations  = "operations"
)

// operations has a line for each route of /v1 and of operations, by method and path. The routes of
// other systems are not here: their documents are those of the systems themselves.
func operations() map[string]operation {
	all := map[string]operation{}
	for _, group := range []map[string]operation{
		entityOperations(), webhookOperations(), replayOperations(), deliveryOperations(), contractOperations(), otherOperations(),
	} {
		maps.Copy(all, group)
	}
	return all
}

func entityOperations() map[string]operation {
	customer, proposal := file(schemas.Customer), file(schemas.Proposal)
	events, timeline := pageOf(value[pipeline.Event]()), pageOf(value[timelineItem]())
	transition := operation{
		summary: "Ask for an event to happen", body: schemas.Transition, status: http.StatusCreated,
		answer: value[transitionAnswer](), refuses: []int{http.StatusConflict},
	}
	of := func(o operation, id, tag string) operation {
		o.id, o.tag = id, tag
		return o
	}
	return map[string]operation{
		"POST /v1/customers": {
			id: "createCustomer", tag: tagCustomers, summary: "Create a customer", body: schemas.CreateCustomer,
			status: http.StatusCreated, answer: customer, refuses: []int{http.StatusConflict},
		},
		"GET /v1/customers": {
			id: "listCustomers", tag: tagCustomers, summary: "List customers, newest first", status: http.StatusOK, answer: pageOf(customer),
		},
		"GET /v1/customers/:id": {
			id: "getCustomer", tag: tagCustomers, summary: "Show a customer", status: http.StatusOK, answer: customer,
		},
		"GET /v1/customers/:id/events": {
			id: "listCustomerEvents", tag: tagCustomers, summary: "List a customer's events, in order", status: http.StatusOK, answer: events,
		},
		"GET /v1/customers/:id/timeline": {
			id: "showCustomerTimeline", tag: tagCustomers, status: http.StatusOK, answer: timeline,
			summary: "Show what happened to a customer and its proposals, and who was told",
		},
		"POST /v1/customers/:id/transitions": of(transition, "moveCustomer", tagCustomers),
		"POST /v1/customers/:id/erase": {
			id: "eraseCustomer", tag: tagCustomers, summary: "Make what is personal of a customer unreadable, for good", body: schemas.EraseCustomer,
			spare: true, status: http.StatusCreated, answer: value[transitionAnswer](), refuses: []int{http.StatusConflict},
		},
		"POST /v1/customers/:id/proposals": {
			id: "createProposal", tag: tagProposals, summary: "Create a proposal for a customer", body: schemas.CreateProposal,
			status: http.StatusCreated, answer: proposal, refuses: []int{http.StatusConflict},
		},
		"GET /v1/proposals": {
			id: "listProposals", tag: tagProposals, summary: "List proposals, newest first", status: http.StatusOK, answer: pageOf(proposal),
		},
		"GET /v1/proposals/:id": {
			id: "getProposal", tag: tagProposals, summary: "Show a proposal", status: http.StatusOK, answer: proposal,
		},
		"GET /v1/proposals/:id/events": {
			id: "listProposalEvents", tag: tagProposals, summary: "List a proposal's events, in order", status: http.StatusOK, answer: events,
		},
		"GET /v1/proposals/:id/timeline": {
			id: "showProposalTimeline", tag: tagProposals, summary: "Show what happened to a proposal, and who was told",
			status: http.StatusOK, answer: timeline,
		},
		"GET /v1/proposals/:id/documents": {
			id: "listProposalDocuments", tag: tagProposals, summary: "List the documents of a proposal's present contract",
			status: http.StatusOK, answer: pageOf(value[pipeline.Document]()),
		},
		"POST /v1/proposals/:id/transitions": of(transition, "moveProposal", tagProposals),
		"GET /v1/events": {
			id: "readFeed", tag: tagEvents, status: http.StatusOK, answer: feedShape,
			summary: "Read the company's events after a position, in order; with wait, wait for the next one",
		},
		"GET /v1/events/stream": {
			id: "streamFeed", tag: tagEvents, status: http.StatusOK, answer: textShape, media: contentTypeStream,
			summary: "Follow the feed as server-sent events; Last-Event-ID says where to go on",
		},
		"GET /v1/event-types": {
			id: "listEventTypes", tag: tagEvents, summary: "Show the catalogue of event types",
			status: http.StatusOK, answer: pageOf(value[eventType]()),
		},
	}
}

func webhookOperations() map[string]operation {
	webhook := value[pipeline.Webhook]()
	return map[string]operation{
		"POST /v1/webhooks": {
			id: "createWebhook", tag: tagWebhooks, summary: "Subscribe to events; the secret is shown this once",
			body: schemas.CreateWebhook, status: http.StatusCreated, answer: value[createdWebhook](), refuses: []int{http.StatusConflict},
		},
		"GET /v1/webhooks": {
			id: "listWebhooks", tag: tagWebhooks, summary: "List webhooks, newest first", status: http.StatusOK, answer: pageOf(webhook),
		},
		"GET /v1/webhooks/:id": {
			id: "getWebhook", tag: tagWebhooks, summary: "Show a webhook", status: http.StatusOK, answer: webhook,
		},
		"PATCH /v1/webhooks/:id": {
			id: "changeWebhook", tag: tagWebhooks, summary: "Change a webhook", body: schemas.PatchWebhook,
			status: http.StatusOK, answer: webhook, refuses: []int{http.StatusConflict},
		},
		"DELETE /v1/webhooks/:id": {
			id: "deleteWebhook", tag: tagWebhooks, summary: "End a subscription", status: http.StatusNoContent,
		},
		"POST /v1/webhooks/:id/enable": {
			id: "enableWebhook", tag: tagWebhooks, summary: "Switch a webhook on, and send or discard what is held",
			body: schemas.EnableWebhook, spare: true, status: http.StatusOK, answer: webhook,
		},
		"POST /v1/webhooks/:id/disable": {
			id: "disableWebhook", tag: tagWebhooks, summary: "Switch a webhook off; what comes is held",
			body: schemas.Nothing, spare: true, status: http.StatusOK, answer: webhook,
		},
		"POST /v1/webhooks/:id/test": {
			id: "testWebhook", tag: tagWebhooks, summary: "Send a sample and see what comes of it", body: schemas.TestWebhook,
			status: http.StatusOK, answer: value[sampleSent](),
		},
		"POST /v1/webhooks/:id/rotate-secret": {
			id: "rotateSecret", tag: tagWebhooks, summary: "Replace a webhook's secret; for a time both sign", body: schemas.RotateSecret,
			spare: true, status: http.StatusOK, answer: value[rotated](), refuses: []int{http.StatusConflict},
		},
		"GET /v1/webhooks/:id/public-key": {
			id: "getPublicKey", tag: tagWebhooks, summary: "Show the key that deliveries can be verified with",
			status: http.StatusOK, answer: value[publicKey](),
		},
		"GET /v1/webhooks/:id/gaps": {
			id: "listGaps", tag: tagWebhooks, summary: "List the events that a partner has not acknowledged",
			status: http.StatusOK, answer: pageOf(value[pipeline.Gap]()),
		},
		"GET /v1/webhooks/:id/stats": {
			id: "getStats", tag: tagWebhooks, summary: "Show how a webhook has been doing, hour by hour",
			status: http.StatusOK, answer: value[stats](),
		},
	}
}

func replayOperations() map[string]operation {
	replay := value[pipeline.Replay]()
	set := func(id, summary string) operation {
		return operation{
			id: id, tag: tagWebhooks, summary: summary, body: schemas.Nothing, spare: true,
			status: http.StatusOK, answer: replay, refuses: []int{http.StatusConflict},
		}
	}
	return map[string]operation{
		"POST /v1/webhooks/:id/replay": {
			id: "replayEvents", tag: tagWebhooks, summary: "Send a range of past events again", body: schemas.Replay, spare: true,
			status: http.StatusAccepted, answer: replay, refuses: []int{http.StatusConflict},
		},
		"POST /v1/webhooks/:id/recover": {
			id: "recoverDeliveries", tag: tagWebhooks, summary: "Send again what was not delivered since a time", body: schemas.Recover,
			status: http.StatusAccepted, answer: replay, refuses: []int{http.StatusConflict},
		},
		"GET /v1/webhooks/:id/replays": {
			id: "listReplays", tag: tagWebhooks, summary: "List a webhook's replays, newest first",
			status: http.StatusOK, answer: pageOf(replay),
		},
		"GET /v1/webhooks/:id/replays/:rid": {
			id: "getReplay", tag: tagWebhooks, summary: "Show how far a replay is", status: http.StatusOK, answer: replay,
		},
		"POST /v1/webhooks/:id/replays/:rid/pause":  set("pauseReplay", "Pause a replay"),
		"POST /v1/webhooks/:id/replays/:rid/resume": set("resumeReplay", "Go on with a replay"),
		"POST /v1/webhooks/:id/replays/:rid/cancel": set("cancelReplay", "End a replay"),
	}
}

func deliveryOperations() map[string]operation {
	delivery := value[pipeline.Delivery]()
	return map[string]operation{
		"GET /v1/deliveries": {
			id: "listDeliveries", tag: tagDeliveries, summary: "List deliveries, newest first", status: http.StatusOK, answer: pageOf(delivery),
		},
		"GET /v1/deliveries/:id": {
			id: "getDelivery", tag: tagDeliveries, summary: "Show a delivery with its attempts", status: http.StatusOK, answer: delivery,
		},
		"POST /v1/deliveries/:id/resend": {
			id: "resendDelivery", tag: tagDeliveries, summary: "Send a delivery again", body: schemas.Nothing, spare: true,
			status: http.StatusAccepted, answer: delivery, refuses: []int{http.StatusConflict},
		},
	}
}

func contractOperations() map[string]operation {
	connection, inbound := value[shownConnection](), value[pipeline.Inbound]()
	all := map[string]operation{
		"POST /v1/connections": {
			id: "createConnection", tag: tagConnections, summary: "Connect a provider of contracts", body: schemas.CreateConnection,
			status: http.StatusCreated, answer: connection, refuses: []int{http.StatusConflict},
		},
		"GET /v1/connections": {
			id: "listConnections", tag: tagConnections, summary: "List connections", status: http.StatusOK, answer: pageOf(connection),
		},
		"GET /v1/connections/:id": {
			id: "getConnection", tag: tagConnections, summary: "Show a connection", status: http.StatusOK, answer: connection,
		},
		"DELETE /v1/connections/:id": {
			id: "deleteConnection", tag: tagConnections, summary: "End a connection", status: http.StatusNoContent,
		},
		"GET /v1/inbound": {
			id: "listInbound", tag: tagConnections, summary: "List what providers told us, newest first",
			status: http.StatusOK, answer: pageOf(value[listedInbound]()),
		},
		"GET /v1/inbound/:id": {
			id: "getInbound", tag: tagConnections, summary: "Show something that a provider told us", status: http.StatusOK, answer: inbound,
		},
		"POST /v1/inbound/:id/retry": {
			id: "retryInbound", tag: tagConnections, summary: "Handle again what came to nothing", body: schemas.Nothing, spare: true,
			status: http.StatusAccepted, answer: inbound, refuses: []int{http.StatusConflict},
		},
		"GET /v1/documents/:uuid/download": {
			id: "downloadDocument", tag: tagConnections, summary: "Download a signed document", status: http.StatusOK, answer: bytesShape,
			media:   "application/octet-stream",
			refuses: []int{http.StatusPartialContent, http.StatusNotModified, http.StatusRequestedRangeNotSatisfiable},
		},
		"POST /v1/documents/:uuid/retry": {
			id: "retryDocument", tag: tagConnections, summary: "Fetch a document again that could not be had", body: schemas.Nothing, spare: true,
			status: http.StatusAccepted, answer: value[documentReceipt](), refuses: []int{http.StatusConflict},
		},
	}
	for method, id := range map[string]string{
		http.MethodPost: "receiveInbound", http.MethodPut: "receiveInboundPut", http.MethodPatch: "receiveInboundPatch",
	} {
		all[method+" "+inboundPath+":token"] = operation{
			id: id, tag: tagConnections, summary: "Where a provider sends its webhooks", body: schemas.SightenContract,
			status: http.StatusAccepted, answer: value[inboundReceipt](),
		}
	}
	return all
}

func otherOperations() map[string]operation {
	key := value[pipeline.Key]()
	return map[string]operation{
		"POST /v1/keys": {
			id: "createKey", tag: tagKeys, summary: "Make an API key; it is shown this once", body: schemas.CreateKey,
			status: http.StatusCreated, answer: value[pipeline.NewKey](), refuses: []int{http.StatusConflict},
		},
		"GET /v1/keys": {id: "listKeys", tag: tagKeys, summary: "List API keys, newest first", status: http.StatusOK, answer: pageOf(key)},
		"DELETE /v1/keys/:id": {
			id: "revokeKey", tag: tagKeys, summary: "Revoke an API key at once", status: http.StatusNoContent,
		},
		"GET /healthz": {
			id: "isUp", tag: tagOperations, summary: "Whether the process is up", status: http.StatusOK, answer: value[healthAnswer](),
		},
		"HEAD /healthz": {id: "isUpHead", tag: tagOperations, summary: "Whether the process is up", status: http.StatusOK},
		"GET /readyz": {
			id: "isReady", tag: tagOperations, summary: "Whether requests can succeed", status: http.StatusOK, answer: value[healthAnswer](),
		},
		"HEAD /readyz": {id: "isReadyHead", tag: tagOperations, summary: "Whether requests can succeed", status: http.StatusOK},
		"GET /metrics": {
			id: "getMetrics", tag: tagOperations, summary: "Numbers for Prometheus", status: http.StatusOK, answer: textShape, media: "text/plain",
		},
		"GET /": {id: "about", tag: tagOperations, summary: "What this is", status: http.StatusOK, answer: value[aboutAnswer]()},
		"GET /openapi.json": {
			id: "getOpenAPI", tag: tagOperations, summary: "This document", status: http.StatusOK, answer: anyShape,
		},
		"GET /docs": {
			id: "showDocs", tag: tagOperations, summary: "This document, for people", status: http.StatusOK, answer: textShape, media: "text/html",
		},
		"GET /docs/:file": {
			id: "getDocsFile", tag: tagOperations, summary: "What the page is made of", status: http.StatusOK, answer: bytesShape,
			media: "application/octet-stream", refuses: []int{http.StatusPartialContent, http.StatusNotModified},
		},
	}
}
