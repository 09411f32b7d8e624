// Package mplex lets a libp2p host speak the /mplex/6.7.0 stream muxer, the
// only one the deployed JavaScript clients of Waku offer. Hosts list yamux
// before it and use it only where the other side has nothing better.
package mplex

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/libp2p/go-libp2p/core/network"
	mplex "github.com/libp2p/go-mplex"
)

// ID is the protocol id of the muxer.
const ID = "/mplex/6.7.0"

// Transport makes mplex sessions; its zero value is ready.
type Transport struct{}

var _ network.Multiplexer = Transport{}

// NewConn starts an mplex session over a secured connection. Its buffers
// are accounted to scope, which may be nil.
func (Transport) NewConn(nc net.Conn, isServer bool, scope network.PeerScope) (network.MuxedConn, error) {
	var memory mplex.MemoryManager
	if scope != nil {
		memory = scope
	}
	m, err := mplex.NewMultiplex(nc, !isServer, memory)
	if err != nil {
		return nil, err
	}
	return &conn{m}, nil
}

// conn is a session as libp2p wants it.
type conn struct{ *mplex.Multiplex }

var _ network.MuxedConn = (*conn)(nil)

func (c *conn) OpenStream(ctx context.Context) (network.MuxedStream, error) {
	s, err := c.NewStream(ctx)
	if err != nil {
		return nil, translate(err)
	}
	return &stream{s}, nil
}

func (c *conn) AcceptStream() (network.MuxedStream, error) {
	s, err := c.Accept()
	if err != nil {
		return nil, translate(err)
	}
	return &stream{s}, nil
}

// CloseWithError closes the session; the muxer has no room for a code.
func (c *conn) CloseWithError(network.ConnErrorCode) error { return c.Close() }

// As gives access to the session below.
func (c *conn) As(target any) bool {
	if t, ok := target.(**mplex.Multiplex); ok {
		*t = c.Multiplex
		return true
	}
	return false
}

// stream is a stream as libp2p wants it. Resetting a finished stream sends
// nothing: JavaScript peers drop a connection on which frames for forgotten
// streams keep coming.
type stream struct{ *mplex.Stream }

var _ network.MuxedStream = (*stream)(nil)

func (s *stream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	return n, translate(err)
}

func (s *stream) Write(b []byte) (int, error) {
	n, err := s.Stream.Write(b)
	return n, translate(err)
}

// ResetWithError resets the stream; the muxer has no room for a code.
func (s *stream) ResetWithError(network.StreamErrorCode) error { return s.Reset() }

// translate makes the muxer's reset libp2p's.
func translate(err error) error {
	if errors.Is(err, mplex.ErrStreamReset) {
		return fmt.Errorf("%w: %w", network.ErrReset, err)
	}
	return err
}
