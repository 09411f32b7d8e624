package stack

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/kv"
	apppb "github.com/parley-im/parley/pb/app"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
	"github.com/parley-im/parley/reliability/sds"
	"github.com/parley-im/parley/storage"
	wakumessage "github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/payload"
	"github.com/parley-im/parley/waku/topic"
)

// town is a community in a test, as its owner describes it.
type town struct {
	t testing.TB
	community.Community
	by community.Control
}

// newTown makes a community of its owner and members, with two channels. It is
// the same for the same number.
func newTown(t testing.TB, number byte, owner key.Public, now time.Time, members ...key.Public) *town {
	t.Helper()
	w := &town{t: t, by: community.Control{Key: identity(t, number), Now: now, Rand: &counterRand{uint64(number) << 40}}}
	var err error
	w.Community, err = community.Create(w.by, owner, community.Params{
		Name: fmt.Sprint("Town ", number), Text: "A town", Color: "#123456", Access: community.AutoAccept,
	})
	w.ok(err)
	w.Community, _, err = w.CreateChannel(w.by, community.ChannelParams{Name: "market", Text: "What is sold", Color: "#654321"})
	w.ok(err)
	w.admit(members...)
	return w
}

func (w *town) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// admit makes somebody a member.
func (w *town) admit(members ...key.Public) {
	w.t.Helper()
	var all []community.Request
	for _, k := range members {
		all = append(all, community.Request{Member: k, Community: w.Key, Clock: 1, State: community.Accepted})
	}
	var err error
	w.Community, err = w.AddMembers(w.by, all...)
	w.ok(err)
}

// channel is the chat id of one of the channels.
func (w *town) channel(n int) string {
	return community.ChannelID(w.Key, w.Description.Channels[n].UUID)
}

// names are those of the topics whose keys are needed.
func (w *town) names() []string {
	names := []string{topic.CommunityName(w.Key), topic.UniversalName(w.Key)}
	for _, ch := range w.Description.Channels {
		names = append(names, topic.ChannelName(w.Key, ch.UUID))
	}
	return names
}

// settle makes somebody a member who knows the description, or a reader only.
func (w *town) settle(s *Stack, joined bool) {
	w.t.Helper()
	w.ok(s.update(func(t *step) error {
		for _, name := range w.names() {
			if err := t.PutTopicKey(key.Keccak256([]byte(name)), derivedKey(name)); err != nil {
				return err
			}
		}
		before, _, err := s.community(t.Tx, w.Key)
		if err != nil {
			return err
		}
		after := w.Community
		if after.Joined, after.Spectated = joined, !joined; joined {
			after.JoinedAt = uint64(t.now.UnixMilli())
		}
		return s.putCommunity(t, before, after, nil)
	}))
}

// leave makes somebody follow the community no more.
func (w *town) leave(s *Stack) {
	w.t.Helper()
	w.ok(s.update(func(t *step) error {
		before, _, err := s.community(t.Tx, w.Key)
		if err != nil {
			return err
		}
		after := before
		after.Joined, after.Spectated = false, false
		return s.putCommunity(t, before, after, nil)
	}))
}

// citizen is a person on a network that runs SDS.
func (n *network) citizen(t *testing.T, name string, number byte, mode SDSMode) *person {
	t.Helper()
	p := &person{t: t, net: n, name: name, key: identity(t, number), installation: name + "-installation"}
	p.config = func(c *Config) { c.Network.SDS = mode }
	p.db = keysKept(t, p.key)
	p.start()
	t.Cleanup(func() {
		p.halt()
		shaped(t, p.Stack)
	})
	return p
}

// citizens are several people who are members of one community, the first its
// owner.
func (n *network) citizens(t *testing.T, mode SDSMode, names ...string) (*town, []*person) {
	t.Helper()
	var all []*person
	var keys []key.Public
	for i, name := range names {
		p := n.citizen(t, name, byte(i), mode)
		all, keys = append(all, p), append(keys, p.key.Public())
	}
	w := newTown(t, 200, keys[0], time.Now(), keys[1:]...)
	for _, p := range all {
		w.settle(p.Stack, true)
	}
	// The first contact codes and what else happens at a start.
	pass(time.Second)
	return w, all
}

// posts something in a channel.
func (p *person) posts(w *town, n int, text string) message.ID {
	p.t.Helper()
	sent, err := p.Say(w.channel(n), Content{Text: text})
	if err != nil {
		p.t.Fatal(err)
	}
	return sent[0].ID
}

// reads lists what was said in a channel, in the order of the timeline.
func (p *person) reads(w *town, n int) (texts []string) {
	p.t.Helper()
	all, err := p.Messages(w.channel(n))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range all {
		texts = append(texts, m.Text)
	}
	return texts
}

// stateOf returns the delivery state of a message.
func (p *person) stateOf(id message.ID) chat.State {
	p.t.Helper()
	m, err := p.Message(id)
	if err != nil {
		p.t.Fatal(err)
	}
	return m.State
}

