package stack

import (
	"errors"
	"fmt"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	storagepb "github.com/parley-im/parley/pb/storage"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/storage"
	wakumessage "github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/payload"
	"github.com/parley-im/parley/waku/segment"
	"github.com/parley-im/parley/waku/topic"
)

// outgoing is an application message on its way out.
type outgoing struct {
	kind message.ChatKind
	typ  message.Type
	// body is the inner message, encoded.
	body []byte
	// to are those who get a pairwise message, each over their own session;
	// empty for public ones.
	to []key.Public
	// community is the one it belongs to; its members hear it, or, of a request,
	// its control node.
	community key.Public
	// channel is the UUID of that community's channel, for content.
	channel string
	// by signs the message when that is not our chat key: a community's.
	by key.Private
}

// send is the road out, as far as one message goes alone:
//
//	table → sign → reliability → carry
//
// Several recipients get the same signed message, under the same id.
// Everything happens in the caller's transaction. A message of the MVDS class
// stops at the reliability layer, whose payloads flush takes onward.
func (s *Stack) send(t *step, m outgoing) (message.ID, error) {
	rule, ok := message.RuleFor(m.typ, m.kind)
	if !ok {
		return message.ID{}, fmt.Errorf("no rule for %s", message.Name(m.typ))
	}
	author := m.by
	if author.IsZero() {
		author = s.identity
	}
	raw, id, err := message.Wrap(m.typ, m.body, author)
	if err != nil {
		return message.ID{}, err
	}
	if rule.Reliability == message.MVDS {
		return id, s.sync(t, m, id, raw)
	}
	return id, s.sendSigned(t, rule, m, id, raw)
}

// sendSigned takes a signed message onward that is none of MVDS's.
func (s *Stack) sendSigned(t *step, rule message.Rule, m outgoing, id message.ID, raw []byte) error {
	f := frame{rule: rule, data: raw, refs: []message.ID{id}, ephemeral: rule.IsEphemeral(m.body), community: m.community}
	if rule.Reliability == message.SDS && !f.ephemeral {
		if err := s.synchronise(t, &f); err != nil {
			return err
		}
	}
	if len(m.to) == 0 {
		if err := s.carry(t, f); err != nil {
			return err
		}
		return s.copyToChannel(t, f, m.channel, raw)
	}
	for _, f.to = range m.to {
		if err := s.carry(t, f); err != nil {
			return err
		}
	}
	return nil
}

// sync hands a signed message to the reliability layer, for each recipient.
func (s *Stack) sync(t *step, m outgoing, id message.ID, raw []byte) error {
	for _, to := range m.to {
		ref, err := s.mvds.Append(t.Core("mvds"), t.now, mvds.Message{
			Group:     mvds.OneToOneGroup(s.identity.Public(), to),
			Timestamp: t.now.Unix(),
			Body:      raw,
		}, to)
		if err != nil {
			return err
		}
		t.flush = true
		if err := t.PutRef(ref, &storagepb.MessageRef{ApplicationId: id[:], Type: uint32(m.typ)}); err != nil {
			return err
		}
	}
	return s.copyToDevices(t, m, id, raw)
}

// flushBatch is how many peers one flush writes to.
const flushBatch = 64

// flush takes what the reliability layer has due onto the road: at most one
// payload per peer and epoch.
func (s *Stack) flush(t *step) error {
	due, err := s.syncing(t.now).Due(t.Core("mvds"), t.now, s.rand, flushBatch)
	if err != nil {
		return err
	}
	for _, out := range due {
		if err := s.holdBack(t, &out); err != nil {
			return err
		}
		if out.Payload.Empty() {
			continue
		}
		for _, part := range unladen(out) {
			if err := s.carryPayload(t, part); err != nil {
				return err
			}
		}
	}
	return nil
}

// carryPayload takes a payload of the reliability layer onward. Only an error of
// the database is returned.
func (s *Stack) carryPayload(t *step, out mvds.Outgoing) (err error) {
	s.synced.add(out.Peer, out.Usage(), mvds.Usage{})
	f := frame{to: out.Peer, data: out.Payload.Encode()}
	if f.rule, f.refs, err = s.refs(t, out); err != nil {
		return err
	}
	// One peer that cannot be written to must not hold up the others; what was
	// due to it is due again later.
	err = t.try(func(t *step) error { return s.carry(t, f) })
	if errors.Is(err, storage.ErrIO) {
		return err
	}
	if err != nil {
		s.log.Warn("cannot write to a peer", "peer", out.Peer, "cause", err)
	}
	return nil
}

// refs finds the application messages in an MVDS payload and the rule it
// travels by: that of the last content message in it, else that of control.
// What goes to ourselves is local, acknowledgements too, unless there are copies
// of what others get and nothing else.
func (s *Stack) refs(t *step, out mvds.Outgoing) (rule message.Rule, refs []message.ID, err error) {
	rule, _ = message.RuleFor(apppb.ApplicationMetadataMessage_CONTACT_UPDATE, message.NoChat)
	local, copies := out.Peer == s.identity.Public(), 0
	for _, id := range out.Messages {
		r, ok, err := t.Ref(id)
		if err != nil {
			return rule, nil, err
		}
		if !ok {
			continue
		}
		if isCopy(r) {
			copies++
		}
		refs = append(refs, message.ID(r.ApplicationId))
		if own, ok := message.RuleFor(message.Type(r.Type), message.OneToOne); ok && own.Scope == message.GlobalContent {
			rule = own
		}
	}
	if local && (copies == 0 || copies < len(out.Messages)) {
		rule, _ = message.RuleFor(apppb.ApplicationMetadataMessage_SYNC_SETTING, message.NoChat)
	}
	return rule, refs, nil
}

