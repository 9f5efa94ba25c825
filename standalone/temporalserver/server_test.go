package temporalserver_test

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/dealwright/dealwright/standalone/temporalserver"
)

const (
	// patience bounds waits that end as soon as what they wait for happens.
	patience  = time.Minute
	taskQueue = "deals"
)

var (
	companyID  = temporal.NewSearchAttributeKeyInt64("CompanyId")
	customerID = temporal.NewSearchAttributeKeyInt64("CustomerId")
	stage      = temporal.NewSearchAttributeKeyKeyword("Stage")
)

// helperDir tells a copy of this test binary to run a server in that folder, to be killed.
const helperDir = "TEMPORALSERVER_TEST_HELPER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperDir); dir != "" {
		os.Exit(runServer(dir))
	}
	os.Exit(m.Run())
}

// runServer starts a server, says its address, and waits to be killed.
func runServer(dir string) int {
	server, err := temporalserver.Start(context.Background(), temporalserver.Options{Dir: dir, NoUI: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprintln(os.Stdout, server.HostPort())
	select {}
}

// deal moves on by updates, the way a lifecycle does: a local activity before the answer, an activity after it.
func deal(ctx workflow.Context, current string) error {
	moves := workflow.NewChannel(ctx)
	err := workflow.SetUpdateHandler(ctx, "move", func(ctx workflow.Context, next string) (string, error) {
		local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: patience})
		if err := workflow.ExecuteLocalActivity(local, note, next).Get(ctx, nil); err != nil {
			return "", err
		}
		previous := current
		current = next
		moves.SendAsync(next)
		return previous, workflow.UpsertTypedSearchAttributes(ctx, stage.ValueSet(next))
	})
	if err != nil {
		return err
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: patience})
	for {
		var next string
		moves.Receive(ctx, &next)
		if err := workflow.ExecuteActivity(ctx, note, next).Get(ctx, nil); err != nil {
			return err
		}
	}
}

func note(context.Context, string) error { return nil }

func TestWorkflowsAreFoundAndSurviveARestart(t *testing.T) {
	t.Parallel()
	options := temporalserver.Options{Dir: t.TempDir(), Namespace: "sales"}

	first := start(t, options)
	connection, stopWorker := connect(t, first)
	_, err := connection.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID:                    "deal-1",
		TaskQueue:             taskQueue,
		WorkflowTaskTimeout:   time.Second, // what the worker drops when it is stopped is due again after this long
		TypedSearchAttributes: temporal.NewSearchAttributes(companyID.ValueSet(1), customerID.ValueSet(12345), stage.ValueSet("draft")),
	}, deal, "draft")
	require.NoError(t, err)
	require.Equal(t, "draft", move(t, connection, "sent"))
	requireFound(t, connection, "deal-1", "CompanyId = 1 AND CustomerId = 12345 AND Stage = 'sent'")
	stopWorker()
	require.NoError(t, first.Stop())
	require.NoError(t, first.Stop(), "stopping twice is no mistake")

	options.Retention = 48 * time.Hour
	second := start(t, options)
	connection, stopWorker = connect(t, second)
	defer stopWorker()
	require.Equal(t, "sent", move(t, connection, "sold"))
	requireFound(t, connection, "deal-1", "Stage = 'sold'")
	described, err := connection.WorkflowService().DescribeNamespace(t.Context(),
		&workflowservice.DescribeNamespaceRequest{Namespace: "sales"})
	require.NoError(t, err)
	require.Equal(t, options.Retention, described.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration())
	require.Equal(t, "sales", second.Namespace())
}

func TestAKilledServerKeepsItsWorkflows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), helperDir+"="+dir)
	said, err := process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())
	var address string
	_, err = fmt.Fscan(said, &address)
	require.NoError(t, err)

	connection := dial(t, address, "default")
	_, err = connection.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "deal-1", TaskQueue: taskQueue}, deal, "draft")
	require.NoError(t, err)
	require.NoError(t, process.Process.Kill())
	require.Error(t, process.Wait())
	connection.Close()

	server := start(t, temporalserver.Options{Dir: dir, NoUI: true})
	connection, stopWorker := connect(t, server)
	defer stopWorker()
	require.Equal(t, "draft", move(t, connection, "sent"))
}

