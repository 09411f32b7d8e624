package stack

import (
	"slices"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/internal/kv"
	"github.com/parley-im/parley/reliability/sds"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/topic"
)

// followed is a community that is listened to, as far as the road needs to know
// it.
type followed struct {
	key key.Public
	// speaks: we are a member and take part in its channel; others only listen,
	// and nobody hears of them.
	speaks bool
	// channels are the ids of its channels.
	channels []string
	// private is its key when we are its control node.
	private key.Private
	// channel is its SDS channel, nil on a network without.
	channel *sds.Channel
}

// loadFollowing reads the communities that are followed: those we are in, read,
// or asked to be let in.
func (s *Stack) loadFollowing() (all []*followed, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		private := make(map[key.Public]key.Private)
		own, err := communityKeys(tx)
		if err != nil {
			return err
		}
		for _, k := range own {
			private[k.Public()] = k
		}
		records, err := storage.Records[community.Community](tx, storage.Communities, "")
		if err != nil {
			return err
		}
		for _, r := range records {
			c := r.Value
			if !c.Followed() && !c.Request.Open() {
				continue
			}
			f := &followed{key: c.Key, speaks: c.Joined, private: private[c.Key], channel: s.channelOf(c.Key, len(c.Description.Members))}
			for _, ch := range c.Description.Channels {
				f.channels = append(f.channels, ch.UUID)
			}
			all = append(all, f)
		}
		return nil
	})
	return all, err
}

// channelOf makes the SDS channel of a community for us, one for each community
// (Status Protocol Stack, End-to-end reliability layer).
func (s *Stack) channelOf(k key.Public, members int) *sds.Channel {
	c := s.network.sdsConfig()
	if c == nil {
		return nil
	}
	c.Repair.Groups = sds.ResponseGroups(members)
	return &sds.Channel{ID: k.CompressedHex(), Self: s.identity.Public().CompressedHex(), Config: *c}
}

// sdsConfig is how the network runs SDS, nil when it does not.
func (n Network) sdsConfig() *sds.Config {
	var c sds.Config
	switch n.SDS {
	case SDSStandard:
		c = sds.Default()
	case SDSNim:
		c = sds.InteropNim()
	default:
		return nil
	}
	return &c
}

// following returns what is known of a community that is followed; of one that
// was not followed until this step, what is the same for all.
func (s *Stack) following(k key.Public) *followed {
	if f := (*s.followedAll.Load())[k]; f != nil {
		return f
	}
	return &followed{key: k, channel: s.channelOf(k, 1)}
}

// mayBeMember tells whether somebody is a member as far as we know: of a
// community whose members are not known, anybody may be.
func (s *Stack) mayBeMember(tx *storage.Tx, k, who key.Public) (bool, error) {
	c, ok, err := s.community(tx, k)
	if err != nil || !ok || c.Description.IsZero() || c.Description.Gated {
		return true, err
	}
	return c.IsMember(who), nil
}

// alone tells whether there is nobody else to acknowledge anything.
func (s *Stack) alone(tx *storage.Tx, k key.Public) (bool, error) {
	c, _, err := s.community(tx, k)
	return len(c.Description.Members) < 2, err
}

// follows takes over what is followed from now on.
func (s *Stack) follows(all []*followed) {
	byKey := make(map[key.Public]*followed, len(all))
	for _, f := range all {
		byKey[f.key] = f
	}
	s.followedAll.Store(&byKey)
	for _, f := range all {
		s.agenda.touch(f.key)
	}
}

// channelMarks are since when the channel of a community is taken part in.
const channelMarks = "channel "

// follow begins with a community.
func (s *Stack) follow(t *step, k key.Public) error {
	t.resubscribe = true
	return s.begin(t, s.following(k))
}

// begin takes part in a channel from now on, unless that has begun: what was said
// in it before is not waited for.
func (s *Stack) begin(t *step, in *followed) error {
	if in.channel == nil {
		return nil
	}
	mark := channelMarks + in.key.CompressedHex()
	since, err := t.Mark(mark)
	if err != nil || !since.IsZero() {
		return err
	}
	if err := t.SetMark(mark, t.now); err != nil {
		return err
	}
	return in.channel.Begin(channelStore(t.Tx, in.key), t.now, t.now)
}

// unfollow forgets everything about reliability in a community.
func (s *Stack) unfollow(t *step, k key.Public) error {
	t.resubscribe = true
	if err := t.DeleteMark(channelMarks + k.CompressedHex()); err != nil {
		return err
	}
	store := channelStore(t.Tx, k)
	if in := s.following(k); in.channel != nil {
		waiting, err := in.channel.Pending(store, t.now)
		if err != nil {
			return err
		}
		for _, own := range waiting {
			if err := t.DeleteRef(channelRef(k, own.ID)); err != nil {
				return err
			}
		}
	}
	var records []string
	err := store.Scan("", func(name string, _ []byte) error { records = append(records, name); return nil })
	for _, name := range records {
		if err == nil {
			err = store.Delete(name)
		}
	}
	return err
}

// channelStore is where the state of a community's channel is.
func channelStore(tx *storage.Tx, k key.Public) kv.Store { return tx.Core("sds/" + k.CompressedHex()) }

// communityTopic is a topic of a community and where it is subscribed to.
type communityTopic struct {
	name      string
	community key.Public
	pubsubs   []string
	// private opens what comes there, when that is not the key of the name.
	private key.Private
}

// communityTopics are the topics of the communities that are followed, and no
// others (56/STATUS-COMMUNITIES; deployed clients): that of the community for
// its description, the one for all its channels, the channels' own ones, which
// older clients publish on, and for a control node that of requests to it.
func (s *Stack) communityTopics(following []*followed) (all []communityTopic) {
	for _, f := range following {
		control, content := s.network.CommunityTopics(f.key)
		both := slices.Concat(control, content)
		all = append(all,
			communityTopic{name: topic.CommunityName(f.key), community: f.key, pubsubs: control},
			communityTopic{name: topic.UniversalName(f.key), community: f.key, pubsubs: both},
		)
		for _, uuid := range f.channels {
			all = append(all, communityTopic{name: topic.ChannelName(f.key, uuid), community: f.key, pubsubs: content})
		}
		if !f.private.IsZero() {
			requests := slices.Concat(s.network.RequestTopics(), control)
			all = append(all, communityTopic{name: topic.ControlName(f.key), community: f.key, pubsubs: requests, private: f.private})
		}
	}
	return all
}

// keyed are the names of the topics whose keys derive from them.
func keyed(topics []communityTopic) (names []string) {
	for _, c := range topics {
		if c.private.IsZero() {
			names = append(names, c.name)
		}
	}
	return names
}

func (s *Stack) communityFilter(c communityTopic) filter {
	f := filter{contentTopic: topic.Content(c.name), private: c.private, community: c.community, pubsubs: c.pubsubs}
	if c.private.IsZero() {
		f.symmetric = s.topicKey(c.name)
	}
	return f
}

// memberTopics are the pubsub topics on which control nodes write to us alone.
func (s *Stack) memberTopics(following []*followed) (all []string) {
	for _, f := range following {
		control, _ := s.network.CommunityTopics(f.key)
		all = append(all, control...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
