package schemas_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
)

// fields are the pointers and sentences of a refusal.
func fields(t *testing.T, err error) []pipeline.FieldError {
	t.Helper()
	var refusal *pipeline.Error
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, pipeline.CodeInvalid, refusal.Code)
	return refusal.Fields
}

func pointers(t *testing.T, err error) []string {
	t.Helper()
	found := fields(t, err)
	out := make([]string, len(found))
	for i, f := range found {
		require.NotEmpty(t, f.Detail)
		out[i] = f.Pointer
	}
	return out
}

func long(n int) string { return strings.Repeat("é", n) }

// numbered gives n texts, each with its number.
func numbered(n int, format string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf(format, i)
	}
	return out
}

// bad is a body and where it is wrong.
type bad struct {
	body string
	at   []string
}

func at(pointers ...string) []string { return pointers }

const (
	anEvent = `"id":"evt_0g2h4j6k8m0n2p4q6r8s0t2v4w","position":1,"company_id":1,"stream":"customer-1","seq":1,` +
		`"customer_id":1,"proposal_id":null,"actor":{"user_id":null},"cause":null,"state":{},"payload":{}`
	anActivity = `{"belongs_to_customer":1,"belongs_to_user":1,"belongs_to_project":1,"activity_type":`
	aWebhook   = `{"url":"https://example.com/","events":["*"],`
	aDocument  = `{"uuid":"e24f5a7a-1d6d-4417-8af2-22da3d67d4cc","name":"a.pdf","creation_type":"UPLOADED"}`
)