func TestMissingSearchAttributesAreAdded(t *testing.T) {
	t.Parallel()
	options := temporalserver.Options{Dir: t.TempDir(), NoUI: true}
	first := start(t, options)
	connection := dial(t, first.HostPort(), first.Namespace())
	_, err := connection.OperatorService().RemoveSearchAttributes(t.Context(), &operatorservice.RemoveSearchAttributesRequest{
		Namespace: first.Namespace(), SearchAttributes: []string{"Stage"},
	})
	require.NoError(t, err)
	connection.Close()
	require.NoError(t, first.Stop())

	second := start(t, options)
	connection = dial(t, second.HostPort(), second.Namespace())
	defer connection.Close()
	listed, err := connection.OperatorService().ListSearchAttributes(t.Context(), &operatorservice.ListSearchAttributesRequest{
		Namespace: second.Namespace(),
	})
	require.NoError(t, err)
	require.Equal(t, map[string]enums.IndexedValueType{
		"CompanyId":  enums.INDEXED_VALUE_TYPE_INT,
		"CustomerId": enums.INDEXED_VALUE_TYPE_INT,
		"Stage":      enums.INDEXED_VALUE_TYPE_KEYWORD,
	}, ours(listed.GetCustomAttributes()))
}

// ours leaves out the attributes that every namespace has.
func ours(all map[string]enums.IndexedValueType) map[string]enums.IndexedValueType {
	maps.DeleteFunc(all, func(name string, _ enums.IndexedValueType) bool {
		return name != "CompanyId" && name != "CustomerId" && name != "Stage"
	})
	return all
}

func TestTheFileIsInWALMode(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "what? 100% #1")
	start(t, temporalserver.Options{Dir: dir, NoUI: true})
	require.FileExists(t, filepath.Join(dir, "temporal.db-wal"))

	db, err := sql.Open("sqlite", "file:"+strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(dir)+"/temporal.db?mode=ro")
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	var mode string
	require.NoError(t, db.QueryRow("PRAGMA journal_mode").Scan(&mode))
	require.Equal(t, "wal", mode)
}

func TestUIAndMetricsAnswer(t *testing.T) {
	t.Parallel()
	server := start(t, temporalserver.Options{Dir: t.TempDir(), MetricsPort: freePort(t)})
	browser := http.Client{Timeout: patience}
	for _, url := range []string{server.UIURL(), server.UIURL() + "/api/v1/namespaces/default", server.MetricsURL()} {
		response, err := browser.Get(url)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusOK, response.StatusCode, url)
	}
}

// reply is what the codec endpoint answers, and the origin whose pages may read it.
type reply struct {
	status        int
	allowed, text string
}

// The UI's pages, and no others, may have payloads decoded.
func TestTheUIsCodec(t *testing.T) {
	t.Parallel()
	codec := converter.NewZlibCodec(converter.ZlibCodecOptions{AlwaysEncode: true})
	server := start(t, temporalserver.Options{Dir: t.TempDir(), Codec: codec})
	browser := http.Client{Timeout: patience}
	response, err := browser.Get(server.UIURL() + "/api/v1/settings")
	require.NoError(t, err)
	var settings struct { // spelt as the UI does
		Codec struct {
			Endpoint string `json:"Endpoint"` //nolint:tagliatelle // see above
		} `json:"Codec"` //nolint:tagliatelle // see above
	}
	require.NoError(t, json.NewDecoder(response.Body).Decode(&settings))
	require.NoError(t, response.Body.Close())
	endpoint := settings.Codec.Endpoint
	require.Regexp(t, `^http://127\.0\.0\.1:\d+$`, endpoint)

	sealed, err := converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), codec).ToPayloads("draft")
	require.NoError(t, err)
	body, err := protojson.Marshal(sealed)
	require.NoError(t, err)
	ask := func(method, path, origin, host, body string) reply {
		request, err := http.NewRequestWithContext(t.Context(), method, endpoint+path, strings.NewReader(body))
		require.NoError(t, err)
		request.Header.Set("Origin", origin)
		request.Host = host
		response, err := browser.Do(request)
		require.NoError(t, err)
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return reply{status: response.StatusCode, allowed: response.Header.Get("Access-Control-Allow-Origin"), text: string(text)}
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(server.UIURL(), "http://"), ":")
	for _, origin := range []string{server.UIURL(), "http://localhost:" + port} {
		require.Equal(t, http.StatusNoContent, ask(http.MethodOptions, "/decode", origin, "", "").status)
		decoded := ask(http.MethodPost, "/decode?preserveStorageRefs=true", origin, "", string(body))
		require.Equal(t, http.StatusOK, decoded.status)
		require.Equal(t, origin, decoded.allowed)
		require.Contains(t, decoded.text, base64.StdEncoding.EncodeToString([]byte(`"draft"`)))
	}
	for name, refused := range map[string]reply{
		"another site":         ask(http.MethodPost, "/decode", "http://evil.example", "", string(body)),
		"no page at all":       ask(http.MethodPost, "/decode", "", "", string(body)),
		"another name of ours": ask(http.MethodPost, "/decode", server.UIURL(), "evil.example:"+port, string(body)),
		"a preflight":          ask(http.MethodOptions, "/decode", "http://evil.example", "", ""),
	} {
		require.Equal(t, http.StatusForbidden, refused.status, name)
		require.Empty(t, refused.allowed, name)
	}
	require.Equal(t, http.StatusBadRequest,
		ask(http.MethodPost, "/decode", server.UIURL(), "", `{"payloads":"`+strings.Repeat("x", 5<<20)+`"}`).status)
}

