package store

import (
	"fmt"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
)

// Query selects entries: by content (pubsub topic with content topics, time
// range, or both), by hash, or, with neither, all of them.
type Query struct {
	// IncludeData asks for messages, not only for their hashes.
	IncludeData bool
	// Encoded lets an archive give messages as Entry.Encoded, which saves the
	// service from decoding what it encodes again. An archive may ignore it.
	Encoded bool
	// PubsubTopic and ContentTopics belong together. In a lookup by hash the
	// pubsub topic may stand alone: JavaScript clients send it.
	PubsubTopic   string
	ContentTopics []string
	// TimeStart (inclusive) and TimeEnd (exclusive) are Unix times in
	// nanoseconds; 0 is unset.
	TimeStart, TimeEnd int64
	// Hashes are the keys looked up. Without IncludeData the answer tells
	// which of them are present.
	Hashes []message.Hash
	// Cursor is where the page before ended, exclusive; nil for the first.
	Cursor *message.Hash
	// Forward pages from old to new; otherwise from new to old.
	Forward bool
	// Limit is the most entries in a page; see PageSize.
	Limit uint64
}

// PageSize is the number of entries a page may have: Limit, and never above
// MaxPage. Without a limit it is DefaultPage, or MaxPage for lookups by hash,
// whose answer is bounded anyway.
func (q *Query) PageSize() int {
	switch {
	case q.Limit == 0 && len(q.Hashes) == 0:
		return DefaultPage
	case q.Limit == 0:
		return MaxPage
	case q.Limit > MaxPage:
		return MaxPage
	}
	return int(q.Limit)
}

// Validate checks the rules of 13/WAKU2-STORE, Store Query Request. Its
// errors wrap ErrQuery and are fit for the asking peer.
func (q *Query) Validate() error {
	switch {
	case len(q.Hashes) > MaxHashes:
		return fmt.Errorf("%w: %d message hashes, at most %d", ErrQuery, len(q.Hashes), MaxHashes)
	case len(q.Hashes) > 0 && (len(q.ContentTopics) > 0 || q.TimeStart != 0 || q.TimeEnd != 0):
		return fmt.Errorf("%w: message hashes together with a content filter", ErrQuery)
	case len(q.ContentTopics) > MaxContentTopics:
		return fmt.Errorf("%w: %d content topics, at most %d", ErrQuery, len(q.ContentTopics), MaxContentTopics)
	case len(q.ContentTopics) > 0 && q.PubsubTopic == "":
		return fmt.Errorf("%w: content topics without a pubsub topic", ErrQuery)
	case len(q.Hashes) == 0 && len(q.ContentTopics) == 0 && q.PubsubTopic != "":
		return fmt.Errorf("%w: a pubsub topic without content topics", ErrQuery)
	case q.TimeStart < 0 || q.TimeEnd < 0:
		return fmt.Errorf("%w: a time before 1970", ErrQuery)
	case q.TimeEnd != 0 && q.TimeEnd < q.TimeStart:
		return fmt.Errorf("%w: the time range ends before it starts", ErrQuery)
	}
	for _, t := range q.ContentTopics {
		if t == "" {
			return fmt.Errorf("%w: an empty content topic", ErrQuery)
		}
	}
	return nil
}

// request returns the wire form of q.
func (q *Query) request(id string) *wakupb.StoreQueryRequest {
	r := &wakupb.StoreQueryRequest{
		RequestId:         id,
		IncludeData:       q.IncludeData,
		ContentTopics:     q.ContentTopics,
		PaginationForward: q.Forward,
	}
	if q.PubsubTopic != "" {
		r.PubsubTopic = &q.PubsubTopic
	}
	if q.TimeStart != 0 {
		r.TimeStart = &q.TimeStart
	}
	if q.TimeEnd != 0 {
		r.TimeEnd = &q.TimeEnd
	}
	for i := range q.Hashes {
		r.MessageHashes = append(r.MessageHashes, q.Hashes[i][:])
	}
	if q.Cursor != nil {
		r.PaginationCursor = q.Cursor[:]
	}
	if q.Limit != 0 {
		r.PaginationLimit = &q.Limit
	}
	return r
}

// queryOf reads the wire form and validates it. Errors wrap ErrQuery.
func queryOf(r *wakupb.StoreQueryRequest) (*Query, error) {
	q := &Query{
		IncludeData:   r.GetIncludeData(),
		PubsubTopic:   r.GetPubsubTopic(),
		ContentTopics: r.GetContentTopics(),
		TimeStart:     r.GetTimeStart(),
		TimeEnd:       r.GetTimeEnd(),
		Forward:       r.GetPaginationForward(),
		Limit:         r.GetPaginationLimit(),
	}
	if r.GetRequestId() == "" {
		return nil, fmt.Errorf("%w: no request id", ErrQuery)
	}
	for _, b := range r.GetMessageHashes() {
		h, err := message.HashFromBytes(b)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrQuery, err)
		}
		q.Hashes = append(q.Hashes, h)
	}
	if b := r.GetPaginationCursor(); len(b) > 0 {
		h, err := message.HashFromBytes(b)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrQuery, err)
		}
		q.Cursor = &h
	}
	return q, q.Validate()
}
