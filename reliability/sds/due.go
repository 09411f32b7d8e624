package sds

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/parley-im/parley/internal/kv"
)

// Batch is how many timers one call of Due looks at. While more are due, Next
// says now.
const Batch = 256

// Due does what is due: own messages go out again, those unacknowledged before
// those possibly acknowledged; then answers to repair requests and a sync
// message; missing dependencies are to be fetched, or are lost. What it
// returns counts as done.
func (c *Channel) Due(st kv.Store, now time.Time, rand io.Reader) (*Result, error) {
	e, err := c.open(st, now, rand)
	if err != nil {
		return nil, err
	}
	if err := e.due(); err != nil {
		return nil, fmt.Errorf("doing what is due: %w", err)
	}
	if err := e.close(); err != nil {
		return nil, err
	}
	return &e.out, nil
}

func (e *step) due() error {
	timers, err := e.timers()
	if err != nil {
		return err
	}
	var again []*own
	for _, k := range timers {
		// What an earlier timer did may have ended this one.
		if ok, err := e.has(k); err != nil {
			return err
		} else if !ok {
			continue
		}
		if err := e.st.Delete(k); err != nil {
			return err
		}
		r := ref([]byte(k[len(k)-refSize:]))
		switch timer(k[len(keyTimer)+numberSize]) {
		case timerOwn:
			o, err := e.resend(r)
			if err != nil {
				return err
			}
			if o != nil {
				again = append(again, o)
			}
		case timerMissing:
			err = e.stepMissing(r)
		case timerHeld:
			err = e.endHold(r)
		case timerAnswer:
			err = e.answer(r)
		default:
			err = fmt.Errorf("%w: timer", ErrCorrupt)
		}
		if err != nil {
			return err
		}
	}
	if err := e.again(again); err != nil {
		return err
	}
	return e.syncIfDue()
}

// timers returns the keys of those that are due.
func (e *step) timers() (keys []string, err error) {
	err = e.st.Scan(keyTimer, func(k string, _ []byte) error {
		at, err := timerAt(k)
		if err != nil {
			return err
		}
		if at > e.now || len(keys) == Batch {
			return kv.Stop
		}
		keys = append(keys, k)
		return nil
	})
	return keys, err
}

func timerAt(k string) (int64, error) {
	if len(k) != len(keyTimer)+numberSize+1+refSize {
		return 0, fmt.Errorf("%w: timer", ErrCorrupt)
	}
	return int64(binary.BigEndian.Uint64([]byte(k[len(keyTimer):]))), nil
}

// again puts own messages in front of what goes out.
func (e *step) again(list []*own) error {
	slices.SortFunc(list, func(a, b *own) int {
		return cmp.Or(cmp.Compare(a.state, b.state), cmp.Compare(a.lamport, b.lamport))
	})
	var send []Outgoing
	for _, o := range list {
		raw, ok, err := e.st.Get(refOf(o.id).key(keyOwnRaw))
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%w: own message without its bytes", ErrCorrupt)
		}
		send = append(send, Outgoing{ID: o.id, Reason: Again, Data: raw})
	}
	e.out.Send = append(send, e.out.Send...)
	return nil
}

// syncIfDue sends a sync message when its time has come, or when a repair may
// be asked for, whoever else spoke.
func (e *step) syncIfDue() error {
	ask, err := e.askDue()
	if err != nil {
		return err
	}
	if !ask && (e.s.syncAt == 0 || e.s.syncAt > e.now) {
		return nil
	}
	if !ask {
		e.s.syncAt = 0
		if e.s.logged == 0 {
			return nil // nothing to tell
		}
	}
	id, err := newSyncID(e.rand)
	if err != nil {
		return err
	}
	return e.sync(id)
}

// sync sends a sync message and plans the next one.
func (e *step) sync(id string) error {
	m := &Message{Kind: Sync, Sender: e.Self, ID: id, Channel: e.ID}
	var err error
	if m.Lamport, err = e.tick(); err != nil {
		return err
	}
	raw, err := e.compose(m, refOf(m.ID))
	if err != nil {
		return err
	}
	e.out.Send = append(e.out.Send, Outgoing{ID: m.ID, Reason: Idling, Data: raw})
	e.s.syncSent = e.now
	return e.planSync(e.slower())
}

// askDue reports whether a repair may be asked for and the last sync message
// is long enough ago.
func (e *step) askDue() (bool, error) {
	at, ok, err := e.firstAsk()
	return ok && at <= e.now, err
}

