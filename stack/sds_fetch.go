package stack

import (
	"context"
	"slices"
	"sync"

	"github.com/parley-im/parley/account/key"
	wakumessage "github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

const (
	// lookupsMost bounds what waits to be fetched by hash: of what does not fit,
	// SDS asks the members.
	lookupsMost = 1000
	// lookupNodes is how many store nodes are asked for a message.
	lookupNodes = 3
)

// lookup is a message that a community's channel lacks, by the hash under which
// somebody says that stores have it.
type lookup struct {
	community key.Public
	hash      wakumessage.Hash
}

// lookupQueue is what is to be fetched by its hash.
type lookupQueue struct {
	mu    sync.Mutex
	all   []lookup
	added chan struct{}
}

func newLookups() lookupQueue { return lookupQueue{added: make(chan struct{}, 1)} }

func (l *lookupQueue) add(more []lookup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range more {
		if len(l.all) < lookupsMost && !slices.Contains(l.all, one) {
			l.all = append(l.all, one)
		}
	}
	wake(l.added)
}

// take returns what is to be fetched for some community.
func (l *lookupQueue) take() (community key.Public, hashes []wakumessage.Hash) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return community, nil
	}
	community = l.all[0].community
	l.all = slices.DeleteFunc(l.all, func(one lookup) bool {
		mine := one.community == community && len(hashes) < lookupMost
		if mine {
			hashes = append(hashes, one.hash)
		}
		return mine
	})
	return community, hashes
}

// lookUp fetches what channels lack, by message hash lookup queries, until ctx
// ends.
func (s *Stack) lookUp(ctx context.Context, transport Transport) error {
	p := newPanel(transport, &s.stores, s.now)
	for {
		community, hashes := s.lookups.take()
		if len(hashes) > 0 {
			p.turn()
			if err := s.lookUpIn(ctx, &p, community, hashes); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.lookups.added:
		}
	}
}

// lookUpIn asks store nodes, one after the other, for messages of a community,
// also for those whose envelopes were here: for what the channel had no room, and
// what came before the community was left and followed again, it needs once more.
// Hints may be wrong, so a node that has none of them is no worse for it. Only
// errors of the database are returned.
func (s *Stack) lookUpIn(ctx context.Context, p *panel, community key.Public, hashes []wakumessage.Hash) error {
	control, content := s.network.CommunityTopics(community)
	topics := slices.Concat(control, content)
	for n, node := range p.choose(content[0]) {
		if len(hashes) == 0 || n == lookupNodes || ctx.Err() != nil {
			break
		}
		page, err := p.query(ctx, node, &store.Query{IncludeData: true, Hashes: hashes, Limit: uint64(len(hashes)), Forward: true})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			s.stores.failed(node, s.now(), err)
			continue
		}
		wrong, asked := len(page.Faults), hashes
		for _, m := range page.Messages {
			if m.Message == nil || !slices.Contains(asked, m.Hash) || wakumessage.HashOf(m.PubsubTopic, m.Message) != m.Hash {
				wrong++
				continue
			}
			hashes = slices.DeleteFunc(slices.Clone(hashes), func(h wakumessage.Hash) bool { return h == m.Hash })
			if !slices.Contains(topics, m.PubsubTopic) {
				continue // the hint was wrong
			}
			e := Envelope{PubsubTopic: m.PubsubTopic, Message: m.Message, Hash: m.Hash, Stored: true, lookedUp: true}
			if err := s.Receive(e); err != nil {
				return err
			}
		}
		if wrong > 0 {
			s.stores.wrong(node, s.now(), wrong)
		}
	}
	return nil
}
