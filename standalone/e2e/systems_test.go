package e2e_test

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

var update = flag.Bool("update", false, "write the conversations anew: go test ./e2e -run TestSystem -update")

// A conversation is what a partner's client, written for another system, and the engine say to
// each other, from subscription to unsubscription, while a sales app leads a deal through all
// that can happen. In its golden file lines with > are a request, lines with < its answer, and
// lines with ! what the partner's webhook was sent; the rest is for the reader.
//
// What is another in each run is replaced by what could stand there: ids, uuids and keys by the
// same ones for the same thing, numbered in the order in which they appear, and times by one and
// the same. Credentials of HTTP Basic are not in base64.
type conversation struct {
	company

	partner    *receiver
	subscriber caller
	stood      standIns
	streams    []pipeline.Stream // of the deal
	told       map[pipeline.Stream]int
	secret     string // of Solve360's hooks
	out        strings.Builder
}

const conversations = "testdata/conversations"

// What stands in the golden files for addresses and keys.
const (
	partnerAddress = "https://partner.example"
	partnerKey     = "dw_partner"
	appKey         = "dw_app"
	agreementPath  = "/files/agreement.pdf" // what the sales app has signed documents fetched from
)

func newConversation(t *testing.T) *conversation {
	t.Helper()
	c := &conversation{
		company: sharedEngine(t).newCompany(t), partner: newReceiver(t),
		stood: newStandIns(), told: map[pipeline.Stream]int{},
	}
	c.subscriber = c.newKey(t, pipeline.RolePartner)
	c.notef("> is a request, < its answer, ! what the partner's webhook is sent. Ids, keys and times stand for those of a run.")
	c.partner.on(agreementPath, func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Content-Type", "application/pdf")
		_, _ = io.WriteString(w, "%PDF-1.7 signed\n")
	})
	return c
}

// golden compares all that was said with what is kept.
func (c *conversation) golden(t *testing.T, name string) {
	t.Helper()
	path := filepath.Join(conversations, name+".golden")
	if *update {
		require.NoError(t, os.MkdirAll(conversations, 0o755))
		require.NoError(t, os.WriteFile(path, []byte(c.out.String()), 0o644))
	}
	kept, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(kept), c.out.String(), "go test ./e2e -run TestSystem -update writes it anew")
}

// notef writes something for the reader.
func (c *conversation) notef(format string, args ...any) {
	fmt.Fprintf(&c.out, "# "+format+"\n\n", args...)
}

// lines writes a text, each line of it marked.
func (c *conversation) lines(mark, text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		c.out.WriteString(strings.TrimRight(mark+" "+line, " \n") + "\n")
	}
}

// asks makes a request, as it stands in the file: a line with method and path, the headers, an
// empty line, the body.
func (c *conversation) asks(t *testing.T, request string) answer {
	t.Helper()
	c.lines(">", request)
	head, body, _ := strings.Cut(request, "\n\n")
	first, headers, _ := strings.Cut(head, "\n")
	method, path, _ := strings.Cut(first, " ")
	really := strings.NewReplacer(partnerAddress, c.partner.URL, partnerKey, c.subscriber.key, appKey, c.key)
	r, err := http.NewRequest(method, c.api+c.stood.real(really.Replace(path)), strings.NewReader(really.Replace(body)))
	require.NoError(t, err)
	for line := range strings.Lines(headers) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		value = really.Replace(value)
		if basic, ok := strings.CutPrefix(value, "Basic "); ok {
			value = "Basic " + base64.StdEncoding.EncodeToString([]byte(basic))
		}
		r.Header.Set(name, value)
	}
	a, err := send(r)
	require.NoError(t, err)
	return a
}

// says is asks with the whole answer in the file.
func (c *conversation) says(t *testing.T, status int, request string) {
	t.Helper()
	a := c.asks(t, request)
	require.Equal(t, status, a.status, "%s", a.body)
	var text strings.Builder
	fmt.Fprintf(&text, "%d %s\n", a.status, http.StatusText(a.status))
	for _, name := range []string{"Content-Type", "Location", "Repr-Digest"} {
		if value := a.header.Get(name); value != "" {
			fmt.Fprintf(&text, "%s: %s\n", name, value)
		}
	}
	if len(a.body) > 0 {
		fmt.Fprintf(&text, "\n%s", a.body)
	}
	c.lines("<", c.mask(text.String(), kindHook))
	c.out.WriteString("\n")
}

