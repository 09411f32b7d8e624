package rpc

import "fmt"

// MaxDesc bounds what is kept of a peer's explanation, in bytes.
const MaxDesc = 256

// Clip cuts a peer's explanation to MaxDesc bytes.
func Clip(desc string) string { return desc[:min(len(desc), MaxDesc)] }

// Statuses says what the status codes of a protocol's responses stand for.
type Statuses struct {
	// Protocol begins the text of errors.
	Protocol string
	// Any is what every code stands for that is no success, Codes has what
	// single ones stand for beside it.
	Any   error
	Codes map[uint32]error
}

// Check returns nil for a code of success, 200 to 299, and a *StatusError for
// every other.
func (s Statuses) Check(code uint32, desc string) error {
	if code >= 200 && code <= 299 {
		return nil
	}
	e := &StatusError{Code: code, Desc: Clip(desc), protocol: s.Protocol, reasons: []error{s.Any}}
	if reason := s.Codes[code]; reason != nil {
		e.reasons = append(e.reasons, reason)
	}
	return e
}

// StatusError is a response that is no success.
type StatusError struct {
	Code uint32
	// Desc is the peer's text, at most MaxDesc bytes of it; may be empty.
	Desc string

	protocol string
	reasons  []error
}

// Error names the code and the peer's text.
func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: status %d: %q", e.protocol, e.Code, e.Desc)
}

// Unwrap returns what the code stands for.
func (e *StatusError) Unwrap() []error { return e.reasons }
