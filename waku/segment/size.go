package segment

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/payload"
)

// SizeFor returns the segment size for Split with which every segment, signed,
// sealed either way and put into a Waku message under contentTopic, has at most
// limit bytes serialised: usually message.MaxPublishSize. It is the largest
// such size; 0 means that the limit is too small for any.
func SizeFor(contentTopic string, limit int) int {
	// ECIES adds more than AES-GCM does.
	room := payload.MaxSealable(message.MaxPayload(contentTopic, limit), true, true)
	for n := room - envelope(room, 0); n > 0; n-- {
		if n+envelope(room, n) <= room {
			return n
		}
	}
	return 0
}

// envelope returns the most bytes that a segment message adds to n bytes of
// payload, with room as the bound of the length of one segment.
func envelope(room, n int) int {
	const last = MaxSegments - 1
	return protowire.SizeTag(1) + protowire.SizeBytes(hashSize) +
		protowire.SizeTag(2) + protowire.SizeVarint(last) +
		protowire.SizeTag(3) + protowire.SizeVarint(MaxSegments) +
		protowire.SizeTag(4) + protowire.SizeBytes(n) - n +
		protowire.SizeTag(7) + protowire.SizeVarint(uint64(MaxSegments)*uint64(max(room, 1)))
}
