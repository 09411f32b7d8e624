package stack

import (
	"encoding/hex"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
	"github.com/parley-im/parley/internal/vectors"
	apppb "github.com/parley-im/parley/pb/app"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
	wakupb "github.com/parley-im/parley/pb/waku"
	wakumessage "github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/payload"
	"github.com/parley-im/parley/waku/segment"
	"github.com/parley-im/parley/waku/topic"
)

// recording is a recorded run of deployed clients that talk to each other.
type recording struct {
	Name      string
	Parties   []*recordedParty
	Envelopes []*recordedEnvelope
	Decoded   []recordedMessage
	// Communities are those that one of the parties made.
	Communities []*recordedCommunity

	keys *topic.Keys
}

type recordedParty struct {
	Name, InstallationID            string
	ChatPrivateKey                  vectors.Hex
	GeneratedPrivateKeysByPublicKey map[string]vectors.Hex

	key key.Private
}

// generated returns the private half of a key that the party made.
func (p *recordedParty) generated(t testing.TB, public []byte) []byte {
	t.Helper()
	k, ok := p.GeneratedPrivateKeysByPublicKey[hex.EncodeToString(public)]
	if !ok {
		t.Fatalf("%s has no key %x", p.Name, public)
	}
	return k
}

// has tells whether the party made a key.
func (p *recordedParty) has(public []byte) bool {
	_, ok := p.GeneratedPrivateKeysByPublicKey[hex.EncodeToString(public)]
	return ok
}

// recordedEnvelope is a Waku message of the run, and what anybody with the keys
// of all parties sees in it.
type recordedEnvelope struct {
	Hash, Payload, Meta       vectors.Hex
	PubsubTopic, ContentTopic string
	Timestamp                 int64
	Version                   uint32
	Ephemeral                 bool
	// SeenBy is when a party's node got it, Unix time in milliseconds.
	SeenBy map[string]int64

	envelope Envelope
	// opened is nil for envelopes on topics of nobody here.
	opened *payload.Opened
	// signer made it, and to is for whom it is, nil for everybody.
	signer, to *recordedParty
	// contactCode is whose contact code topic it is on, nil if it is not.
	contactCode *recordedParty
	// community is of which community a topic it is on, nil for none.
	community *recordedCommunity
	// whole is the reassembled payload at the envelope that completes it, and
	// parts of how many envelopes it is.
	whole []byte
	parts int
	// message is whole, where that is a ProtocolMessage.
	message *encryptionpb.ProtocolMessage
}

func (e *recordedEnvelope) sent() time.Time { return time.Unix(0, e.Timestamp) }

// recordedMessage is an application message that a party's client decoded.
type recordedMessage struct {
	By, Type, ID, From string
	EnvelopeHash       vectors.Hex
	Payload            vectors.Hex
	HandlerError       string
}

// open reads the keys and opens every envelope that one of the parties could.
func (r *recording) open(t testing.TB) {
	t.Helper()
	r.keys = topic.NewKeys(0)
	for _, p := range r.Parties {
		var err error
		if p.key, err = key.PrivateFromBytes(p.ChatPrivateKey); err != nil {
			t.Fatal(err)
		}
	}
	roads := r.roads(t)
	r.communityRoads(t, roads)
	assembler, segments := segment.Assembler{}, kv.NewMemory()
	parts := map[key.Public]int{}
	for _, e := range r.Envelopes {
		m := &wakupb.WakuMessage{
			Payload: e.Payload, ContentTopic: e.ContentTopic, Version: &e.Version,
			Timestamp: &e.Timestamp, Meta: e.Meta, Ephemeral: &e.Ephemeral,
		}
		e.envelope = Envelope{PubsubTopic: e.PubsubTopic, Message: m, Hash: wakumessage.HashOf(e.PubsubTopic, m)}
		if string(e.envelope.Hash[:]) != string(e.Hash) {
			t.Fatalf("envelope %x: its hash is %s", []byte(e.Hash), e.envelope.Hash)
		}
		r.unseal(e, roads[e.ContentTopic])
		if e.opened == nil {
			continue
		}
		whole, status, err := assembler.Add(segments, e.sent(), e.opened.Signer, e.opened.Payload)
		if err != nil {
			t.Fatalf("envelope %s: segment: %v", e.envelope.Hash, err)
		}
		parts[e.opened.Signer]++
		if status == segment.Whole || status == segment.Complete {
			e.whole, e.parts = whole, parts[e.opened.Signer]
			delete(parts, e.opened.Signer)
			e.decode()
		}
	}
}

