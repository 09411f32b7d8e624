package stack

import (
	"context"
	"slices"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/encryption/session"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/topic"
)

// filter is a content topic that is listened to and the key that opens what
// arrives there: our private key, or the symmetric key of its name.
type filter struct {
	contentTopic string
	symmetric    [32]byte
	private      key.Private
	// live: subscribed to on the shards of global scope.
	live bool
	// local: queried on the shards of self-addressed messages, which nobody
	// subscribes to.
	local bool
	// community is whose topic it is, zero for none, and pubsubs where it is
	// subscribed to besides the shards of global scope.
	community key.Public
	pubsubs   []string
}

// loadFilters computes from the database what this account listens to
// (10/WAKU-USAGE, 54/WAKU2-X3DH-SESSIONS):
// its partition of the discovery topics, the negotiated topic of every peer,
// its own contact code and those of whom it writes to; the topics of the
// communities it follows; and, by query only, its personal topic.
func (s *Stack) loadFilters() error {
	// Whoever comes last sees the most, and must be the last to say so.
	s.filtersMu.Lock()
	defer s.filtersMu.Unlock()
	self := s.identity.Public()
	secrets, err := s.secrets()
	if err != nil {
		return err
	}
	heard, err := s.acquaintances()
	if err != nil {
		return err
	}
	following, err := s.loadFollowing()
	if err != nil {
		return err
	}
	names := []string{topic.ContactCodeName(self)}
	local := make(map[string]bool)
	for _, n := range secrets {
		name := topic.NegotiatedName(n.Secret)
		names = append(names, name)
		local[name] = n.Peer == self
	}
	for _, peer := range heard {
		names = append(names, topic.ContactCodeName(peer))
	}
	communities := s.communityTopics(following)
	if err := s.loadKeys(slices.Concat(names, keyed(communities))); err != nil {
		return err
	}
	filters := []filter{
		{contentTopic: topic.Content(topic.PartitionedName(self)), private: s.identity, live: true, local: true, pubsubs: s.memberTopics(following)},
		{contentTopic: topic.Content(topic.PersonalName(self)), private: s.identity, local: true},
	}
	for _, name := range names {
		f := s.namedFilter(name)
		f.local = local[name]
		filters = append(filters, f)
	}
	for _, c := range communities {
		filters = append(filters, s.communityFilter(c))
	}
	byTopic := make(map[string][]filter, len(filters))
	for _, f := range filters {
		byTopic[f.contentTopic] = append(byTopic[f.contentTopic], f)
	}
	s.filters.Store(&byTopic)
	s.follows(following)
	return nil
}

func (s *Stack) secrets() (all []session.Negotiated, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		all, err = s.session.Secrets(tx.Core("session"))
		return err
	})
	return all, err
}

// acquaintances are those whose contact codes are listened to, for who they are
// and for the bundles of their devices: whom a contact request went to or came
// from, whom we talk to, and the members of our private groups. Somebody
// blocked is none.
func (s *Stack) acquaintances() (all []key.Public, err error) {
	known := map[key.Public]bool{s.identity.Public(): true}
	add := func(k key.Public) {
		if !known[k] {
			known[k] = true
			all = append(all, k)
		}
	}
	err = s.db.View(func(tx *storage.Tx) error {
		contacts, err := tx.Contacts()
		if err != nil {
			return err
		}
		for _, c := range contacts {
			switch {
			case c.Blocked:
				known[c.Key] = true
			case c.State() != contact.None:
				add(c.Key)
			}
		}
		chats, err := tx.Chats()
		if err != nil {
			return err
		}
		for _, c := range chats {
			if c.Active && c.Kind == message.OneToOne {
				add(c.Peer)
			}
		}
		groups, err := storage.Records[group.Group](tx, storage.Groups, "")
		if err != nil {
			return err
		}
		for _, g := range groups {
			if !g.Value.IsMember(s.identity.Public()) {
				continue
			}
			for _, k := range g.Value.Members {
				add(k)
			}
		}
		return nil
	})
	return all, err
}

func (s *Stack) namedFilter(name string) filter {
	return filter{contentTopic: topic.Content(name), symmetric: s.topicKey(name), live: true}
}

// wanted is what to subscribe to: content topics by pubsub topic.
func (s *Stack) wanted() map[string][]string {
	topics := s.contentTopics(func(f filter) bool { return f.live })
	want := make(map[string][]string)
	for _, pubsub := range s.network.GlobalTopics() {
		want[pubsub] = topics
	}
	more := make(map[string][]string)
	for name, filters := range *s.filters.Load() {
		for _, f := range filters {
			for _, pubsub := range f.pubsubs {
				more[pubsub] = append(more[pubsub], name)
			}
		}
	}
	for pubsub, names := range more {
		all := slices.Concat(want[pubsub], names)
		slices.Sort(all)
		want[pubsub] = slices.Compact(all)
	}
	return want
}

