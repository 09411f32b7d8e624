// Package fault is the one error type that crosses Parley's borders: API,
// CLI exit codes and logs share its kinds. Everything else wraps with %w.
package fault

import (
	"errors"
	"fmt"
)

// Kind classifies an error. The texts are stable: the API sends them and
// scripts compare them. New kinds are added, none is renamed.
type Kind string

// The kinds. Each names the exit code of the command line in ExitCode.
const (
	Internal    Kind = "internal"
	Usage       Kind = "usage"       // the request makes no sense as it stands
	Unreachable Kind = "unreachable" // daemon or network cannot be reached
	Denied      Kind = "denied"      // wrong password or token, or not allowed
	NotFound    Kind = "not_found"
	Timeout     Kind = "timeout"
	Conflict    Kind = "conflict" // the state forbids it: already there, already running
	Invalid     Kind = "invalid"  // foreign bytes or values that break a rule
)

// Error is a cause with its kind and what to do next.
type Error struct {
	Kind Kind
	// Op is the operation, in words: "opening the account".
	Op string
	// Hint tells a person what to do next; may be empty.
	Hint string
	Err  error
}

// Error returns "op: cause".
func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.Op
	case e.Op == "":
		return e.Err.Error()
	}
	return e.Op + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an error of a kind with a formatted cause.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// Wrap gives a cause its kind and operation; nil stays nil.
func Wrap(kind Kind, op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: kind, Op: op, Err: err}
}

// WithHint adds what to do next.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// KindOf returns the kind of the outermost Error in err's chain, Internal
// when there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// HintOf returns the outermost hint in err's chain.
func HintOf(err error) string {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// ExitCode maps an error to the command line's exit code: 0 done, 1 failed,
// 2 wrong usage, 3 cannot reach the daemon, 4 not allowed or wrong password,
// 5 not found, 6 timed out.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	switch KindOf(err) {
	case Usage:
		return 2
	case Unreachable:
		return 3
	case Denied:
		return 4
	case NotFound:
		return 5
	case Timeout:
		return 6
	}
	return 1
}
