package mvds

import (
	"fmt"
	"io"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
)

const (
	// PresencePeriod is how often signs of life of one peer count: more often
	// would only cost.
	PresencePeriod = 5 * time.Minute
	// AwayAfter is how long after the last sign of life that counted a peer is
	// taken to be away.
	AwayAfter = 15 * time.Minute
	// onlineDelay is how many epochs a peer who comes back has to fetch what
	// is stored and acknowledge it, before what is left is sent again.
	onlineDelay = 100
	// onlineSpread is the range of epochs over which sends to peers coming
	// online are spread, as deployed clients do.
	onlineSpread = 60
	// onlineStep is the highest back-off step of a record whose peer comes
	// back. The gap after its next send is 7.2 minutes then, so a peer who comes
	// and goes and never answers gets one or two sends each time.
	onlineStep = 4
	// onlineBatch bounds the records that one call looks at.
	onlineBatch = 1024
	// awayDoublings is by how many doublings the gap grows with each send to a
	// peer who is away.
	awayDoublings = 8
)

// alive reports whether a peer has shown life lately.
func (s *Sync) alive(st state, now int64) bool {
	return st.seen >= 0 && now-st.seen < int64(AwayAfter/s.Epoch)
}

// after is the number of epochs to wait after the step-th send of a record.
func (s *Sync) after(st state, now int64, step uint32) int64 {
	if s.AwayGap <= 0 || s.alive(st, now) {
		return s.gap(step)
	}
	most := max(1, int64(s.AwayGap/s.Epoch))
	g := min(s.firstGap(), most)
	for n := min(uint64(max(step, 1)-1)*awayDoublings, 63); n > 0; n-- {
		g = double(g, most)
	}
	return g
}

// PeerOnline says that a peer has shown to be there, by any message that is not
// old: a payload, a status update, a contact code. When the peer was away, what waits for it is sent within 48 seconds, and its back-off
// falls back; when it was there, nothing changes, nor within PresencePeriod of
// the last time, nor for peers that nothing was sent to yet. It reports whether anything was moved. One call looks at a
// bounded number of records, the next to be due first.
func (s *Sync) PeerOnline(st kv.Store, now time.Time, rand io.Reader, peer key.Public) (moved bool, err error) {
	s = s.Defaults()
	if peer.IsZero() {
		return false, ErrPeer
	}
	c, err := s.clock(st, now)
	if err != nil {
		return false, err
	}
	t, p := table{st}, compressed(peer)
	state, err := t.state(p)
	if err != nil {
		return false, err
	}
	known := state.served >= 0 // else nothing was ever sent
	if !known || state.seen >= 0 && c.now-state.seen < int64(PresencePeriod/s.Epoch) {
		return false, nil
	}
	away := !s.alive(state, c.now)
	state.seen = c.now
	if away {
		delay, err := draw(rand, onlineSpread)
		if err != nil {
			return false, err
		}
		if moved, err = t.advance(peer, c.now+onlineDelay+delay, onlineStep); err != nil {
			return false, err
		}
	}
	return moved, t.putState(p, state)
}

// Resume says that what was sent to a peer lately cannot have arrived, as when
// the session it was encrypted in was broken: all that is outstanding, a bounded
// number of records, is sent again at once, and its back-off begins again.
func (s *Sync) Resume(st kv.Store, now time.Time, peer key.Public) error {
	s = s.Defaults()
	if peer.IsZero() {
		return ErrPeer
	}
	c, err := s.clock(st, now)
	if err != nil {
		return err
	}
	t := table{st}
	state, err := t.state(compressed(peer))
	if err != nil {
		return err
	}
	_, err = t.advance(peer, state.slot(c.now), 0)
	return err
}

// advance makes the records of a peer that are due later due then, with at most
// so many steps of back-off.
func (t table) advance(peer key.Public, due int64, step uint32) (moved bool, err error) {
	p := compressed(peer)
	var late []MessageID
	looked := 0
	err = t.st.Scan(keyQueue+p, func(k string, _ []byte) error {
		if len(k) != queueKeySize {
			return fmt.Errorf("%w: queue", ErrCorrupt)
		}
		if looked++; looked > onlineBatch {
			return kv.Stop
		}
		if number([]byte(k[queuePrefix:])) > due {
			late = append(late, MessageID([]byte(k[len(k)-IDSize:])))
		}
		return nil
	})
	if err != nil || len(late) == 0 {
		return false, err
	}
	for _, id := range late {
		r, err := t.record(id, p)
		if err != nil {
			return false, err
		}
		if r == nil {
			return false, fmt.Errorf("%w: queue names message %s", ErrCorrupt, id)
		}
		if err := t.change(r, func() { r.due, r.step = due, min(r.step, step) }); err != nil {
			return false, err
		}
	}
	return true, t.schedule(peer, due)
}