func TestAPortInUse(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	taken := portOf(t, listener)

	tests := map[string]struct {
		options temporalserver.Options
		want    string
	}{
		"frontend": {temporalserver.Options{Port: taken}, "in use; set DEALWRIGHT_TEMPORAL_PORT=0 for a free one"},
		"ui":       {temporalserver.Options{UIPort: taken}, "in use; set DEALWRIGHT_UI_PORT=0 for a free one"},
		"metrics":  {temporalserver.Options{MetricsPort: taken}, "in use"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.options.Dir = t.TempDir()
			_, err := temporalserver.Start(t.Context(), test.options)
			require.ErrorContains(t, err, fmt.Sprintf("port %d is %s", taken, test.want))
		})
	}
}

func TestOnlyLoopback(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0", "::", "192.0.2.1", "localhost"} {
		_, err := temporalserver.Start(t.Context(), temporalserver.Options{Dir: t.TempDir(), Address: address})
		require.ErrorContains(t, err, "not a loopback IP", address)
	}
}

func TestTablesOfAnotherVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "temporal.db"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "temporal.schema"), []byte("0.1/0.1\n"), 0o600))
	_, err := temporalserver.Start(t.Context(), temporalserver.Options{Dir: dir})
	require.ErrorContains(t, err, "was made with Temporal's tables 0.1/0.1")
}

func TestNothingToWorryAboutInTheLog(t *testing.T) {
	t.Parallel()
	var lines lines
	server, err := temporalserver.Start(t.Context(), temporalserver.Options{
		Dir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&lines, nil)),
	})
	require.NoError(t, err)
	connection, stopWorker := connect(t, server)
	_, err = connection.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "deal-1", TaskQueue: taskQueue}, deal, "draft")
	require.NoError(t, err)
	move(t, connection, "sent")
	require.NoError(t, server.Stop())
	stopWorker()
	require.Empty(t, lines.String())
}

func start(t *testing.T, options temporalserver.Options) *temporalserver.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	server, err := temporalserver.Start(ctx, options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	return server
}

// connect returns a client and runs a worker until it is stopped.
func connect(t *testing.T, server *temporalserver.Server) (connection client.Client, stop func()) {
	t.Helper()
	connection = dial(t, server.HostPort(), server.Namespace())
	running := worker.New(connection, taskQueue, worker.Options{})
	running.RegisterWorkflow(deal)
	running.RegisterActivity(note)
	require.NoError(t, running.Start())
	return connection, func() {
		running.Stop()
		connection.Close()
	}
}

func dial(t *testing.T, address, namespace string) client.Client {
	t.Helper()
	connection, err := client.Dial(client.Options{
		HostPort:  address,
		Namespace: namespace,
		Logger:    sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(t, err)
	return connection
}

// move updates the deal and returns where it was before.
func move(t *testing.T, connection client.Client, next string) (previous string) {
	t.Helper()
	handle, err := connection.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{
		WorkflowID:   "deal-1",
		UpdateName:   "move",
		Args:         []any{next},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	require.NoError(t, err)
	require.NoError(t, handle.Get(t.Context(), &previous))
	return previous
}

// requireFound waits for the list of workflows, which follows a moment later.
func requireFound(t *testing.T, connection client.Client, id, query string) {
	t.Helper()
	require.Eventually(t, func() bool {
		found, err := connection.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: query})
		return err == nil && len(found.GetExecutions()) == 1 &&
			found.GetExecutions()[0].GetExecution().GetWorkflowId() == id &&
			found.GetExecutions()[0].GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING
	}, patience, 20*time.Millisecond, query)
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	return portOf(t, listener)
}

func portOf(t *testing.T, listener net.Listener) int {
	t.Helper()
	address, ok := listener.Addr().(*net.TCPAddr)
	require.True(t, ok)
	return address.Port
}

// lines is a log in memory.
type lines struct {
	mutex sync.Mutex
	text  strings.Builder
}

func (l *lines) Write(line []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.Write(line)
}

func (l *lines) String() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.String()
}