var refused = map[string][]bad{
	schemas.Envelope: {
		{`{"type":"sms.sent","timestamp":"2026-11-21T09:00:00Z"}`, at("/data")},
		{`{"type":"sms.lost","timestamp":"yesterday","data":{` + anEvent + `}}`, at("/timestamp", "/type")},
		{`{"type":"sms.sent","timestamp":"2026-11-21T09:00:00Z","data":{` + anEvent + `,"recorded_at":null}}`, at("/data/recorded_at")},
		{
			`{"type":"sms.sent","timestamp":"2026-11-21T09:00:00Z","data":{` + strings.Replace(anEvent, "customer-1", "deal-1", 1) + `}}`,
			at("/data/stream"),
		},
	},
	schemas.Customer: {{`[]`, at("")}, {`{"id":0}`, nil}},
	schemas.Proposal: {{`null`, at("")}, {`{"status":"won"}`, nil}},
	schemas.Document: {{`{"status":"lost"}`, nil}},
	schemas.CreateCustomer: {
		{`{}`, at("/email", "/name")},
		{`[]`, at("")},
		{`"x"`, at("")},
		{`{"name":"","email":"x@example.com"}`, at("/name")},
		{`{"name":" \t","email":"x@example.com"}`, at("/name")},
		{`{"name":5,"email":"a@b.co"}`, at("/name")},
		{`{"name":null,"email":"a@b.co"}`, at("/name")},
		{`{"name":"` + long(201) + `","email":"a@b.co"}`, at("/name")},
		{`{"name":"A","email":"nope"}`, at("/email")},
		{`{"name":"A","email":"a@localhost"}`, at("/email")},
		{`{"name":"A","email":"a b@c.de"}`, at("/email")},
		{`{"name":"A","email":"a@b.co","type":"CASTLE"}`, at("/type")},
		{`{"name":"A","email":"a@b.co","status":-1}`, at("/status")},
		{`{"name":"A","email":"a@b.co","status":10000}`, at("/status")},
		{`{"name":"A","email":"a@b.co","status":"1"}`, at("/status")},
		{`{"name":"A","email":"a@b.co","status":1.5}`, at("/status")},
		{`{"name":"A","email":"a@b.co","owner_id":5.0}`, at("/owner_id")},
		{`{"name":"A","email":"a@b.co","owner_id":1e3}`, at("/owner_id")},
		{`{"name":"A","email":"a@b.co","owner_id":0}`, at("/owner_id")},
		{`{"name":"A","email":"a@b.co","owner_id":9007199254740992}`, at("/owner_id")},
		{`{"name":"A","email":"a@b.co","phone":"` + long(51) + `"}`, at("/phone")},
		{`{"name":"A","email":"a@b.co","address":["1 Main St"]}`, at("/address")},
		{`{"name":"A","email":"a@b.co","attributes":"red"}`, at("/attributes")},
		{`{"name":"A","email":"a@b.co","uuid":"4f0c9a56-2f0e-4a1b-9d0b-6f6f2b1e7c11"}`, at("/uuid")},
		{`{"name":"A","email":"a@b.co","a/b~c":1}`, at("/a~1b~0c")},
	},
	schemas.CreateProposal: {
		{`{"draft":"yes"}`, at("/draft")},
		{`{"uuid":"54321"}`, at("/uuid")},
		{`{"price":12345}`, at("/price")},
		{`{"price":{"amount":12345,"currency":"aud"}}`, at("/price/amount", "/price/currency")},
		{`{"price":{"amount":"1,5"}}`, at("/price/amount", "/price/currency")},
		{`{"system":[]}`, at("/system")},
		{`{"customer_uuid":"4f0c9a56-2f0e-4a1b-9d0b-6f6f2b1e7c11"}`, at("/customer_uuid")},
		{`{"nickname":"` + long(201) + `"}`, at("/nickname")},
	},
	schemas.Transition: {
		{`{}`, at("/type")},
		{`{"type":"no.such_event"}`, at("/type")},
		{`{"type":5}`, at("/type")},
		{`{"type":"sms.sent","data":[]}`, at("/data")},
		{`{"type":"sms.sent","actor":{}}`, at("/actor/user_id")},
		{`{"type":"sms.sent","actor":{"user_id":"me"}}`, at("/actor/user_id")},
		{`{"type":"sms.sent","occurred_at":"2026-11-21"}`, at("/occurred_at")},
		{`{"type":"sms.sent","occurred_at":"2026-02-30T10:00:00Z"}`, at("/occurred_at")},
		{`{"type":"sms.sent","occurred_at":"2026-11-21T23:59:60Z"}`, at("/occurred_at")},
		{`{"type":"sms.sent","occurred_at":"0000-01-01T00:00:00Z"}`, at("/occurred_at")},
		{`{"type":"sms.sent","occurred_at":"2999-12-31T23:59:59-23:00"}`, at("/occurred_at")},
		{`{"type":"sms.sent","occurred_at":"9999-12-31T23:59:59-23:00"}`, at("/occurred_at")},
		{`{"type":"sms.sent","cause":{}}`, at("/cause")},
	},
	schemas.CreateWebhook: {
		{`{}`, at("/events", "/url")},
		{`{"url":"ftp://example.com/","events":["*"]}`, at("/url")},
		{`{"url":"https://","events":["*"]}`, at("/url")},
		{`{"url":"/hooks","events":["*"]}`, at("/url")},
		{`{"url":"https://a b/","events":["*"]}`, at("/url")},
		{`{"url":"https://example.com/` + strings.Repeat("a", 2000) + `","events":["*"]}`, at("/url")},
		{`{"url":"https://example.com/","events":[]}`, at("/events")},
		{`{"url":"https://example.com/","events":"*"}`, at("/events")},
		{`{"url":"https://example.com/","events":["*","deal.*","proposal.lost",7]}`, at("/events/1", "/events/2", "/events/3")},
		{`{"url":"https://example.com/","events":["*"` + strings.Repeat(`,"*"`, 50) + `]}`, at("/events")},
		{`{"url":"https://example.com/","events":["*"],"format":"xml"}`, at("/format")},
		{`{"url":"https://example.com/","event_name":null}`, at("/events")},
		{`{"url":"https://example.com/","format":"solve360"}`, at("/events")},
		{`{"url":"https://example.com/","events":["*"],"format":"solve360","secret":"` + long(256) + `"}`, at("/secret")},
		{`{"url":"https://example.com/","events":["*"],"format":"solo","secret":"hunter2"}`, at("/secret")},
		{`{"url":"https://example.com/","events":["*"],"secret":"hunter2"}`, at("/secret")},
		{`{"url":"https://example.com/","events":["*"],"secret":"whsec_` + strings.Repeat("A", 28) + `"}`, at("/secret")},
		{`{"url":"https://example.com/","events":["*"],"secret":"whsec_` + strings.Repeat("A", 88) + `"}`, at("/secret")},
		{aWebhook + `"rate_limt":5}`, at("/rate_limt")},
		{aWebhook + `"rate_limit":0}`, at("/rate_limit")},
		{aWebhook + `"rate_limit":0.009}`, at("/rate_limit")},
		{aWebhook + `"rate_limit":1000.5}`, at("/rate_limit")},
		{aWebhook + `"rate_limit":"5/s"}`, at("/rate_limit")},
		{aWebhook + `"max_concurrency":0,"latest_only":null}`, at("/latest_only", "/max_concurrency")},
		{aWebhook + `"max_concurrency":101}`, at("/max_concurrency")},
		{aWebhook + `"max_concurrency":2.5}`, at("/max_concurrency")},
		{aWebhook + `"timeout":0.5}`, at("/timeout")},
		{aWebhook + `"timeout":31}`, at("/timeout")},
		{aWebhook + `"timeout":"fast"}`, at("/timeout")},
		{aWebhook + `"timeout":""}`, at("/timeout")},
		{aWebhook + `"timeout":"-5s"}`, at("/timeout")},
		{aWebhook + `"timeout":"99999999999999999h"}`, at("/timeout")},
		{aWebhook + `"retry_schedule":"5m"}`, at("/retry_schedule")},
		{
			aWebhook + `"retry_schedule":["5m","later",-1,604801,null,"5"]}`,
			at("/retry_schedule/1", "/retry_schedule/2", "/retry_schedule/3", "/retry_schedule/4", "/retry_schedule/5", "/retry_schedule/5"),
		},
		{aWebhook + `"retry_schedule":["5m"` + strings.Repeat(`,1`, 50) + `]}`, at("/retry_schedule")},
		{aWebhook + `"filter":[]}`, at("/filter")},
		{aWebhook + `"filter":"data.seq"}`, at("/filter")},
		{aWebhook + `"start":"yesterday"}`, at("/start")},
		{aWebhook + `"start":"2026-11-21"}`, at("/start")},
		{aWebhook + `"start":-1}`, at("/start")},
		{aWebhook + `"start":1.5}`, at("/start")},
		{aWebhook + `"start":{}}`, at("/start")},
		{aWebhook + `"headers":["X-A"]}`, at("/headers")},
		{aWebhook + `"headers":{"X-A":1}}`, at("/headers/X-A")},
		{aWebhook + `"headers":{` + strings.TrimPrefix(strings.Join(numbered(21, `,"x%d":"1"`), ""), ",") + `}}`, at("/headers")},
		{aWebhook + `"client_certificate":{"certificate":"x"}}`, at("/client_certificate/key")},
		{aWebhook + `"client_certificate":{"certificate":"x","key":"y","password":"z"}}`, at("/client_certificate/password")},
		{aWebhook + `"auth":{}}`, at("/auth/type")},
		{aWebhook + `"auth":"secret"}`, at("/auth")},
		{aWebhook + `"auth":{"type":"digest"}}`, at("/auth/type")},
		{aWebhook + `"auth":{"type":"basic","username":"u"}}`, at("/auth/password")},
		{aWebhook + `"auth":{"type":"bearer"}}`, at("/auth/token")},
		{aWebhook + `"auth":{"type":"api_key","value":"v","in":"cookie"}}`, at("/auth/in", "/auth/name")},
		{aWebhook + `"auth":{"type":"oauth2","token_url":"partner.example"}}`, at("/auth/client_id", "/auth/client_secret", "/auth/token_url")},
		{aWebhook + `"auth":{"type":"none","key":"v"}}`, at("/auth/key")},
		{`{"url":"https://example.com/","events":["*"],"active":"yes","ordered":1}`, at("/active", "/ordered")},
		{`{"url":"https://example.com/","events":["*"],"description":"` + long(501) + `"}`, at("/description")},
	},
	schemas.SoloTrigger: {
		{`{"id":0,"company_id":1.5}`, at("/company_id", "/id")},
		{`{"event":"","url":"solo"}`, at("/event", "/url")},
		{`{"auth":{"type":"bearer"}}`, at("/auth/token")},
		{`{"active":true}`, at("/active")},
	},
	schemas.PatchWebhook: {
		{`{}`, at("")},
		{`{"content_type":"yaml","method":"GET"}`, at("/content_type", "/method")},
		{`{"event_name":"","constraint":7}`, at("/constraint", "/event_name")},
		{`{"secret":"whsec_` + strings.Repeat("A", 32) + `"}`, at("/secret")},
		{`{"url":null}`, at("/url")},
		{`{"events":[]}`, at("/events")},
		{`{"format":""}`, at("/format")},
		{`{"start":"beginning"}`, at("/start")},
		{`{"auth":{"type":"bearer","token":null}}`, at("/auth/token")},
		{`{"headers":["X-A"]}`, at("/headers")},
	},
	schemas.RotateSecret: {
		{`{"overlap":null}`, at("/overlap")},
		{`{"overlap":604801}`, at("/overlap")},
		{`{"overlap":"a day"}`, at("/overlap")},
		{`{"secret":""}`, at("/secret")}, // which texts a secret may be depends on the webhook's format
		{`{"secret":"` + long(256) + `"}`, at("/secret")},
		{`{"secret":null}`, at("/secret")},
	},
	schemas.TestWebhook: {
		{`{}`, at("/type")},
		{`{"type":"*"}`, at("/type")},
		{`{"type":"proposal.lost"}`, at("/type")},
		{`{"type":"sms.sent","data":{}}`, at("/data")},
	},
	schemas.EnableWebhook: {{`{"skip_held":"yes"}`, at("/skip_held")}, {`{"skip":true}`, at("/skip")}},
	schemas.Recover:       {{`{}`, at("/since")}, {`{"since":1042}`, at("/since")}, {`{"since":"today"}`, at("/since")}},
	schemas.Replay: {
		{`{"after":-1,"until":0}`, at("/after", "/until")},
		{`{"after":"beginning"}`, at("/after")},
		{`{"until":"2026-11-21"}`, at("/until")},
		{`{"types":[]}`, at("/types")},
		{`{"types":["proposal.*","deal.*"]}`, at("/types/1")},
		{`{"types":7}`, at("/types")},
		{`{"webhook_id":7}`, at("/webhook_id")},
	},
	schemas.Nothing: {{`{"force":true}`, at("/force")}, {`[]`, at("")}},
	schemas.Webhook: {{`{}`, nil}, {`{"disabled_reason":"bored"}`, nil}},
	schemas.CreateKey: {
		{`{}`, at("/name", "/role")},
		{`{"name":" ","role":"root"}`, at("/name", "/role")},
		{`{"name":"` + long(101) + `","role":"app","expires":null}`, at("/expires", "/name")},
		{`{"name":"x","role":"app","expires_at":"2030-01-01","rate_limit":0}`, at("/expires_at", "/rate_limit")},
		{`{"name":"x","role":"app","expires_at":"tomorrow","rate_limit":"5"}`, at("/expires_at", "/rate_limit")},
	},
	schemas.CreateConnection: {
		{`{}`, at("/base_url", "/provider")},
		{`{"provider":"docusign","base_url":"sighten"}`, at("/base_url", "/provider")},
		{
			`{"provider":"sighten","base_url":"https://a.example","auth":{"type":"bearer"},"create_missing":1}`,
			at("/auth/token", "/create_missing"),
		},
	},
	schemas.SightenContract: {
		{`{}`, at("/sub_tasks")},
		{`{"sub_tasks":[{}],"quote":7}`, at("/quote", "/sub_tasks/0/category")},
		{`[]`, at("")},
		{`{'status':'INPROG'}`, at("")},
	},
	"events/customer.created":        {{`{"name":"A","email":"a@b.co"}`, nil}, {`7`, at("")}},
	"events/customer.updated":        {{`{"name":null,"status":1}`, at("/name", "/status")}, {`{"email":"x"}`, at("/email")}},
	"events/customer.status_changed": {{`{"status":2}`, at("/new_status", "/old_status", "/status_name")}},
	"events/customer.deleted":        {{`{"reason":null}`, at("/reason")}, {`{"why":""}`, at("/why")}},
	"events/customer.erased":         {{`{"reason":"John Doe wrote"}`, at("/reason")}, {`{"why":""}`, at("/why")}},
	schemas.EraseCustomer:            {{`{"reason":null}`, at("/reason")}, {`{"actor":{}}`, at("/actor/user_id")}, {`[]`, at("")}},
	"events/customer.restored":       {{`{"reason":"` + long(1001) + `"}`, at("/reason")}},
	"events/appointment.set":         {{`{}`, at("/starts_at")}, {`{"starts_at":"10 o'clock","ends_at":5}`, at("/ends_at", "/starts_at")}},
	"events/email.sent":              {{`{"body":"x"}`, at("/body")}, {`{"to":["a@b.co"]}`, at("/to")}},
	"events/sms.sent":                {{`{"subject":"x"}`, at("/subject")}, {`{"body":"` + long(2001) + `"}`, at("/body")}},
	"events/proposal.drafted":        {{`{}`, at("/customer_uuid", "/uuid")}},
	"events/proposal.requested": {
		{`{"uuid":"7cf8d5db-bb05-4a39-a40b-c83e17988c37"}`, at("/customer_uuid")},
		{`{"price":{}}`, at("/price/amount", "/price/currency")},
	},
	"events/proposal.saved": {
		{`{"uuid":"7cf8d5db-bb05-4a39-a40b-c83e17988c37"}`, at("/uuid")},
		{`{"site_address":{}}`, at("/site_address")},
	},
	"events/proposal.sent":           {{`{"channel":1}`, at("/channel")}},
	"events/proposal.link_published": {{`{"url":"javascript:alert(1)"}`, at("/url")}, {`{"url":null}`, at("/url")}},
	"events/proposal.selected":       {{`{"why":"price"}`, at("/why")}},
	"events/proposal.sold":           {{`{"price":null}`, at("/price", "/sold_at")}},
	"events/credit.ran": {
		{`{}`, at("/outcome")},
		{`{"outcome":"maybe","score":"742"}`, at("/outcome", "/score")},
		{`{"outcome":"approved","score":1e300}`, at("/score")},
	},
	"events/contract.requested": {{`{"template":false}`, at("/template")}},
	"events/contract.sent":      {{`{"envelope_id":7}`, at("/envelope_id")}},
	"events/contract.signed": {
		{`{}`, at("/signed_at")},
		{
			`{"signed_at":"2026-11-20T10:00:00Z","documents":[{"uuid":"1","creation_type":"FAXED"}]}`,
			at("/documents/0/creation_type", "/documents/0/name", "/documents/0/uuid"),
		},
		{`{"signed_at":"2026-11-20T10:00:00Z","documents":[` + aDocument + strings.Repeat(","+aDocument, 50) + `]}`, at("/documents")},
		{`{"signed_at":"2026-11-20T10:00:00Z","document_url":"file:///etc/passwd"}`, at("/document_url")},
	},
	"events/contract.voided":   {{`{"reason":7}`, at("/reason")}},
	"events/webhook.failing":   {{`{}`, nil}, {`{"failures":-1}`, nil}},
	"events/webhook.disabled":  {{`{"reason":"bored"}`, nil}},
	"events/webhook.recovered": {{`{"webhook_id":0}`, nil}},
	"events/delivery.exhausted": {
		{
			`{"webhook_id":1,"delivery_id":2,"event_id":"x","event_type":"webhook.failing","stream":"webhook-1","seq":0,"attempts":0,"error":null}`,
			at("/attempts", "/event_id", "/event_type", "/seq", "/stream"),
		},
	},
	"events/document.failed": {
		{
			`{"uuid":"7","proposal_id":0,"connection_id":0,"reason":"bored","note":null,"since":"now"}`,
			at("/connection_id", "/proposal_id", "/reason", "/since", "/uuid"),
		},
	},
	"events/contract.document_stored": {
		{`{}`, at("/content_type", "/name", "/sha256", "/size", "/uuid")},
		{
			`{"uuid":"e24f5a7a-1d6d-4417-8af2-22da3d67d4cc","name":"","content_type":"application/pdf","size":-1,"sha256":"ABC"}`,
			at("/sha256", "/size"),
		},
	},
	"partners/solo/customer": {
		{`{"event":"Proposal Sent","company_id":1,"customer":{},"proposal":{},"occurred_at":"now"}`, nil},
		{`{"company_id":"1"}`, at("/company_id", "/customer", "/event", "/occurred_at")},
	},
	"partners/solo/proposal":     {{`{"event":"proposal.sent","company_id":1}`, at("/customer", "/event", "/occurred_at", "/proposal")}},
	"partners/solve360/customer": {{`{"type":"items.categorise","objectid":"1"}`, at("/content", "/objectid", "/type")}},
	"partners/solve360/proposal": {{`{"type":"items.delete","objectid":0}`, at("/content", "/objectid", "/type")}},
	"partners/solarproof/customer_created": {
		{
			`{"pkcustomerid":"1","fkuserid":null,"customer_email":"a@b.co","customer_name":"A","customer_type":"BARN","customer_status":1.0,"x":1}`,
			at("/customer_status", "/customer_type", "/fkuserid", "/pkcustomerid", "/x"),
		},
	},
	"partners/solarproof/customer_status_change":  {{`{"pkcustomerid":1,"fkuserid":0,"old_status":"1"}`, nil}},
	"partners/solarproof/project_email_sent":      {{anActivity + `"sms_sent"}`, at("/activity_type")}},
	"partners/solarproof/project_sms_sent":        {{anActivity + `"email_sent"}`, at("/activity_type")}},
	"partners/solarproof/published_proposal_link": {{anActivity + `"link_published"}`, at("/activity_type")}},
	"partners/solarproof/recent_draft_project": {
		{`{"pkcustomerquotationid":1,"fkuserid":1,"quotenickname":null}`, at("/quotenickname", "/siteaddress")},
	},
	"partners/sighten/contract": {{`{"site":12345,"sub_tasks":[]}`, nil}, {`{"comments":null}`, nil}},
}

