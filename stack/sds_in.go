package stack

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/reliability/sds"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// Errors of what comes in a community's channel.
var (
	errChannel = errors.New("of another channel than that of its community")
	errSender  = errors.New("channel message in the name of somebody else")
	errNoVoice = errors.New("acknowledgements of somebody who is no member")
)

// oldChannel separates, in the channel ids that deployed clients used at first,
// the community from one of its content topics.
const oldChannel = "|"

// fromCommunity takes SDS off what came on a topic of a community, in either
// layout, and hands on what is ready. What is not wrapped is handed on as it
// is. What is bad is dropped alone: nothing of it is anybody's news.
func (s *Stack) fromCommunity(t *step, e Envelope, from key.Public, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	m, layout, err := sds.Decode(data)
	if err != nil {
		return s.deliverAlone(t, e, from, data)
	}
	if err := s.fromChannel(t, e, from, channelMessage{m, layout, data}); err != nil {
		if errors.Is(err, storage.ErrIO) {
			return err
		}
		s.counters.add("channel: " + cause(err))
		s.log.Debug("message of a channel dropped", "from", from, "envelope", e.Hash, "cause", err)
	}
	return nil
}

// channelMessage is a message of a channel as it came.
type channelMessage struct {
	*sds.Message
	layout sds.Layout
	data   []byte
}

// fromChannel applies a message of a channel. Any member may pass on what
// another said, so it is the signature inside that tells who did.
func (s *Stack) fromChannel(t *step, e Envelope, from key.Public, m channelMessage) error {
	in := s.following(e.community)
	id := in.key.CompressedHex()
	if m.Channel != id && !strings.HasPrefix(m.Channel, id+oldChannel) {
		return fmt.Errorf("%w: %.80q", errChannel, m.Channel)
	}
	author, typ := from, message.Type(0)
	if m.Kind != sds.Sync {
		said, err := message.Open(m.Content, key.Public{})
		if err != nil {
			return err
		}
		author, typ = said.Author, said.Type
	}
	if author != in.key && !claims(m, author) {
		return fmt.Errorf("%w: %.80q", errSender, m.Sender)
	}
	if m.Kind == sds.Sync {
		if ok, err := s.mayBeMember(t.Tx, in.key, from); err != nil {
			return err
		} else if !ok {
			return errNoVoice
		}
	}
	s.channels.received(in.key, m.Kind, author != from && author != in.key, len(m.data))
	if in.channel == nil || m.layout != in.channel.Config.Layout || m.Channel != id {
		// Of another network's kind: to be read, no more.
		if m.Kind == sds.Sync {
			return nil
		}
		return s.deliverAlone(t, e, from, m.Content)
	}
	if err := s.begin(t, in); err != nil {
		return err
	}
	var hint []byte
	if !e.parted {
		hint = s.network.encodeHint(e.Hash)
	}
	got, err := in.channel.Receive(channelStore(t.Tx, in.key), t.now, s.rand, m.data, hint)
	if err != nil {
		return err
	}
	t.touched = append(t.touched, in.key)
	t.heard = t.heard || m.Kind == sds.Content && !got.Known
	if !got.Known && m.Kind == sds.Content {
		s.channels.repaired(in.key, e.lookedUp, author != from && author != in.key)
	}
	by := author
	if by == in.key {
		by = key.Public{}
	}
	if err := s.settleChannel(t, in, &got.Result, by); err != nil {
		return err
	}
	// Control has clocks of its own and waits for nothing; what is older than
	// our being here waits for nothing either.
	if control(typ) && !got.Known || slices.Contains(got.Stale, m.ID) {
		if err := s.deliverAlone(t, e, from, m.Content); err != nil {
			return err
		}
	}
	for _, d := range got.Delivered {
		at, by := e, from
		if d.ID != m.ID {
			// Who brought it is not known any more, and need not be. The
			// channel's clock is about that of its author.
			at.said, by = lamportTime(in.channel, d.Lamport, t.now), key.Public{}
		}
		if err := s.deliverAlone(t, at, by, d.Content); err != nil {
			return err
		}
	}
	return nil
}

// lamportTime is the time of a channel's clock, not later than now.
func lamportTime(c *sds.Channel, lamport uint64, now time.Time) time.Time {
	tick := uint64(c.Config.Tick)
	if most := uint64(now.UnixNano()) / tick; lamport > most {
		return now
	}
	return time.Unix(0, int64(lamport*tick))
}

// claims tells whether the sender that a message of a channel names is its
// author. nim-sds names none, or anything: only another member's key is a lie
// there.
func claims(m channelMessage, author key.Public) bool {
	if m.Sender == author.CompressedHex() {
		return true
	}
	if m.layout != sds.Nim {
		return false
	}
	named, err := key.ParsePublic(m.Sender)
	return err != nil || named == author
}

// control tells whether a type is control of a community, which has a clock of
// its own.
func control(typ message.Type) bool {
	rule, ok := message.RuleFor(typ, message.Community)
	return ok && rule.Scope == message.CommunityControl
}

