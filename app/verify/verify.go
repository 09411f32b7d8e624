// Package verify is contact verification: one contact asks another something
// that only that person can answer, reads the response, and marks the contact
// as trusted or not. It holds rules and values only: every step takes a
// request, gives back the changed one and the message to send.
//
// The messages are those of 62/STATUS-PAYLOADS (RequestContactVerification,
// AcceptContactVerification, DeclineContactVerification,
// CancelContactVerification); the states are those of deployed clients
// (status-go). The verdict stays on this account: nothing tells the other.
//
// Both ends come to the same state whatever the order of arrival: a request
// that was taken back is canceled whatever the other has answered meanwhile,
// and of two requests by one person only the newer is open. An answer to a
// request that has not arrived finds no [Request] and has to wait for it
// outside this package.
package verify

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
)

// Errors of the exchange. Nothing is changed in any of these cases.
var (
	ErrNotMutual = errors.New("not contacts of each other")
	ErrPending   = errors.New("a verification request is pending already")
	ErrFinished  = errors.New("the verification request is no longer pending")
	ErrNoAnswer  = errors.New("the verification request was not answered")
	ErrOwn       = errors.New("the verification request is our own")
	ErrTheirs    = errors.New("the verification request is the other's")
	ErrStranger  = errors.New("message about a verification request of somebody else")
	ErrStale     = errors.New("the clock is not newer than the verification request's")
)

// State is how far a request got; the numbers are those of deployed clients.
type State uint8

// The states. Trusted and Untrustworthy exist only where it was asked.
const (
	Pending       State = 1
	Accepted      State = 2
	Declined      State = 3
	Canceled      State = 4
	Trusted       State = 5
	Untrustworthy State = 6
)

var stateNames = [...]string{
	Pending: "pending", Accepted: "accepted", Declined: "declined",
	Canceled: "canceled", Trusted: "trusted", Untrustworthy: "untrustworthy",
}

