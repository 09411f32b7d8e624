package sds

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/parley-im/parley/internal/kv"
)

// MaxHints is how many different retrieval hints are kept of a missing
// dependency.
const MaxHints = 3

// missing is a dependency that was named and not received. Times are protocol
// time, 0 for never.
type missing struct {
	id, sender string
	hints      [][]byte
	since      int64
	// fetchAt is when it is fetched next, tries how often it was.
	fetchAt int64
	tries   uint64
	// ask is T_req, when a repair may be asked for.
	ask int64
	// yields is how often somebody else's request put ours off since we asked.
	yields uint64
	// timer is when something is to be done next.
	timer int64
	lost  bool
	// orphan says that no held message waits for it.
	orphan bool
}

func (t table) missingRecord(r ref) (*missing, error) {
	raw, ok, err := t.st.Get(r.key(keyMissing))
	if err != nil || !ok {
		return nil, err
	}
	u := unpacker{b: raw}
	d := &missing{id: u.text(), sender: u.text(), since: u.signed(), fetchAt: u.signed(), tries: u.number(),
		ask: u.signed(), yields: u.number(), timer: u.signed(), lost: u.flag(), orphan: u.flag()}
	for n := min(u.number(), MaxHints); n > 0 && !u.bad; n-- {
		d.hints = append(d.hints, []byte(u.text()))
	}
	return d, u.done("missing dependency")
}

func (e *step) putMissing(r ref, d *missing) error {
	var p packer
	p.text(d.id)
	p.text(d.sender)
	p.signed(d.since)
	p.signed(d.fetchAt)
	p.number(d.tries)
	p.signed(d.ask)
	p.number(d.yields)
	p.signed(d.timer)
	p.flag(d.lost)
	p.flag(d.orphan)
	p.number(uint64(len(d.hints)))
	for _, hint := range d.hints {
		p.text(string(hint))
	}
	return e.st.Put(r.key(keyMissing), p.b)
}

// changeMissing applies f to a missing dependency and moves its timers.
func (e *step) changeMissing(r ref, d *missing, f func()) error {
	ask, timer := d.ask, d.timer
	f()
	d.timer = e.nextStep(d)
	if ask != d.ask {
		if ask != 0 {
			if err := e.st.Delete(askKey(ask, r)); err != nil {
				return err
			}
		}
		if d.ask != 0 {
			if err := e.st.Put(askKey(d.ask, r), nil); err != nil {
				return err
			}
		}
	}
	if timer != d.timer {
		if timer != 0 {
			if err := e.st.Delete(timerKey(timer, timerMissing, r)); err != nil {
				return err
			}
		}
		if d.timer != 0 {
			if err := e.st.Put(timerKey(d.timer, timerMissing, r), nil); err != nil {
				return err
			}
		}
	}
	return e.putMissing(r, d)
}

// nextStep is when something is to be done about a missing dependency.
func (e *step) nextStep(d *missing) int64 {
	c := e.Config.Fetch
	var end int64
	switch {
	case c.Lost == 0:
	case d.lost:
		end = d.since + int64(c.Keep)
	default:
		end = d.since + int64(c.Lost)
	}
	if d.fetchAt != 0 && (end == 0 || d.fetchAt < end) {
		return d.fetchAt
	}
	return end
}

// dropMissing forgets a missing dependency.
func (e *step) dropMissing(r ref, d *missing) error {
	if d.orphan {
		e.s.orphans--
	}
	return e.remove(r.key(keyMissing), askKey(d.ask, r), timerKey(d.timer, timerMissing, r))
}

// wasLost reports whether a message was called lost and has not come since.
func (e *step) wasLost(r ref) (bool, error) {
	d, err := e.missingRecord(r)
	return d != nil && d.lost, err
}

// unwanted forgets a missing dependency for which nobody waits any more,
// unless a sync message named it too.
func (e *step) unwanted(r ref) error {
	d, err := e.missingRecord(r)
	if err != nil || d == nil || d.orphan {
		return err
	}
	return e.dropMissing(r, d)
}

// miss notes that a message is missing: named by a message that waits for it,
// or (orphan) by a sync message alone.
func (e *step) miss(entry Entry, orphan bool) error {
	r := refOf(entry.ID)
	if held, err := e.has(r.key(keyHeld)); err != nil || held {
		return err
	}
	d, err := e.missingRecord(r)
	if err != nil {
		return err
	}
	if d != nil {
		return e.missAgain(r, d, entry, orphan)
	}
	if orphan {
		if e.s.orphans >= uint64(e.Config.Limits.Orphans) {
			return nil // the next sync message names it again
		}
		e.s.orphans++
	}
	d = &missing{id: entry.ID, sender: entry.Sender, since: e.now, orphan: orphan}
	return e.changeMissing(r, d, func() {
		e.addHint(d, entry.Hint)
		if !e.Config.Repair.Off {
			d.ask = e.askTime(d, e.now)
		}
	})
}

// missAgain notes what a further message tells about a missing one.
func (e *step) missAgain(r ref, d *missing, entry Entry, orphan bool) error {
	known := func(hint []byte) bool { return bytes.Equal(hint, entry.Hint) }
	news := len(entry.Hint) > 0 && len(d.hints) < MaxHints && !slices.ContainsFunc(d.hints, known)
	adopted := d.orphan && !orphan
	if !news && !adopted && (d.sender != "" || entry.Sender == "") {
		return nil
	}
	return e.changeMissing(r, d, func() {
		if d.sender == "" {
			d.sender = entry.Sender
		}
		if adopted {
			d.orphan = false
			e.s.orphans--
		}
		if news {
			e.addHint(d, entry.Hint)
		}
	})
}