func (c *conversation) mask(text, subject string) string {
	return c.stood.mask(strings.ReplaceAll(text, c.partner.URL, partnerAddress), subject)
}

// does is a request of the sales app. Of its answer only the status is in the file: it is the
// same for all systems. So many events come of it, and after each stands what the partner is
// sent of it.
func (c *conversation) does(t *testing.T, path string, data any, events int) answer {
	t.Helper()
	text, err := json.Marshal(data)
	require.NoError(t, err)
	a := c.asks(t, fmt.Sprintf("POST %s\nAuthorization: Bearer %s\nContent-Type: application/json\n\n%s",
		path, appKey, c.mask(string(text), "")))
	require.Equal(t, http.StatusCreated, a.status, "%s", a.body)
	c.lines("<", "201 Created")
	c.out.WriteString("\n")
	if len(c.streams) > 0 {
		c.tells(t, events)
	}
	return a
}

// tells writes what the partner was sent of the events that have happened since.
func (c *conversation) tells(t *testing.T, events int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d events have happened", events), func() bool {
		n := 0
		for _, s := range c.streams {
			n += len(c.events(t, s)) - c.told[s]
		}
		return n == events
	})
	for _, s := range c.streams {
		for _, e := range c.events(t, s)[c.told[s]:] {
			c.notef("%s %d: %s", c.mask(string(s), ""), e.Version, e.Type)
			c.tellsOf(t, s, e)
			c.told[s]++
		}
	}
}

func (c *conversation) tellsOf(t *testing.T, s pipeline.Stream, e pipeline.Event) {
	t.Helper()
	eventually(t, "all is delivered", func() bool {
		return !slices.ContainsFunc(c.deliveriesOf(t, e), func(d pipeline.Delivery) bool {
			return d.Status == pipeline.DeliveryPending
		})
	})
	for _, d := range c.deliveriesOf(t, e) {
		require.Equal(t, pipeline.DeliveryDelivered, d.Status)
	}
	for _, d := range c.partner.of(e) {
		c.lines("!", c.mask(c.shown(t, d), string(s.Kind())))
		c.out.WriteString("\n")
	}
}

func (c company) deliveriesOf(t *testing.T, e pipeline.Event) []pipeline.Delivery {
	t.Helper()
	return want[list[pipeline.Delivery]](t, c.get(t, "/v1/deliveries?event_id="+e.ID), http.StatusOK).Data
}

// of are the webhooks about an event, by path and webhook-id, each once: what a partner has
// seen again it can tell by its webhook-id.
func (r *receiver) of(e pipeline.Event) []*delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*delivery
	for _, d := range r.got {
		if id := d.header.Get("Webhook-Id"); id == e.ID || strings.HasPrefix(id, e.ID+".") {
			found = append(found, d)
		}
	}
	same := func(a, b *delivery) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.query.Encode(), b.query.Encode()),
			cmp.Compare(a.header.Get("Webhook-Id"), b.header.Get("Webhook-Id")))
	}
	slices.SortFunc(found, same)
	return slices.CompactFunc(found, func(a, b *delivery) bool { return same(a, b) == 0 })
}

// transportHeaders say nothing about a webhook.
var transportHeaders = []string{"Accept-Encoding", "Content-Length", "User-Agent"}

