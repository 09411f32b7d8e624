package verify

import (
	"fmt"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
)

// Requests is all requests between us and one other person, in any order.
type Requests []Request

// Status is how far we are with verifying somebody; the numbers are those of
// deployed clients.
type Status uint8

// The statuses.
const (
	Unverified Status = 0
	Verifying  Status = 1
	Verified   Status = 2
)

// Find returns the request with that id.
func (all Requests) Find(id message.ID) (Request, bool) {
	for _, r := range all {
		if r.ID == id {
			return r, true
		}
	}
	return Request{}, false
}

// Latest returns the newest request of ours, or the newest of the other's.
func (all Requests) Latest(own bool) (latest Request, ok bool) {
	for _, r := range all {
		if r.Own == own && (!ok || latest.before(r)) {
			latest, ok = r, true
		}
	}
	return latest, ok
}

// Pending returns the request that waits for an answer, ours before theirs if
// both asked at once.
func (all Requests) Pending() (Request, bool) {
	for _, own := range []bool{true, false} {
		if r, ok := all.Latest(own); ok && r.State == Pending {
			return r, true
		}
	}
	return Request{}, false
}

// Status returns how far we are with verifying the other: what became of our
// newest request.
func (all Requests) Status() Status {
	latest, _ := all.Latest(true)
	switch latest.State {
	case Pending, Accepted:
		return Verifying
	case Trusted, Untrustworthy:
		return Verified
	}
	return Unverified
}

// Ask makes a request. Between two people one request at a time is pending,
// whoever asked; that two cross on their way cannot be helped. The id of the
// message that is sent becomes that of the request.
func (all Requests) Ask(peer key.Public, challenge string, clock uint64, mutual bool) (Request, Message, error) {
	challenge, err := checkText(challenge)
	if err != nil {
		return Request{}, Message{}, err
	}
	if !mutual {
		return Request{}, Message{}, ErrNotMutual
	}
	if open, ok := all.Pending(); ok {
		return Request{}, Message{}, fmt.Errorf("%w: %s", ErrPending, open.ID)
	}
	for _, r := range all {
		if err := r.next(clock); err != nil {
			return Request{}, Message{}, err
		}
	}
	r := Request{Peer: peer, Own: true, State: Pending, Challenge: challenge, AskedClock: clock}
	return r, Message{Type: Ask, Clock: clock, Text: challenge}, nil
}

// Receive applies an Ask with that message id and returns the requests that
// are new or changed, none if it is known. Of several requests by one person
// only the newest can be pending: an older one is canceled, whichever arrives
// first.
func (all Requests) Receive(id message.ID, m Message, in Incoming) (changed Requests, err error) {
	if m.Type != Ask {
		return nil, fmt.Errorf("%w: %s", ErrMalformed, message.Name(m.Type))
	}
	if err := in.check(m); err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.Peer != in.From {
			return nil, fmt.Errorf("%s: %w", message.Name(m.Type), ErrStranger)
		}
		if r.ID == id {
			return nil, nil
		}
	}
	r := Request{ID: id, Peer: in.From, State: Pending, Challenge: m.Text, AskedClock: m.Clock}
	latest, ok := all.Latest(false)
	switch {
	case ok && r.before(latest):
		r.State = Canceled
	case ok && latest.State == Pending:
		latest.State, latest.AnsweredClock = Canceled, m.Clock
		changed = append(changed, latest)
	}
	return append(changed, r), nil
}
