// Package storesync keeps the archives of store nodes equal (WAKU-SYNC and
// WAKU-STORE-SYNC).
//
// Two nodes reconcile: they exchange fingerprints of ranges of message ids,
// narrow those that differ, and list what is in the small ones (range-based
// set reconciliation). Then each sends the other the messages it lacks
// (transfer). [Service] does both, periodically and when asked; [Resume] fills
// the gap of a node that was down by store queries; [Compare] and [Repair] are
// the operator's tools for any two stores, one of which may be a remote node
// that only answers queries.
//
// The reconciliation itself, [Set], [Payload] and [Process], holds no
// goroutine, clock or socket.
//
// Payloads are encoded as deployed nodes do (nwaku), which differs from the
// text of WAKU-SYNC in the lower bound of the first range, which is written,
// and in the numbers of the fields of a transferred message. Nodes before
// nwaku 0.37 put cluster and shards before the ranges, as the specification
// says, later ones the pubsub and content topics; both forms are read and
// answered in kind.
package storesync

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

// Protocol ids.
const (
	ReconcileID protocol.ID = "/vac/waku/reconciliation/1.0.0"
	TransferID  protocol.ID = "/vac/waku/transfer/1.0.0"
)

// Parameters that WAKU-SYNC leaves to implementations; the values are nwaku's.
const (
	// Partitions is the number of parts into which a range that differs is
	// divided.
	Partitions = 8
	// Threshold is the number of ids up to which a range is listed instead
	// of divided.
	Threshold = 100
	// DefaultInterval is the time between two synchronizations that a node
	// begins, DefaultWindow how far back they reach, and DefaultOffset the
	// age below which messages are still on their way and are left out.
	DefaultInterval = 5 * time.Minute
	DefaultWindow   = time.Hour
	DefaultOffset   = 20 * time.Second
	// DefaultReach is how far back other nodes may synchronize with this one.
	DefaultReach = 30 * 24 * time.Hour
)

// Bounds on what one session may cost.
const (
	// MaxPayload is the largest reconciliation payload read, in bytes.
	MaxPayload = 8 << 20
	// MaxRanges bounds the ranges of a payload.
	MaxRanges = 32_768
	// MaxReplyItems bounds the ids listed in one payload of our own. What
	// does not fit is put off to the next round.
	MaxReplyItems = 50_000
	// MaxRounds bounds the payloads read in one session.
	MaxRounds = 32
	// MaxSnapshot bounds the ids of the archive that one session compares.
	MaxSnapshot = 1 << 20
	// MaxIntervals bounds the separate stretches of time of one session.
	MaxIntervals = 4096
	// MaxWanted bounds the messages asked for in one session, and those that
	// all sessions begun by other nodes have outstanding.
	MaxWanted = 100_000
	// MaxFrame is the largest transferred message read, in bytes: a Waku
	// message with its pubsub topic.
	MaxFrame = message.MaxSize + 1024
	// MaxStrays is the number of messages that nobody asked for after which
	// a peer's transfer ends.
	MaxStrays = 16
	// MaxSessions bounds the sessions begun by other nodes at a time,
	// MaxSending the transfers that follow from them.
	MaxSessions = 4
	MaxSending  = 16
	// Grace is how long after the end of a session its messages are taken.
	Grace = time.Minute
	// StallTimeout ends a stream on which nothing moves.
	StallTimeout = 30 * time.Second
	// SessionTimeout bounds a reconciliation, and the transfer after it.
	SessionTimeout = 5 * time.Minute
)

// Errors of sessions.
var (
	ErrUnsupported = errors.New("storesync: the peer does not serve store sync")
	ErrScope       = errors.New("storesync: the peer stores other shards")
	ErrNoTopics    = errors.New("storesync: no pubsub topic to synchronize")
	ErrRounds      = errors.New("storesync: the reconciliation does not end")
	ErrOutside     = errors.New("storesync: a range outside of the session")
	ErrSnapshot    = errors.New("storesync: too many messages for one session")
	ErrTooLarge    = errors.New("storesync: payload too large")
	ErrBusy        = errors.New("storesync: a session with this peer is under way")
	ErrTransfer    = errors.New("storesync: malformed transfer")
	ErrClosed      = errors.New("storesync: service is closed")
)

// Archive is the part of a store archive that synchronization needs; every
// store.Maintainer is one.
type Archive interface {
	// IDs gives what is kept of a span, in order.
	IDs(ctx context.Context, s store.Span) iter.Seq2[store.ID, error]
	// Query answers lookups by hash and pages of a time range.
	Query(ctx context.Context, q *store.Query) (*store.Page, error)
	// Insert keeps entries, all or none; those already there are passed over.
	Insert(ctx context.Context, entries ...store.Entry) error
}

var _ Archive = store.Maintainer(nil)

// snapshot reads the ids of some stretches of time, which are in ascending
// order and do not overlap.
func snapshot(ctx context.Context, a Archive, stretches []Bounds, topics []string) (*Set, error) {
	var ids []store.ID
	for _, b := range stretches {
		for id, err := range a.IDs(ctx, store.Span{Start: b.Lower.Timestamp, End: endOf(b), PubsubTopics: topics}) {
			if err != nil {
				return nil, err
			}
			if !b.contains(id) {
				continue
			}
			if len(ids) == MaxSnapshot {
				return nil, ErrSnapshot
			}
			ids = append(ids, id)
		}
	}
	return NewSet(ids)
}

// endOf is the first timestamp behind b.
func endOf(b Bounds) int64 {
	if b.Upper.Hash.IsZero() || b.Upper.Timestamp == maxTimestamp {
		return b.Upper.Timestamp
	}
	return b.Upper.Timestamp + 1
}