// shown is a webhook as it stands in the file, with the signature as what it has turned out to
// be.
func (c *conversation) shown(t *testing.T, d *delivery) string {
	t.Helper()
	target := d.path
	if len(d.query) > 0 {
		target += "?" + d.query.Encode()
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s\n", d.method, target)
	for _, name := range slices.Sorted(maps.Keys(d.header)) {
		if slices.Contains(transportHeaders, name) {
			continue
		}
		value := d.header.Get(name)
		if name == solve360Signature {
			require.Equal(t, solve360Hmac(c.secret, d.body), value)
			value = "(verified)"
		}
		if basic, ok := strings.CutPrefix(value, "Basic "); ok {
			plain, err := base64.StdEncoding.DecodeString(basic)
			require.NoError(t, err)
			value = "Basic " + string(plain)
		}
		fmt.Fprintf(&text, "%s: %s\n", name, value)
	}
	require.Equal(t, c.secret != "", d.header.Get(solve360Signature) != "", "a signature, where there is a secret")
	fmt.Fprintf(&text, "\n%s", d.body)
	return text.String()
}

const solve360Signature = "X-Solve360-Hmac-Sha256"

func solve360Hmac(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// deal is one on which every event happens that any of the systems knows.
func (c *conversation) deal(t *testing.T) {
	t.Helper()
	c.notef("The sales app leads a deal through all that can happen.")
	customer := want[pipeline.Customer](t, c.does(t, "/v1/customers", newCustomer(), 0), http.StatusCreated)
	c.streams = append(c.streams, customer.Ref().Stream())
	c.tells(t, 1)
	c.happens(t, customer.Ref().Stream(),
		step{pipeline.TypeCustomerUpdated, object{"phone": "+61 400 000 000"}},
		step{pipeline.TypeCustomerStatusChanged, object{"status": 3, "reason": "<hot> & “sunny”"}},
		step{pipeline.TypeAppointmentSet, object{"starts_at": "2026-12-01T09:00:00Z"}},
		step{pipeline.TypeEmailSent, object{"to": "john.doe@example.com", "subject": "Your roof"}},
		step{pipeline.TypeSMSSent, object{"body": "See you tomorrow"}},
		step{pipeline.TypeCustomerDeleted, nil},
		step{pipeline.TypeCustomerRestored, nil},
	)
	draft := newProposal()
	draft["draft"] = true
	path := c.mask(pathOf(customer.Ref().Stream()), "") + "/proposals"
	proposal := want[pipeline.Proposal](t, c.does(t, path, draft, 0), http.StatusCreated)
	stream := proposal.Ref().Stream()
	c.streams = append(c.streams, stream)
	c.tells(t, 1)
	c.happens(t, stream,
		step{pipeline.TypeProposalSaved, object{"price": object{"amount": "12345.00", "currency": "AUD"}}},
		step{pipeline.TypeProposalRequested, nil},
		step{pipeline.TypeProposalSaved, object{"site_address": "1 Old Mill Rd, Darwin NT 0800"}},
		step{pipeline.TypeProposalLinkPublished, object{"url": "https://example.com/p/1?a=b&c=d"}},
		step{pipeline.TypeProposalSent, object{"channel": "email"}},
		step{pipeline.TypeEmailSent, object{"subject": "Your proposal"}},
		step{pipeline.TypeSMSSent, object{"body": "Have you had a look?"}},
		step{pipeline.TypeCreditRan, object{"outcome": "approved"}},
		step{pipeline.TypeProposalSelected, nil},
		step{pipeline.TypeContractRequested, nil},
		step{pipeline.TypeContractSent, object{"envelope_id": "env-1"}},
		step{pipeline.TypeContractVoided, object{"reason": "another price"}},
		step{pipeline.TypeContractRequested, nil},
		step{pipeline.TypeContractSent, object{"envelope_id": "env-2"}},
		step{pipeline.TypeContractSigned, object{
			"signed_at": "2026-11-20T10:00:00Z", "document_url": c.partner.URL + agreementPath,
		}},
		step{pipeline.TypeProposalSold, object{"sold_at": "2026-11-20T11:00:00Z"}},
	)
}

// happens are transitions one after the other. A signature has two consequences: the customer
// is Signed, and the document is fetched.
func (c *conversation) happens(t *testing.T, s pipeline.Stream, steps ...step) {
	t.Helper()
	for _, next := range steps {
		events := 1
		if next.typ == pipeline.TypeContractSigned {
			events = 3
		}
		request := body(next.typ, next.data)
		if next.typ == pipeline.TypeCustomerStatusChanged { // another than the customer's owner
			request["actor"] = object{"user_id": 11}
		}
		c.does(t, c.mask(pathOf(s), "")+"/transitions", request, events)
	}
}

// isSilent has something happen of which the partner would have been told, were it still
// subscribed.
func (c *conversation) isSilent(t *testing.T, s pipeline.Stream, typ pipeline.EventType, data object) {
	t.Helper()
	c.notef("Nothing is sent any more.")
	c.happens(t, s, step{typ, data})
	events := c.events(t, s)
	require.Empty(t, c.deliveriesOf(t, events[len(events)-1]))
}

func (c *conversation) customerStream() pipeline.Stream { return c.streams[0] }
func (c *conversation) proposalStream() pipeline.Stream { return c.streams[1] }

// shows has /v1/webhooks list them: they are webhooks as any other.
func (c *conversation) shows(t *testing.T, format string, n int) {
	t.Helper()
	c.notef("They are webhooks as any other.")
	c.says(t, http.StatusOK, "GET /v1/webhooks\nAuthorization: Bearer "+partnerKey)
	all := want[list[struct{ Format string }]](t, c.subscriber.get(t, "/v1/webhooks"), http.StatusOK).Data
	require.Len(t, all, n)
	for _, w := range all {
		require.Equal(t, format, w.Format)
	}
}

func TestSystemSolarProof(t *testing.T) {
	t.Parallel()
	c := newConversation(t)
	request := func(method, action, body string) string {
		return method + " /apidata.php?action=" + action + "&api_key=" + partnerKey + "\nContent-Type: application/json\n\n" + body
	}
	const address = partnerAddress + "/webhooks/solarproof"
	types := []string{
		"customer_created", "customer_status_change", "project_email_sent", "project_sms_sent", "published_proposal_link",
		"recent_draft_project",
	}
	for _, typ := range types {
		c.says(t, http.StatusOK, request("POST", "subscribe_customer",
			fmt.Sprintf(`{"hookUrl":%q,"type_request":%q}`, address, typ)))
	}
	c.shows(t, pipeline.FormatSolarProof, len(types))
	c.deal(t)
	c.notef("They all go at once.")
	c.says(t, http.StatusOK, request("DELETE", "unsubscribe_customer", `{"hookUrl":"`+address+`"}`))
	c.isSilent(t, c.proposalStream(), pipeline.TypeSMSSent, nil)
	c.golden(t, "solarproof")
}

// solve360Events are those that can happen, and what each is about.
var solve360Events = [][2]string{
	{"items.create", "contact"},
	{"items.create", "projectblog"},
	{"items.update", "all"},
	{"items.categorize", "contact"},
	{"items.uncategorize", ""},
	{"items.delete", "contact"},
	{"items.restore", "all"},
	{"activities.create", "all"},
	{"activities.update", "opportunity"},
	{"activities.update", "file"},
	{"activities.delete", "file"},
}

// A hook in each of the three encodings is subscribed to in that encoding, and answered in XML
// where nothing else is asked for.
func TestSystemSolve360(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		secret string
		accept string
		encode func(fields [][2]string) (contentType, body string)
	}{
		pipeline.ContentXML:  {secret: "some<thing>here", encode: asXML},
		pipeline.ContentJSON: {accept: "application/json", encode: asJSON},
		pipeline.ContentForm: {secret: "yoursecret", accept: "application/json", encode: asForm},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConversation(t)
			c.secret = test.secret
			request := func(method, path string, fields ...[2]string) string {
				text := method + " " + path + "\nAuthorization: Basic userEmail:" + partnerKey
				if test.accept != "" {
					text += "\nAccept: " + test.accept
				}
				if len(fields) == 0 {
					return text
				}
				contentType, body := test.encode(fields)
				return text + "\nContent-Type: " + contentType + "\n\n" + body
			}
			for i, event := range solve360Events {
				fields := [][2]string{
					{"type", "web"},
					{"title", "Hook " + strconv.Itoa(i+1)},
					{"active", "1"},
					{"event", event[0]},
					{"constrainttype", event[1]},
					{"url", partnerAddress + "/endpoint.php"},
					{"contenttype", name},
					{"secret", test.secret},
				}
				fields = slices.DeleteFunc(fields, func(f [2]string) bool { return f[1] == "" })
				c.says(t, http.StatusOK, request("POST", "/hooks/", fields...))
			}
			c.says(t, http.StatusOK, request("GET", "/hooks/"))
			c.shows(t, pipeline.FormatSolve360, len(solve360Events))
			c.deal(t)
			for i := range solve360Events {
				c.says(t, http.StatusOK, request("DELETE", fmt.Sprintf("/hooks/%d/", firstHook+i)))
			}
			c.isSilent(t, c.customerStream(), pipeline.TypeCustomerUpdated, object{"phone": "+61 400 000 001"})
			c.golden(t, "solve360_"+name)
		})
	}
}

