package sds

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	pb "github.com/parley-im/parley/pb/reliability"
)

// Limits of what Decode reads and Encode writes.
const (
	// MaxSize is the longest message in bytes.
	MaxSize = 2 << 20
	// MaxID is the longest message, participant or channel id in bytes.
	MaxID = 256
	// MaxHint is the longest retrieval hint in bytes. Deployed clients put up
	// to a few Waku message hashes of 32 bytes there.
	MaxHint = 1024
	// MaxHistory bounds the entries of a causal history. Deployed clients
	// (@waku/sds) send 200.
	MaxHistory = 512
	// MaxRequests bounds the repair requests of one message. Deployed clients
	// send 3, as the specification recommends.
	MaxRequests = 64
	// MaxFilter is the longest bloom filter in bytes.
	MaxFilter = 64 << 10
)

// Errors of Decode and Encode. A caller that falls through to the next layer
// does so on ErrNotMessage alone.
var (
	// ErrNotMessage says that the bytes are not a message in either layout:
	// they belong to another layer.
	ErrNotMessage = errors.New("not a scalable data sync message")
	// ErrLimit says that a message exceeds one of the limits above.
	ErrLimit = errors.New("scalable data sync message over the limit")
	// ErrKind says that a message is neither content nor sync nor ephemeral,
	// or of a kind that its layout cannot carry.
	ErrKind = errors.New("scalable data sync message of no kind")
)

// Kind is what a message is for. It is told by which fields are present.
type Kind int

// The kinds.
const (
	// Content is synchronised: it has a Lamport timestamp and content.
	Content Kind = iota + 1
	// Sync is a periodic message without content (section "Periodic Sync
	// Message").
	Sync
	// Ephemeral has content and no Lamport timestamp (section "Ephemeral
	// Messages").
	Ephemeral
)

// String returns the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case Content:
		return "content"
	case Sync:
		return "sync"
	case Ephemeral:
		return "ephemeral"
	}
	return fmt.Sprintf("kind %d", int(k))
}

// Layout is one of the two assignments of field numbers in use.
type Layout int

// The layouts. Both are always read; a network's Config says which is written.
const (
	// Standard is that of the specification, which @waku/sds uses.
	Standard Layout = iota
	// Nim is that of nim-sds. Its filters are not comparable with ours, its
	// ephemeral messages do not exist, and its sender may be absent.
	Nim
)

// Entry names a message that another depends on, or that is asked for.
type Entry struct {
	// ID is the message id.
	ID string
	// Hint helps to retrieve the message: a Waku message hash, 32 bytes. Nil
	// when there is none.
	Hint []byte
	// Sender is the message's author, empty when not known.
	Sender string
}

// Message is one message of a channel.
type Message struct {
	Kind Kind
	// Sender is the author's participant id, ID the message's id, Channel the
	// id of the channel: text of at most MaxID bytes.
	Sender, ID, Channel string
	// Lamport is the logical time, in units of Config.Tick; zero for
	// ephemeral messages, which have none.
	Lamport uint64
	// History are the messages that this one depends on, the oldest first.
	History []Entry
	// Filter is the bloom filter as it is on the wire; nil when absent.
	Filter []byte
	// Requests are messages that the sender lacks (SDS-R).
	Requests []Entry
	// Content is the application's message. A sync message has none: nil, or
	// present and empty.
	Content []byte
}

// Encode writes the message in a layout; fields stand in the order of their
// numbers. What it writes, Decode reads. The errors are those of Decode.
func (m *Message) Encode(layout Layout) ([]byte, error) {
	var raw proto.Message
	switch {
	case layout == Nim && m.Kind == Ephemeral:
		return nil, fmt.Errorf("%w: nim-sds has no ephemeral messages", ErrKind)
	case layout == Nim:
		for _, h := range m.History {
			if h.ID != "" && h.ID[0] == entryTag {
				return nil, fmt.Errorf("%w: message id %.64q would be read as an entry", ErrNotMessage, h.ID)
			}
		}
		raw = m.toNim()
	default:
		raw = m.toStandard()
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotMessage, err)
	}
	back, as, err := Decode(data)
	if err != nil {
		return nil, err
	}
	if back.Kind != m.Kind || as != layout {
		return nil, fmt.Errorf("%w: a %s message that would be read as %s", ErrKind, m.Kind, back.Kind)
	}
	return data, nil
}

func (m *Message) toStandard() *pb.SdsMessage {
	raw := &pb.SdsMessage{
		SenderId:      m.Sender,
		MessageId:     m.ID,
		ChannelId:     m.Channel,
		CausalHistory: rawEntries(m.History),
		BloomFilter:   m.Filter,
		RepairRequest: rawEntries(m.Requests),
		Content:       m.Content,
	}
	if m.Kind != Ephemeral {
		raw.LamportTimestamp = &m.Lamport
	}
	return raw
}

// toNim writes ids alone into the causal history and what else is known of
// them beside it, as the newest builds do. The content is present in every
// message, since nim-sds requires it.
func (m *Message) toNim() *pb.NimSdsMessage {
	raw := &pb.NimSdsMessage{
		MessageId:        m.ID,
		LamportTimestamp: &m.Lamport,
		ChannelId:        m.Channel,
		Content:          m.Content,
		BloomFilter:      m.Filter,
		SenderId:         m.Sender,
		RepairRequest:    rawEntries(m.Requests),
	}
	if raw.Content == nil {
		raw.Content = []byte{}
	}
	for _, e := range m.History {
		raw.CausalHistory = append(raw.CausalHistory, []byte(e.ID))
		if len(e.Hint) > 0 || e.Sender != "" {
			raw.HistoryMetadata = append(raw.HistoryMetadata, rawEntry(e))
		}
	}
	return raw
}

func rawEntries(list []Entry) []*pb.SdsHistoryEntry {
	raw := make([]*pb.SdsHistoryEntry, len(list))
	for i, e := range list {
		raw[i] = rawEntry(e)
	}
	return raw
}

func rawEntry(e Entry) *pb.SdsHistoryEntry {
	raw := &pb.SdsHistoryEntry{MessageId: e.ID, RetrievalHint: e.Hint}
	if e.Sender != "" {
		raw.SenderId = &e.Sender
	}
	return raw
}