// contentTopics returns the topics of which some filter passes, sorted.
func (s *Stack) contentTopics(pass func(filter) bool) []string {
	var topics []string
	for name, filters := range *s.filters.Load() {
		if slices.ContainsFunc(filters, pass) {
			topics = append(topics, name)
		}
	}
	slices.Sort(topics)
	return topics
}

const (
	// heartbeat is how often the database learns until when we listened.
	heartbeat = time.Minute
	// localInterval is how often self-addressed messages are queried.
	localInterval = 10 * time.Minute
	// pairedInterval is how often they are while devices are paired. It ends
	// before the heartbeat at which it is looked at.
	pairedInterval = heartbeat - 10*time.Second
	// ringPause is how long after a sign of another device they are, and
	// ringInterval the least time between two queries for that reason.
	ringPause    = 3 * time.Second
	ringInterval = 15 * time.Second
)

// localEvery is how often self-addressed messages are queried.
func (s *Stack) localEvery() (every time.Duration, err error) {
	every = localInterval
	err = s.db.View(func(tx *storage.Tx) error {
		paired, err := s.paired(tx)
		if paired {
			every = pairedInterval
		}
		return err
	})
	return every, err
}

// listen keeps the transport subscribed to what is wanted and fetches what was
// missed: at the start, for topics new to us, and after each gap.
func (s *Stack) listen(ctx context.Context, transport Transport) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	l := listener{Stack: s, transport: transport}
	gaps := transport.Gaps()
	bell := time.NewTimer(soonest)
	defer bell.Stop()
	bell.Stop()
	ringing := false
	err := l.resubscribe(ctx)
	for err == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wakeSubscribe:
			err = l.resubscribe(ctx)
		case since, ok := <-gaps:
			if !ok {
				gaps = nil // the transport is closed
				continue
			}
			err = l.fillGap(ctx, since)
		case <-s.wakeLocal:
			if !ringing {
				ringing = true
				bell.Reset(max(ringPause, ringInterval-s.now().Sub(l.fetched)))
			}
		case <-bell.C:
			ringing = false
			err = l.queryLocal(ctx)
		case <-beat.C:
			err = l.beat(ctx)
		}
	}
	return err
}

// listener is what listen knows of the running connection.
type listener struct {
	*Stack
	transport Transport
	// deaf: the transport refused the last subscription.
	deaf bool
	// complete: nothing is known to be missing.
	complete bool
	// fetched is when the last fetch was complete.
	fetched time.Time
}

// resubscribe tells the transport what is wanted and then fetches the history
// of every topic up to now, in this order, so that nothing falls in between.
func (l *listener) resubscribe(ctx context.Context) error {
	want := l.wanted()
	err := l.transport.Subscribe(ctx, want)
	if l.deaf = err != nil; l.deaf && ctx.Err() == nil {
		l.log.Warn("cannot subscribe", "cause", err)
	}
	if err := l.forget(want); err != nil {
		return err
	}
	return l.catchUp(ctx)
}

// forget drops the marks of topics that are fetched no longer, also since
// before the start: should they be wanted again, their history has a hole.
func (l *listener) forget(want map[string][]string) error {
	keep := make(map[string]bool)
	for pubsub, topics := range want {
		for _, name := range topics {
			keep[markName(pubsub, name)] = true
		}
	}
	for _, pubsub := range l.network.LocalTopics() {
		for _, name := range l.contentTopics(func(f filter) bool { return f.local }) {
			keep[markName(pubsub, name)] = true
		}
	}
	for pubsub, topics := range l.largeContent() {
		for _, name := range topics {
			keep[markName(pubsub, name)] = true
		}
	}
	return l.update(func(t *step) error {
		marks, err := t.Marks(historyMarks)
		if err != nil {
			return err
		}
		for _, name := range marks {
			if keep[name] {
				continue
			}
			if err := t.DeleteMark(name); err != nil {
				return err
			}
		}
		return nil
	})
}

// beat notes that we are listening now, if we are and nothing is missing, and
// fetches what is only queried.
func (l *listener) beat(ctx context.Context) error {
	if l.deaf {
		return l.resubscribe(ctx)
	}
	every, err := l.localEvery()
	if err != nil {
		return err
	}
	query := func(context.Context) error { return nil }
	switch {
	case !l.complete:
		query = l.catchUp
	case l.now().Sub(l.fetched) >= every:
		query = l.queryLocal
	}
	if err := query(ctx); err != nil {
		return err
	}
	// While nothing reaches us something may be missed, and it is no more
	// certain once something does.
	l.complete = l.complete && l.transport.Listening()
	if !l.complete {
		return nil
	}
	return l.update(func(t *step) error { return t.SetMark(onlineMark, t.now) })
}