func asXML(fields [][2]string) (contentType, body string) {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	elements := make([]string, len(fields))
	for i, f := range fields {
		elements[i] = "<" + f[0] + ">" + escape.Replace(f[1]) + "</" + f[0] + ">"
	}
	return "application/xml", "<request>" + strings.Join(elements, "") + "</request>"
}

func asJSON(fields [][2]string) (contentType, body string) {
	members := make([]string, len(fields))
	for i, f := range fields {
		members[i] = fmt.Sprintf("%q:%q", f[0], f[1])
	}
	return "application/json", "{" + strings.Join(members, ",") + "}"
}

// asForm needs to escape blanks alone: no field has any other character that has to be.
func asForm(fields [][2]string) (contentType, body string) {
	pairs := make([]string, len(fields))
	for i, f := range fields {
		pairs[i] = f[0] + "=" + strings.ReplaceAll(f[1], " ", "+")
	}
	return "application/x-www-form-urlencoded", strings.Join(pairs, "&")
}

func TestSystemSolo(t *testing.T) {
	t.Parallel()
	c := newConversation(t)
	request := func(method, path, body string) string {
		text := method + " /api_trigger_events" + path + "\nAuthorization: Bearer " + partnerKey
		if body == "" {
			return text
		}
		return text + "\nContent-Type: application/json\n\n" + body
	}
	auths := []string{
		`{"type":"none"}`,
		`{"type":"basic","username":"solo","password":"` + confidential + `"}`,
		`{"type":"bearer","token":"` + confidential + `"}`,
		`{"type":"api_key","name":"X-Api-Key","value":"` + confidential + `","in":"header"}`,
		`{"type":"api_key","name":"key","value":"` + confidential + `","in":"query"}`,
	}
	events := []string{
		"Customer Created", "Customer Updated", "customer_status_changed", "appointment.set", "Proposal Saved", "Proposal Requested",
		"Proposal Sent", "Proposal Selected", "Proposal Sold", "Credit Ran", "Contract Requested", "Contract Sent", "Contract Signed",
	}
	for i, event := range events {
		c.says(t, http.StatusCreated, request("POST", "",
			fmt.Sprintf(`{"event":%q,"url":%q,"auth":%s}`, event, partnerAddress+"/solo", auths[i%len(auths)])))
	}
	c.says(t, http.StatusOK, request("GET", "", ""))
	c.shows(t, pipeline.FormatSolo, len(events))
	c.deal(t)
	for i := range events {
		c.says(t, http.StatusNoContent, request("DELETE", fmt.Sprintf("/%d", firstHook+i), ""))
	}
	c.isSilent(t, c.customerStream(), pipeline.TypeCustomerUpdated, object{"phone": "+61 400 000 001"})
	c.golden(t, "solo")
}

