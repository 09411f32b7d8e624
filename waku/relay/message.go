package relay

import (
	"errors"
	"fmt"

	pubsubpb "github.com/libp2p/go-libp2p-pubsub/pb"
	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
)

const (
	// DefaultMaxFrame is the largest GossipSub frame sent or read, in bytes,
	// where the network does not say otherwise: the 150 kB of
	// 64/WAKU2-NETWORK as deployed relays count them, over the whole frame.
	// They reset the stream on a larger one.
	DefaultMaxFrame = message.MaxRPCSize
	// MaxFrame is the most that a network can allow, in bytes.
	MaxFrame = message.MaxSize
)

// What makes a message unfit for the relay.
var (
	ErrInvalid  = errors.New("relay: invalid message")
	ErrTooLarge = errors.New("relay: message too large")
)

// Decode reads a relayed message: the data of a GossipSub message on a
// pubsub topic. It must decode, be valid by 14/WAKU2-MESSAGE and fit into a
// frame of maxFrame bytes; what fails is rejected, at the cost of the
// neighbour's score.
func Decode(pubsubTopic string, data []byte, maxFrame int) (*wakupb.WakuMessage, error) {
	if err := checkSize(pubsubTopic, len(data), maxFrame); err != nil {
		return nil, err
	}
	m := new(wakupb.WakuMessage)
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := message.Validate(m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return m, nil
}

// Check says whether a message can be relayed on a pubsub topic in a frame of
// maxFrame bytes. Errors: ErrInvalid, ErrTooLarge.
func Check(pubsubTopic string, m *wakupb.WakuMessage, maxFrame int) error {
	if m == nil {
		return fmt.Errorf("%w: none", ErrInvalid)
	}
	if err := checkSize(pubsubTopic, proto.Size(m), maxFrame); err != nil {
		return err
	}
	if err := message.Validate(m); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

func checkSize(pubsubTopic string, dataLen, maxFrame int) error {
	if size := frameSize(pubsubTopic, dataLen); size > maxFrame {
		return fmt.Errorf("%w: %d bytes framed, at most %d", ErrTooLarge, size, maxFrame)
	}
	return nil
}

// frameSize is the size of a GossipSub frame that holds one message of
// dataLen bytes.
func frameSize(pubsubTopic string, dataLen int) int {
	empty := &pubsubpb.Message{Topic: &pubsubTopic}
	inner := proto.Size(empty) + fieldSize(dataLen)
	return fieldSize(inner)
}

// fieldSize is the size of a length-delimited protobuf field with a number
// below 16.
func fieldSize(n int) int {
	size := 1 + n
	for l := n; ; l >>= 7 {
		size++
		if l < 0x80 {
			return size
		}
	}
}
