package mvds

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/parley-im/parley/account/key"
)

// IDSize is the length in bytes of message and group ids.
const IDSize = 32

// MessageID names a message: SHA-256 of "MESSAGE_ID", group id, timestamp (8
// bytes little-endian, as deployed clients write it) and body.
type MessageID [IDSize]byte

// String returns 64 hexadecimal digits.
func (id MessageID) String() string { return hex.EncodeToString(id[:]) }

// GroupID names a synchronisation context.
type GroupID [IDSize]byte

// String returns 64 hexadecimal digits.
func (g GroupID) String() string { return hex.EncodeToString(g[:]) }

// OneToOneGroup is the group of two parties, the same from both sides:
// Keccak-256 of the two compressed keys, the one with the smaller X first.
// Deployed clients use it for private group chats too, whose messages travel
// over the pairwise links.
func OneToOneGroup(a, b key.Public) GroupID {
	if key.Less(b, a) {
		a, b = b, a
	}
	ca, cb := a.Compressed(), b.Compressed()
	return GroupID(key.Keccak256(ca[:], cb[:]))
}

// Message is what is synchronised.
type Message struct {
	Group GroupID
	// Timestamp is Unix time, in seconds by 2/MVDS; deployed clients also send
	// milliseconds. It makes equal bodies different messages and is never read
	// as a clock.
	Timestamp int64
	Body      []byte
}

// ID computes the message id.
func (m Message) ID() MessageID {
	var timestamp [8]byte
	binary.LittleEndian.PutUint64(timestamp[:], uint64(m.Timestamp))
	h := sha256.New()
	h.Write([]byte("MESSAGE_ID"))
	h.Write(m.Group[:])
	h.Write(timestamp[:])
	h.Write(m.Body)
	return MessageID(h.Sum(nil))
}

// wireSize is what the message adds to an encoded payload, in bytes.
func (m Message) wireSize() int {
	n := protowire.SizeTag(fieldGroup) + protowire.SizeBytes(IDSize)
	if m.Timestamp != 0 {
		n += protowire.SizeTag(fieldTimestamp) + protowire.SizeVarint(uint64(m.Timestamp))
	}
	if len(m.Body) > 0 {
		n += protowire.SizeTag(fieldBody) + protowire.SizeBytes(len(m.Body))
	}
	return protowire.SizeTag(fieldMessages) + protowire.SizeBytes(n)
}

// wireSize is what the group offer adds to an encoded payload, in bytes.
func (o GroupOffer) wireSize() int {
	n := len(o.IDs) * (protowire.SizeTag(fieldOfferIDs) + protowire.SizeBytes(IDSize))
	if len(o.Group) > 0 {
		n += protowire.SizeTag(fieldOfferGroup) + protowire.SizeBytes(len(o.Group))
	}
	return protowire.SizeTag(fieldGroupOffers) + protowire.SizeBytes(n)
}