// settleChannel acts on what a call of a channel brought about, but for what it
// delivers. by is whose message did, nobody for what was due by time.
func (s *Stack) settleChannel(t *step, in *followed, r *sds.Result, by key.Public) error {
	for _, id := range r.Acknowledged {
		if err := s.settleOwn(t, in, id, view.StateChange{State: chat.Delivered, By: by}); err != nil {
			return err
		}
	}
	for _, given := range r.Failed {
		if err := s.failOwn(t, in, given); err != nil {
			return err
		}
	}
	if err := s.broadcast(t, in, r.Send); err != nil {
		return err
	}
	for _, f := range r.Fetch {
		for _, hint := range f.Hints {
			for _, hash := range decodeHint(hint) {
				t.lookups = append(t.lookups, lookup{in.key, hash})
			}
		}
	}
	s.channels.settled(in.key, r)
	return s.tellLost(t, in, r.Lost)
}

// failOwn fails a message of ours that nobody has acknowledged, and keeps it for
// who wants to try again. Alone in a community there is nobody who could.
func (s *Stack) failOwn(t *step, in *followed, given sds.GivenUp) error {
	ref, ok, err := t.Ref(channelRef(in.key, given.ID))
	if err != nil || !ok {
		return err
	}
	alone, err := s.alone(t.Tx, in.key)
	if err != nil {
		return err
	}
	if alone {
		return s.settleOwn(t, in, given.ID, view.StateChange{})
	}
	change := view.StateChange{State: chat.Failed, Why: "nobody in the community has acknowledged it"}
	if err := s.settleOwn(t, in, given.ID, change); err != nil {
		return err
	}
	return s.keepSigned(t, ref, storage.Unsent{Raw: given.Content})
}

// settleOwn ends the wait for a message of ours, and brings it into a state
// unless that is empty.
func (s *Stack) settleOwn(t *step, in *followed, id string, change view.StateChange) error {
	at := channelRef(in.key, id)
	ref, ok, err := t.Ref(at)
	if err != nil || !ok {
		return err
	}
	if err := t.DeleteRef(at); err != nil || change.State == "" {
		return err
	}
	return s.setState(t, message.ID(ref.ApplicationId), change)
}

// lostNamed is how many authors of lost messages one event names.
const lostNamed = 20

// tellLost tells the event stream of messages that nobody has.
func (s *Stack) tellLost(t *step, in *followed, lost []sds.Entry) error {
	if len(lost) == 0 {
		return nil
	}
	var authors []key.Public
	for _, l := range lost {
		k, err := key.ParsePublic(l.Sender)
		if err == nil && !slices.Contains(authors, k) && len(authors) < lostNamed {
			authors = append(authors, k)
		}
	}
	return t.event(EventCommunityLost, view.CommunityLost{
		Community: in.key.CompressedHex(), Messages: len(lost), Authors: view.NewPeople(authors),
	})
}

// mayBePassedOn tells whether somebody else than the author of a message may
// bring it. On a community's topics anybody may, whatever is meant for all of
// it: who lacks a message gets it from any other. To a single member, the owner
// writes in the name of the community; that it is the community's key is for
// the handler to see.
func mayBePassedOn(from key.Public, m *message.Message) bool {
	rule, ok := message.RuleFor(m.Type, message.Community)
	switch {
	case !ok || !m.Signed:
		return false
	case rule.Scope == message.CommunityControl && rule.Topic == message.TopicPairwise:
		return rule.Encryption == message.Raw
	case from.IsZero() || rule.Reliability != message.SDS:
		return false
	case rule.Scope == message.CommunityControl:
		return true
	}
	return saidIn(m) == from
}

// saidIn returns the community that a message of content is addressed to, zero
// for what is not for a channel.
func saidIn(m *message.Message) key.Public {
	var addressed interface {
		proto.Message
		GetChatId() string
		GetMessageType() apppb.MessageType
	}
	switch m.Type {
	case apppb.ApplicationMetadataMessage_CHAT_MESSAGE:
		addressed = new(apppb.ChatMessage)
	case apppb.ApplicationMetadataMessage_EMOJI_REACTION:
		addressed = new(apppb.EmojiReaction)
	case apppb.ApplicationMetadataMessage_PIN_MESSAGE:
		addressed = new(apppb.PinMessage)
	case apppb.ApplicationMetadataMessage_EDIT_MESSAGE:
		addressed = new(apppb.EditMessage)
	case apppb.ApplicationMetadataMessage_DELETE_MESSAGE:
		addressed = new(apppb.DeleteMessage)
	case apppb.ApplicationMetadataMessage_THREAD_METADATA:
		addressed = new(apppb.ThreadMetadata)
	default:
		return key.Public{}
	}
	if proto.Unmarshal(m.Payload, addressed) != nil || addressed.GetMessageType() != apppb.MessageType_COMMUNITY_CHAT {
		return key.Public{}
	}
	k, _, err := community.SplitChannelID(addressed.GetChatId())
	if err != nil {
		return key.Public{}
	}
	return k
}