// firstAsk is when a sync message with a repair request is due.
func (e *step) firstAsk() (at int64, ok bool, err error) {
	err = e.st.Scan(keyAsk, func(k string, _ []byte) error {
		if len(k) != len(keyAsk)+numberSize+refSize {
			return fmt.Errorf("%w: repair requests", ErrCorrupt)
		}
		at, ok = askAt(k), true
		return kv.Stop
	})
	if ok && e.s.syncSent != 0 {
		at = max(at, e.s.syncSent+int64(e.Config.Idle.Gap))
	}
	return at, ok, err
}

// slower doubles the back-off of sync messages.
func (e *step) slower() int64 {
	gap := max(e.s.syncGap, int64(e.Config.Idle.Every))
	e.s.syncGap = min(2*gap, int64(e.Config.Idle.Most))
	return gap
}

// planSync sets the next sync message to a random time.
func (e *step) planSync(most int64) error {
	if most == 0 {
		return nil
	}
	wait, err := e.backOff(most)
	e.s.syncAt = e.now + wait
	return err
}

// crowding is how steeply the density of back-offs rises: by its exponential,
// 45,000, from the shortest to the longest.
const crowding = 10.7

// backOff draws a duration from half of most to most, of which short ones are
// rare: the density is exponential. Whoever draws the shortest speaks, and all
// who draw little more speak before they heard that. How many these are would
// be proportional to the number of participants if durations were uniform;
// here it depends on the time a message takes to arrive alone, up to some
// 20,000 participants (as in the feedback of NORM, RFC 5740, section 5.3, whose
// distribution is RFC 5401's).
func (e *step) backOff(most int64) (int64, error) {
	var b [8]byte
	if _, err := io.ReadFull(e.rand, b[:]); err != nil {
		return 0, fmt.Errorf("drawing a back-off: %w", err)
	}
	u := float64(binary.BigEndian.Uint64(b[:])>>11) / (1 << 53)
	least := most / 2
	return least + int64(float64(most-least)*math.Log1p(u*math.Expm1(crowding))/crowding), nil
}

// spoke notes that somebody said something new: it should be acknowledged
// soon, by a sync message of whoever draws the shortest back-off. Only a
// message of somebody else than the last author acknowledges what that author
// said; while one participant talks alone, the others' back-off runs on.
func (e *step) spoke(author string) error {
	before, planned := e.s.author, e.s.syncAt
	sum := refOf(author)
	e.s.author = binary.BigEndian.Uint64(sum[:])
	e.s.syncGap = int64(e.Config.Idle.Every)
	if err := e.planSync(e.s.syncGap); err != nil {
		return err
	}
	if before == e.s.author && planned != 0 {
		e.s.syncAt = min(e.s.syncAt, planned)
	}
	return nil
}

// heard notes a sync message: ours can wait, unless its sender lacks something
// that we have, or is the one who waits for an acknowledgement.
func (e *step) heard(m *Message, r ref) error {
	if e.s.logged == 0 {
		return nil
	}
	behind, err := e.lacks(m, r)
	if err != nil {
		return err
	}
	if behind {
		planned := e.s.syncAt
		e.s.syncGap = int64(e.Config.Idle.Every)
		if err := e.planSync(e.s.syncGap); err != nil {
			return err
		}
		if planned != 0 {
			e.s.syncAt = min(e.s.syncAt, planned)
		}
		return nil
	}
	if sum := refOf(m.Sender); binary.BigEndian.Uint64(sum[:]) == e.s.author {
		return nil
	}
	return e.planSync(e.slower())
}

// Next returns when Due should be called next, no earlier than now; false
// means that nothing is outstanding.
func (c *Channel) Next(st kv.Store, now time.Time) (time.Time, bool, error) {
	e, err := c.open(st, now, nil)
	if err != nil {
		return time.Time{}, false, err
	}
	at, ok, err := e.firstAsk()
	if err != nil {
		return time.Time{}, false, err
	}
	earlier := func(t int64) {
		if !ok || t < at {
			at, ok = t, true
		}
	}
	if e.s.syncAt != 0 {
		earlier(e.s.syncAt)
	}
	err = st.Scan(keyTimer, func(k string, _ []byte) error {
		t, err := timerAt(k)
		if err != nil {
			return err
		}
		earlier(t)
		return kv.Stop
	})
	if err != nil || !ok {
		return time.Time{}, false, err
	}
	return e.time(max(at, e.now)), true, nil
}

// time is a protocol time by the wall clock.
func (e *step) time(at int64) time.Time { return e.wall.Add(time.Duration(at - e.now)) }