func TestBadBodiesAreRefusedWithPointers(t *testing.T) {
	t.Parallel()
	for _, name := range allNames(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NotEmpty(t, refused[name], "no bad body is listed for %s", name)
			for _, b := range refused[name] {
				got := pointers(t, schemas.Validate(name, []byte(b.body)))
				if b.at != nil {
					require.Equal(t, b.at, got, "%.200s", b.body)
				}
			}
		})
	}
}

// What the engine adds is not for the caller to give, and a caller's pointers lead to where
// the data stood in the request.
func TestDataHasItsOwnSchema(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		event pipeline.EventType
		data  string
		at    []string
	}{
		{pipeline.TypeCustomerCreated, `{"uuid":"4f0c9a56-2f0e-4a1b-9d0b-6f6f2b1e7c11","name":"A"}`, at("/data/email", "/data/uuid")},
		{pipeline.TypeCustomerStatusChanged, `{"old_status":1,"status_name":"X"}`, at("/data/old_status", "/data/status", "/data/status_name")},
		{pipeline.TypeCustomerStatusChanged, ``, at("/data/status")},
		{pipeline.TypeProposalRequested, `{"uuid":"7cf8d5db-bb05-4a39-a40b-c83e17988c37"}`, at("/data/uuid")},
		{pipeline.TypeProposalSold, `{"sold_at":"now"}`, at("/data/sold_at")},
		{pipeline.TypeContractSigned, `{"documents":{}}`, at("/data/documents")},
		{
			pipeline.TypeContractSigned,
			`{"documents":[{"uuid":"e24f5a7a-1d6d-4417-8af2-22da3d67d4cc","name":"","creation_type":"UPLOADED"}]}`,
			at("/data/documents/0/name"),
		},
		{pipeline.TypeContractDocumentStored, `{"name":""}`, at("/data/content_type", "/data/name", "/data/sha256", "/data/size", "/data/uuid")},
		{pipeline.TypeCustomerUpdated, `{}`, at("/data")},
		{pipeline.TypeCustomerUpdated, `{"name":" "}`, at("/data/name")},
		{pipeline.TypeCreditRan, `{"outcome":`, at("/data/outcome")},
		{pipeline.TypeSMSSent, `null`, at("/data")},
		{pipeline.TypeSMSSent, `{"to":null}`, at("/data/to")},
	} {
		require.Equal(t, c.at, pointers(t, schemas.ValidateData(c.event, []byte(c.data), "/data")), "%s %s", c.event, c.data)
	}
	require.NoError(t, schemas.ValidateData(pipeline.TypeProposalSold, nil, "/data"))
	require.NoError(t, schemas.ValidateData(pipeline.TypeContractSigned, []byte(`{}`), "/data"))
}

