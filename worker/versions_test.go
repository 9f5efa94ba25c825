package worker_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	common "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/worker"

	"github.com/dealwright/dealwright/worker"
)

const (
	older = "20260101T000000Z-v1.0.0"
	newer = "20260201T000000Z-v1.1.0"
)

func TestBuildsAreInOrder(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b   string
		aNewer bool
	}{
		{newer, older, true},
		{older, newer, false},
		{newer, newer, false},
		{"20260201T000000Z-v1.0.1", older, true}, // the commit's time, not the version's number
		{"20260201T000000Z-abc1234-dirty", older, true},
		{"v1.10.0", "v1.9.0", true},
		{"v1.9.0", "v1.10.0", false},
		{"v1.0.0", "v1.0.0-rc.1", true},
		{"20260101T000000Z-v1.1.0", "v1.0.0", true}, // only one has a time
		{"blue", "green", false},                    // nobody can tell
		{"green", "blue", false},
		{"v1.0.0", "blue", false},
	} {
		require.Equal(t, test.aNewer, worker.Newer(test.a, test.b), "%s after %s", test.a, test.b)
	}
	require.Equal(t, older, worker.BuildID("20260101T000000Z", "v1.0.0"))
	require.Equal(t, "v1.0.0", worker.BuildID("", "v1.0.0"))
}

// deployment is what Temporal knows of the builds.
type deployment struct {
	client.WorkerDeploymentHandle // the rest is not called

	current string
	known   map[string]map[string]*common.Payload // by build, its metadata
	changes int
	before  func() // something that another does just before a change
	fails   error
	back    time.Time // from then on it fails no more; zero: never
}

func (d *deployment) versions() *worker.Versions { return worker.NewVersionsOf(d) }

func (d *deployment) Describe(context.Context, client.WorkerDeploymentDescribeOptions) (client.WorkerDeploymentDescribeResponse, error) {
	if d.fails != nil && (d.back.IsZero() || time.Now().Before(d.back)) {
		return client.WorkerDeploymentDescribeResponse{}, d.fails
	}
	if len(d.known) == 0 {
		return client.WorkerDeploymentDescribeResponse{}, serviceerror.NewNotFound("no deployment")
	}
	out := client.WorkerDeploymentDescribeResponse{ConflictToken: []byte(strconv.Itoa(d.changes))}
	for build := range d.known {
		out.Info.VersionSummaries = append(out.Info.VersionSummaries, client.WorkerDeploymentVersionSummary{
			Version: sdk.WorkerDeploymentVersion{DeploymentName: "dealwright", BuildID: build},
		})
	}
	if d.current != "" {
		out.Info.RoutingConfig.CurrentVersion = &sdk.WorkerDeploymentVersion{BuildID: d.current}
	}
	return out, nil
}

func (d *deployment) SetCurrentVersion(
	_ context.Context, o client.WorkerDeploymentSetCurrentVersionOptions,
) (client.WorkerDeploymentSetCurrentVersionResponse, error) {
	if d.before != nil {
		d.before()
		d.before = nil
	}
	raced := o.ConflictToken != nil && string(o.ConflictToken) != strconv.Itoa(d.changes)
	_, known := d.known[o.BuildID]
	if raced || o.BuildID != "" && !known && !o.AllowNoPollers {
		return client.WorkerDeploymentSetCurrentVersionResponse{}, serviceerror.NewFailedPrecondition("no")
	}
	d.register(o.BuildID)
	d.current = o.BuildID
	d.changes++
	return client.WorkerDeploymentSetCurrentVersionResponse{}, nil
}

func (d *deployment) register(build string) {
	if d.known == nil {
		d.known = map[string]map[string]*common.Payload{}
	}
	if build != "" && d.known[build] == nil {
		d.known[build] = map[string]*common.Payload{}
	}
}

func (d *deployment) DescribeVersion(
	_ context.Context, o client.WorkerDeploymentDescribeVersionOptions,
) (client.WorkerDeploymentVersionDescription, error) {
	if _, known := d.known[o.BuildID]; !known {
		return client.WorkerDeploymentVersionDescription{}, serviceerror.NewNotFound("no version")
	}
	return client.WorkerDeploymentVersionDescription{Info: client.WorkerDeploymentVersionInfo{Metadata: d.known[o.BuildID]}}, nil
}

func (d *deployment) UpdateVersionMetadata(
	_ context.Context, o client.WorkerDeploymentUpdateVersionMetadataOptions,
) (client.WorkerDeploymentUpdateVersionMetadataResponse, error) {
	for key := range o.MetadataUpdate.UpsertEntries {
		d.known[o.Version.BuildID][key] = &common.Payload{}
	}
	for _, key := range o.MetadataUpdate.RemoveEntries {
		delete(d.known[o.Version.BuildID], key)
	}
	return client.WorkerDeploymentUpdateVersionMetadataResponse{}, nil
}

func TestABuildTakesTheWorkFromOlderOnesOnly(t *testing.T) {
	t.Parallel()
	d := &deployment{}
	take := func(build string) string {
		current, err := d.versions().Take(t.Context(), build)
		require.NoError(t, err)
		require.Equal(t, d.current, current)
		return current
	}
	require.Equal(t, older, take(older), "the first one")
	require.Equal(t, newer, take(newer))
	require.Equal(t, newer, take(older), "an old worker that crashed and starts again takes nothing back")
	require.Equal(t, newer, take("blue"), "nor does one of which nobody knows how old it is")

	require.NoError(t, d.versions().Promote(t.Context(), older, false))
	require.Equal(t, older, take(newer), "what was taken back stays so")
	require.NoError(t, d.versions().Promote(t.Context(), newer, false))
	require.NoError(t, d.versions().Promote(t.Context(), "", false))
	require.Empty(t, take(newer), "workers without a build have it")
	require.Empty(t, take(older))
	require.NoError(t, d.versions().Promote(t.Context(), older, false))
	require.Equal(t, older, d.current)

	require.Error(t, d.versions().Promote(t.Context(), "20260301T000000Z-v2.0.0", false), "no worker of it was ever seen")
	require.NoError(t, d.versions().Promote(t.Context(), "20260301T000000Z-v2.0.0", true))
}

func TestOfTwoBuildsThatTakeTheWorkAtOnceTheNewerHasIt(t *testing.T) {
	t.Parallel()
	d := &deployment{}
	d.register(older)
	d.before = func() {
		d.register(newer)
		d.current, d.changes = newer, d.changes+1
	}
	current, err := d.versions().Take(t.Context(), older)
	require.NoError(t, err)
	require.Equal(t, newer, current)
}

func TestATemporalWithoutVersioningIsRecognised(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		fails     error
		supported bool
		err       bool
	}{
		{nil, true, false},
		{serviceerror.NewUnimplemented("unknown method"), false, false},
		{serviceerror.NewPermissionDenied("disabled on this namespace", ""), false, false},
		{serviceerror.NewUnavailable("not yet"), false, true},
	} {
		d := &deployment{fails: test.fails}
		supported, err := d.versions().Supported(t.Context())
		require.Equal(t, test.err, err != nil)
		require.Equal(t, test.supported, supported)
	}
}