// addHint notes a hint and plans fetching with it.
func (e *step) addHint(d *missing, hint []byte) {
	c := e.Config.Fetch
	if len(hint) == 0 {
		return
	}
	d.hints = append(d.hints, hint)
	if d.fetchAt == 0 && c.Tries > 0 && !d.lost {
		d.fetchAt, d.tries = e.now+int64(c.After), 0
	}
}

// askTime is the T_req that counts from a time. It is not before the store
// nodes had their time.
func (e *step) askTime(d *missing, from int64) int64 {
	at := from + int64(e.requestDelay(d.id))
	if c := e.Config.Fetch; len(d.hints) > 0 && c.Tries > 0 {
		at = max(at, d.since+int64(c.After)+int64(c.Tries)*int64(c.Every))
	}
	return at
}

// received forgets that a message is missing or asked for.
func (e *step) received(r ref) error {
	d, err := e.missingRecord(r)
	if err != nil {
		return err
	}
	if d != nil {
		if err := e.dropMissing(r, d); err != nil {
			return err
		}
	}
	return e.answered(r)
}

// stepMissing does what is due about a missing dependency.
func (e *step) stepMissing(r ref) error {
	d, err := e.missingRecord(r)
	if err != nil {
		return err
	}
	if d == nil {
		return fmt.Errorf("%w: timer of a message that is not missing", ErrCorrupt)
	}
	c := e.Config.Fetch
	switch {
	case d.fetchAt != 0 && d.fetchAt <= e.now:
		e.out.Fetch = append(e.out.Fetch, Fetch{d.id, d.sender, d.hints})
		return e.changeMissing(r, d, func() {
			d.tries++
			d.fetchAt = e.now + int64(c.Every)
			if d.tries >= uint64(c.Tries) {
				d.fetchAt = 0
			}
		})
	case d.lost: // and kept for long enough
		return e.dropMissing(r, d)
	}
	return e.lose(r, d)
}

// lose gives a dependency up: what waits for it goes on.
func (e *step) lose(r ref, d *missing) error {
	lost := Entry{ID: d.id, Sender: d.sender}
	if len(d.hints) > 0 {
		lost.Hint = d.hints[0]
	}
	e.out.Lost = append(e.out.Lost, lost)
	keep := e.Config.Fetch.Keep > e.Config.Fetch.Lost && (d.orphan || e.s.orphans < uint64(e.Config.Limits.Orphans))
	if !keep {
		if err := e.dropMissing(r, d); err != nil {
			return err
		}
	} else {
		if !d.orphan {
			e.s.orphans++
		}
		err := e.changeMissing(r, d, func() { d.lost, d.orphan, d.fetchAt = true, true, 0 })
		if err != nil {
			return err
		}
	}
	if err := e.resolve(r, ^uint64(0)); err != nil {
		return err
	}
	return e.drain()
}

// eligible returns the missing dependencies whose T_req has come, the earliest
// first.
func (e *step) eligible(most int) ([]*missing, error) {
	var refs []ref
	err := e.st.Scan(keyAsk, func(k string, _ []byte) error {
		if len(k) != len(keyAsk)+numberSize+refSize {
			return fmt.Errorf("%w: repair requests", ErrCorrupt)
		}
		if len(refs) == most || askAt(k) > e.now {
			return kv.Stop
		}
		refs = append(refs, ref([]byte(k[len(k)-refSize:])))
		return nil
	})
	if err != nil {
		return nil, err
	}
	list := make([]*missing, len(refs))
	for i, r := range refs {
		if list[i], err = e.missingRecord(r); err != nil {
			return nil, err
		}
		if list[i] == nil {
			return nil, fmt.Errorf("%w: repair request without a missing dependency", ErrCorrupt)
		}
	}
	return list, nil
}

func askAt(k string) int64 { return int64(binary.BigEndian.Uint64([]byte(k[len(keyAsk):]))) }

// requested notes that repairs were asked for.
func (e *step) requested(asked []ref) error {
	for _, r := range asked {
		d, err := e.missingRecord(r)
		if err != nil {
			return err
		}
		if err := e.postpone(r, d, 0); err != nil {
			return err
		}
	}
	return nil
}

// MaxYields is how often in a row a missing dependency is not asked for since
// somebody else did: what does not come all the same is asked for, so that
// nobody can keep us from asking.
const MaxYields = 2

// yield notes that somebody else asked for a message.
func (e *step) yield(r ref) error {
	d, err := e.missingRecord(r)
	if err != nil || d == nil || d.ask == 0 || d.yields >= MaxYields {
		return err
	}
	return e.postpone(r, d, d.yields+1)
}

// postpone takes a missing dependency out of the requests and puts it in again
// for the time when the answer to a request of now must have come: an answer
// takes up to T_max and can be lost like any message. What has been called
// lost is asked for ever less often.
func (e *step) postpone(r ref, d *missing, yields uint64) error {
	return e.changeMissing(r, d, func() {
		from := e.now + int64(e.Config.Repair.TMax)
		if d.lost {
			from += e.now - d.since
		}
		d.ask, d.yields = e.askTime(d, from), yields
	})
}