// Sighten's own pages have no route by which to subscribe.
func TestSystemSighten(t *testing.T) {
	t.Parallel()
	c := newConversation(t)
	const route = "/v1/webhooks\nAuthorization: Bearer " + partnerKey + "\nContent-Type: application/json\n\n"
	methods := []string{http.MethodPost, http.MethodPut, http.MethodPatch}
	for _, method := range methods {
		c.says(t, http.StatusCreated, fmt.Sprintf(`POST %s{"url":%q,"events":["contract.*"],"format":"sighten","method":%q}`,
			route, partnerAddress+"/"+strings.ToLower(method), method))
	}
	c.shows(t, pipeline.FormatSighten, len(methods))
	c.deal(t)

	c.notef("The document that is UPLOADED is ours to serve.")
	proposal := want[pipeline.Proposal](t, c.get(t, pathOf(c.proposalStream())), http.StatusOK)
	require.Len(t, proposal.Documents, 1)
	document := c.mask(proposal.Documents[0].UUID, "")
	require.Equal(t, document, c.uploaded(t), "it is the one that the webhook has named")
	for _, way := range []string{"download", "preview"} {
		c.says(t, http.StatusOK, "GET /api/v1/document/"+document+"/"+way+"/\nAuthorization: Token "+partnerKey)
	}
	for i := range methods {
		c.says(t, http.StatusNoContent, fmt.Sprintf("DELETE /v1/webhooks/%d\nAuthorization: Bearer %s", firstHook+i, partnerKey))
	}
	c.isSilent(t, c.proposalStream(), pipeline.TypeContractVoided, nil)
	c.golden(t, "sighten")
}

