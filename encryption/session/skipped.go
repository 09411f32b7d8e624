package session

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/parley-im/parley/encryption/ratchet"
	"github.com/parley-im/parley/internal/kv"
)

// The keys of missing messages of a session lie one per entry, named by their
// sequence number so that a scan finds the oldest first. A chain's entry says
// how its message numbers map to sequence numbers and how many keys it has. In
// the ordinary case there are none, and none of this is read.

const skippedSize = ratchet.PublicSize + 4 + 32

// skippedStore is the missing keys of one session.
type skippedStore struct {
	b    *batch
	name string
}

func (s skippedStore) seqKey(seq uint64) string {
	var be [8]byte
	binary.BigEndian.PutUint64(be[:], seq)
	return skippedPrefix + s.name + "/" + hex.EncodeToString(be[:])
}

func (s skippedStore) chainKey(k compressedKey) string {
	return chainPrefix + s.name + "/" + hexKey(k)
}

// chain is offset, with seq = n + offset, and the number of keys kept.
type chain struct {
	offset uint64
	count  uint32
}

func (s skippedStore) chain(k compressedKey) (*chain, error) {
	return load(s.b, s.chainKey(k), func(b []byte) (*chain, error) {
		if len(b) != 12 {
			return nil, fmt.Errorf("%w: chain", ErrStore)
		}
		return &chain{binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:])}, nil
	})
}

func (s skippedStore) saveChain(k compressedKey, c chain) {
	if c.count == 0 {
		s.b.delete(s.chainKey(k))
		return
	}
	b := binary.BigEndian.AppendUint64(nil, c.offset)
	s.b.put(s.chainKey(k), binary.BigEndian.AppendUint32(b, c.count))
}

// lookup is the ratchet.Lookup of the session.
func (s skippedStore) lookup(k compressedKey, n uint32) (messageKey [32]byte, found bool, err error) {
	c, err := s.chain(k)
	if c == nil || err != nil {
		return messageKey, false, err
	}
	value, ok, err := s.b.get(s.seqKey(c.offset + uint64(n)))
	if err != nil || !ok {
		return messageKey, false, err
	}
	entry, err := decodeSkipped(value)
	if err != nil {
		return messageKey, false, err
	}
	return entry.MessageKey, entry.Key == k && entry.N == n, nil
}

// used deletes the key that lookup found.
func (s skippedStore) used(r *sessionRecord, h ratchet.Header) error {
	c, err := s.chain(h.Key)
	if err != nil {
		return err
	}
	if c == nil {
		return fmt.Errorf("%w: chain", ErrStore)
	}
	s.b.delete(s.seqKey(c.offset + uint64(h.N)))
	c.count--
	s.saveChain(h.Key, *c)
	r.stored--
	return nil
}

// add keeps new keys and drops those that are too old or too many. It must be
// called after each message that moved the receiving chain.
func (s skippedStore) add(r *sessionRecord, keys []ratchet.Skipped) error {
	for i := 0; i < len(keys); {
		first := keys[i]
		c, err := s.chain(first.Key)
		if err != nil {
			return err
		}
		if c == nil {
			c = &chain{offset: first.Seq - uint64(first.N)}
		}
		for ; i < len(keys) && keys[i].Key == first.Key; i++ {
			s.b.put(s.seqKey(keys[i].Seq), encodeSkipped(keys[i]))
			c.count++
			if r.stored == 0 {
				r.oldest = keys[i].Seq
			}
			r.stored++
		}
		s.saveChain(first.Key, *c)
	}
	return s.prune(r)
}

// prune drops keys by MaxKeep and MaxStored. New keys of the same call are
// never among them: a call adds at most 2·MaxSkip, which is not more than
// MaxStored.
func (s skippedStore) prune(r *sessionRecord) error {
	tooOld := func(seq uint64) bool { return seq+ratchet.MaxKeep <= r.state.Derived }
	if r.stored <= ratchet.MaxStored && (r.stored == 0 || !tooOld(r.oldest)) {
		return nil
	}
	dropped := map[compressedKey]uint32{}
	found := false
	err := s.b.st.Scan(skippedPrefix+s.name+"/", func(key string, value []byte) error {
		entry, err := decodeSkipped(value)
		if err != nil {
			return err
		}
		raw, err := hex.DecodeString(key[len(skippedPrefix)+nameSize+1:])
		if err != nil || len(raw) != 8 {
			return fmt.Errorf("%w: sequence number", ErrStore)
		}
		seq := binary.BigEndian.Uint64(raw)
		if r.stored <= ratchet.MaxStored && !tooOld(seq) {
			r.oldest, found = seq, true
			return kv.Stop
		}
		s.b.delete(key)
		dropped[entry.Key]++
		r.stored--
		return nil
	})
	if err != nil {
		return err
	}
	if !found {
		// All that is left came with this call; nothing of it is older.
		r.oldest = r.state.Derived - min(r.state.Derived, ratchet.MaxStored)
	}
	for k, n := range dropped {
		c, err := s.chain(k)
		if err != nil {
			return err
		}
		if c == nil || c.count < n {
			return fmt.Errorf("%w: chain", ErrStore)
		}
		c.count -= n
		s.saveChain(k, *c)
	}
	return nil
}

func encodeSkipped(k ratchet.Skipped) []byte {
	b := make([]byte, 0, skippedSize)
	b = append(b, k.Key[:]...)
	b = binary.BigEndian.AppendUint32(b, k.N)
	return append(b, k.MessageKey[:]...)
}

func decodeSkipped(b []byte) (ratchet.Skipped, error) {
	if len(b) != skippedSize {
		return ratchet.Skipped{}, fmt.Errorf("%w: kept message key", ErrStore)
	}
	k := ratchet.Skipped{N: binary.BigEndian.Uint32(b[ratchet.PublicSize:])}
	copy(k.Key[:], b)
	copy(k.MessageKey[:], b[ratchet.PublicSize+4:])
	return k, nil
}
