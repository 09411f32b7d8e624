package segment

import (
	"bytes"
	"fmt"

	"github.com/ethereum/go-ethereum/crypto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
	wakupb "github.com/parley-im/parley/pb/waku"
)

// maxZeroTail is how many zeros at the end of a payload are tried when its
// length is not known.
const maxZeroTail = 1 << 16

// assemble joins the stored segments of a group and one more, as many as there
// are data segments.
func assemble(st kv.Store, id string, g group, s *wakupb.SegmentMessage) ([]byte, error) {
	shards := make([][]byte, g.Count+g.Parity)
	place := func(parity bool, index int, b []byte) error {
		if parity {
			index += int(g.Count)
		}
		if index >= len(shards) || len(b) == 0 {
			return ErrState
		}
		shards[index] = b
		return nil
	}
	if err := scanSegments(st, id, place); err != nil {
		return nil, err
	}
	index := int(s.Index)
	if isParity(s) {
		index = int(s.ParitySegmentIndex)
	}
	if err := place(isParity(s), index, s.Payload); err != nil {
		return nil, err
	}

	hash := s.EntireMessageHash
	missing := false
	for _, b := range shards[:g.Count] {
		missing = missing || b == nil
	}
	if !missing {
		return verified(bytes.Join(shards[:g.Count], nil), hash)
	}
	payload, err := reconstruct(shards, g)
	if err != nil {
		return nil, err
	}
	before := (int(g.Count) - 1) * int(g.Size)
	switch {
	case g.Last > 0:
		return verified(payload[:before+int(g.Last)], hash)
	case g.Length > 0:
		return verified(payload[:g.Length], hash)
	}
	return trimmed(payload, before, hash)
}

// reconstruct computes the missing data segments and joins all, each with the
// full size.
func reconstruct(shards [][]byte, g group) ([]byte, error) {
	size := int(g.Size)
	if last := shards[g.Count-1]; last != nil {
		shards[g.Count-1] = padded(last, size)
	}
	code, err := newCode(int(g.Count), int(g.Parity))
	if err != nil {
		return nil, err
	}
	if err := code.ReconstructData(shards); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	return bytes.Join(shards[:g.Count], nil), nil
}

func verified(payload, hash []byte) ([]byte, error) {
	if got := key.Keccak256(payload); !bytes.Equal(got[:], hash) {
		return nil, ErrHash
	}
	return payload, nil
}

// trimmed finds the end of a payload whose last segment was computed and whose
// length no segment told, as from clients before 2025. The segment was padded
// with zeros, and the payload may end in zeros itself, so only the hash can
// tell: every length from the last other byte on is tried. That is cheap, for
// each try goes on with the hash of the one before.
func trimmed(payload []byte, before int, hash []byte) ([]byte, error) {
	end := max(len(bytes.TrimRight(payload, "\x00")), before+1)
	h := crypto.NewKeccakState()
	h.Write(payload[:end])
	var sum [hashSize]byte
	for tail := 0; ; tail++ {
		if bytes.Equal(h.Sum(sum[:0]), hash) {
			return payload[:end], nil
		}
		if end == len(payload) || tail == maxZeroTail {
			return nil, ErrHash
		}
		h.Write(payload[end : end+1])
		end++
	}
}
