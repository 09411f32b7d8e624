package stack

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	storagepb "github.com/parley-im/parley/pb/storage"
	"github.com/parley-im/parley/reliability/sds"
	"github.com/parley-im/parley/storage"
	wakumessage "github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/topic"
)

// errNoCommunity is a message that needs a community and names none.
var errNoCommunity = errors.New("no community to send it to")

// synchronise wraps a signed message for the channel of its community, which
// keeps it until it is acknowledged. What the channel does not take goes without
// it, as deployed clients do with what is too large.
func (s *Stack) synchronise(t *step, f *frame) error {
	if f.community.IsZero() {
		return fmt.Errorf("%s: %w", message.Name(f.rule.Type), errNoCommunity)
	}
	in := s.following(f.community)
	if in.channel == nil {
		return nil
	}
	if err := s.begin(t, in); err != nil {
		return err
	}
	out, err := in.channel.Send(channelStore(t.Tx, in.key), t.now, s.rand, f.data)
	switch {
	case errors.Is(err, sds.ErrContent), errors.Is(err, sds.ErrFull):
		s.counters.add("sent without reliability: " + cause(err))
		return nil
	case err != nil:
		return err
	}
	ref := &storagepb.MessageRef{ApplicationId: f.refs[0][:], Type: uint32(f.rule.Type)}
	if err := t.PutRef(channelRef(in.key, out.ID), ref); err != nil {
		return err
	}
	f.data, f.synced = out.Data, out.ID
	s.channels.sent(in.key, sds.First, len(out.Data))
	t.touched = append(t.touched, in.key)
	return nil
}

// channelRef is under which key it is noted which application message one of
// ours in a channel is.
func channelRef(community key.Public, id string) [32]byte {
	return key.Keccak256([]byte("sds"), community.Bytes(), []byte(id))
}

// publishTopics are the pubsub topics of a frame.
func (s *Stack) publishTopics(f frame) []string {
	if f.community.IsZero() {
		return s.network.PublishTopics(f.rule)
	}
	control, content := s.network.CommunityTopics(f.community)
	switch f.rule.Shard {
	case message.ShardCommunityControl:
		return control
	case message.ShardCommunityRequest:
		return s.network.RequestTopics()
	}
	return content
}

// encryptForCommunity is encrypt for what goes to all of a community, or to its
// control node.
func (s *Stack) encryptForCommunity(t *step, f frame) ([]byte, route, error) {
	k := f.community
	at := f.rule.Topic
	if f.rule.Also == message.TopicUniversal || f.channel != "" {
		at = f.rule.Also // the copy for the community, or for the channel
	}
	var to route
	switch at {
	case message.TopicCommunityRequests:
		return f.data, route{contentTopic: topic.Content(topic.ControlName(k)), to: k}, nil
	case message.TopicCommunity:
		to = s.named(topic.CommunityName(k))
	case message.TopicUniversal:
		to = s.named(topic.UniversalName(k))
	case message.TopicChannel:
		to = s.named(topic.ChannelName(k, f.channel))
	default:
		return nil, to, fmt.Errorf("%s: not for a community", message.Name(f.rule.Type))
	}
	if f.rule.Encryption == message.Raw {
		return f.data, to, nil
	}
	sealed, err := s.session.SealPublic(t.Core("session"), t.now, s.rand, f.data)
	return sealed, to, err
}

// copyToChannel publishes what is said in a channel once more, on the channel's
// own content topic, where the network has clients that hear nothing else. Those
// know no SDS, so it is the signed message alone, with the id by which whoever
// hears both takes it for one; and some of them fail at segments, so a large
// message has no copy. It has no part in the message's state either: that is
// about the topic on which all others listen.
func (s *Stack) copyToChannel(t *step, f frame, channel string, raw []byte) error {
	if !s.network.ChannelTopics || f.rule.Also != message.TopicChannel || channel == "" {
		return nil
	}
	return s.carry(t, frame{rule: f.rule, data: raw, ephemeral: f.ephemeral, community: f.community, channel: channel})
}

// broadcast takes what a channel has to say onto the road: own messages again,
// those of others that somebody lacks, and its periodic messages. Each is a new
// Waku message.
func (s *Stack) broadcast(t *step, in *followed, all []sds.Outgoing) error {
	if !in.speaks {
		return nil
	}
	for _, out := range all {
		f, err := s.frameOf(t, in, out)
		if err == nil && f.data != nil {
			err = t.try(func(t *step) error { return s.carry(t, f) })
		}
		if errors.Is(err, storage.ErrIO) {
			return err
		}
		if err != nil {
			s.log.Warn("cannot write to a community", "community", in.key.CompressedHex(), "cause", err)
			continue
		}
		s.channels.sent(in.key, out.Reason, len(f.data))
	}
	return nil
}

// frameOf finds the rule by which a message of a channel travels: that of what
// is in it. The frame is empty when the message is still on its way.
func (s *Stack) frameOf(t *step, in *followed, out sds.Outgoing) (f frame, err error) {
	f = frame{community: in.key, data: out.Data}
	m, _, err := sds.Decode(out.Data)
	if err != nil {
		return f, err
	}
	typ := apppb.ApplicationMetadataMessage_CHAT_MESSAGE
	if m.Kind != sds.Sync {
		var wrapper apppb.ApplicationMetadataMessage
		if err := proto.Unmarshal(m.Content, &wrapper); err != nil {
			return f, err
		}
		typ = wrapper.Type
	}
	rule, ok := message.RuleFor(typ, message.Community)
	if !ok || rule.Reliability != message.SDS {
		return f, fmt.Errorf("no rule for %s", message.Name(typ))
	}
	f.rule = rule
	if out.Reason != sds.Again {
		return f, nil
	}
	f.synced = out.ID
	ref, ok, err := t.Ref(channelRef(in.key, out.ID))
	if err != nil || !ok {
		return f, err
	}
	id := message.ID(ref.ApplicationId)
	f.refs = []message.ID{id}
	if len(out.Data) >= largeChecked {
		held, err := s.transferring(t, key.Public{}, id)
		if err != nil {
			return f, err
		}
		if held {
			s.counters.add("not sent again: a large message is still on its way")
			f.data = nil
		}
	}
	return f, nil
}

// hint notes under which hash store nodes have an own message, for the members
// who lack it.
func (s *Stack) hint(t *step, f frame, hash wakumessage.Hash) error {
	return s.following(f.community).channel.SetHint(channelStore(t.Tx, f.community), f.synced, s.network.encodeHint(hash))
}

// encodeHint writes a retrieval hint: the hash of a Waku message, which deployed
// clients (status-go) put into a list of hashes.
func (n Network) encodeHint(hash wakumessage.Hash) []byte {
	if n.SDS == SDSNim {
		return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), hash[:])
	}
	return hash[:]
}

// decodeHint reads a retrieval hint in either form, nil for what is neither.
func decodeHint(raw []byte) (hashes []wakumessage.Hash) {
	const size = len(wakumessage.Hash{})
	if len(raw) == size {
		return []wakumessage.Hash{wakumessage.Hash(raw)}
	}
	for len(raw) > 0 {
		number, typ, n := protowire.ConsumeField(raw)
		if n < 0 || number != 1 || typ != protowire.BytesType {
			return nil
		}
		_, _, tag := protowire.ConsumeTag(raw)
		value, _ := protowire.ConsumeBytes(raw[tag:])
		if len(value) != size {
			return nil
		}
		hashes = append(hashes, wakumessage.Hash(value))
		raw = raw[n:]
	}
	return hashes
}
