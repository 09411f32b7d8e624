package storesync

import (
	"slices"

	"github.com/parley-im/parley/waku/topic"
)

// scopeOf heads payloads of a node that stores topics.
func scopeOf(form Form, topics []string) Scope {
	s := Scope{Form: form}
	if form == Topics {
		s.PubsubTopics = topics
		return s
	}
	s.Cluster, s.Shards, _ = shardsOf(topics)
	return s
}

// shardsOf returns the shards that topics are, in order; not ok unless all are
// shards of one cluster.
func shardsOf(topics []string) (cluster uint16, shards []uint16, ok bool) {
	for _, t := range topics {
		c, n, err := topic.ParsePubsub(t)
		if err != nil || len(shards) > 0 && c != cluster {
			return 0, nil, false
		}
		cluster, shards = c, append(shards, n)
	}
	slices.Sort(shards)
	return cluster, slices.Compact(shards), len(shards) > 0
}

// common returns those of a node's topics that it reconciles with the sender
// of such payloads. With shards it is all or nothing, as specified; nobody who
// keeps a part of the content topics is answered: the ids do not tell them
// apart.
func (s *Scope) common(topics []string) []string {
	if s.Form == Shards {
		cluster, shards, ok := shardsOf(topics)
		theirs := slices.Clone(s.Shards)
		slices.Sort(theirs)
		if !ok || cluster != s.Cluster || !slices.Equal(shards, slices.Compact(theirs)) {
			return nil
		}
		return topics
	}
	if len(s.ContentTopics) > 0 {
		return nil
	}
	if len(s.PubsubTopics) == 0 {
		return topics
	}
	var both []string
	for _, t := range topics {
		if slices.Contains(s.PubsubTopics, t) {
			both = append(both, t)
		}
	}
	return both
}