// inTown takes all layers off an envelope on a community's topics, down to the
// channel message, nil for what has none, and the application message.
func (w *town) inTown(e Envelope) (m *sds.Message, said *message.Message, ours bool) {
	w.t.Helper()
	for _, name := range w.names() {
		if e.Message.GetContentTopic() != topic.Content(name) {
			continue
		}
		opened, err := payload.OpenSymmetric(e.Message.GetPayload(), derivedKey(name))
		w.ok(err)
		inner := opened.Payload
		var p encryptionpb.ProtocolMessage
		if proto.Unmarshal(inner, &p) == nil && len(p.PublicMessage) > 0 {
			inner = p.PublicMessage
		}
		raw := inner
		if m, _, err = sds.Decode(inner); err == nil {
			raw = m.Content
		} else {
			m = nil
		}
		if len(raw) > 0 {
			said, err = message.Open(raw, opened.Signer)
			w.ok(err)
		}
		return m, said, true
	}
	return nil, nil, false
}

// traffic is everything on a network that is on a community's topics, by
// anybody or one of its links.
func (w *town) traffic(n *network, by *link) (all []townTraffic) {
	w.t.Helper()
	for _, p := range n.publications(by) {
		if m, said, ours := w.inTown(p.Envelope); ours {
			all = append(all, townTraffic{p, m, said})
		}
	}
	return all
}

type townTraffic struct {
	publication
	channel *sds.Message
	said    *message.Message
}

// resident is a still stack that is a member of a community, on a network that
// runs SDS.
func resident(t testing.TB, number byte, mode SDSMode, w *town) (*Stack, *clockwork) {
	t.Helper()
	s, clock := stillOn(t, number, func(n *Network) { n.SDS = mode })
	w.settle(s, true)
	return s, clock
}

// stillOn is still on another network.
func stillOn(t testing.TB, number byte, change func(n *Network)) (*Stack, *clockwork) {
	t.Helper()
	clock := &clockwork{time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)}
	network := Network{Name: "test", Cluster: 16, Shards: specified()}
	change(&network)
	s, err := New(Config{
		Identity: identity(t, number), InstallationID: fmt.Sprint("still-", number), Network: network,
		DB: storage.NewMemory(), Keys: sharedKeys, Now: clock.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shaped(t, s) })
	return s, clock
}

// inChannel makes a chat message of the forger's for a channel.
func (f *forger) inChannel(w *town, n int, text string) []byte {
	f.t.Helper()
	return f.wrap(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, &apppb.ChatMessage{
		Clock: uint64(f.now.UnixMilli()), Timestamp: uint64(f.now.UnixMilli()), Text: text,
		ChatId: w.channel(n), MessageType: apppb.MessageType_COMMUNITY_CHAT, ContentType: apppb.ChatMessage_TEXT_PLAIN,
	})
}

// toTown seals bytes to the topic of all channels, as a public message.
func (f *forger) toTown(w *town, inner []byte) Envelope {
	f.t.Helper()
	sealed, err := f.session.SealPublic(f.st, f.now, f.rand, inner)
	f.ok(err)
	return f.onTopic(w, topic.UniversalName(w.Key), sealed)
}

// onTopic seals bytes to one of a community's topics.
func (f *forger) onTopic(w *town, name string, inner []byte) Envelope {
	f.t.Helper()
	sealed, err := payload.SealSymmetric(inner, derivedKey(name), f.key, f.rand)
	f.ok(err)
	e := f.envelope(name, sealed)
	e.PubsubTopic = topic.Pubsub(16, specified().CommunityContent[0])
	e.Hash = wakumessage.HashOf(e.PubsubTopic, e.Message)
	return e
}

// channelOf is the forger's own end of a community's channel.
func (f *forger) channelOf(w *town, c sds.Config) *sds.Channel {
	f.t.Helper()
	ch, err := sds.New(w.ID(), f.key.Public().CompressedHex(), c)
	f.ok(err)
	return ch
}

// speak makes a channel message of the forger's.
func (f *forger) speak(w *town, c sds.Config, content []byte) []byte {
	f.t.Helper()
	out, err := f.channelOf(w, c).Send(f.st, f.now, f.rand, content)
	f.ok(err)
	return out.Data
}

// textsOf are the texts in a channel.
func textsOf(t testing.TB, s *Stack, id string) (texts []string) {
	t.Helper()
	all, err := s.Messages(id)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		texts = append(texts, m.Text)
	}
	slices.Sort(texts)
	return texts
}

// storeOf is a copy of the state of a community's channel.
func storeOf(t testing.TB, s *Stack, w *town) kv.Store {
	t.Helper()
	st := kv.NewMemory()
	err := s.db.View(func(tx *storage.Tx) error { return channelStore(tx, w.Key).Scan("", st.Put) })
	if err != nil {
		t.Fatal(err)
	}
	return st
}
