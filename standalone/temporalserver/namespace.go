package temporalserver

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"go.temporal.io/api/enums/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"google.golang.org/protobuf/types/known/durationpb"
)

// searchAttributes are what people can look for workflows by.
var searchAttributes = map[string]enums.IndexedValueType{
	"CompanyId":  enums.INDEXED_VALUE_TYPE_INT,
	"CustomerId": enums.INDEXED_VALUE_TYPE_INT,
	"Stage":      enums.INDEXED_VALUE_TYPE_KEYWORD,
}

// prepareNamespace waits until the server answers for the namespace, and brings one that an earlier version made up to date.
func (s *Server) prepareNamespace(ctx context.Context) error {
	connection, err := client.NewLazyClient(client.Options{
		HostPort:  s.HostPort(),
		Namespace: s.options.Namespace,
		Logger:    sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)), // what fails here is returned
	})
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer connection.Close()
	if err := s.waitForNamespace(ctx, connection); err != nil {
		return err
	}
	if err := s.updateRetention(ctx, connection); err != nil {
		return err
	}
	return s.addSearchAttributes(ctx, connection)
}

// waitForNamespace polls with a call that goes the way a workflow's start does: through the frontend's list of namespaces
// and on to the matching service.
func (s *Server) waitForNamespace(ctx context.Context, connection client.Client) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		_, err := connection.DescribeTaskQueue(attempt, "ready", enums.TASK_QUEUE_TYPE_WORKFLOW)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the namespace %s does not become ready: %w (%w)", s.options.Namespace, ctx.Err(), err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *Server) updateRetention(ctx context.Context, connection client.Client) error {
	service := connection.WorkflowService()
	described, err := service.DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: s.options.Namespace})
	if err != nil {
		return fmt.Errorf("describe the namespace %s: %w", s.options.Namespace, err)
	}
	if described.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration() == s.options.Retention {
		return nil
	}
	_, err = service.UpdateNamespace(ctx, &workflowservice.UpdateNamespaceRequest{
		Namespace: s.options.Namespace,
		Config:    &namespacepb.NamespaceConfig{WorkflowExecutionRetentionTtl: durationpb.New(s.options.Retention)},
	})
	if err != nil {
		return fmt.Errorf("set the retention of the namespace %s: %w", s.options.Namespace, err)
	}
	return nil
}

func (s *Server) addSearchAttributes(ctx context.Context, connection client.Client) error {
	service := connection.OperatorService()
	known, err := service.ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: s.options.Namespace})
	if err != nil {
		return fmt.Errorf("list the search attributes: %w", err)
	}
	missing := maps.Clone(searchAttributes)
	maps.DeleteFunc(missing, func(name string, _ enums.IndexedValueType) bool {
		_, exists := known.GetCustomAttributes()[name]
		return exists
	})
	if len(missing) == 0 {
		return nil
	}
	_, err = service.AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace:        s.options.Namespace,
		SearchAttributes: missing,
	})
	if err != nil {
		return fmt.Errorf("add search attributes: %w", err)
	}
	return nil
}
