package sds

import "fmt"

// StaleKept is how many ids are remembered of messages that were older than
// the log when they came (Result.Stale): the newest of them. What depends on
// an older one waits until that comes once more.
const StaleKept = 4096

// cameStale reports whether a message came that was older than the log.
func (t table) cameStale(r ref) (bool, error) { return t.has(r.key(keyStale)) }

// drop notes that a message came that is older than the log. It is not
// delivered, and nothing waits for it any more, now or later. Nor does it make
// another message of that id known: where ids cannot be checked (FreeID),
// anybody could keep a message away by sending an old one in its name.
func (e *step) drop(id string, r ref) error {
	e.out.Stale = append(e.out.Stale, id)
	if kept, err := e.cameStale(r); err != nil || kept {
		return err
	}
	slot := keyStaleOrder + number(e.s.stale%StaleKept)
	oldest, ok, err := e.st.Get(slot)
	if err != nil {
		return err
	}
	if ok {
		if len(oldest) != refSize {
			return fmt.Errorf("%w: messages older than the log", ErrCorrupt)
		}
		if err := e.st.Delete(ref(oldest).key(keyStale)); err != nil {
			return err
		}
	}
	e.s.stale++
	if err := e.st.Put(slot, r[:]); err != nil {
		return err
	}
	return e.st.Put(r.key(keyStale), nil)
}