func TestNullClears(t *testing.T) {
	t.Parallel()
	for event, data := range map[pipeline.EventType]string{
		pipeline.TypeCustomerUpdated:   `{"phone":null,"owner_id":null,"address":null,"attributes":null}`,
		pipeline.TypeProposalSaved:     `{"nickname":null,"site_address":null,"system":null,"price":null}`,
		pipeline.TypeProposalRequested: `{"nickname":null,"site_address":null,"system":null,"price":null}`,
		pipeline.TypeProposalDrafted:   `{"nickname":null,"site_address":null,"system":null,"price":null}`,
	} {
		require.NoError(t, schemas.ValidateData(event, []byte(data), ""), "%s %s", event, data)
	}
}

func TestSecretsOf24To64Bytes(t *testing.T) {
	t.Parallel()
	for size := range 70 {
		secret, err := json.Marshal(make([]byte, size)) // which is base64
		require.NoError(t, err)
		body := `{"url":"http://127.0.0.1:9/","events":["*"],"secret":"whsec_` + strings.Trim(string(secret), `"`) + `"}`
		err = schemas.Validate(schemas.CreateWebhook, []byte(body))
		if size >= 24 && size <= 64 {
			require.NoError(t, err, "%d bytes", size)
		} else {
			require.Contains(t, pointers(t, err), "/secret", "%d bytes", size)
		}
	}
}