// uploaded is the document that the last contract webhook with one calls so.
func (c *conversation) uploaded(t *testing.T) string {
	t.Helper()
	var id string
	for _, d := range c.partner.at("/post") {
		var task struct {
			SubTasks []struct {
				Data struct {
					Documents []struct {
						CreationType string `json:"creation_type"`
						UUID         string `json:"uuid"`
					} `json:"documents"`
				} `json:"data"`
			} `json:"sub_tasks"`
		}
		require.NoError(t, json.Unmarshal(d.body, &task))
		for _, doc := range task.SubTasks[0].Data.Documents {
			if doc.CreationType == "UPLOADED" {
				id = doc.UUID
			}
		}
	}
	return c.mask(id, "")
}

// To Solar Proof 200 alone is success.
func TestSystemSolarProofTriesAgainAfter201(t *testing.T) {
	t.Parallel()
	c := newConversation(t)
	c.partner.on("/solarproof", inTurn(http.StatusCreated, http.StatusNoContent, http.StatusOK))
	c.says(t, http.StatusOK, "POST /apidata.php?action=subscribe_customer&api_key="+partnerKey+"\n\n"+
		`{"hookUrl":"`+partnerAddress+`/solarproof","type_request":"customer_created"}`)
	made := want[list[hook]](t, c.subscriber.get(t, "/v1/webhooks"), http.StatusOK).Data
	require.Len(t, made, 1)
	c.customer(t)
	c.allAre(t, made[0], pipeline.DeliveryDelivered, 1)
	require.Equal(t, []pipeline.ID{201, 204, 200}, attempts(c.only(t, made[0])))
	got := c.partner.at("/solarproof")
	require.Len(t, got, 3)
	for _, d := range got {
		require.Equal(t, got[0].body, d.body)
		require.Equal(t, got[0].header.Get("Webhook-Id"), d.header.Get("Webhook-Id"))
	}
}

// A hook that is not active is as if it were not there: unlike other webhooks that are disabled
// it has nothing to catch up with later.
func TestSystemSolve360RecordsNothingForAHookThatIsNotActive(t *testing.T) {
	t.Parallel()
	c := newConversation(t)
	put := func(active int) string {
		return fmt.Sprintf("PUT /hooks/%d\nAuthorization: Basic userEmail:%s\nContent-Type: application/xml\n\n"+
			"<request><active>%d</active></request>", firstHook, partnerKey, active)
	}
	c.says(t, http.StatusOK, "POST /hooks\nAuthorization: Basic userEmail:"+partnerKey+"\nContent-Type: application/json\n\n"+
		`{"active":0,"event":"items.update","url":"`+partnerAddress+`/solve360","contenttype":"json"}`)
	h := want[list[hook]](t, c.subscriber.get(t, "/v1/webhooks"), http.StatusOK).Data[0]
	stream := c.customer(t).Ref().Stream()
	phone := func(n int) object { return object{"phone": "+61 400 000 00" + strconv.Itoa(n)} }

	c.moved(t, stream, pipeline.TypeCustomerUpdated, phone(1))
	require.Empty(t, c.deliveries(t, h))
	c.says(t, http.StatusOK, put(1))
	heard := c.moved(t, stream, pipeline.TypeCustomerUpdated, phone(2))
	c.allAre(t, h, pipeline.DeliveryDelivered, 1)
	c.says(t, http.StatusOK, put(0))
	c.moved(t, stream, pipeline.TypeCustomerUpdated, phone(3))
	c.says(t, http.StatusOK, put(1))
	later := c.moved(t, stream, pipeline.TypeCustomerUpdated, phone(4))
	c.allAre(t, h, pipeline.DeliveryDelivered, 2)

	got := c.partner.at("/solve360")
	require.Len(t, got, 2)
	require.Equal(t, heard.ID, got[0].header.Get("Webhook-Id"))
	require.Equal(t, later.ID, got[1].header.Get("Webhook-Id"))
}

// standIns keep for each thing of a run what stands for it in the file, by kind, and the other
// way round.
type standIns struct {
	fakes, reals map[string]string
	count        map[string]int
}

func newStandIns() standIns {
	return standIns{fakes: map[string]string{}, reals: map[string]string{}, count: map[string]int{}}
}

const (
	kindHook    = "hook"
	kindCompany = "company"
	firstHook   = 101
	// masked is every time at which something happened, with colons as they were written.
	masked = "2026-11-21T09${1}00${1}00Z"
)