// String returns the state in a stable word, or its number.
func (s State) String() string {
	if int(s) < len(stateNames) && stateNames[s] != "" {
		return stateNames[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// MarshalText writes the state as String does.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range stateNames {
		if name != "" && name == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("%q is no state of a verification request", text)
}

// Request is a request and what became of it. It is a value: methods return
// the changed copy.
type Request struct {
	// ID is the message id of the Ask; the sender learns it by sending.
	ID message.ID `json:"id"`
	// Peer is the other; Own tells that we are who asked.
	Peer  key.Public `json:"peer"`
	Own   bool       `json:"own,omitempty"`
	State State      `json:"state"`

	Challenge string `json:"challenge"`
	// Response stays empty until it is accepted.
	Response string `json:"response,omitempty"`
	// AskedClock is the clock of the Ask, AnsweredClock that of what ended its
	// being pending, both in milliseconds.
	AskedClock    uint64 `json:"asked_clock"`
	AnsweredClock uint64 `json:"answered_clock,omitempty"`
}

// Incoming is what is known of a received message beside its content.
type Incoming struct {
	From key.Public
	// Mutual tells whether both are contacts of each other.
	Mutual bool
	// WakuTime is the timestamp of the Waku message, the reference for clocks.
	WakuTime time.Time
}

// check checks a received message before it touches anything.
func (in Incoming) check(m Message) error {
	if err := message.CheckClock(m.Clock, in.WakuTime); err != nil {
		return fmt.Errorf("%s: %w", message.Name(m.Type), err)
	}
	// Whoever asked may take it back even if we are no longer contacts.
	if !in.Mutual && m.Type != Cancel {
		return fmt.Errorf("%s: %w", message.Name(m.Type), ErrNotMutual)
	}
	return nil
}

// next checks the clock of a step of ours.
func (r Request) next(clock uint64) error {
	if known := max(r.AskedClock, r.AnsweredClock); clock <= known {
		return fmt.Errorf("%w: %d, the request's is %d", ErrStale, clock, known)
	}
	return nil
}

// Accept answers the other's challenge.
func (r Request) Accept(response string, clock uint64, mutual bool) (Request, Message, error) {
	response, err := checkText(response)
	if err != nil {
		return r, Message{}, err
	}
	return r.answer(Message{Type: Accept, Clock: clock, Request: r.ID, Text: response}, mutual)
}

// Decline declines the other's challenge, and tells so.
func (r Request) Decline(clock uint64, mutual bool) (Request, Message, error) {
	return r.answer(Message{Type: Decline, Clock: clock, Request: r.ID}, mutual)
}

func (r Request) answer(m Message, mutual bool) (Request, Message, error) {
	switch {
	case r.Own:
		return r, Message{}, ErrOwn
	case r.State != Pending:
		return r, Message{}, fmt.Errorf("%w: %s", ErrFinished, r.State)
	case !mutual:
		return r, Message{}, ErrNotMutual
	}
	if err := r.next(m.Clock); err != nil {
		return r, Message{}, err
	}
	return r.answered(m), m, nil
}

// answered takes an answer over.
func (r Request) answered(m Message) Request {
	r.State, r.Response = Declined, ""
	if m.Type == Accept {
		r.State, r.Response = Accepted, m.Text
	}
	r.AnsweredClock = m.Clock
	return r
}

// Cancel takes our pending request back, and tells so.
func (r Request) Cancel(clock uint64) (Request, Message, error) {
	switch {
	case !r.Own:
		return r, Message{}, ErrTheirs
	case r.State != Pending:
		return r, Message{}, fmt.Errorf("%w: %s", ErrFinished, r.State)
	}
	if err := r.next(clock); err != nil {
		return r, Message{}, err
	}
	r.State, r.AnsweredClock = Canceled, clock
	return r, Message{Type: Cancel, Clock: clock, Request: r.ID}, nil
}

// End closes a pending request because the relation ended: nobody can answer
// it any more. Nothing is sent; the other end sees the relation end as well.
func (r Request) End() Request {
	if r.State == Pending {
		r.State = Canceled
	}
	return r
}

// Trust is our verdict on the response to a request of ours, or a change of
// it, and the trust to be set in the contact. Nothing is sent.
func (r Request) Trust(trusted bool) (Request, contact.Trust, error) {
	switch {
	case !r.Own:
		return r, contact.TrustUnknown, ErrTheirs
	case r.State != Accepted && r.State != Trusted && r.State != Untrustworthy:
		return r, contact.TrustUnknown, fmt.Errorf("%w: %s", ErrNoAnswer, r.State)
	case trusted:
		r.State = Trusted
		return r, contact.Trusted, nil
	}
	r.State = Untrustworthy
	return r, contact.Untrustworthy, nil
}

// Receive applies an Accept, Decline or Cancel that names the request. One
// that changes nothing, because it came before or too late, is no error.
//
// A cancellation also undoes an answer of ours: whoever cancels has had none
// and will read none. Deployed clients keep the answer then, so that both ends
// show different things.
func (r Request) Receive(m Message, in Incoming) (Request, error) {
	if m.Request != r.ID || in.From != r.Peer {
		return r, fmt.Errorf("%s: %w", message.Name(m.Type), ErrStranger)
	}
	if err := in.check(m); err != nil {
		return r, err
	}
	switch {
	case m.Type == Cancel && r.Own:
		return r, fmt.Errorf("%s: %w", message.Name(m.Type), ErrOwn)
	case m.Type == Cancel:
		if r.State != Canceled {
			r.State, r.AnsweredClock = Canceled, m.Clock
		}
		return r, nil
	case m.Type != Accept && m.Type != Decline:
		return r, fmt.Errorf("%w: %s", ErrMalformed, message.Name(m.Type))
	case !r.Own:
		return r, fmt.Errorf("%s: %w", message.Name(m.Type), ErrTheirs)
	}
	switch r.State {
	case Pending:
		return r.answered(m), nil
	case Accepted, Declined:
		// Deployed clients can answer again; the newest counts.
		if m.Clock > r.AnsweredClock {
			return r.answered(m), nil
		}
	}
	return r, nil
}

// before orders requests by clock, those of one clock by id.
func (r Request) before(o Request) bool {
	if r.AskedClock != o.AskedClock {
		return r.AskedClock < o.AskedClock
	}
	return bytes.Compare(r.ID[:], o.ID[:]) < 0
}
