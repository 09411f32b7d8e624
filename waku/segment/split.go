// Package segment splits payloads that do not fit one Waku message and puts
// them together again (Status protocol stack, Large messages, Chunking).
//
// What is split is the output of the encryption layer; every segment is then
// sealed and published like a payload of its own. One parity segment per eight
// data segments (Reed–Solomon over GF(2^8)) replaces any that are lost. The
// specification leaves the format open: it is that of deployed clients
// (status-go).
package segment

import (
	"errors"
	"fmt"

	"github.com/klauspost/reedsolomon"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	wakupb "github.com/parley-im/parley/pb/waku"
)

const (
	// MaxSegments is the largest number of data segments of a payload.
	MaxSegments = 4096

	// MaxCoded is the largest number of data and parity segments together for
	// which there is parity at all: the code has 256 symbols.
	MaxCoded = 256

	// dataPerParity data segments get one parity segment.
	dataPerParity = 8

	hashSize = 32
)

// Errors of this package.
var (
	ErrSize     = errors.New("bad segment size")
	ErrTooLarge = errors.New("payload too large")
	ErrCount    = errors.New("bad segment count")
	ErrIndex    = errors.New("segment index out of range")
	ErrLength   = errors.New("bad segment length")
	ErrHash     = errors.New("payload does not match its hash")
	ErrState    = errors.New("damaged segment state") // the store holds what this package never wrote
)

// Split returns payload alone and unchanged when it has at most segmentSize
// bytes, and otherwise the marshalled segments: data in order, then parity.
func Split(payload []byte, segmentSize int) ([][]byte, error) {
	segments, err := split(payload, segmentSize)
	if err != nil {
		return nil, err
	}
	if segments == nil {
		return [][]byte{payload}, nil
	}
	out := make([][]byte, len(segments))
	for i, s := range segments {
		s.OriginalPayloadLength = uint64(len(payload))
		if out[i], err = marshal(s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func marshal(s *wakupb.SegmentMessage) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(s)
}

// split returns the segments without the original length, which older clients
// do not write; nil when the payload fits one.
func split(payload []byte, segmentSize int) ([]*wakupb.SegmentMessage, error) {
	if segmentSize < 1 {
		return nil, fmt.Errorf("%w: %d bytes", ErrSize, segmentSize)
	}
	if len(payload) <= segmentSize {
		return nil, nil
	}
	count := (len(payload)-1)/segmentSize + 1
	if count > MaxSegments {
		return nil, fmt.Errorf("%w: %d segments, at most %d", ErrTooLarge, count, MaxSegments)
	}
	parity := count / dataPerParity
	if count+parity > MaxCoded {
		parity = 0
	}
	hash := key.Keccak256(payload)
	segments := make([]*wakupb.SegmentMessage, 0, count+parity)
	for i := range count {
		segments = append(segments, &wakupb.SegmentMessage{
			EntireMessageHash: hash[:],
			Index:             uint32(i),
			SegmentsCount:     uint32(count),
			Payload:           payload[i*segmentSize : min((i+1)*segmentSize, len(payload))],
		})
	}
	if parity == 0 {
		return segments, nil
	}

	shards := make([][]byte, count+parity)
	for i, s := range segments {
		shards[i] = s.Payload
	}
	// The last one is padded with zeros for the computation only.
	shards[count-1] = padded(shards[count-1], segmentSize)
	for i := count; i < len(shards); i++ {
		shards[i] = make([]byte, segmentSize)
	}
	code, err := newCode(count, parity)
	if err != nil {
		return nil, err
	}
	if err := code.Encode(shards); err != nil {
		return nil, fmt.Errorf("computing parity: %w", err)
	}
	for i, shard := range shards[count:] {
		segments = append(segments, &wakupb.SegmentMessage{
			EntireMessageHash:   hash[:],
			Payload:             shard,
			ParitySegmentIndex:  uint32(i),
			ParitySegmentsCount: uint32(parity),
		})
	}
	return segments, nil
}

// newCode returns the code of deployed clients, the library's default matrix.
// It runs on the caller's goroutine alone.
func newCode(data, parity int) (reedsolomon.Encoder, error) {
	code, err := reedsolomon.New(data, parity, reedsolomon.WithMaxGoroutines(1))
	if err != nil {
		return nil, fmt.Errorf("%w: %d data, %d parity: %w", ErrCount, data, parity, err)
	}
	return code, nil
}

// padded returns a copy of b with zeros up to size, or b when it has that size.
func padded(b []byte, size int) []byte {
	if len(b) == size {
		return b
	}
	out := make([]byte, size)
	copy(out, b)
	return out
}
