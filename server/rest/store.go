package rest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/store"
)

// maxScan bounds the pages of an archive that one call looks through where its
// filter is not one that archives have.
const maxScan = 20

// StoreResponse is a page of stored messages.
type StoreResponse struct {
	RequestID        string         `json:"requestId"`
	StatusCode       uint32         `json:"statusCode"`
	StatusDesc       string         `json:"statusDesc"`
	Messages         []StoreMessage `json:"messages"`
	PaginationCursor string         `json:"paginationCursor,omitempty" doc:"Asks for the next page; absent on the last one"`
}

// StoreMessage is a stored message, or its hash alone.
type StoreMessage struct {
	MessageHash string   `json:"messageHash" doc:"In hexadecimal"`
	Message     *Message `json:"message,omitempty"`
	PubsubTopic string   `json:"pubsubTopic,omitempty"`
}

type storeInput struct {
	PeerAddr      string `query:"peerAddr" doc:"Multiaddress of the store node to ask, with its peer id; otherwise this node's own store answers, or a connected one"`
	IncludeData   string `query:"includeData" doc:"true for messages, false (the default) for their hashes only"`
	PubsubTopic   string `query:"pubsubTopic"`
	ContentTopics string `query:"contentTopics" doc:"With commas between"`
	StartTime     string `query:"startTime" doc:"Nanoseconds since 1970, inclusive"`
	EndTime       string `query:"endTime" doc:"Nanoseconds since 1970, exclusive"`
	Hashes        string `query:"hashes" doc:"Message hashes in hexadecimal or base64, with commas between"`
	Cursor        string `query:"cursor" doc:"The paginationCursor of the page before"`
	Ascending     string `query:"ascending" doc:"true (the default) pages from old to new, false from new to old"`
	PageSize      string `query:"pageSize" doc:"20 by default, at most 100"`
}

func (s *Server) registerStore() {
	register(s.routes, call{
		method: http.MethodGet, path: "/store/v3/messages", out: StoreResponse{},
		id: "store-messages", summary: "Stored messages", errors: []int{400, 412, 429, 500},
	}, s.storeMessages)
}

