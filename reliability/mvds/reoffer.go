package mvds

import (
	"fmt"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
)

// A peer may lose messages that it has acknowledged: a database is restored from
// a backup. MVDS has the means to give them again, offers and requests, so
// acknowledged messages are kept for a while.
const (
	// KeptRetention is for how long after it was queued an acknowledged message
	// is kept.
	KeptRetention = 7 * 24 * time.Hour
	// MaxKeptBody is the longest body that is kept, in bytes, and MaxKept how
	// many messages to one peer stay after Purge.
	MaxKeptBody = 16 << 10
	MaxKept     = 512
	// ReofferMost is how many messages one call of Reoffer offers, the newest.
	ReofferMost = 256
	// reofferSends is how often an offer is repeated that a peer does not react
	// to. Deployed clients do not react when they hold the message.
	reofferSends = 4
)

const keptKeySize = len(keyKept) + peerSize + numberSize + IDSize

func (r *record) keptKey() string { return keyKept + r.peer + numberKey(r.created) + string(r.id[:]) }

// keep stores the message of a record that is acknowledged.
func (t table) keep(r *record) error {
	if r.size > MaxKeptBody {
		return nil
	}
	raw := r.message
	if r.long {
		var ok bool
		var err error
		if raw, ok, err = t.st.Get(keyBody + string(r.id[:])); err != nil || !ok {
			return err
		}
	}
	return t.st.Put(r.keptKey(), raw)
}

// Reoffer offers messages to a peer again that it has acknowledged: the newest
// ReofferMost of those that are kept. It is for a peer who may have lost them;
// one that holds them answers with acknowledgements, which are not reported.
func (s *Sync) Reoffer(st kv.Store, now time.Time, peer key.Public) error {
	s = s.Defaults()
	if peer.IsZero() {
		return ErrPeer
	}
	c, err := s.clock(st, now)
	if err != nil {
		return err
	}
	t, p := table{st}, compressed(peer)
	keys, err := listKeys(st, keyKept+p, int(^uint(0)>>1))
	if err != nil {
		return err
	}
	state, err := t.state(p)
	if err != nil {
		return err
	}
	due, any := state.slot(c.now), false
	for _, k := range keys[max(0, len(keys)-ReofferMost):] {
		if len(k) != keptKeySize {
			return fmt.Errorf("%w: kept message", ErrCorrupt)
		}
		created := number([]byte(k[len(keyKept)+peerSize:]))
		if now.Sub(time.Unix(0, created)) > KeptRetention {
			continue
		}
		id := MessageID([]byte(k[len(k)-IDSize:]))
		old, err := t.record(id, p)
		if err != nil {
			return err
		}
		if old != nil {
			continue
		}
		if err := t.add(&record{id: id, peer: p, kind: kindReoffer, due: due, created: created}); err != nil {
			return err
		}
		any = true
	}
	if !any {
		return nil
	}
	return t.schedule(peer, due)
}

// revive turns the offer of a kept message into the message, which the peer has
// requested. It returns nil when the message is kept no more.
func (t table) revive(r *record, due int64) (*record, error) {
	raw, ok, err := t.st.Get(r.keptKey())
	if err != nil {
		return nil, err
	}
	if err := t.remove(r); err != nil || !ok {
		return nil, err
	}
	if len(raw) < IDSize+numberSize {
		return nil, fmt.Errorf("%w: kept message of %d bytes", ErrCorrupt, len(raw))
	}
	again := &record{id: r.id, peer: r.peer, kind: kindMessage, due: due, created: r.created}
	again.setMessage(Message{GroupID(raw[:IDSize]), number(raw[IDSize:]), raw[IDSize+numberSize:]})
	return again, t.add(again)
}

// ForgetKept forgets messages that a peer has acknowledged and that are kept for
// Reoffer, those whose bodies gone picks: somebody has deleted them. gone must
// not write. An offer of one that is under way comes to nothing.
func (s *Sync) ForgetKept(st kv.Store, peer key.Public, gone func(body []byte) (bool, error)) error {
	var keys []string
	err := st.Scan(keyKept+compressed(peer), func(k string, raw []byte) error {
		m, err := decodeMessage(raw)
		if err != nil {
			return fmt.Errorf("%w: kept message", ErrCorrupt)
		}
		picked, err := gone(m.Body)
		if picked {
			keys = append(keys, k)
		}
		return err
	})
	if err != nil {
		return err
	}
	return remove(st, keys)
}

// listKept adds the keys of kept messages that are too old or too many to a list
// of what Purge removes.
func listKept(st kv.Store, now time.Time, old []string) ([]string, error) {
	var of []string // one peer's
	most := func() {
		for _, k := range of[:max(0, len(of)-MaxKept)] {
			if len(old) < PurgeBatch {
				old = append(old, k)
			}
		}
		of = of[:0]
	}
	err := st.Scan(keyKept, func(k string, _ []byte) error {
		if len(k) != keptKeySize {
			return fmt.Errorf("%w: kept message", ErrCorrupt)
		}
		if len(of) > 0 && of[0][:len(keyKept)+peerSize] != k[:len(keyKept)+peerSize] {
			most()
		}
		switch {
		case len(old) == PurgeBatch:
			return kv.Stop
		case now.Sub(time.Unix(0, number([]byte(k[len(keyKept)+peerSize:])))) > KeptRetention:
			old = append(old, k)
		default:
			of = append(of, k)
		}
		return nil
	})
	if err == nil {
		most()
	}
	return old, err
}
