package store

import (
	"context"

	"github.com/libp2p/go-libp2p/core/peer"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/rpc"
)

// FrameOverhead is the room left for a frame's length.
const FrameOverhead = frameOverhead

// Item returns the wire form of an entry.
func Item(e *Entry) *wakupb.WakuMessageKeyValue { return item(e) }

// Respond makes the response out of a page.
func Respond(id string, q *Query, page *Page) *wakupb.StoreQueryResponse {
	return respond(id, q, page)
}

// Answer is what a service answers to a request; err says why it did not decode.
func Answer(ctx context.Context, a Archive, req *wakupb.StoreQueryRequest, err error) *wakupb.StoreQueryResponse {
	s := &Service{archive: a, limit: rpc.NewLimiter(rpc.Rate{}), slots: make(chan struct{}, 1)}
	return s.answer(ctx, "peer", req, err)
}

// QueryOf reads the wire form of a query, Request makes it.
func QueryOf(r *wakupb.StoreQueryRequest) (*Query, error) { return queryOf(r) }

func (q *Query) Request(id string) *wakupb.StoreQueryRequest { return q.request(id) }

// Selects says whether an entry with data is one that q asks for.
func (q *Query) Selects(e *Entry) bool { return q.selects(e) }

// PageOf reads the response to q.
func PageOf(q *Query, id string, resp *wakupb.StoreQueryResponse) (*Page, error) {
	return pageOf(q, id, resp)
}

// Exchange makes one request.
func (c *Client) Exchange(ctx context.Context, p peer.ID, req *wakupb.StoreQueryRequest) (*wakupb.StoreQueryResponse, error) {
	return c.exchange(ctx, p, req)
}
