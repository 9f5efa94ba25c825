package workflows_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"
	"go.temporal.io/sdk/temporal"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/workflows"
)

// scheduling is an engine at a Temporal that answers so when a schedule is made.
func scheduling(t *testing.T, err error) (*workflows.Engine, *[]client.ScheduleOptions) {
	t.Helper()
	made := &[]client.ScheduleOptions{}
	schedules, c := mocks.NewScheduleClient(t), mocks.NewClient(t)
	schedules.On("Create", mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
		if o, ok := args[1].(client.ScheduleOptions); ok {
			*made = append(*made, o)
		}
	}).Return(nil, err)
	c.On("ScheduleClient").Return(schedules)
	return workflows.NewEngine(c), made
}

func TestEngine_MakesTheSchedules(t *testing.T) {
	t.Parallel()
	engine, made := scheduling(t, nil)
	require.NoError(t, engine.EnsureSchedules(t.Context()))
	every := map[string]time.Duration{}
	for _, s := range *made {
		require.Equal(t, enumspb.SCHEDULE_OVERLAP_POLICY_SKIP, s.Overlap)
		every[s.ID] = s.Spec.Intervals[0].Every
		action, ok := s.Action.(*client.ScheduleWorkflowAction)
		require.True(t, ok)
		require.Equal(t, s.ID, action.ID)
		require.Equal(t, workflows.TaskQueue, action.TaskQueue)
		require.NotEmpty(t, action.StaticSummary)
	}
	require.Equal(t, map[string]time.Duration{"sweep": time.Minute, "retention": time.Hour}, every)
}

func TestEngine_LeavesSchedulesAsTheyAre(t *testing.T) {
	t.Parallel()
	engine, made := scheduling(t, temporal.ErrScheduleAlreadyRunning)
	require.NoError(t, engine.EnsureSchedules(t.Context()))
	require.Len(t, *made, 2)
}

func TestEngine_SaysThatSchedulesCannotBeMade(t *testing.T) {
	t.Parallel()
	for err, code := range map[error]pipeline.Code{
		serviceerror.NewUnavailable("down"): pipeline.CodeUnavailable,
		errors.New("who knows"):             pipeline.CodeInternal,
	} {
		engine, _ := scheduling(t, err)
		require.Equal(t, code, pipeline.CodeOf(engine.EnsureSchedules(t.Context())))
	}
}