// frame is what the lower half of the road carries: a signed message or a
// reliability payload.
type frame struct {
	rule      message.Rule
	to        key.Public
	data      []byte
	refs      []message.ID
	ephemeral bool
	// community is the one it belongs to, zero for none, synced the id of ours
	// in its channel.
	community key.Public
	synced    string
	// channel is the UUID of the channel on whose own topic this is a copy.
	channel string
}

// carry is the lower half of the road out:
//
//	encrypt → segment → seal (payload version 1) → WakuMessage → outbox
//
// The outbox publishes by relay or lightpush after the commit.
func (s *Stack) carry(t *step, f frame) error {
	encrypted, route, err := s.encrypt(t, f)
	if err != nil {
		return err
	}
	return s.ship(t, f, encrypted, route)
}

// ship is carry below the encryption layer.
func (s *Stack) ship(t *step, f frame, encrypted []byte, r route) error {
	segments, err := segment.Split(encrypted, s.segmentSize)
	if err != nil {
		return err
	}
	if f.channel != "" && len(segments) > 1 {
		return nil // see copyToChannel
	}
	topics := s.publishTopics(f)
	var large *storage.Transfer
	if len(segments) > 1 {
		if large, topics, err = s.beginTransfer(t, f, encrypted, len(segments)); err != nil {
			return err
		}
	}
	for _, part := range segments {
		sealed, err := s.seal(part, r)
		if err != nil {
			return err
		}
		wm := wakumessage.New(sealed, r.contentTopic, t.now, f.ephemeral)
		if large == nil && f.synced != "" {
			if err := s.hint(t, f, wakumessage.HashOf(topics[0], wm)); err != nil {
				return err
			}
		}
		for _, pubsub := range topics {
			if err := s.post(t, f, pubsub, wm, large); err != nil {
				return err
			}
		}
	}
	return nil
}

// post puts a Waku message into the outbox, a segment with the large message it
// is of.
func (s *Stack) post(t *step, f frame, pubsub string, wm *wakupb.WakuMessage, large *storage.Transfer) error {
	raw, err := wakumessage.Marshal(wm)
	if err != nil {
		return err
	}
	// Our own message comes back to us; it is no news.
	hash := wakumessage.HashOf(pubsub, wm)
	if _, err := t.MarkSeen(hash, t.now); err != nil {
		return err
	}
	if large != nil {
		if err := t.PutTransferPart(hash, large.ID); err != nil {
			return err
		}
	}
	record := &storagepb.OutboxRecord{
		PubsubTopic: pubsub,
		WakuMessage: raw,
		Lightpush:   f.rule.Scope == message.Local || large != nil && large.Apart,
		Once:        f.ephemeral,
	}
	for _, id := range f.refs {
		record.Refs = append(record.Refs, id[:])
	}
	t.outbox = true
	return t.PutOutbox(record)
}

// route is where a frame goes and how the Waku payload is encrypted: with a
// key, or to somebody.
type route struct {
	contentTopic string
	symmetric    bool
	key          [32]byte
	to           key.Public
}

// named is the route of a content topic whose key derives from its name.
func (s *Stack) named(name string) route {
	return route{contentTopic: topic.Content(name), symmetric: true, key: s.topicKey(name)}
}

// partition is the route to somebody with whom no secret is agreed.
func (s *Stack) partition(to key.Public) route {
	return route{contentTopic: topic.Content(topic.PartitionedName(to)), to: to}
}

// encrypt is the encryption layer's part: what the table says for the message,
// and the topic that follows from it.
func (s *Stack) encrypt(t *step, f frame) ([]byte, route, error) {
	core := t.Core("session")
	if !f.community.IsZero() && f.to.IsZero() {
		return s.encryptForCommunity(t, f)
	}
	switch f.rule.Encryption {
	case message.Pairwise:
		sealed, err := s.session.Seal(core, t.now, s.rand, f.to, f.data)
		if err != nil {
			return nil, route{}, err
		}
		if sealed.Agreed {
			return sealed.Bytes, s.named(topic.NegotiatedName(sealed.Secret)), nil
		}
		// The answer may come on the negotiated topic.
		t.resubscribe = t.resubscribe || sealed.SecretNew
		return sealed.Bytes, s.partition(f.to), nil
	case message.DH:
		sealed, err := s.session.SealDH(core, t.now, s.rand, f.to, f.data)
		return sealed, s.partition(f.to), err
	case message.Public:
		sealed, err := s.session.SealPublic(core, t.now, s.rand, f.data)
		return sealed, s.named(topic.ContactCodeName(s.identity.Public())), err
	case message.Raw:
		switch f.rule.Topic {
		case message.TopicPersonal:
			return f.data, route{contentTopic: topic.Content(topic.PersonalName(f.to)), to: f.to}, nil
		case message.TopicPairwise:
			return f.data, s.partition(f.to), nil
		}
	}
	return nil, route{}, fmt.Errorf("%s: no road for encryption form %d", message.Name(f.rule.Type), f.rule.Encryption)
}

// seal puts one segment into a signed and encrypted Waku payload.
func (s *Stack) seal(data []byte, r route) ([]byte, error) {
	if r.symmetric {
		return payload.SealSymmetric(data, r.key, s.identity, s.rand)
	}
	return payload.SealAsymmetric(data, r.to, s.identity, s.rand)
}