func (s *Server) storeMessages(ctx context.Context, in *storeInput) reply {
	q, err := in.query()
	if err != nil {
		return text(http.StatusBadRequest, err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	ask, own := s.cfg.Node.Query, false
	switch {
	case in.PeerAddr != "":
		p, err := peer.AddrInfoFromString(again(in.PeerAddr))
		if err != nil {
			return text(http.StatusBadRequest, "Failed parsing remote peer info: "+err.Error())
		}
		ask = s.askPeer(*p)
	case s.cfg.Archive != nil:
		ask, own = s.cfg.Archive.Query, true
	}
	page, err := s.wide(ctx, ask, q)
	switch {
	case err == nil:
		return value(http.StatusOK, storeResponse(q, page))
	case errors.Is(err, store.ErrQuery), errors.Is(err, store.ErrUnknownCursor):
		return text(http.StatusBadRequest, err.Error())
	case errors.Is(err, node.ErrNoStore):
		return text(http.StatusPreconditionFailed, noService)
	case errors.Is(err, store.ErrTooMany):
		return text(http.StatusTooManyRequests, "Request rate limit reached")
	case errors.Is(err, context.DeadlineExceeded):
		return text(http.StatusInternalServerError, "No history response received (timeout)")
	}
	if own {
		// Whoever asks need not know of the database.
		s.log.Warn("store query failed", "cause", err)
		err = errArchive
	}
	return textf(http.StatusInternalServerError, "Error occurred in the store query [%v]", err)
}

// errArchive is what callers hear of a failure of this node's own archive.
var errArchive = errors.New("the archive cannot be read; the log says why")

type query func(context.Context, *store.Query) (*store.Page, error)

// askPeer asks one store node, dialling it first.
func (s *Server) askPeer(p peer.AddrInfo) query {
	return func(ctx context.Context, q *store.Query) (*store.Page, error) {
		if err := s.cfg.Node.Dial(ctx, p); err != nil {
			return nil, fmt.Errorf("PEER_DIAL_FAILURE: %w", err)
		}
		return store.NewClient(s.cfg.Node.Host()).Query(ctx, p.ID, q)
	}
}

// wide answers the queries that 13/WAKU2-STORE does not have but nwaku's
// archive answers: content topics on any pubsub topic, and a pubsub topic with
// any content topic.
func (s *Server) wide(ctx context.Context, ask query, q *store.Query) (*store.Page, error) {
	switch {
	case len(q.Hashes) > 0, (q.PubsubTopic == "") == (len(q.ContentTopics) == 0):
		return ask(ctx, q)
	case q.PubsubTopic == "":
		return s.anyPubsub(ctx, ask, q)
	}
	return anyContent(ctx, ask, q)
}

// anyPubsub asks for content topics on each pubsub topic that this node
// relays or that autosharding gives, and merges the pages. Every page begins
// at the same cursor, which stands for a place in the order of all messages.
func (s *Server) anyPubsub(ctx context.Context, ask query, q *store.Query) (*store.Page, error) {
	topics := slices.Clone(s.cfg.Node.RelayTopics())
	for _, c := range q.ContentTopics {
		if pubsub, err := s.cfg.pubsubOf(c); err == nil && !slices.Contains(topics, pubsub) {
			topics = append(topics, pubsub)
		}
	}
	if len(topics) == 0 {
		return ask(ctx, q) // which says what is wrong with it
	}
	var all []store.Entry
	more := false
	for _, t := range topics {
		one := *q
		one.PubsubTopic, one.IncludeData = t, true // the order is in the data
		page, err := ask(ctx, &one)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Messages...)
		more = more || page.Cursor != nil
	}
	slices.SortFunc(all, compareEntries)
	return cut(all, q, more), nil
}

func compareEntries(a, b store.Entry) int {
	if x, y := a.Message.GetTimestamp(), b.Message.GetTimestamp(); x != y {
		if x < y {
			return -1
		}
		return 1
	}
	return slices.Compare(a.Hash[:], b.Hash[:])
}

// anyContent looks through all messages for those of a pubsub topic. Where it
// does not come to the end, the cursor goes on from there, be there messages
// or not.
func anyContent(ctx context.Context, ask query, q *store.Query) (*store.Page, error) {
	one := *q
	one.PubsubTopic, one.IncludeData, one.Limit = "", true, store.MaxPage
	var found []store.Entry
	for range maxScan {
		page, err := ask(ctx, &one)
		if err != nil {
			return nil, err
		}
		match := slices.DeleteFunc(slices.Clone(page.Messages), func(e store.Entry) bool { return e.PubsubTopic != q.PubsubTopic })
		if q.Forward {
			found = append(found, match...)
		} else {
			found = append(match, found...)
		}
		if len(found) > q.PageSize() || page.Cursor == nil {
			return cut(found, q, false), nil
		}
		one.Cursor = page.Cursor
	}
	return &store.Page{Messages: found, Cursor: one.Cursor}, nil
}

// cut makes a page of entries in order, of which there may be too many; more
// says that there are others behind them anyhow.
func cut(all []store.Entry, q *store.Query, more bool) *store.Page {
	if extra := len(all) - q.PageSize(); extra > 0 {
		more = true
		if q.Forward {
			all = all[:q.PageSize()]
		} else {
			all = all[extra:]
		}
	}
	page := &store.Page{Messages: all}
	if more && len(all) > 0 {
		edge := all[0].Hash
		if q.Forward {
			edge = all[len(all)-1].Hash
		}
		page.Cursor = &edge
	}
	return page
}

func storeResponse(q *store.Query, page *store.Page) StoreResponse {
	out := StoreResponse{StatusCode: store.StatusOK, StatusDesc: "OK", Messages: []StoreMessage{}}
	for _, e := range page.Messages {
		item := StoreMessage{MessageHash: e.Hash.String()}
		if q.IncludeData && e.Message != nil {
			m := storeMessage(e.Message)
			item.Message, item.PubsubTopic = &m, e.PubsubTopic
		}
		out.Messages = append(out.Messages, item)
	}
	if page.Cursor != nil {
		out.PaginationCursor = page.Cursor.String()
	}
	return out
}

// query reads the parameters of a call.
func (in *storeInput) query() (*store.Query, error) {
	q := &store.Query{PubsubTopic: again(in.PubsubTopic), ContentTopics: commas(again(in.ContentTopics)), Forward: true}
	var err error
	if q.IncludeData, err = parseBool(in.IncludeData, false); err != nil {
		return nil, fmt.Errorf("include data parsing error: %w", err)
	}
	if q.Forward, err = parseBool(in.Ascending, true); err != nil {
		return nil, fmt.Errorf("ascending parsing error: %w", err)
	}
	if q.TimeStart, err = parseTime(in.StartTime); err != nil {
		return nil, err
	}
	if q.TimeEnd, err = parseTime(in.EndTime); err != nil {
		return nil, err
	}
	for _, text := range commas(again(in.Hashes)) {
		h, err := parseHash(text)
		if err != nil {
			return nil, err
		}
		q.Hashes = append(q.Hashes, h)
	}
	if in.Cursor != "" {
		h, err := parseHash(again(in.Cursor))
		if err != nil {
			return nil, err
		}
		q.Cursor = &h
	}
	if in.PageSize != "" {
		if q.Limit, err = strconv.ParseUint(in.PageSize, 10, 64); err != nil {
			return nil, fmt.Errorf("page size parsing error: %w", err)
		}
	}
	if q.Limit == 0 { // also for hashes, of which archives would give more
		q.Limit = store.DefaultPage
	}
	return q, nil
}

// again decodes what was URL-encoded twice, as nwaku does; what was not stays
// as it is.
func again(s string) string {
	if strings.Contains(s, "%") {
		if decoded, err := url.PathUnescape(s); err == nil {
			return decoded
		}
	}
	return s
}

// parseTime reads a time in nanoseconds; one that is not positive is none.
func parseTime(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	t, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("time parsing error: %w", err)
	}
	return max(t, 0), nil
}

// parseBool reads what Nim reads as a truth value.
func parseBool(s string, absent bool) (bool, error) {
	switch strings.ToLower(s) {
	case "":
		return absent, nil
	case "y", "yes", "true", "1", "on":
		return true, nil
	case "n", "no", "false", "0", "off":
		return false, nil
	}
	return false, fmt.Errorf("cannot interpret as a bool: %q", s)
}

// parseHash reads a message hash in hexadecimal (nwaku from 0.34) or in base64
// (before, and go-waku), where a plus sign may have become a space.
func parseHash(s string) (message.Hash, error) {
	digits := strings.TrimPrefix(s, "0x")
	raw, err := hex.DecodeString(digits)
	if err != nil {
		if raw, err = decodeBase64(strings.ReplaceAll(s, " ", "+")); err != nil {
			return message.Hash{}, fmt.Errorf("waku message hash parsing error: %q is neither hexadecimal nor base64", s)
		}
	}
	h, err := message.HashFromBytes(raw)
	if err != nil {
		return message.Hash{}, fmt.Errorf("waku message hash parsing error: invalid hash length: %d", len(raw))
	}
	return h, nil
}
