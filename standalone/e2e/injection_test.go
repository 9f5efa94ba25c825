package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/api"
)

// What people put where a text ends up in a query that was put together from texts.
var injections = []string{
	`'`, `"`, `\`, `;`, `--`, `/*`, `%`, `_`, `$1`, `?`, `:a`, `{}`, `'; DROP TABLE customers; --`, `' OR '1'='1`, `1 OR 1=1`,
	`1; SELECT pg_sleep(60)`, `1) OR (1=1`, `' UNION SELECT hash FROM api_keys --`, `') OR true --`, `$$; DROP TABLE events; $$`,
	`1e1`, `0x1`, `-1`, `9223372036854775808`, `null`, `true`, `*`, `\x27`, `%27`, "\u02bc", "\uff07", "'\n", "a\tb", "é", "\U0001f512",
	strings.Repeat("'", 500), strings.Repeat("%", 500), `a' AND pg_sleep(60) IS NULL --`,
}

// Every parameter of every list, as the router knows them, against the real Postgres: none of it
// is anything but a text that is looked for, or refused.
func TestNoParameterOfAListIsSQL(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	ours, theirs := e.newCompany(t), e.newCompany(t)
	for _, c := range []company{ours, theirs} {
		c.proposal(t, c.customer(t).ID)
	}
	partner := newReceiver(t)
	h := ours.webhook(t, partner.URL+"/", nil)
	stream := ours.customer(t).Ref().Stream()
	id := func(path string) string { return path[strings.LastIndex(path, "/")+1:] }
	server, err := api.New(api.Config{Store: e.store})
	require.NoError(t, err)

	mine := fmt.Sprintf(`"company_id":%d,`, ours.id)
	var paths []string
	for _, route := range server.Routes() {
		if route.Method != http.MethodGet || len(route.Query) == 0 {
			continue
		}
		path := strings.ReplaceAll(route.Path, ":id", id(pathOf(stream)))
		if strings.HasPrefix(path, "/v1/webhooks/") {
			path = strings.ReplaceAll(route.Path, ":id", id(h.path()))
		}
		for _, parameter := range route.Query {
			for _, text := range injections {
				query := url.Values{parameter: {text}}
				if parameter != "wait" && strings.HasPrefix(path, "/v1/events") {
					query.Set("wait", "0s")
				}
				paths = append(paths, path+"?"+query.Encode())
			}
		}
	}
	require.Greater(t, len(paths), 1000, "there are lists")
	const sideBySide = 8
	atOnce(t, sideBySide, func(n int) (answer, error) {
		for i := n; i < len(paths); i += sideBySide {
			a, err := ours.try(http.MethodGet, paths[i], nil)
			if err != nil {
				return a, err
			}
			if a.status != http.StatusOK && a.status != http.StatusUnprocessableEntity {
				t.Errorf("%s was answered %d: %s", paths[i], a.status, a.body)
			}
			if strings.Contains(string(a.body), "company_id") && !strings.Contains(string(a.body), mine) {
				t.Errorf("%s showed another company's: %s", paths[i], a.body)
			}
		}
		return answer{}, nil
	})
	// And all is still there.
	for _, c := range []company{ours, theirs} {
		require.NotEmpty(t, want[list[object]](t, c.get(t, "/v1/customers"), http.StatusOK).Data)
		require.NotEmpty(t, want[list[object]](t, c.get(t, "/v1/keys"), http.StatusOK).Data)
	}
}