func TestSentencesArePlain(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"name":"A"}`: "/email is missing",
		`{"name":"A","email":"a@b.co","fullname":1}`:       "/fullname is not a field that is known here",
		`{"name":5,"email":"a@b.co"}`:                      "/name has to be a text, not a number",
		`{"name":"A","email":"a@b.co","address":5}`:        "/address has to be a text, an object or null, not a number",
		`{"name":"A","email":"a@b.co","type":"CASTLE"}`:    "/type has to be RESIDENTIAL, COMMERCIAL or LARGE-SCALE",
		`{"name":"A","email":"a@b"}`:                       "/email is not an e-mail address",
		`{"name":"` + long(201) + `","email":"a@b.co"}`:    "/name is too long: 201 characters, at most 200",
		`{"name":"","email":"a@b.co"}`:                     "/name must not be empty",
		`{"name":"A","email":"a@b.co","status":12345}`:     "/status has to be at most 9999",
		`{"name":"A","email":"a@b.co","owner_id":5.0}`:     "/owner_id has to be a whole number in plain digits",
		`{"name":"A","email":"a@b.co","email":"c@d.ef"}`:   "/email is there twice",
		`{"name":"A","email":"a@b.co","attributes":{"a":[`: "/attributes/a is not JSON: it ends too early",
		`{"name":"A","email":"a@b.co"}}`:                   " has something after the JSON value",
	} {
		oneSentence(t, want, schemas.Validate(schemas.CreateCustomer, []byte(body)))
	}
	for body, want := range map[string]string{
		`"timeout":"1d"}`:        `/timeout has to be a time such as "30s", "5m" or "1h30m", or a number of seconds`,
		`"timeout":60}`:          "/timeout has to be at most 30",
		`"rate_limit":0.001}`:    "/rate_limit has to be at least 0.01",
		`"max_concurrency":"5"}`: "/max_concurrency has to be a whole number or null, not a text",
		`"start":"the past"}`: "/start is none of what it may be: it has to be beginning; " +
			"it is not a time in RFC 3339 form, such as 2026-11-20T10:00:00Z",
		`"auth":{"type":"bearer"}}`: "/auth/token is missing",
	} {
		oneSentence(t, want, schemas.Validate(schemas.CreateWebhook, []byte(aWebhook+body)))
	}
}

func oneSentence(t *testing.T, want string, err error) {
	t.Helper()
	found := fields(t, err)
	require.Len(t, found, 1, want)
	require.Equal(t, want, found[0].Pointer+" "+found[0].Detail)
}

func TestWhatAWebhookMaySay(t *testing.T) {
	t.Parallel()
	for _, given := range []string{
		`"start":"beginning"`, `"start":0`, `"start":9007199254740991`, `"start":"2026-11-21T09:00:00+10:00"`, `"start":null`,
		`"timeout":"1s"`, `"timeout":1.5`, `"timeout":"1500ms"`, `"timeout":null`,
		`"retry_schedule":[]`, `"retry_schedule":null`, `"retry_schedule":["0s",0,"168h",604800,"1h30m","1.5s","1m0s"]`,
		`"rate_limit":0.01`, `"rate_limit":1e3`, `"rate_limit":null`, `"max_concurrency":100`, `"max_concurrency":null`,
		`"filter":null`, `"filter":{}`, `"headers":null`, `"headers":{"X-A":""}`, `"client_certificate":null`, `"auth":null`,
		`"auth":{"type":"none"}`, `"auth":{"type":"basic","username":"u","password":""}`,
		`"auth":{"type":"api_key","name":"X-Key","value":"v","in":"header"}`,
		`"auth":{"type":"oauth2","token_url":"https://a.example/","client_id":"c","client_secret":"s"}`,
	} {
		require.NoError(t, schemas.Validate(schemas.CreateWebhook, []byte(aWebhook+given+`}`)), given)
	}
}

func TestSamplesAreFlagged(t *testing.T) {
	t.Parallel()
	envelope := func(test string) error {
		return schemas.Validate(schemas.Envelope, []byte(`{"type":"sms.sent","timestamp":"2026-11-21T09:00:00Z","data":{`+anEvent+test+`}}`))
	}
	require.NoError(t, envelope(""))
	require.NoError(t, envelope(`,"test":true`))
	require.Equal(t, at("/data/test"), pointers(t, envelope(`,"test":false`)))
}

func TestAnAnswerListsTwentyFaultsAtMost(t *testing.T) {
	t.Parallel()
	unknown := make([]string, 100)
	for i := range unknown {
		unknown[i] = fmt.Sprintf(`"x%02d":1`, i)
	}
	found := fields(t, schemas.Validate(schemas.CreateKey, []byte(`{`+strings.Join(unknown, ",")+`}`)))
	require.Len(t, found, 20)
	require.Equal(t, "/name", found[0].Pointer)
	require.Equal(t, "/x17", found[19].Pointer)
}

func TestUnknownSchemasAreOurFault(t *testing.T) {
	t.Parallel()
	require.Equal(t, pipeline.CodeInternal, pipeline.CodeOf(schemas.Validate("requests/none", []byte(`{}`))))
	require.Equal(t, pipeline.CodeInternal, pipeline.CodeOf(schemas.ValidateData("no.such_event", nil, "")))
	_, err := schemas.Payload("no.such_event")
	require.Error(t, err)
}

func TestPayloadAndExamplesOfEveryEvent(t *testing.T) {
	t.Parallel()
	for _, e := range everyEntry() {
		schema, err := schemas.Payload(e.Type)
		require.NoError(t, err)
		require.True(t, json.Valid(schema))
		example, err := schemas.Example(e.Type)
		require.NoError(t, err)
		require.NoError(t, schemas.Validate(eventSchema(e.Type), example))
		given, err := schemas.DataExample(e.Type)
		require.NoError(t, err)
		require.NoError(t, schemas.ValidateData(e.Type, given, "/data"))
	}
}

// Run with -race, this shows that the compiled schemas are shared safely.
func TestValidateFromManyGoroutines(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for name, list := range refused {
				if schemas.Validate(name, []byte(list[0].body)) == nil {
					t.Errorf("%s lets %s pass", name, list[0].body)
				}
			}
		})
	}
	wg.Wait()
}
