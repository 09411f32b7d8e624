package storage

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/internal/kv"
)

// What is to be done in slices. A key stands for a task, and its value for how
// far it is; both are written in the transaction that does a slice.
const (
	workClear = familyWork + "clear/" // chat id: delete what was cleared
	workRead  = familyWork + "read/"  // chat id: forget marks of what was read
	workIndex = familyWork + "index"  // index messages of older versions; last key done
	// workDetach moves payloads out of the messages of older versions; last key
	// done.
	workDetach = familyWork + "payloads"
)

// WorkSlice is how many messages Work handles in one transaction.
const WorkSlice = 200

// workBytes ends a slice of large messages early.
const workBytes = 4 << 20

// Work does a slice of what was put off, in a transaction of its own: it
// deletes what was cleared, and indexes what an older version wrote and takes
// it apart. It tells
// whether there is more; what is left when the program ends is done later.
// Nothing of it changes what is read, but that searches and lists of all chats
// miss what is not indexed yet.
func (db *DB) Work() (more bool, err error) { return db.work(WorkSlice) }

func (db *DB) work(most int) (more bool, err error) {
	err = db.Update(func(tx *Tx) error {
		task := ""
		var done []byte
		err := tx.Range(kv.Prefix(familyWork), func(k string, v []byte) error {
			if task != "" {
				more = true
				return kv.Stop
			}
			task, done = k, v
			return nil
		})
		if err != nil || task == "" {
			return err
		}
		unfinished, err := tx.slice(task, string(done), most)
		if err != nil {
			return err
		}
		more = more || unfinished
		if !unfinished {
			return tx.Delete(task)
		}
		return nil
	})
	return more && err == nil, err
}

// slice does at most so many messages of a task and tells whether some are left.
func (tx *Tx) slice(task, done string, most int) (bool, error) {
	if room, ok := strings.CutPrefix(task, workClear); ok {
		return tx.clearSlice(room, most)
	}
	if room, ok := strings.CutPrefix(task, workRead); ok {
		c, _, err := tx.bareChat(room)
		if err != nil {
			return false, err
		}
		return tx.forgetRead(c, most)
	}
	if task == workIndex {
		return tx.indexSlice(done, most)
	}
	if task == workDetach {
		return tx.detachSlice(done, most)
	}
	return false, fmt.Errorf("%w: unknown task %q", ErrCorrupt, task)
}

func (tx *Tx) clearSlice(room string, most int) (more bool, err error) {
	c, _, err := tx.bareChat(room)
	if err != nil || c.ClearedClock == 0 {
		return false, err
	}
	prefix := familyMessage + room + "\x00"
	r := kv.Range{From: prefix, To: prefix + Position{Clock: c.ClearedClock}.next(), KeysOnly: true, Expect: most + 1}
	var old []Position
	err = tx.Range(r, func(k string, _ []byte) error {
		if len(k) != len(prefix)+positionSize {
			return nil
		}
		if len(old) == most {
			more = true
			return kv.Stop
		}
		old = append(old, positionOfKey(k[len(prefix):]))
		return nil
	})
	for _, at := range old {
		if err == nil {
			err = tx.erase(room, at)
		}
	}
	return more, err
}

// indexSlice indexes messages that an older version wrote. They count as read.
func (tx *Tx) indexSlice(done string, most int) (more bool, err error) {
	r := kv.Prefix(familyMessage)
	if done != "" {
		r.From = done + "\x00"
	}
	var old []*chat.Message
	seen, size := 0, 0
	err = tx.Range(r, func(k string, raw []byte) error {
		if seen == most || size >= workBytes {
			more = true
			return kv.Stop
		}
		seen++
		size += len(raw)
		done = k
		_, at, err := placeOfKey(k)
		if err != nil {
			return err
		}
		if _, ok, err := tx.clockEntry(at); ok || err != nil {
			return err
		}
		m := new(chat.Message)
		if err := json.Unmarshal(raw, m); err != nil {
			return fmt.Errorf("%w: record %q: %w", ErrCorrupt, k, err)
		}
		old = append(old, m)
		return nil
	})
	if err != nil {
		return false, err
	}
	for _, m := range old {
		c, _, err := tx.bareChat(m.Chat)
		if err != nil {
			return false, err
		}
		if hidden(c, m.Clock) {
			continue // about to be deleted
		}
		if err := tx.enter(m, c, Notice{}); err != nil {
			return false, err
		}
	}
	return more, tx.Put(workIndex, []byte(done))
}
