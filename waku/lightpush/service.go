package lightpush

import (
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
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/rpc"
)

// PublishFunc publishes a validated message for a client and returns the
// number of peers it was relayed to. Its error is one of this package's
// reasons or anything else, which clients see as an internal error without
// its text.
type PublishFunc func(ctx context.Context, pubsubTopic string, m *wakupb.WakuMessage) (peers int, err error)

// ServiceConfig are the parameters of a Service.
type ServiceConfig struct {
	// Publish is what a served request does; required.
	Publish PublishFunc
	// Limit bounds the requests of one peer; zero for DefaultRateLimit.
	Limit RateLimit
	// Now is the clock; nil for time.Now.
	Now func() time.Time
	// Observe, when given, is told of each request once it is over, those of
	// version 2 with the status code that version 3 has for the same. It is
	// called from several goroutines at a time and must not block.
	Observe func(rpc.Exchange)
	// Logger may be nil.
	Logger *slog.Logger
}

// RateLimit is a token bucket per peer: Burst requests at once, refilled at
// PerSecond. The zero value stands for DefaultRateLimit.
type RateLimit = rpc.Rate

// DefaultRateLimit is generous: deployed go-waku allows one request a
// second, which a client that joins a community exceeds at once.
var DefaultRateLimit = RateLimit{PerSecond: 20, Burst: 100}

// Service answers lightpush requests of both versions.
type Service struct {
	h       host.Host
	cfg     ServiceConfig
	log     *slog.Logger
	limit   *rpc.Limiter
	servers []*rpc.Server
}

// ErrConfig is a service configuration that makes no sense.
var ErrConfig = errors.New("lightpush: configuration")

// NewService mounts both versions on h, the preferred one first: clients
// learn of them one by one.
func NewService(h host.Host, cfg ServiceConfig) (*Service, error) {
	s, err := newService(h, cfg)
	if err != nil {
		return nil, err
	}
	s.mount(ProtocolV3, s.serveV3)
	s.mount(ProtocolV2, s.serveV2)
	return s, nil
}

