// Package lightpush implements 19/WAKU2-LIGHTPUSH, version 2 (deployed
// go-waku) and version 3 (deployed nwaku and JavaScript clients), client and
// service of each: a node without relay hands a message to one that has it.
package lightpush

import (
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/parley-im/parley/waku/message"
)

// Protocol ids. The client prefers version 3.
const (
	ProtocolV2 protocol.ID = "/vac/waku/lightpush/2.0.0-beta1"
	ProtocolV3 protocol.ID = "/vac/waku/lightpush/3.0.0"
)

const (
	// MaxRequest is the largest request read, in bytes: a message that is
	// too large by less than the slack still gets an answer that says so.
	MaxRequest = message.MaxSize + 64*1024
	// MaxResponse is the largest response read, in bytes.
	MaxResponse = 64 * 1024
	// MaxRequestID is the longest request id served, in bytes.
	MaxRequestID = 1024
	// MaxPubsubTopic is the longest pubsub topic served, in bytes.
	MaxPubsubTopic = 1024

	// requestTimeout bounds a client's request as a whole, and for a service
	// its reading, its publication and its response, each.
	requestTimeout = 30 * time.Second

	// MaxStreams bounds the streams of one version that one peer has open
	// here. JavaScript clients open one ahead of need and leave it idle.
	MaxStreams = 128
	// IdleTimeout is how long a stream may wait for the first byte of its
	// request.
	IdleTimeout = time.Hour

	// unreadID is the request id of a response given to a request that was
	// not read. Deployed services of version 2 send it when limiting and
	// only then, those of version 3 also for what does not decode.
	unreadID = "N/A"
	// tooManyRequests is how deployed services of version 2 (nwaku) say that
	// they limit.
	tooManyRequests = "TOO_MANY_REQUESTS"
)

// Status is a status code of version 3.
type Status uint32

// Status codes. The specification has 503 for a service without relay
// peers; deployed nwaku and js-waku use 505 for that and 503 for a service
// that is not available. Services here send 505; clients take either.
const (
	StatusOK               Status = 200
	StatusBadRequest       Status = 400
	StatusTooLarge         Status = 413
	StatusInvalidMessage   Status = 420
	StatusUnsupportedTopic Status = 421
	StatusTooManyRequests  Status = 429
	StatusInternal         Status = 500
	StatusUnavailable      Status = 503
	StatusNoProof          Status = 504
	StatusNoPeers          Status = 505
)

// Reasons for which a service does not relay a message. A PublishFunc
// returns them (wrapped or not), and a StatusError of a client is one of
// them where its code says so.
var (
	ErrBadRequest       = errors.New("lightpush: bad request")
	ErrTooLarge         = errors.New("lightpush: message too large")
	ErrInvalidMessage   = errors.New("lightpush: invalid message")
	ErrUnsupportedTopic = errors.New("lightpush: pubsub topic not supported")
	ErrTooManyRequests  = errors.New("lightpush: too many requests")
	ErrNoPeers          = errors.New("lightpush: no relay peers")
	// ErrUnavailable: the service cannot relay now. A client's StatusError of
	// this code is ErrNoPeers as well, which it is by the specification.
	ErrUnavailable = errors.New("lightpush: service not available")
	// ErrNoProof: the network asks for rate limit proofs and the service has
	// none left (nwaku). Services here relay on networks without them.
	ErrNoProof = errors.New("lightpush: no rate limit proof left")
)

// Errors of the client's side of the exchange.
var (
	// ErrExchange is a failure to open the stream, write the request or
	// read the response.
	ErrExchange = errors.New("lightpush: exchange failed")
	// ErrResponse is a response that does not belong to the request.
	ErrResponse = errors.New("lightpush: unexpected response")
)

// errUnavailable is both of what deployed services and the specification mean
// by 503.
var errUnavailable = errors.Join(ErrUnavailable, ErrNoPeers)

// reasons pairs each reason with its code. Version 2 has no codes: its clients
// are told the reason's text.
var reasons = []struct {
	err  error
	code Status
}{
	{ErrBadRequest, StatusBadRequest},
	{ErrTooLarge, StatusTooLarge},
	{ErrInvalidMessage, StatusInvalidMessage},
	{ErrUnsupportedTopic, StatusUnsupportedTopic},
	{ErrTooManyRequests, StatusTooManyRequests},
	{ErrNoPeers, StatusNoPeers},
	{ErrUnavailable, StatusUnavailable},
	{ErrNoProof, StatusNoProof},
}

// statusOf returns the code that tells a client about err.
func statusOf(err error) Status {
	if err == nil {
		return StatusOK
	}
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.code
		}
	}
	return StatusInternal
}

// StatusError is a service's refusal. errors.Is finds the reason in it when
// the code names one.
type StatusError struct {
	// Code is the status code; 0 from a service of version 2, which has
	// none.
	Code Status
	// Desc is the service's explanation, at most rpc.MaxDesc bytes of it; may
	// be empty.
	Desc string
}

// Error names the code and the explanation.
func (e *StatusError) Error() string {
	if e.Code == 0 {
		return fmt.Sprintf("lightpush: refused: %q", e.Desc)
	}
	return fmt.Sprintf("lightpush: refused with %d: %q", e.Code, e.Desc)
}

// Unwrap returns the reason the code stands for, nil when it names none.
func (e *StatusError) Unwrap() error {
	if e.Code == StatusUnavailable {
		return errUnavailable
	}
	for _, r := range reasons {
		if e.Code == r.code {
			return r.err
		}
	}
	return nil
}
