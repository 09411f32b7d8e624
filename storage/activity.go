package storage

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/internal/kv"
)

// activityPlace is where an entry stands among the others, in keys and, as
// base64, for those who page.
func activityPlace(e activity.Entry) string { return string(number(e.Clock)) + e.ID }

// PutActivity stores an entry, merged with the one of the same id if there is
// one, and returns what is kept.
func (tx *Tx) PutActivity(e activity.Entry) (activity.Entry, error) {
	if err := e.Validate(); err != nil {
		return e, err
	}
	known, ok, err := tx.Activity(e.ID)
	if err != nil {
		return e, err
	}
	if ok {
		e = activity.Merge(known, e)
	}
	return e, tx.replaceActivity(known, e)
}

// ChangeActivity brings an entry into a state and returns it, and whether it is
// there.
func (tx *Tx) ChangeActivity(id string, to activity.State) (activity.Entry, bool, error) {
	known, ok, err := tx.Activity(id)
	if err != nil || !ok {
		return known, false, err
	}
	e, err := known.To(to)
	if err != nil {
		return known, true, err
	}
	return e, true, tx.replaceActivity(known, e)
}

// Activity returns an entry of the activity centre and whether it is there.
func (tx *Tx) Activity(id string) (e activity.Entry, ok bool, err error) {
	ok, err = tx.getJSON(familyActivity+id, &e)
	return e, ok, err
}

// DeleteActivity deletes an entry; it is no error when it is not there.
func (tx *Tx) DeleteActivity(id string) error {
	known, ok, err := tx.Activity(id)
	if err != nil || !ok {
		return err
	}
	return tx.replaceActivity(known, activity.Entry{})
}

// replaceActivity puts an entry in the place of another, either of which may be
// zero for none.
func (tx *Tx) replaceActivity(before, after activity.Entry) error {
	if before == after {
		return nil
	}
	counts, err := tx.ActivityCounts()
	if err != nil {
		return err
	}
	if before.ID != "" {
		place := activityPlace(before)
		for _, k := range []string{familyActivity + before.ID, familyActivityClock + place, familyActivityNew + place} {
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
		if before.State == activity.Unread {
			counts[before.Kind]--
		}
	}
	if after.ID != "" {
		place := activityPlace(after)
		if err := tx.putJSON(familyActivity+after.ID, after); err != nil {
			return err
		}
		if err := tx.Put(familyActivityClock+place, []byte(after.Kind)); err != nil {
			return err
		}
		if after.State == activity.Unread {
			counts[after.Kind]++
			if err := tx.Put(familyActivityNew+place, []byte(after.Kind)); err != nil {
				return err
			}
		}
	}
	for kind, n := range counts {
		if n <= 0 {
			delete(counts, kind)
		}
	}
	return tx.putJSON(familyCounter+"activity", counts)
}

// ActivityCounts returns how many entries are unread, by kind.
func (tx *Tx) ActivityCounts() (map[activity.Kind]int, error) {
	counts := make(map[activity.Kind]int)
	_, err := tx.getJSON(familyCounter+"activity", &counts)
	return counts, err
}

// ActivityQuery asks for a page of the activity centre.
type ActivityQuery struct {
	// Kinds narrows it to some kinds, Unread to what is unread.
	Kinds  []activity.Kind
	Unread bool
	// Next is that of the page before.
	Next string
	// Limit is how many at most; 0 for DefaultPage, never more than MaxPage.
	Limit int
}

// ActivityPage is a page of the activity centre, newest first.
type ActivityPage struct {
	Entries []activity.Entry
	// Next asks for the page that follows, empty when there is none.
	Next string
}

// Activities reads a page of the activity centre.
func (tx *Tx) Activities(q ActivityQuery) (ActivityPage, error) {
	family := familyActivityClock
	if q.Unread {
		family = familyActivityNew
	}
	limit := pageLimit(q.Limit)
	r := kv.Prefix(family)
	r.Reverse, r.Expect = true, limit+1
	if q.Next != "" {
		place, err := base64.RawURLEncoding.Strict().DecodeString(q.Next)
		if err != nil || len(place) <= 8 || len(place) > 8+activity.MaxID {
			return ActivityPage{}, fmt.Errorf("%w: not one of the activity centre", ErrPosition)
		}
		r.To = family + string(place)
	}
	var p ActivityPage
	seen, last := 0, ""
	err := tx.Range(r, func(k string, kind []byte) error {
		if len(p.Entries) == limit || seen == maxPageVisits {
			p.Next = base64.RawURLEncoding.EncodeToString([]byte(last))
			return kv.Stop
		}
		seen++
		last = k[len(family):]
		if len(q.Kinds) > 0 && !slices.Contains(q.Kinds, activity.Kind(kind)) {
			return nil
		}
		e, ok, err := tx.Activity(last[8:])
		if err == nil && ok {
			p.Entries = append(p.Entries, e)
		}
		return err
	})
	if err != nil {
		return ActivityPage{}, err
	}
	return p, nil
}

// ReadActivities marks unread entries up to a clock as read, the oldest first
// and at most WorkSlice of them. It returns the clock of the last one, 0 for
// none, and whether there are more.
func (tx *Tx) ReadActivities(upTo uint64) (read uint64, more bool, err error) {
	var ids []string
	err = tx.Scan(familyActivityNew, func(k string, _ []byte) error {
		place := k[len(familyActivityNew):]
		if binary.BigEndian.Uint64([]byte(place)) > upTo {
			return kv.Stop
		}
		if len(ids) == WorkSlice {
			more = true
			return kv.Stop
		}
		ids, read = append(ids, place[8:]), binary.BigEndian.Uint64([]byte(place))
		return nil
	})
	for _, id := range ids {
		if err == nil {
			_, _, err = tx.ChangeActivity(id, activity.Read)
		}
	}
	return read, more, err
}
