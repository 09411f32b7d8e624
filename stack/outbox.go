package stack

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	storagepb "github.com/parley-im/parley/pb/storage"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
	wakumessage "github.com/parley-im/parley/waku/message"
)

const (
	// publishBatch is how many records are published side by side.
	publishBatch = 16
	// publishTimeout bounds one attempt.
	publishTimeout = 20 * time.Second
	// retryFirst and retryMost bound the pause after a failed attempt, which
	// doubles from one to the other.
	retryFirst, retryMost = time.Second, time.Minute
)

// publish empties the outbox: oldest first, several at once, until it is empty,
// and again when there is something new or a retry is due.
func (s *Stack) publish(ctx context.Context, transport Transport) error {
	timer := time.NewTimer(soonest)
	defer timer.Stop()
	for ctx.Err() == nil {
		batch, next, err := s.dueRecords()
		if err != nil {
			return err
		}
		if len(batch) > 0 {
			if err := s.publishAll(ctx, transport, batch); err != nil {
				return err
			}
			continue
		}
		pause := time.Hour
		if !next.IsZero() {
			pause = next.Sub(s.now())
		}
		timer.Reset(max(pause, soonest))
		select {
		case <-ctx.Done():
		case <-s.wakeOutbox:
		case <-timer.C:
		}
	}
	return nil
}

// attempt is a record of the outbox and how publishing it went.
type attempt struct {
	n      uint64
	record *storagepb.OutboxRecord
	// part is the hash of the envelope in the record, hash that of the one that
	// was published: segments get another time.
	part, hash wakumessage.Hash
	peers      int
	err        error
	// listening: others could be reached.
	listening bool
}

// dueRecords returns the records to publish now, else when to look again.
func (s *Stack) dueRecords() (batch []attempt, next time.Time, err error) {
	p := picker{Stack: s, now: s.now()}
	err = s.db.View(func(tx *storage.Tx) error { return tx.Outbox(p.pick) })
	return p.batch, p.next, err
}

// publishAll tries a batch and records the outcome in one transaction. When
// the process dies in between, the same bytes are published again and every
// receiver knows their hash.
func (s *Stack) publishAll(ctx context.Context, transport Transport, batch []attempt) error {
	var group sync.WaitGroup
	for i := range batch {
		group.Go(func() { s.publishOne(ctx, transport, &batch[i]) })
	}
	group.Wait()
	return s.update(func(t *step) error {
		for _, a := range batch {
			if a.err != nil && ctx.Err() != nil && !a.record.Once {
				continue // interrupted, not refused: as if never tried
			}
			if err := s.settle(t, a); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Stack) publishOne(ctx context.Context, transport Transport, a *attempt) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	m, err := wakumessage.Unmarshal(a.record.WakuMessage)
	if err != nil {
		a.err = err
		return
	}
	a.part = wakumessage.HashOf(a.record.PubsubTopic, m)
	a.hash = a.part
	if s.restamp(a.record, m) {
		a.hash = wakumessage.HashOf(a.record.PubsubTopic, m)
	}
	if a.record.Lightpush {
		a.peers, a.err = transport.PublishLightpush(ctx, a.record.PubsubTopic, m)
	} else {
		a.peers, a.err = transport.Publish(ctx, a.record.PubsubTopic, m)
	}
	if a.err != nil {
		a.listening = ctx.Err() == nil && transport.Listening()
	} else {
		s.traffic(Envelope{PubsubTopic: a.record.PubsubTopic, Message: m, Hash: a.hash}, true, a.peers)
	}
}

// settle writes down how an attempt ended, unless the record was given up
// meanwhile.
func (s *Stack) settle(t *step, a attempt) error {
	if there, err := t.InOutbox(a.n); err != nil || !there {
		return err
	}
	if a.err == nil || a.record.Once {
		if a.err == nil {
			if err := s.wentOut(t, a); err != nil {
				return err
			}
		}
		return t.DeleteOutbox(a.n)
	}
	if gone, err := s.reroute(t, a); gone || err != nil {
		return err
	}
	s.log.Debug("publishing failed", "pubsub", a.record.PubsubTopic, "attempt", a.record.Attempts+1, "cause", a.err)
	a.record.NotBefore = t.now.Add(retryAfter(a.record.Attempts)).UnixMilli()
	a.record.Attempts++
	return t.UpdateOutbox(a.n, a.record)
}

// wentOut notes that an envelope is published. A message is sent when all of its
// segments are.
func (s *Stack) wentOut(t *step, a attempt) error {
	large, err := s.publishedPart(t, a.part)
	if err != nil {
		return err
	}
	if a.hash != a.part {
		if _, err := t.MarkSeen(a.hash, t.now); err != nil {
			return err
		}
	}
	if large == nil || !large.Ended.IsZero() {
		for _, id := range a.record.Refs {
			if err := s.setState(t, message.ID(id), view.StateChange{State: chat.Sent, Peers: a.peers}); err != nil {
				return err
			}
		}
	}
	if a.record.Once {
		return nil
	}
	return s.notePublished(t, a, large)
}

// retryAfter is the pause after so many failed attempts before this one.
func retryAfter(attempts uint32) time.Duration {
	if attempts >= 6 {
		return retryMost
	}
	return min(retryFirst<<attempts, retryMost)
}

// expire fails the messages that the reliability layer has given up.
func (s *Stack) expire(t *step) error {
	expired, err := s.mvds.TakeExpired(t.Core("mvds"))
	if err != nil {
		return err
	}
	for _, e := range expired {
		why := fmt.Sprintf("not acknowledged since %s, sent %d times", e.Appended.UTC().Format(time.RFC3339), e.Sent)
		if err := s.giveUp(t, e, why); err != nil {
			return err
		}
	}
	return nil
}

// giveUp fails a message that nothing sends any more, and keeps it for who
// wants to try again.
func (s *Stack) giveUp(t *step, e mvds.Expired, why string) error {
	ref, ok, err := t.Ref(e.ID)
	if err != nil || !ok {
		return err
	}
	if err := t.DeleteRef(e.ID); err != nil {
		return err
	}
	if err := s.setState(t, message.ID(ref.ApplicationId), view.StateChange{State: chat.Failed, Why: why}); err != nil {
		return err
	}
	return s.keepUnsent(t, ref, e)
}

// setState moves a message of ours along its delivery states, where that is a
// step forward, and tells the event stream. Messages without a place in a chat
// have no state.
func (s *Stack) setState(t *step, id message.ID, change view.StateChange) error {
	m, ok, err := t.Message(id)
	if err != nil || !ok {
		return err
	}
	next, ok := m.State.Advance(change.State)
	if !ok {
		return nil
	}
	if m.State == chat.Failed {
		if err := t.DeleteUnsent(id); err != nil {
			return err
		}
	}
	m.State = next
	if err := t.PutMessage(m); err != nil {
		return err
	}
	return t.event(EventMessageState, view.StateChangeOf(m, change))
}

// Pending returns how many envelopes wait to be published.
func (s *Stack) Pending() (n int, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		return tx.Outbox(func(uint64, *storagepb.OutboxRecord) error { n++; return nil })
	})
	if err != nil {
		err = fmt.Errorf("counting the outbox: %w", err)
	}
	return n, err
}
