package stack

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/kv"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
	wakumessage "github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

const (
	// EventMessageStored means that store nodes are known to have a message of
	// ours, so that whom it is for can fetch it. It says nothing of its delivery.
	EventMessageStored = "message.stored"
)

const (
	// presenceFirst is when store nodes are asked for an envelope after it was
	// published; the pause doubles up to presenceMost.
	presenceFirst = 10 * time.Second
	presenceMost  = 10 * time.Minute
	// presencePause is the least time between two such questions.
	presencePause = 5 * time.Second
	// presenceTries is how often they are asked, presenceFor how long it may
	// take altogether.
	presenceTries = 10
	presenceFor   = 24 * time.Hour
	// presenceBatch is how many envelopes are asked for at once, presenceKept
	// how many may wait for that.
	presenceBatch = 50
	presenceKept  = 1000
)

// notePublished remembers an envelope that is to be looked for in stores, if
// somebody would want to know.
func (s *Stack) notePublished(t *step, a attempt, large *storage.Transfer) error {
	p := &storage.Published{Hash: a.hash, Due: t.now.Add(presenceFirst), At: t.now.UTC(), PubsubTopic: a.record.PubsubTopic}
	for _, ref := range a.record.Refs {
		m, ok, err := t.Message(message.ID(ref))
		if err != nil {
			return err
		}
		if ok && m.Stored == 0 {
			p.Refs = append(p.Refs, m.ID)
		}
	}
	if len(p.Refs) == 0 {
		return nil
	}
	if large != nil {
		p.Transfer = large.ID[:]
	}
	t.published = true
	return t.PutPublished(p)
}

// askPresence asks store nodes in turn for what was published.
func (r *reconciler) askPresence(ctx context.Context) (found bool, err error) {
	batch, excess, err := r.duePublished()
	if err != nil || len(batch)+len(excess) == 0 {
		return false, err
	}
	r.turn()
	r.asked = r.now()
	byTopic := map[string][]*storage.Published{}
	for _, p := range batch {
		byTopic[p.PubsubTopic] = append(byTopic[p.PubsubTopic], p)
	}
	there, asked := map[wakumessage.Hash]bool{}, map[string]bool{}
	var failed error
	for _, pubsub := range slices.Sorted(maps.Keys(byTopic)) {
		if asked[pubsub], err = r.present(ctx, pubsub, byTopic[pubsub], there); err != nil {
			failed = err
		}
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	err = r.update(func(t *step) error {
		for _, p := range excess {
			if err := t.DeletePublished(p); err != nil {
				return err
			}
		}
		for _, p := range batch {
			if err := r.settlePresence(t, p, there[p.Hash], asked[p.PubsubTopic]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || failed != nil {
		return false, cmpErr(err, failed)
	}
	return true, nil
}

// nextPresence is when there is something to ask for.
func (s *Stack) nextPresence() (at time.Time, err error) {
	at = s.now().Add(presenceFor)
	err = s.db.View(func(tx *storage.Tx) error {
		return tx.Published(func(p *storage.Published) error {
			if p.Due.Before(at) {
				at = p.Due
			}
			return kv.Stop
		})
	})
	return at, err
}

// duePublished returns what to ask for, and what there is no room for.
func (s *Stack) duePublished() (batch, excess []*storage.Published, err error) {
	now, all := s.now(), []*storage.Published(nil)
	err = s.db.View(func(tx *storage.Tx) error {
		return tx.Published(func(p *storage.Published) error {
			if p.Due.After(now) && len(all) < presenceBatch {
				return kv.Stop
			}
			all = append(all, p)
			return nil
		})
	})
	if over := len(all) - presenceKept; over > 0 {
		all, excess = all[over:], all[:over]
	}
	for _, p := range all[:min(len(all), presenceBatch)] {
		if !p.Due.After(now) {
			batch = append(batch, p)
		}
	}
	return batch, excess, err
}

// present asks the nodes of a pubsub topic, one after the other until one
// answers, which of the envelopes they have.
func (r *reconciler) present(ctx context.Context, pubsub string, all []*storage.Published, there map[wakumessage.Hash]bool) (asked bool, err error) {
	err = errNoNode
	q := &store.Query{Forward: true, Limit: uint64(len(all))}
	for _, p := range all {
		q.Hashes = append(q.Hashes, p.Hash)
	}
	for _, node := range r.choose(pubsub) {
		page, failed := r.query(ctx, node, q)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if failed != nil {
			err = failed
			r.stores.failed(node, r.now(), failed)
			continue
		}
		r.stores.answered(node, r.now())
		for _, m := range page.Messages {
			there[m.Hash] = true
		}
		return true, nil
	}
	return false, err
}

// settlePresence writes down what the question for an envelope brought.
func (s *Stack) settlePresence(t *step, p *storage.Published, there, asked bool) error {
	if err := t.DeletePublished(p); err != nil {
		return err
	}
	if there {
		return s.confirmStored(t, p)
	}
	if asked {
		p.Asked++
	}
	if p.Asked >= presenceTries || t.now.Sub(p.At) >= presenceFor {
		return nil
	}
	p.Due = t.now.Add(doubled(presenceFirst, presenceMost, p.Asked))
	return t.PutPublished(p)
}

// confirmStored notes that a store node has an envelope. A large message is
// stored when all of its segments are.
func (s *Stack) confirmStored(t *step, p *storage.Published) error {
	at := t.now
	s.storedAt.Store(&at)
	if len(p.Transfer) == len(p.Hash) {
		large, err := t.Transfer([32]byte(p.Transfer))
		if err != nil {
			return err
		}
		if large != nil {
			large.Stored++
			if err := t.UpdateTransfer(large); err != nil || large.Stored < large.Of {
				return err
			}
		}
	}
	for _, id := range p.Refs {
		m, ok, err := t.Message(id)
		if err != nil {
			return err
		}
		if !ok || m.Stored != 0 {
			continue
		}
		m.Stored = t.now.UnixMilli()
		if err := t.PutMessage(m); err != nil {
			return err
		}
		if err := t.event(EventMessageStored, view.Stored{ID: m.ID, Chat: m.Chat, Stored: m.Stored}); err != nil {
			return err
		}
	}
	return nil
}
