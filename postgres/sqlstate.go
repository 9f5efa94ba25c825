package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/lib/pq"

	"github.com/dealwright/dealwright/pipeline"
)

// mapError gives an error of the driver its code; what says what we were doing. The cause
// stays in the chain for the log, and out of the sentence that a caller gets to see.
func mapError(err error, what string) error {
	if err == nil {
		return nil
	}
	if _, coded := errors.AsType[*pipeline.Error](err); coded {
		return err
	}
	return fmt.Errorf("%s: %w: %w", what, classify(err), err)
}

func classify(err error) *pipeline.Error {
	if pg, ok := errors.AsType[*pq.Error](err); ok {
		return classifyState(pg)
	}
	var network net.Error
	lost := errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	if lost {
		return unavailable()
	}
	return internal()
}

// classifyState follows Postgres's appendix A, "PostgreSQL Error Codes".
func classifyState(pg *pq.Error) *pipeline.Error {
	switch pg.Code {
	case "23505": // unique_violation
		return duplicate(pg.Constraint)
	case "23503": // foreign_key_violation
		return pipeline.Errorf(pipeline.CodeNotFound, "what the request refers to does not exist")
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return pipeline.Errorf(pipeline.CodeConflict, "somebody else was faster; try again")
	case "25006": // read_only_sql_transaction: a standby that has not taken over yet
		return unavailable()
	}
	switch pg.Code.Class() {
	case "22", "54": // data that Postgres cannot hold: NUL in text, a number or a nesting beyond its limits
		return pipeline.Errorf(pipeline.CodeInvalid, "the input holds text or a number that cannot be stored")
	case "08", "28", "3D", "53", "57", "58": // connection, login, database, resources, operator's intervention, system
		return unavailable()
	}
	return internal()
}

func duplicate(constraint string) *pipeline.Error {
	if constraint == "idempotency_pkey" {
		return pipeline.Errorf(pipeline.CodeIdempotencyKeyReused, "this Idempotency-Key was used for another request")
	}
	return pipeline.Errorf(pipeline.CodeConflict, "somebody else was faster; try again")
}

func uuidTaken() *pipeline.Error {
	return &pipeline.Error{
		Code: pipeline.CodeInvalid, Message: "the uuid is taken",
		Fields: []pipeline.FieldError{{Pointer: "/uuid", Detail: "is taken"}},
	}
}

func unavailable() *pipeline.Error {
	return pipeline.Errorf(pipeline.CodeUnavailable, "the store cannot be reached; try again")
}

func internal() *pipeline.Error {
	return pipeline.Errorf(pipeline.CodeInternal, "the store failed")
}
