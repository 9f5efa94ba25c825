package worker

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
)

// deploymentName is under what Temporal lists all builds of the worker.
const deploymentName = "dealwright"

// takenBack is the mark, in a build's metadata, that somebody went back to an older one: the
// build does not take the work again by itself, however often its workers start.
const takenBack = "taken-back"

// maxRaces bounds how often a change is decided anew because others changed the deployment.
const maxRaces = 10

// Versions are the builds of the worker that a Temporal namespace knows. One of them at most is
// current: it gets what is new and what goes on. Where none is, workers without a build do.
type Versions struct {
	deployment client.WorkerDeploymentHandle
}

// NewVersions wraps a client of the namespace that the workers poll.
func NewVersions(c client.Client) *Versions {
	return &Versions{c.WorkerDeploymentClient().GetHandle(deploymentName)}
}

// Version is a build that Temporal knows.
type Version struct {
	BuildID   string
	Current   bool
	CreatedAt time.Time
}

// Supported tells whether this Temporal knows worker versioning and lets us use it. Clusters
// before 1.28 do not, and namespaces exist where it is switched off.
func (v *Versions) Supported(ctx context.Context) (bool, error) {
	_, err := v.describe(ctx)
	var unknown *serviceerror.Unimplemented
	var denied *serviceerror.PermissionDenied
	if errors.As(err, &unknown) || errors.As(err, &denied) {
		return false, nil
	}
	return err == nil, err
}

// Current is the build that gets the work, empty where none does.
func (v *Versions) Current(ctx context.Context) (string, error) {
	now, err := v.describe(ctx)
	return now.current(), err
}

// List gives all builds, the newest first.
func (v *Versions) List(ctx context.Context) ([]Version, error) {
	now, err := v.describe(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]Version, len(now.Info.VersionSummaries))
	for i, s := range now.Info.VersionSummaries {
		all[i] = Version{
			BuildID: s.Version.BuildID, Current: s.Version.BuildID == now.current(), CreatedAt: s.CreateTime,
		}
	}
	slices.SortFunc(all, func(a, b Version) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.BuildID, b.BuildID))
	})
	return all, nil
}

// Take makes a build current where none is, or an older one, and answers which one is now. It
// never takes the work from a newer build: a worker of the old one that crashes and starts again
// in the middle of a rollout must not undo it. Nor does it undo a Promote of an older one.
func (v *Versions) Take(ctx context.Context, build string) (current string, err error) {
	return v.change(ctx, func(now described) (string, error) {
		current := now.current()
		if current != "" && !Newer(build, current) {
			return current, nil
		}
		back, err := v.wasTakenBack(ctx, build)
		if err != nil || back {
			return current, err
		}
		return build, v.set(ctx, now, build, true)
	})
}

// Promote makes a build current whatever was before, an older one too. Those that are newer are
// marked, so that their workers leave it at that. An empty build gives the work to workers that
// have none. Where no worker of the build was ever seen, it is refused unless forced.
func (v *Versions) Promote(ctx context.Context, build string, force bool) error {
	_, err := v.change(ctx, func(now described) (string, error) {
		known := false
		for _, s := range now.Info.VersionSummaries {
			id := s.Version.BuildID
			known = known || id == build
			if id == build || build != "" && !Newer(id, build) {
				continue
			}
			if err := v.mark(ctx, id, client.WorkerDeploymentMetadataUpdate{UpsertEntries: map[string]any{takenBack: true}}); err != nil {
				return "", err
			}
		}
		if known {
			if err := v.mark(ctx, build, client.WorkerDeploymentMetadataUpdate{RemoveEntries: []string{takenBack}}); err != nil {
				return "", err
			}
		}
		if now.current() == build {
			return build, nil
		}
		return build, v.set(ctx, now, build, force)
	})
	return err
}

// change does something that others may do at the same time. Temporal refuses the one that has
// not seen the other, and then it is decided anew. What it refuses although nothing has changed
// is refused for good.
func (v *Versions) change(ctx context.Context, f func(described) (string, error)) (string, error) {
	var seen []byte
	var refused error
	for range maxRaces {
		now, err := v.describe(ctx)
		if err != nil {
			return "", err
		}
		if refused != nil && bytes.Equal(seen, now.ConflictToken) {
			break
		}
		current, err := f(now)
		if _, refusal := errors.AsType[*serviceerror.FailedPrecondition](err); !refusal {
			return current, err
		}
		seen, refused = now.ConflictToken, err
	}
	return "", refused
}

// described is what Temporal knows; nothing at all where no worker with a build was here yet.
type described struct {
	client.WorkerDeploymentDescribeResponse
}

func (d described) current() string {
	if d.Info.RoutingConfig.CurrentVersion == nil {
		return ""
	}
	return d.Info.RoutingConfig.CurrentVersion.BuildID
}

func (v *Versions) describe(ctx context.Context) (described, error) {
	now, err := v.deployment.Describe(ctx, client.WorkerDeploymentDescribeOptions{})
	if isNotFound(err) {
		return described{}, nil
	}
	if err != nil {
		return described{}, fmt.Errorf("ask for the worker's versions: %w", err)
	}
	return described{now}, nil
}

// set: there is one task queue, so the question whether a new build polls all of the old one's
// does not arise.
func (v *Versions) set(ctx context.Context, now described, build string, unseen bool) error {
	_, err := v.deployment.SetCurrentVersion(ctx, client.WorkerDeploymentSetCurrentVersionOptions{
		BuildID: build, ConflictToken: now.ConflictToken, AllowNoPollers: unseen, IgnoreMissingTaskQueues: true,
	})
	if err != nil {
		return fmt.Errorf("make build %q current: %w", build, err)
	}
	return nil
}

func (v *Versions) wasTakenBack(ctx context.Context, build string) (bool, error) {
	version, err := v.deployment.DescribeVersion(ctx, client.WorkerDeploymentDescribeVersionOptions{BuildID: build})
	if isNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask for build %q: %w", build, err)
	}
	_, back := version.Info.Metadata[takenBack]
	return back, nil
}

func (v *Versions) mark(ctx context.Context, build string, change client.WorkerDeploymentMetadataUpdate) error {
	_, err := v.deployment.UpdateVersionMetadata(ctx, client.WorkerDeploymentUpdateVersionMetadataOptions{
		Version: worker.WorkerDeploymentVersion{DeploymentName: deploymentName, BuildID: build}, MetadataUpdate: change,
	})
	if err != nil && !isNotFound(err) { // one that was just deleted needs no mark
		return fmt.Errorf("mark build %q: %w", build, err)
	}
	return nil
}

func isNotFound(err error) bool {
	var notFound *serviceerror.NotFound
	return errors.As(err, &notFound)
}