// firstIDs are those of Solar Proof's samples, for what they have a sample of.
var firstIDs = map[string]int{
	kindHook: firstHook, kindCompany: 1, string(pipeline.KindCustomer): 12345, string(pipeline.KindProposal): 54321,
}

// kindsOf the ids that a field has or a path names. A plain id is that of what the text is
// about.
var kindsOf = map[string]string{
	"company_id": kindCompany, "hooks": kindHook, "webhooks": kindHook, "api_trigger_events": kindHook,
	"customer_id": "customer", "pkcustomerid": "customer", "belongs_to_customer": "customer",
	`"customer":{"id`: "customer", "customers": "customer", "customer": "customer",
	"proposal_id": "proposal", "belongs_to_project": "proposal", "pkcustomerquotationid": "proposal",
	`"proposal":{"id`: "proposal", "proposals": "proposal", "proposal": "proposal",
}

var (
	// fieldIDs in JSON, in XML, and in forms with JSON in them.
	fieldIDs = regexp.MustCompile(`("customer":\{"id|"proposal":\{"id|(?:\b|%22)(?:company_id|customer_id|proposal_id|objectid|id|` +
		`pkcustomerid|pkcustomerquotationid|belongs_to_customer|belongs_to_project))("?:|>|=|%22%3A)([0-9]+)`)
	pathIDs = regexp.MustCompile(`\b(customers/|proposals/|webhooks/|hooks/|api_trigger_events/|customer-|proposal-)([0-9]+)`)
	// wordIDs tell themselves what they are.
	wordIDs = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|evt_[0-9a-z]{26}|whsec_[0-9A-Za-z+/=]+`)
	// times that nobody has chosen: those that are chosen are full hours. Most others have a
	// fraction of a second, and each thousandth has none.
	times = regexp.MustCompile(`20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}(:|%3A)` +
		`(?:[0-9]{2}(?:%3A|:)[0-9]{2}\.[0-9]*[1-9][0-9]*|(?:[1-5][0-9]|0[1-9])(?:%3A|:)[0-9]{2}|00(?:%3A|:)(?:[1-5][0-9]|0[1-9]))(?:\.0+)?Z`)
)

// mask puts the stand-ins in, in a text about something of a kind.
func (s standIns) mask(text, subject string) string {
	text = fieldIDs.ReplaceAllStringFunc(text, func(found string) string {
		parts := fieldIDs.FindStringSubmatch(found)
		kind := kindsOf[strings.TrimPrefix(parts[1], "%22")]
		return parts[1] + parts[2] + s.fake(cmp.Or(kind, subject), parts[3])
	})
	text = pathIDs.ReplaceAllStringFunc(text, func(found string) string {
		parts := pathIDs.FindStringSubmatch(found)
		return parts[1] + s.fake(kindsOf[parts[1][:len(parts[1])-1]], parts[2])
	})
	text = wordIDs.ReplaceAllStringFunc(text, func(found string) string { return s.fake("", found) })
	return times.ReplaceAllString(text, masked)
}

// fake is what stands for an id.
func (s standIns) fake(kind, id string) string {
	if known, ok := s.fakes[kind+id]; ok {
		return known
	}
	var fake string
	switch name, _, isWord := strings.Cut(id, "_"); {
	case isWord:
		fake = fmt.Sprintf("%s_%d", name, s.next(name))
	case strings.Contains(id, "-"):
		fake = fmt.Sprintf("00000000-0000-0000-0000-%012d", s.next("uuid"))
	default:
		fake = strconv.Itoa(firstIDs[kind] + s.next(kind) - 1)
	}
	s.fakes[kind+id], s.reals[kind+fake] = fake, id
	return fake
}

func (s standIns) next(kind string) int {
	s.count[kind]++
	return s.count[kind]
}

// real puts into a path what the stand-ins stand for.
func (s standIns) real(path string) string {
	path = pathIDs.ReplaceAllStringFunc(path, func(found string) string {
		parts := pathIDs.FindStringSubmatch(found)
		return parts[1] + cmp.Or(s.reals[kindsOf[parts[1][:len(parts[1])-1]]+parts[2]], parts[2])
	})
	return wordIDs.ReplaceAllStringFunc(path, func(found string) string { return cmp.Or(s.reals[found], found) })
}
