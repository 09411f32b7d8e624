// Package store implements 13/WAKU2-STORE, version 3: what the archive of a
// node is that keeps history, the service that answers queries from it, and
// the client that asks other nodes. Archives are kept by the packages sqlite
// and postgres below it.
//
// An entry is a Waku message with its pubsub topic, under its deterministic
// hash (14/WAKU2-MESSAGE, Deterministic message hashing). Entries are ordered
// by timestamp, then by hash. A query selects by content topic and time, or
// looks up hashes, and is answered in pages; a page is in ascending order
// whatever the direction of the query, and its cursor is the hash of the last
// entry included (of the first one for backward queries), exclusive.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
)

// ProtocolID is the protocol id of store queries.
const ProtocolID protocol.ID = "/vac/waku/store-query/3.0.0"

const (
	// DefaultPage and MaxPage bound the entries of one page: what a query
	// without a limit gets, and what one with a larger limit gets.
	DefaultPage = 20
	MaxPage     = 100
	// MaxContentTopics and MaxHashes bound the criteria of one query.
	MaxContentTopics = 256
	MaxHashes        = 100
	// MaxFuture is how far ahead of the clock a timestamp may be for its
	// message to be stored. The specification allows the same bound for the
	// past; there is none here, so that an archive can be filled from
	// another one.
	MaxFuture = message.MaxSkew
)

// Errors of archives and of the rules around them.
var (
	ErrQuery         = errors.New("store: invalid query")
	ErrUnknownCursor = errors.New("store: no entry with the cursor's hash")
	ErrEphemeral     = errors.New("store: message is ephemeral")
	ErrNoTimestamp   = errors.New("store: message has no timestamp")
	ErrFuture        = errors.New("store: message is from the future")
	ErrInvalid       = errors.New("store: message is invalid")
	ErrHashMismatch  = errors.New("store: hash is not that of the message")
	ErrClosed        = errors.New("store: archive is closed")
	// ErrSchema is an archive written by a later version of the program.
	ErrSchema = errors.New("store: unknown database schema")
)

// Entry is a stored message.
type Entry struct {
	// Hash is the message's deterministic hash.
	Hash message.Hash
	// PubsubTopic and Message are empty in answers to queries without data.
	PubsubTopic string
	Message     *wakupb.WakuMessage
	// Encoded is the message as protobuf, in place of Message, in answers to
	// queries that asked for it.
	Encoded []byte
}

// NewEntry returns the entry of a message published on a pubsub topic.
func NewEntry(pubsubTopic string, m *wakupb.WakuMessage) Entry {
	return Entry{Hash: message.HashOf(pubsubTopic, m), PubsubTopic: pubsubTopic, Message: m}
}

// Page is the answer to a query.
type Page struct {
	// Messages are in ascending order of timestamp, then hash.
	Messages []Entry
	// Cursor continues the query; nil on the last page.
	Cursor *message.Hash
	// Faults are the items of a peer's answer that are not as they should
	// be. Archives report none.
	Faults []Fault
}

// Archive keeps entries. Implementations are safe for concurrent use; the
// package storetest holds the tests that each must pass.
type Archive interface {
	// Insert keeps the entries and returns when they are committed. Those
	// already there are passed over. An entry that is not Storable or whose
	// hash is wrong is an error, and none is kept then. On any other error,
	// and when ctx ends before Insert returns, some of them may be kept.
	Insert(ctx context.Context, entries ...Entry) error
	// Query answers one page. The error is ErrQuery for a query that does
	// not validate and ErrUnknownCursor for a cursor that is not kept.
	Query(ctx context.Context, q *Query) (*Page, error)
	// Close waits for what is under way. Later calls return ErrClosed.
	Close() error
}

// Storable says whether a message may be stored at now: it must be valid,
// not ephemeral, and carry a timestamp at most MaxFuture ahead of now
// (13/WAKU2-STORE, Waku Message Store Eligibility).
func Storable(m *wakupb.WakuMessage, now time.Time) error {
	if err := message.Validate(m); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if m.GetEphemeral() {
		return ErrEphemeral
	}
	t := m.GetTimestamp()
	if t <= 0 {
		return ErrNoTimestamp
	}
	if latest := now.Add(MaxFuture); t > latest.UnixNano() {
		return fmt.Errorf("%w: %s ahead", ErrFuture, time.Duration(t-now.UnixNano()))
	}
	return nil
}

// Check says whether an entry may be inserted at now.
func (e *Entry) Check(now time.Time) error {
	if err := Storable(e.Message, now); err != nil {
		return err
	}
	if e.PubsubTopic == "" {
		return fmt.Errorf("%w: no pubsub topic", ErrInvalid)
	}
	if want := message.HashOf(e.PubsubTopic, e.Message); e.Hash != want {
		return fmt.Errorf("%w: %s, not %s", ErrHashMismatch, e.Hash, want)
	}
	return nil
}
