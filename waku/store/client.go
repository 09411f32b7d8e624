package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/rpc"
)

const (
	// MaxAnswer is the largest response a client reads, in bytes. Deployed
	// nodes do not cut pages: 100 messages of 150 KB fit, and where larger
	// ones are carried a page of one always does.
	MaxAnswer = 20 << 20
	// MaxPages bounds the pages All asks one peer for.
	MaxPages = 10_000
	// QueryTimeout bounds one query whose context has no earlier deadline.
	QueryTimeout = 30 * time.Second
)

// Errors of a client. A StatusError matches the one of its code.
var (
	ErrBadRequest  = errors.New("store: the peer refuses the query")
	ErrTooMany     = errors.New("store: the peer limits the rate of queries")
	ErrUnavailable = errors.New("store: the peer's store is not available")
	ErrStatus      = errors.New("store: the peer answers with an error")
	ErrResponse    = errors.New("store: malformed response")
	ErrAnswerSize  = errors.New("store: the answer is too large, ask for a smaller page")
	ErrUnasked     = errors.New("store: the query does not select the message")
	ErrEndless     = errors.New("store: the peer's pages do not end")
)

// StatusError is a response that is no success. It matches ErrStatus and the
// error of its code.
type StatusError = rpc.StatusError

var statuses = rpc.Statuses{Protocol: "store", Any: ErrStatus, Codes: map[uint32]error{
	StatusBadRequest:  ErrBadRequest,
	StatusTooMany:     ErrTooMany,
	StatusUnavailable: ErrUnavailable,
}}

// Fault is an item of an answer that is not as it should be.
type Fault struct {
	// Hash is the one the peer claims.
	Hash message.Hash
	// Err is ErrHashMismatch, ErrUnasked or ErrInvalid.
	Err error
	// Kept tells that the message is in the page nevertheless, under the
	// hash computed from it: some archives lose fields that are hashed.
	Kept bool
}

// Client queries the stores of other nodes.
type Client struct{ h host.Host }

// NewClient returns a client that asks from h.
func NewClient(h host.Host) *Client { return &Client{h} }

// Query asks p for one page. Its error is a *StatusError when p refuses,
// ErrQuery when q itself is wrong, ErrResponse when the answer makes no
// sense, ErrAnswerSize when a smaller page should be asked for.
//
// What p claims about a message is not believed: entries with data carry the
// hash computed here. One that differs from the claim is kept under the
// computed hash in content-filtered queries and left out of lookups, unless it
// was asked for by that hash too; messages that are invalid or that q does not
// select are left out. All of them are listed in Page.Faults.
func (c *Client) Query(ctx context.Context, p peer.ID, q *Query) (*Page, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	id := rand.Text()
	resp, err := c.exchange(ctx, p, q.request(id))
	if err != nil {
		return nil, fmt.Errorf("querying the store of %s: %w", p, err)
	}
	page, err := pageOf(q, id, resp)
	if err != nil {
		return nil, fmt.Errorf("querying the store of %s: %w", p, err)
	}
	return page, nil
}

// All asks p for all pages of q, beginning at its cursor if it has one, and
// hands each to visit until one is the last or visit returns an error, which
// is then All's. A peer whose cursors repeat or that sends more than MaxPages
// ends in ErrEndless.
func (c *Client) All(ctx context.Context, p peer.ID, q *Query, visit func(*Page) error) error {
	ask := *q
	seen := make(map[message.Hash]bool)
	if ask.Cursor != nil {
		seen[*ask.Cursor] = true
	}
	for range MaxPages {
		page, err := c.Query(ctx, p, &ask)
		if err != nil {
			return err
		}
		if err := visit(page); err != nil {
			return err
		}
		if page.Cursor == nil || len(page.Messages)+len(page.Faults) == 0 {
			return nil
		}
		if seen[*page.Cursor] {
			return fmt.Errorf("%w: cursor %s again", ErrEndless, *page.Cursor)
		}
		seen[*page.Cursor] = true
		ask.Cursor = page.Cursor
	}
	return fmt.Errorf("%w: %d pages", ErrEndless, MaxPages)
}

// exchange makes one request.
func (c *Client) exchange(ctx context.Context, p peer.ID, req *wakupb.StoreQueryRequest) (*wakupb.StoreQueryResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, QueryTimeout)
	defer cancel()
	resp := new(wakupb.StoreQueryResponse)
	_, err := rpc.Do(ctx, c.h, p, rpc.Call{Protocol: ProtocolID, Request: req, Response: resp, MaxResponse: MaxAnswer})
	if errors.Is(err, wire.ErrTooLarge) {
		err = fmt.Errorf("%w: %w", ErrAnswerSize, err)
	}
	return resp, err
}

// pageOf reads the response to q.
func pageOf(q *Query, id string, resp *wakupb.StoreQueryResponse) (*Page, error) {
	if err := statuses.Check(resp.GetStatusCode(), resp.GetStatusDesc()); err != nil {
		return nil, err
	}
	if resp.GetRequestId() != id {
		return nil, fmt.Errorf("%w: it answers another request", ErrResponse)
	}
	page := new(Page)
	for _, kv := range resp.GetMessages() {
		claimed, err := message.HashFromBytes(kv.GetMessageHash())
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrResponse, err)
		}
		page.add(q, claimed, kv)
	}
	if b := resp.GetPaginationCursor(); len(b) > 0 {
		h, err := message.HashFromBytes(b)
		if err != nil {
			return nil, fmt.Errorf("%w: cursor: %w", ErrResponse, err)
		}
		page.Cursor = &h
	}
	return page, nil
}

// add puts an item into the page, among its entries or its faults.
func (p *Page) add(q *Query, claimed message.Hash, kv *wakupb.WakuMessageKeyValue) {
	lookup := len(q.Hashes) > 0
	if !q.IncludeData {
		if lookup && !slices.Contains(q.Hashes, claimed) {
			p.Faults = append(p.Faults, Fault{Hash: claimed, Err: ErrUnasked})
			return
		}
		p.Messages = append(p.Messages, Entry{Hash: claimed})
		return
	}
	if err := message.Validate(kv.GetMessage()); err != nil {
		p.Faults = append(p.Faults, Fault{Hash: claimed, Err: fmt.Errorf("%w: %w", ErrInvalid, err)})
		return
	}
	if kv.GetPubsubTopic() == "" {
		p.Faults = append(p.Faults, Fault{Hash: claimed, Err: fmt.Errorf("%w: no pubsub topic", ErrInvalid)})
		return
	}
	e := NewEntry(kv.GetPubsubTopic(), kv.GetMessage())
	selected := q.selects(&e)
	switch {
	case e.Hash != claimed:
		p.Faults = append(p.Faults, Fault{Hash: claimed, Err: ErrHashMismatch, Kept: selected})
	case !selected:
		p.Faults = append(p.Faults, Fault{Hash: claimed, Err: ErrUnasked})
	}
	if selected {
		p.Messages = append(p.Messages, e)
	}
}

// selects says whether an entry with data is one that q asks for.
func (q *Query) selects(e *Entry) bool {
	t := e.Message.GetTimestamp()
	switch {
	case len(q.Hashes) > 0 && !slices.Contains(q.Hashes, e.Hash):
		return false
	case q.PubsubTopic != "" && q.PubsubTopic != e.PubsubTopic:
		return false
	case len(q.ContentTopics) > 0 && !slices.Contains(q.ContentTopics, e.Message.GetContentTopic()):
		return false
	case q.TimeEnd != 0 && t >= q.TimeEnd:
		return false
	}
	return t >= q.TimeStart
}
