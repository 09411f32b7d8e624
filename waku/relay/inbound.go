package relay

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"log/slog"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// maxSkip is the largest frame passed over, in bytes: more than any deployed
// relay sends. A larger one ends the stream.
const maxSkip = 4 << 20

// skippingHost is a host whose inbound streams pass over frames larger than
// limit bytes.
//
// GossipSub ends a stream on such a frame, and that does lasting damage: the
// neighbour then forgets what this node subscribed to, opens another stream,
// and sends nothing on it ever after, for nobody tells it the subscriptions
// again. Deployed relays send such frames, as they count the 150 kB in other
// ways (nwaku, go-waku) or allow 1 MiB (status-go).
type skippingHost struct {
	host.Host
	limit int
	log   *slog.Logger
}

// SetStreamHandler wraps the streams given to handler.
func (h skippingHost) SetStreamHandler(id protocol.ID, handler network.StreamHandler) {
	h.Host.SetStreamHandler(id, func(s network.Stream) {
		log := h.log.With("peer", s.Conn().RemotePeer())
		handler(&skippingStream{Stream: s, r: bufio.NewReader(s), limit: uint64(h.limit), log: log})
	})
}

// skippingStream gives out the frames of a stream of frames, each behind its
// length as an unsigned varint, without those that are too large.
type skippingStream struct {
	network.Stream
	r     *bufio.Reader
	limit uint64
	log   *slog.Logger

	head []byte // of the frame's length, not given out yet; in room
	body uint64 // bytes of the frame not given out yet
	room [binary.MaxVarintLen64]byte
}

// Read implements io.Reader.
func (s *skippingStream) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for len(s.head) == 0 && s.body == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	if len(s.head) > 0 {
		n := copy(b, s.head)
		s.head = s.head[n:]
		return n, nil
	}
	n, err := s.r.Read(b[:min(uint64(len(b)), s.body)])
	s.body -= uint64(n)
	return n, err
}

// next reads the length of the next frame, and passes over the frame when it
// is too large.
func (s *skippingStream) next() error {
	size, err := binary.ReadUvarint(s.r)
	switch {
	case err != nil:
		return err
	case size > maxSkip:
		return fmt.Errorf("%w: frame of %d bytes", ErrTooLarge, size)
	case size > s.limit:
		s.log.Warn("frame passed over: too large", "bytes", size, "limit", s.limit)
		_, err = s.r.Discard(int(size))
		return err
	}
	s.head, s.body = binary.AppendUvarint(s.room[:0], size), size
	return nil
}
