package peerexchange

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/rpc"
)

const (
	// maxStreams bounds the streams one peer has open here.
	maxStreams = 16
	// idleTimeout is how long a stream may wait for its request, and
	// requestTimeout how long request and response may take from there, each.
	idleTimeout    = 10 * time.Minute
	requestTimeout = 10 * time.Second
)

// DefaultRate is what each peer may ask when nothing is said: about what
// deployed nodes allow.
var DefaultRate = rpc.Rate{PerSecond: 1, Burst: 5}

// ServiceConfig are the parameters of a Service.
type ServiceConfig struct {
	// Rate is what each peer may ask; the zero value is DefaultRate.
	Rate rpc.Rate
	// Observe, when given, is told of each request once it is over. It must
	// not block.
	Observe func(rpc.Exchange)
	// Logger may be nil.
	Logger *slog.Logger
}

// Service gives records to those who ask.
type Service struct {
	cache  *Cache
	limit  *rpc.Limiter
	server *rpc.Server
}

// NewService mounts the protocol on h. The cache stays the caller's to fill.
func NewService(h host.Host, cache *Cache, cfg ServiceConfig) *Service {
	if cfg.Rate == (rpc.Rate{}) {
		cfg.Rate = DefaultRate
	}
	s := &Service{cache: cache, limit: rpc.NewLimiter(cfg.Rate)}
	s.server = rpc.Serve(h, ProtocolID, rpc.Config{
		MaxRequest: MaxRequest, MaxStreams: maxStreams, Idle: idleTimeout, Timeout: requestTimeout,
		Observe: cfg.Observe, Logger: cfg.Logger,
	}, s.serve)
	return s
}

// Close unmounts the protocol and waits for the requests under way.
func (s *Service) Close() error {
	s.server.Close()
	return nil
}

// serve answers one request. Refusals are answers with a code: a client that
// knows none of it reads an empty list.
func (s *Service) serve(_ context.Context, p peer.ID, read func(proto.Message) error) (proto.Message, error) {
	if !s.limit.Allow(p, time.Now()) {
		return answer(0, StatusTooMany, "asked too often"), nil
	}
	var req wakupb.PeerExchangeRPC
	switch err := read(&req); {
	case errors.Is(err, rpc.ErrMalformed):
		return answer(0, StatusBadRequest, "malformed request"), nil
	case err != nil:
		return nil, err
	case req.GetQuery() == nil:
		return answer(0, StatusBadRequest, "no query"), nil
	}
	return s.give(p, req.GetQuery().GetNumPeers()), nil
}

// give makes the response to p, which asked for n records.
func (s *Service) give(p peer.ID, n uint64) proto.Message {
	var infos []*wakupb.PeerInfo
	s.cache.draw(int(min(n, MaxPeers)), p, func(e *cached) {
		infos = append(infos, &wakupb.PeerInfo{Enr: e.raw})
	})
	return answer(n, StatusOK, "", infos...)
}

// answer makes a response. The query goes with it: deployed nwaku reads none
// without.
func answer(n uint64, code uint32, desc string, infos ...*wakupb.PeerInfo) proto.Message {
	m := &wakupb.PeerExchangeRPC{
		Query:    &wakupb.PeerExchangeQuery{NumPeers: &n},
		Response: &wakupb.PeerExchangeResponse{PeerInfos: infos, StatusCode: &code},
	}
	if desc != "" {
		m.Response.StatusDesc = &desc
	}
	return rpc.WithStatus(m, code)
}
