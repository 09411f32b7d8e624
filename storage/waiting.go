package storage

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/parley-im/parley/internal/kv"
)

// Limits of the waiting room.
const (
	MaxWaitingPerTarget = 64
	MaxWaiting          = 10_000
	// MaxWaitingBytes bounds what all that waits takes together.
	MaxWaitingBytes = 64 << 20
	// MaxWait is how long something waits.
	MaxWait = 30 * 24 * time.Hour
)

// The waiting room keeps signed bytes whose target (a message, a group) is not
// here yet. Entries are numbered as they come; the number leads to the entry,
// and the hash of a target to the numbers of what waits for it. A record holds
// the time it came, the hash of its target, and the bytes.

const waitingHeader = 8 + sha256.Size

// Wait keeps bytes until their target comes. The same bytes wait for a target
// once. When there is no more room, for the target or in all, what came first
// is dropped; bytes larger than the whole room do not enter. It tells whether
// they wait now.
func (tx *Tx) Wait(target string, raw []byte, now time.Time) (bool, error) {
	if len(raw) > MaxWaitingBytes {
		return false, nil
	}
	hash := sha256.Sum256([]byte(target))
	content := sha256.Sum256(raw)
	var numbers []uint64
	known := false
	prefix := familyWaitingTarget + string(hash[:])
	err := tx.Scan(prefix, func(k string, v []byte) error {
		numbers = append(numbers, binary.BigEndian.Uint64([]byte(k[len(prefix):])))
		known = known || string(v) == string(content[:])
		return nil
	})
	if err != nil || known {
		return known, err
	}
	total, err := tx.waitingTotal()
	if err != nil {
		return false, err
	}
	for ; len(numbers) >= MaxWaitingPerTarget; numbers = numbers[1:] {
		if err := tx.dropWaiting(numbers[0], &total); err != nil {
			return false, err
		}
	}
	if err := tx.makeRoom(&total, uint64(len(raw))); err != nil {
		return false, err
	}
	n, err := tx.next("waiting")
	if err != nil {
		return false, err
	}
	record := append(number(uint64(now.Unix())), hash[:]...)
	if err := tx.Put(familyWaiting+string(number(n)), append(record, raw...)); err != nil {
		return false, err
	}
	if err := tx.Put(prefix+string(number(n)), content[:]); err != nil {
		return false, err
	}
	total.count++
	total.bytes += uint64(len(raw))
	return true, tx.putWaitingTotal(total)
}

// TakeWaiting removes what waits for a target and returns it in the order it
// came, without what has waited too long.
func (tx *Tx) TakeWaiting(target string, now time.Time) ([][]byte, error) {
	hash := sha256.Sum256([]byte(target))
	prefix := familyWaitingTarget + string(hash[:])
	var numbers []uint64
	err := tx.Range(kv.Prefix(prefix), func(k string, _ []byte) error {
		numbers = append(numbers, binary.BigEndian.Uint64([]byte(k[len(prefix):])))
		return nil
	})
	if err != nil || len(numbers) == 0 {
		return nil, err
	}
	total, err := tx.waitingTotal()
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for _, n := range numbers {
		record, ok, err := tx.Get(familyWaiting + string(number(n)))
		if err != nil {
			return nil, err
		}
		if ok && len(record) >= waitingHeader && !waitedTooLong(record, now) {
			all = append(all, record[waitingHeader:])
		}
		if err := tx.dropWaiting(n, &total); err != nil {
			return nil, err
		}
	}
	return all, tx.putWaitingTotal(total)
}

// ExpireWaiting drops what has waited too long, at most WorkSlice of it, and
// returns how many that were.
func (tx *Tx) ExpireWaiting(now time.Time) (int, error) {
	var old []uint64
	err := tx.Range(kv.Prefix(familyWaiting), func(k string, record []byte) error {
		if len(old) == WorkSlice || len(record) >= waitingHeader && !waitedTooLong(record, now) {
			return kv.Stop
		}
		old = append(old, binary.BigEndian.Uint64([]byte(k[len(familyWaiting):])))
		return nil
	})
	if err != nil || len(old) == 0 {
		return 0, err
	}
	total, err := tx.waitingTotal()
	if err != nil {
		return 0, err
	}
	for _, n := range old {
		if err := tx.dropWaiting(n, &total); err != nil {
			return 0, err
		}
	}
	return len(old), tx.putWaitingTotal(total)
}

// Waiting returns how many entries wait, and how many bytes they have.
func (tx *Tx) Waiting() (count, bytes int, err error) {
	total, err := tx.waitingTotal()
	return int(total.count), int(total.bytes), err
}

func waitedTooLong(record []byte, now time.Time) bool {
	return now.Sub(time.Unix(int64(binary.BigEndian.Uint64(record)), 0)) > MaxWait
}

// dropWaiting removes an entry and counts it out.
func (tx *Tx) dropWaiting(n uint64, total *waitingTotal) error {
	k := familyWaiting + string(number(n))
	record, ok, err := tx.Get(k)
	if err != nil || !ok {
		return err
	}
	if len(record) < waitingHeader {
		return fmt.Errorf("%w: waiting entry %d", ErrCorrupt, n)
	}
	total.remove(record)
	if err := tx.Delete(familyWaitingTarget + string(record[8:waitingHeader]) + string(number(n))); err != nil {
		return err
	}
	return tx.Delete(k)
}

// makeRoom drops what came first until there is room for one more entry of a
// size.
func (tx *Tx) makeRoom(total *waitingTotal, size uint64) error {
	full := func(t waitingTotal) bool { return t.count >= MaxWaiting || t.bytes+size > MaxWaitingBytes }
	if !full(*total) {
		return nil
	}
	after := *total
	var old []uint64
	err := tx.Range(kv.Prefix(familyWaiting), func(k string, record []byte) error {
		if !full(after) {
			return kv.Stop
		}
		old = append(old, binary.BigEndian.Uint64([]byte(k[len(familyWaiting):])))
		after.remove(record)
		return nil
	})
	for _, n := range old {
		if err == nil {
			err = tx.dropWaiting(n, total)
		}
	}
	return err
}

// waitingTotal is how much waits.
type waitingTotal struct{ count, bytes uint64 }

func (t *waitingTotal) remove(record []byte) {
	t.count -= min(t.count, 1)
	t.bytes -= min(t.bytes, uint64(max(len(record)-waitingHeader, 0)))
}

func (tx *Tx) waitingTotal() (t waitingTotal, err error) {
	v, _, err := tx.Get(familyCounter + "waiting total")
	if len(v) == 16 {
		t = waitingTotal{binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:])}
	}
	return t, err
}

func (tx *Tx) putWaitingTotal(t waitingTotal) error {
	return tx.Put(familyCounter+"waiting total", append(number(t.count), number(t.bytes)...))
}