// road is one way to open what is on a content topic.
type road struct {
	filter
	// parties are those between whom it runs; one of a contact code, none of a
	// community.
	parties []*recordedParty
	// of is the community.
	of *recordedCommunity
}

// roads are all topics of all parties, by content topic.
func (r *recording) roads(t testing.TB) map[string][]road {
	t.Helper()
	all := map[string][]road{}
	add := func(name string, private key.Private, parties ...*recordedParty) {
		f := filter{contentTopic: topic.Content(name), private: private}
		if private.IsZero() {
			f.symmetric = r.keys.Key(name)
		}
		all[f.contentTopic] = append(all[f.contentTopic], road{filter: f, parties: parties})
	}
	for i, p := range r.Parties {
		add(topic.PartitionedName(p.key.Public()), p.key, p)
		add(topic.PersonalName(p.key.Public()), p.key, p)
		add(topic.ContactCodeName(p.key.Public()), key.Private{}, p)
		for _, q := range r.Parties[:i+1] {
			secret, err := p.key.ECDH(q.key.Public())
			if err != nil {
				t.Fatal(err)
			}
			add(topic.NegotiatedName(secret), key.Private{}, p, q)
		}
	}
	return all
}

// unseal opens the Waku payload and finds out between whom it goes.
func (r *recording) unseal(e *recordedEnvelope, roads []road) {
	for _, f := range roads {
		var o *payload.Opened
		var err error
		if f.private.IsZero() {
			o, err = payload.OpenSymmetric(e.Payload, f.symmetric)
		} else {
			o, err = payload.OpenAsymmetric(e.Payload, f.private)
		}
		if err != nil {
			continue
		}
		e.opened, e.signer, e.community = o, r.party(o.Signer), f.of
		switch {
		case f.of != nil:
		case !f.private.IsZero():
			e.to = f.parties[0]
		case len(f.parties) == 1:
			e.contactCode = f.parties[0]
		case f.parties[0] == e.signer:
			e.to = f.parties[1]
		default:
			e.to = f.parties[0]
		}
		return
	}
}

// decode reads whole as a ProtocolMessage, by the rule of the encryption layer.
func (e *recordedEnvelope) decode() {
	m := new(encryptionpb.ProtocolMessage)
	if proto.Unmarshal(e.whole, m) == nil && (m.PublicMessage != nil || len(m.EncryptedMessage) > 0) {
		e.message = m
	}
}

// hasGroupKeys tells whether the message hands out keys of a group.
func (e *recordedEnvelope) hasGroupKeys() bool {
	for _, entry := range e.message.GetEncryptedMessage() {
		if entry.HrHeader != nil {
			return true
		}
	}
	return false
}

// party returns the party with a key, nil for somebody else.
func (r *recording) party(pub key.Public) *recordedParty {
	for _, p := range r.Parties {
		if p.key.Public() == pub {
			return p
		}
	}
	return nil
}

// added tells whether by has added of, as far as of was told: by a request or
// an acceptance, whichever the last word was, and not by a retraction.
func (r *recording) added(t testing.TB, by, of *recordedParty) bool {
	t.Helper()
	added := false
	for _, d := range r.Decoded {
		if d.By != of.Name || d.From != by.key.Public().Hex() {
			continue
		}
		switch d.Type {
		case "CHAT_MESSAGE":
			m := new(apppb.ChatMessage)
			if err := proto.Unmarshal(d.Payload, m); err != nil {
				t.Fatal(err)
			}
			added = added || m.ContentType == apppb.ChatMessage_CONTACT_REQUEST
		case "ACCEPT_CONTACT_REQUEST":
			added = true
		case "RETRACT_CONTACT_REQUEST":
			added = false
		}
	}
	return added
}
