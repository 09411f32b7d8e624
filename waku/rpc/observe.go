package rpc

import (
	"errors"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"
)

// Why a request was not answered.
var (
	// ErrStreams is a stream beyond those that a peer may have open.
	ErrStreams = errors.New("too many streams")
	// ErrBusy is a request whose turn did not come in time: its peer has too
	// many under way.
	ErrBusy = errors.New("too many requests at the same time")
	// ErrLimited is a request beyond a peer's rate. A handler returns it where
	// its protocol has no code for that.
	ErrLimited = errors.New("too many requests")
)

// Exchange is one request that a service had, as its operator sees it.
type Exchange struct {
	Protocol protocol.ID
	Peer     peer.ID
	// Status is the code answered in the protocol's own terms; 0 where none was
	// sent.
	Status uint32
	// Took is the time from the request's first byte to the answer's last.
	Took time.Duration
	// In and Out are the bytes of request and answer.
	In, Out int
	// Err is why no answer was sent: ErrStreams, ErrBusy, ErrLimited, or what
	// failed; nil where one was.
	Err error
}

// statusOK is what an answer without a code of its own counts as.
const statusOK = 200

// statusOf reads the status code of a response: its own, as filter, store
// query and lightpush 3 have one, or the one given to it by WithStatus.
func statusOf(resp proto.Message) uint32 {
	if s, ok := resp.(interface{ GetStatusCode() uint32 }); ok {
		return s.GetStatusCode()
	}
	return statusOK
}

// WithStatus returns resp with a status code for observers, for the protocols
// whose responses carry none. It is the same on the wire.
func WithStatus(resp proto.Message, code uint32) proto.Message { return coded{resp, code} }

type coded struct {
	proto.Message
	code uint32
}

// GetStatusCode returns the code for observers.
func (c coded) GetStatusCode() uint32 { return c.code }

// counted is a stream that counts its bytes from the second on, for the first
// one, which was waited for, is held.
type counted struct {
	network.Stream
	first   [1]byte
	held    bool
	in, out int
}

// wait waits for the first byte. The end of the stream before it is io.EOF.
func (c *counted) wait() error {
	n, err := io.ReadFull(c.Stream, c.first[:])
	c.held, c.in = n == 1, n
	return err
}

// Read implements io.Reader.
func (c *counted) Read(b []byte) (int, error) {
	if c.held && len(b) > 0 {
		c.held = false
		b[0] = c.first[0]
		return 1, nil
	}
	n, err := c.Stream.Read(b)
	c.in += n
	return n, err
}

// Write implements io.Writer.
func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Stream.Write(b)
	c.out += n
	return n, err
}
