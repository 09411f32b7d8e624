package stack

import (
	"context"
	"sync"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/storage"
)

// tendPause is the least time between two looks at what channels have to do: in
// a busy community every message changes it.
const tendPause = 100 * time.Millisecond

// agenda is when the channels of communities have something to do.
type agenda struct {
	mu sync.Mutex
	// touched are those of which that is to be found out.
	touched map[key.Public]bool
	at      map[key.Public]time.Time
	changed chan struct{}
}

func newAgenda() agenda {
	return agenda{touched: map[key.Public]bool{}, at: map[key.Public]time.Time{}, changed: make(chan struct{}, 1)}
}

// touch notes that something has happened in channels.
func (a *agenda) touch(all ...key.Public) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range all {
		a.touched[k] = true
	}
	wake(a.changed)
}

// take returns the channels that were touched since, and those that have
// something to do now.
func (a *agenda) take(now time.Time) (touched, due []key.Public) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k := range a.touched {
		touched = append(touched, k)
	}
	clear(a.touched)
	for k, at := range a.at {
		if !at.After(now) {
			due = append(due, k)
		}
	}
	return touched, due
}

// plan sets when a channel has something to do next; the zero time is never.
func (a *agenda) plan(k key.Public, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if delete(a.at, k); !at.IsZero() {
		a.at[k] = at
	}
}

// next is when some channel has something to do, the zero time for never.
func (a *agenda) next() (next time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, at := range a.at {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

// tend does what is due in the channels of communities, until ctx ends.
func (s *Stack) tend(ctx context.Context, _ Transport) error {
	timer := time.NewTimer(soonest)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.agenda.changed:
		case <-timer.C:
		}
		next, err := s.tendAll()
		if err != nil {
			return err
		}
		pause := tickInterval
		if !next.IsZero() {
			pause = min(pause, next.Sub(s.now()))
		}
		timer.Reset(max(pause, tendPause))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(tendPause):
		}
	}
}

// tendAll does what is due now and returns when to come again, the zero time
// for when something happens.
func (s *Stack) tendAll() (next time.Time, err error) {
	touched, _ := s.agenda.take(s.now())
	all := *s.followedAll.Load()
	if len(touched) > 0 {
		err := s.db.View(func(tx *storage.Tx) error {
			for _, k := range touched {
				at, err := nextOf(tx, all[k], s.now())
				if err != nil {
					return err
				}
				s.agenda.plan(k, at)
			}
			return nil
		})
		if err != nil {
			return next, err
		}
	}
	_, due := s.agenda.take(s.now())
	for _, k := range due {
		if err := s.tendOne(all[k], k); err != nil {
			return next, err
		}
	}
	return s.agenda.next(), nil
}

// nextOf is when a channel has something to do, the zero time for never.
func nextOf(tx *storage.Tx, in *followed, now time.Time) (at time.Time, err error) {
	if in == nil || in.channel == nil {
		return at, nil
	}
	at, _, err = in.channel.Next(channelStore(tx, in.key), now)
	return at, err
}

// tendOne does what is due in one channel.
func (s *Stack) tendOne(in *followed, k key.Public) error {
	if in == nil || in.channel == nil {
		s.agenda.plan(k, time.Time{}) // followed no more
		return nil
	}
	var next time.Time
	err := s.update(func(t *step) error {
		store := channelStore(t.Tx, k)
		r, err := in.channel.Due(store, t.now, s.rand)
		if err != nil {
			return err
		}
		if err := s.settleChannel(t, in, r, key.Public{}); err != nil {
			return err
		}
		// What waited for something that is lost now goes on.
		for _, d := range r.Delivered {
			e := Envelope{PubsubTopic: "", community: k, said: lamportTime(in.channel, d.Lamport, t.now)}
			if err := s.deliverAlone(t, e, key.Public{}, d.Content); err != nil {
				return err
			}
		}
		next, err = nextOf(t.Tx, in, t.now)
		return err
	})
	if err == nil {
		s.agenda.plan(k, next)
	}
	return err
}
