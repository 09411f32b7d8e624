package rpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/wire"
)

// ErrMalformed is a request that is too large or no protobuf message. Its
// stream is as it should be, so that it can be answered.
var ErrMalformed = errors.New("malformed request")

// Handler returns the response to a request of p, which read reads; a request
// that is refused whatever it says need not be read. An error of read that is
// not ErrMalformed is the end of the stream. An error of the handler resets
// it. ctx ends with the server.
type Handler func(ctx context.Context, p peer.ID, read func(req proto.Message) error) (proto.Message, error)

// Config are the parameters of a Server.
type Config struct {
	// MaxRequest is the largest request read, in bytes.
	MaxRequest int
	// MaxStreams bounds the streams one peer has open; 0 leaves that to the
	// host's resource manager.
	MaxStreams int
	// Idle is how long a stream may wait for the first byte of its request;
	// 0 is as long as its connection. JavaScript clients open streams ahead
	// of need.
	Idle time.Duration
	// Timeout is how long the request may take from its first byte, and the
	// response from when it is known.
	Timeout time.Duration
	// Logger may be nil.
	Logger *slog.Logger
}

// Server answers the requests of one protocol.
type Server struct {
	h      host.Host
	id     protocol.ID
	cfg    Config
	log    *slog.Logger
	handle Handler
	gate   Gate
	ctx    context.Context
	cancel context.CancelFunc
}

// Serve mounts a protocol on h. The handler is called from several goroutines
// at a time.
func Serve(h host.Host, id protocol.ID, cfg Config, handle Handler) *Server {
	s := &Server{h: h, id: id, cfg: cfg, log: cfg.Logger, handle: handle, gate: Gate{Max: cfg.MaxStreams}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	h.SetStreamHandler(id, s.serve)
	return s
}

// Close unmounts the protocol, ends what is under way and waits for it. It
// must not be called from the handler.
func (s *Server) Close() {
	s.h.RemoveStreamHandler(s.id)
	s.cancel()
	s.gate.Close()
}

func (s *Server) serve(stream network.Stream) {
	p := stream.Conn().RemotePeer()
	if !s.gate.Enter(p) {
		_ = stream.Reset()
		return
	}
	defer s.gate.Leave(p)
	defer context.AfterFunc(s.ctx, func() { _ = stream.Reset() })()
	if err := s.answer(stream, p); err != nil {
		_ = stream.Reset()
		s.log.Debug("request unanswered", "protocol", s.id, "peer", p, "cause", err)
	}
}

// answer handles the one request of a stream and closes it: clients read until
// its end. A stream closed without a request is fine.
func (s *Server) answer(stream network.Stream, p peer.ID) error {
	if s.cfg.Idle > 0 {
		_ = stream.SetReadDeadline(time.Now().Add(s.cfg.Idle))
	}
	r := bufio.NewReader(stream)
	if _, err := r.Peek(1); errors.Is(err, io.EOF) {
		return stream.Close()
	} else if err != nil {
		return err
	}
	_ = stream.SetReadDeadline(time.Now().Add(s.cfg.Timeout))
	resp, err := s.handle(s.ctx, p, func(req proto.Message) error { return read(r, s.cfg.MaxRequest, req) })
	if err != nil {
		return err
	}
	_ = stream.SetWriteDeadline(time.Now().Add(s.cfg.Timeout))
	if err := wire.Write(stream, resp); err != nil {
		return err
	}
	return stream.Close()
}

// read reads a request of at most limit bytes and tells one that is malformed
// from a stream that fails.
func read(r *bufio.Reader, limit int, req proto.Message) error {
	err := wire.Read(r, limit, req)
	if errors.Is(err, wire.ErrTooLarge) || errors.Is(err, proto.Error) {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return err
}
