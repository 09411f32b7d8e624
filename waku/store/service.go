package store

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/rpc"
)

const (
	// MaxRequest is the largest request read, in bytes.
	MaxRequest = 64 << 10
	// MaxResponse is the largest response written, in bytes: JavaScript
	// clients refuse more. Pages are cut to fit.
	MaxResponse = 4 << 20
	// MaxStreams bounds the streams one peer has open here. JavaScript
	// clients open one ahead of need and leave it idle.
	MaxStreams = 64
	// IdleTimeout is how long a stream may wait for the first byte of its
	// request, RequestTimeout how long request and response may take from
	// there, each.
	IdleTimeout    = time.Hour
	RequestTimeout = 15 * time.Second
	// maxQueries bounds the queries answered at the same time.
	maxQueries = 8
)

// Status codes of responses.
const (
	StatusOK          = 200
	StatusBadResponse = 300
	StatusBadRequest  = 400
	StatusTooMany     = 429
	StatusUnavailable = 503
	StatusNoPeer      = 504
)

// ServiceConfig are the parameters of a Service.
type ServiceConfig struct {
	// Rate is the number of queries a second that one peer may make, Burst
	// how many of them at once. There is no limit when Rate is 0.
	Rate  float64
	Burst int
	// Observe, when given, is told of each request once it is over; see
	// rpc.Config.
	Observe func(rpc.Exchange)
	// Logger may be nil.
	Logger *slog.Logger
}

// Service answers store queries of other nodes from an archive.
type Service struct {
	archive Archive
	log     *slog.Logger
	limit   *rpc.Limiter
	slots   chan struct{}
	server  *rpc.Server
}

// NewService mounts the store protocol on h. The archive stays the caller's
// to fill and to close, after the service.
func NewService(h host.Host, archive Archive, cfg ServiceConfig) *Service {
	s := &Service{
		archive: archive, log: cfg.Logger,
		limit: rpc.NewLimiter(rpc.Rate{PerSecond: cfg.Rate, Burst: cfg.Burst}),
		slots: make(chan struct{}, maxQueries),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.server = rpc.Serve(h, ProtocolID, rpc.Config{
		MaxRequest: MaxRequest, MaxStreams: MaxStreams,
		Idle: IdleTimeout, Timeout: RequestTimeout, Observe: cfg.Observe, Logger: s.log,
	}, s.serve)
	return s
}

// Close unmounts the protocol and ends the queries under way.
func (s *Service) Close() error {
	s.server.Close()
	return nil
}

func (s *Service) serve(ctx context.Context, p peer.ID, read func(proto.Message) error) (proto.Message, error) {
	var req wakupb.StoreQueryRequest
	err := read(&req)
	if err != nil && !errors.Is(err, rpc.ErrMalformed) {
		return nil, err
	}
	return s.answer(ctx, p, &req, err), nil
}

// answer makes the response to a request of p, which is not to be trusted
// when err says that it did not decode.
func (s *Service) answer(ctx context.Context, p peer.ID, req *wakupb.StoreQueryRequest, err error) *wakupb.StoreQueryResponse {
	if !s.limit.Allow(p, time.Now()) {
		return refusal(req, StatusTooMany, "too many requests")
	}
	if err != nil {
		return refusal(req, StatusBadRequest, err.Error())
	}
	q, err := queryOf(req)
	if err != nil {
		return refusal(req, StatusBadRequest, err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return refusal(req, StatusUnavailable, "busy")
	}
	q.Encoded = true
	page, err := s.archive.Query(ctx, q)
	switch {
	case errors.Is(err, ErrQuery), errors.Is(err, ErrUnknownCursor):
		return refusal(req, StatusBadRequest, err.Error())
	case err != nil:
		s.log.Warn("store query failed", "peer", p, "cause", err)
		return refusal(req, StatusUnavailable, "the archive cannot be read")
	}
	return respond(req.GetRequestId(), q, page)
}

func refusal(req *wakupb.StoreQueryRequest, code uint32, text string) *wakupb.StoreQueryResponse {
	return &wakupb.StoreQueryResponse{
		RequestId: req.GetRequestId(), StatusCode: &code, StatusDesc: &text,
	}
}

// respond makes the response out of a page, leaving out what does not fit
// into MaxResponse; the cursor then points where the next page continues.
func respond(id string, q *Query, page *Page) *wakupb.StoreQueryResponse {
	code, text := uint32(StatusOK), "OK"
	resp := &wakupb.StoreQueryResponse{RequestId: id, StatusCode: &code, StatusDesc: &text}
	if len(page.Messages) == 0 {
		return resp
	}
	resp.PaginationCursor = make([]byte, len(page.Messages[0].Hash))
	room := MaxResponse - proto.Size(resp) - frameOverhead
	items := make([]*wakupb.WakuMessageKeyValue, len(page.Messages))
	kept := 0
	for i := range items {
		at := i // in the direction of the query
		if !q.Forward {
			at = len(items) - 1 - i
		}
		items[at] = item(&page.Messages[at])
		room -= itemTagSize + protowire.SizeBytes(proto.Size(items[at]))
		if room < 0 && kept > 0 {
			break
		}
		kept++
	}
	cut := Page{Messages: page.Messages[:kept], Cursor: page.Cursor}
	resp.Messages = items[:kept]
	if !q.Forward {
		cut.Messages = page.Messages[len(items)-kept:]
		resp.Messages = items[len(items)-kept:]
	}
	if kept < len(items) {
		cut.Cursor = cut.edge(q.Forward)
	}
	resp.PaginationCursor = nil
	if cut.Cursor != nil {
		resp.PaginationCursor = cut.Cursor[:]
	}
	return resp
}

// edge is the hash a further page starts behind.
func (p *Page) edge(forward bool) *message.Hash {
	h := p.Messages[0].Hash
	if forward {
		h = p.Messages[len(p.Messages)-1].Hash
	}
	return &h
}

const frameOverhead = 10 // the frame's length, a varint

// itemMessage is the number of the field message in an item.
const itemMessage = 2

var itemMessageSize = protowire.SizeTag(itemMessage)

var itemTagSize = protowire.SizeTag(20) // of the field messages

// item returns the wire form of an entry.
func item(e *Entry) *wakupb.WakuMessageKeyValue {
	kv := &wakupb.WakuMessageKeyValue{MessageHash: e.Hash[:]}
	switch {
	case e.Encoded != nil:
		kv.PubsubTopic = &e.PubsubTopic
		// A field that is not known is written as it is, here in the place of
		// the message.
		raw := make([]byte, 0, itemMessageSize+protowire.SizeBytes(len(e.Encoded)))
		kv.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(raw, itemMessage, protowire.BytesType), e.Encoded))
	case e.Message != nil:
		kv.Message, kv.PubsubTopic = e.Message, &e.PubsubTopic
	}
	return kv
}