// newService returns a service that is not mounted yet.
func newService(h host.Host, cfg ServiceConfig) (*Service, error) {
	if cfg.Limit == (RateLimit{}) {
		cfg.Limit = DefaultRateLimit
	}
	switch {
	case cfg.Publish == nil:
		return nil, fmt.Errorf("%w: no way to publish", ErrConfig)
	case cfg.Limit.Burst < 1 || !(cfg.Limit.PerSecond > 0):
		return nil, fmt.Errorf("%w: rate limit %v", ErrConfig, cfg.Limit)
	}
	s := &Service{h: h, cfg: cfg, log: cfg.Logger, limit: rpc.NewLimiter(cfg.Limit)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.cfg.Now == nil {
		s.cfg.Now = time.Now
	}
	return s, nil
}

// mount serves one version.
func (s *Service) mount(id protocol.ID, serve rpc.Handler) {
	s.servers = append(s.servers, rpc.Serve(s.h, id, rpc.Config{
		MaxRequest: MaxRequest, MaxStreams: MaxStreams,
		Idle: IdleTimeout, Timeout: requestTimeout,
		Observe: s.cfg.Observe, Logger: s.log,
	}, serve))
}

// Stats is how much a service has to do now and refused since it started.
type Stats struct {
	// Streams are open, those that wait for their request among them.
	Streams int
	// Limited requests exceeded their client's rate, RefusedStreams the
	// streams a client may have open.
	Limited, RefusedStreams uint64
}

// Stats returns the present state.
func (s *Service) Stats() Stats {
	st := Stats{Limited: s.limit.Refused()}
	for _, server := range s.servers {
		load := server.Load()
		st.Streams += load.Streams
		st.RefusedStreams += load.Refused
	}
	return st
}

// Close unmounts the service, abandons requests under way and waits for
// publications to end. It must not be called from one.
func (s *Service) Close() error {
	for _, server := range s.servers {
		server.Close()
	}
	return nil
}

// serveV3 answers one request of version 3. Its error means that no
// response could be given at all.
func (s *Service) serveV3(ctx context.Context, p peer.ID, read func(proto.Message) error) (proto.Message, error) {
	var req wakupb.LightPushRequest
	id, n := unreadID, 0
	err := s.receive(p, read, &req)
	if err == nil {
		id = req.RequestId
		n, err = s.publish(ctx, id, req.GetPubsubTopic(), req.Message)
	}
	if errors.Is(err, errGone) {
		return nil, err
	}
	resp := &wakupb.LightPushResponse{RequestId: echo(id), StatusCode: uint32(statusOf(err))}
	if err != nil {
		resp.StatusDesc = proto.String(s.describe(p, err))
	} else {
		resp.RelayPeerCount = proto.Uint32(uint32(n))
	}
	return resp, nil
}

// serveV2 answers one request of version 2 in the same way.
func (s *Service) serveV2(ctx context.Context, p peer.ID, read func(proto.Message) error) (proto.Message, error) {
	resp, code, err := s.answerV2(ctx, p, read)
	if err != nil {
		return nil, err
	}
	return rpc.WithStatus(resp, uint32(code)), nil
}

// answerV2 makes the response and the status code that goes with it, which
// version 2 cannot carry.
func (s *Service) answerV2(ctx context.Context, p peer.ID, read func(proto.Message) error) (*wakupb.PushRPC, Status, error) {
	var req wakupb.PushRPC
	id := ""
	err := s.receive(p, read, &req)
	switch {
	case err == nil:
		id = req.RequestId
		_, err = s.publish(ctx, id, req.Request.GetPubsubTopic(), req.Request.GetMessage())
	case errors.Is(err, errGone):
		return nil, 0, err
	case errors.Is(err, ErrTooManyRequests):
		id = unreadID // which clients of this version take for the rate limit
	}
	resp := &wakupb.PushResponse{IsSuccess: err == nil, Info: proto.String("OK")}
	if err != nil {
		resp.Info = proto.String(s.describe(p, err))
	}
	return &wakupb.PushRPC{RequestId: echo(id), Response: resp}, statusOf(err), nil
}

// errGone is a stream that ended within the request: nobody hears an answer.
var errGone = errors.New("lightpush: the stream ended")

// receive reads a request of p, unless p asks too often.
func (s *Service) receive(p peer.ID, read func(proto.Message) error, req proto.Message) error {
	if !s.limit.Allow(p, s.cfg.Now()) {
		return ErrTooManyRequests
	}
	err := read(req)
	if err == nil {
		return nil
	}
	if reason := readError(err); reason != nil {
		return reason
	}
	return fmt.Errorf("%w: %w", errGone, err)
}

// echo returns the request id for the response: one over the limit is not
// sent back.
func echo(id string) string {
	if len(id) > MaxRequestID {
		return ""
	}
	return id
}

// readError tells what a client hears about a request that could not be
// read; nil when the stream is gone and it hears nothing.
func readError(err error) error {
	var netErr interface{ Timeout() bool }
	switch {
	case errors.Is(err, wire.ErrTooLarge):
		return fmt.Errorf("%w: request of more than %d bytes", ErrTooLarge, MaxRequest)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, network.ErrReset), errors.As(err, &netErr):
		return nil
	}
	return fmt.Errorf("%w: not a request", ErrBadRequest)
}

// publish checks a request and publishes its message.
func (s *Service) publish(ctx context.Context, id, pubsubTopic string, m *wakupb.WakuMessage) (int, error) {
	switch {
	case len(id) > MaxRequestID:
		return 0, fmt.Errorf("%w: request id of %d bytes", ErrBadRequest, len(id))
	case m == nil:
		return 0, fmt.Errorf("%w: no message", ErrBadRequest)
	case pubsubTopic == "":
		return 0, fmt.Errorf("%w: no pubsub topic", ErrBadRequest)
	case len(pubsubTopic) > MaxPubsubTopic:
		return 0, fmt.Errorf("%w: pubsub topic of %d bytes", ErrBadRequest, len(pubsubTopic))
	}
	if size := proto.Size(m); size > message.MaxSize {
		return 0, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, size, message.MaxSize)
	}
	if err := message.Validate(m); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrInvalidMessage, err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return s.cfg.Publish(ctx, pubsubTopic, m)
}

// describe returns what a client is told; the text of an internal error
// stays here.
func (s *Service) describe(p peer.ID, err error) string {
	s.log.Debug("lightpush request refused", "peer", p, "cause", err)
	switch statusOf(err) {
	case StatusInternal:
		return "internal error"
	case StatusTooManyRequests:
		return tooManyRequests
	}
	return rpc.Clip(err.Error())
}
