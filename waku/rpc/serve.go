package rpc

import (
	"bufio"
	"context"
	"errors"
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
	// MaxBusy bounds the requests of one peer that are answered at the same
	// time, from reading one to writing its answer; the others wait. 0 is
	// DefaultBusy.
	MaxBusy int
	// Idle is how long a stream may wait for the first byte of its request;
	// 0 is as long as its connection. JavaScript clients open streams ahead
	// of need.
	Idle time.Duration
	// Timeout is how long a request may wait for its turn, may take from its
	// first byte or its turn, and the response from when it is known.
	Timeout time.Duration
	// Observe, when given, is told of each request once it is over, also of
	// those refused, malformed or failed, and of streams refused by
	// MaxStreams. It is called from several goroutines at a time and must
	// not block.
	Observe func(Exchange)
	// Logger may be nil.
	Logger *slog.Logger
}

// DefaultBusy is the number of requests of one peer answered at the same time.
const DefaultBusy = 8

// Server answers the requests of one protocol.
type Server struct {
	h      host.Host
	id     protocol.ID
	cfg    Config
	log    *slog.Logger
	handle Handler
	gate   Gate
	busy   busy
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
	if s.busy.max = cfg.MaxBusy; s.busy.max <= 0 {
		s.busy.max = DefaultBusy
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

// Load is what a Server has at one moment and refused so far.
type Load struct {
	// Streams are open now, those that wait for their request among them.
	Streams int
	// Refused streams were beyond MaxStreams.
	Refused uint64
}

// Load tells how much the server has to do.
func (s *Server) Load() Load { return Load{Streams: s.gate.Open(), Refused: s.gate.Refused()} }

func (s *Server) serve(stream network.Stream) {
	p := stream.Conn().RemotePeer()
	if !s.gate.Enter(p) {
		_ = stream.Reset()
		if s.ctx.Err() == nil { // refused, not closed
			s.observe(Exchange{Peer: p, Err: ErrStreams})
		}
		return
	}
	defer s.gate.Leave(p)
	defer context.AfterFunc(s.ctx, func() { _ = stream.Reset() })()
	c := &counted{Stream: stream}
	if s.cfg.Idle > 0 {
		_ = stream.SetReadDeadline(time.Now().Add(s.cfg.Idle))
	}
	switch err := c.wait(); {
	case errors.Is(err, io.EOF): // closed without a request, which is fine
		_ = stream.Close()
		return
	case err != nil:
		_ = stream.Reset()
		return
	}
	start := time.Now()
	x := Exchange{Peer: p}
	if x.Status, x.Err = s.inTurn(c, p); x.Err != nil {
		_ = stream.Reset()
		s.log.Debug("request unanswered", "protocol", s.id, "peer", p, "cause", x.Err)
	}
	x.Took, x.In, x.Out = time.Since(start), c.in, c.out
	s.observe(x)
}

// inTurn answers when the peer has not too many requests under way.
func (s *Server) inTurn(c *counted, p peer.ID) (uint32, error) {
	if !s.busy.enter(s.ctx, p, s.cfg.Timeout) {
		return 0, ErrBusy
	}
	defer s.busy.leave(p)
	return s.answer(c, p)
}

// answer handles the one request of a stream, of which the first byte has
// come, and closes it: clients read until its end. It returns the status
// answered.
func (s *Server) answer(c *counted, p peer.ID) (uint32, error) {
	r := readers.Get().(*bufio.Reader)
	r.Reset(c)
	defer func() {
		r.Reset(nil)
		readers.Put(r)
	}()
	_ = c.SetReadDeadline(time.Now().Add(s.cfg.Timeout))
	resp, err := s.handle(s.ctx, p, func(req proto.Message) error { return read(r, s.cfg.MaxRequest, req) })
	if err != nil {
		return 0, err
	}
	_ = c.SetWriteDeadline(time.Now().Add(s.cfg.Timeout))
	if err := wire.Write(c, resp); err != nil {
		return 0, err
	}
	if err := c.Close(); err != nil {
		return 0, err
	}
	return statusOf(resp), nil
}

func (s *Server) observe(x Exchange) {
	if s.cfg.Observe != nil {
		x.Protocol = s.id
		s.cfg.Observe(x)
	}
}
