package stack

import (
	"context"
	"time"
)

// soonest is the shortest time that a timer is set to. One that is due when it is
// set fires in the goroutine that waits for it, and two of those at once crash
// the race detector in a testing/synctest bubble (Go 1.26).
const soonest = time.Nanosecond

// schedule runs what is due by time: reliability payloads, the contact code,
// purges.
func (s *Stack) schedule(ctx context.Context, _ Transport) error {
	// The contact code goes out at every start: peers may have forgotten.
	err := s.update(func(t *step) error {
		if err := s.session.Resign(t.Core("session")); err != nil {
			return err
		}
		if err := s.tellName(t); err != nil {
			return err
		}
		return s.publishContactCode(t)
	})
	if err != nil {
		return err
	}
	timer := time.NewTimer(soonest)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wakeSchedule:
		case <-timer.C:
		}
		next, err := s.tick()
		if err != nil {
			return err
		}
		timer.Reset(max(next.Sub(s.now()), soonest))
	}
}

// tick does what is due now and returns when to come again.
func (s *Stack) tick() (next time.Time, err error) {
	err = s.update(func(t *step) error {
		if err := s.joinGroups(t); err != nil {
			return err
		}
		told, err := s.tellContacts(t)
		if err != nil {
			return err
		}
		said, err := s.repeatStatus(t)
		if err != nil {
			return err
		}
		tended, err := s.tendCommunities(t)
		if err != nil {
			return err
		}
		synced, err := s.syncAll(t)
		if err != nil {
			return err
		}
		t.flush = false
		if err := s.flush(t); err != nil {
			return err
		}
		if err := s.expire(t); err != nil {
			return err
		}
		if err := s.advertise(t); err != nil {
			return err
		}
		if err := s.purge(t); err != nil {
			return err
		}
		next = t.now.Add(tickInterval)
		for _, at := range []time.Time{told, said, tended, synced} {
			if !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		due, ok, err := s.mvds.Next(t.Core("mvds"), t.now)
		if ok && due.Before(next) {
			next = due
		}
		return err
	})
	return next, err
}

// tickInterval is the longest time between two looks at the schedule (5/SECURE-
// TRANSPORT checks the contact code about as often).
const tickInterval = 2 * time.Minute
