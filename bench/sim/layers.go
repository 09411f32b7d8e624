package sim

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/encryption/ratchet"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/reliability/sds"
	"github.com/parley-im/parley/waku/payload"
	"github.com/parley-im/parley/waku/topic"
)

// Layers is what each layer adds to an envelope, in bytes; together they are the
// WakuMessage.
type Layers struct {
	// Text is what a person wrote; Application the rest of the message with its
	// signature; Reliability what MVDS or SDS adds: its own fields,
	// acknowledgements, the causal history and the filter.
	Text        int `json:"text"`
	Application int `json:"application"`
	Reliability int `json:"reliability"`
	// Encryption is the ratchet's and the bundle; Segment a segment's header.
	Encryption int `json:"encryption"`
	Segment    int `json:"segment"`
	// Payload is the Waku payload's: signature, cipher; Padding fills it up.
	Payload int `json:"payload"`
	Padding int `json:"padding"`
	// Waku is the WakuMessage's own.
	Waku int `json:"waku"`
}

// layerNames and parts are the layers in order.
var layerNames = []string{"text", "application", "reliability", "encryption", "segment", "payload", "padding", "waku"}

func (l Layers) parts() []int {
	return []int{l.Text, l.Application, l.Reliability, l.Encryption, l.Segment, l.Payload, l.Padding, l.Waku}
}

func (l Layers) plus(o Layers) Layers {
	return Layers{
		l.Text + o.Text, l.Application + o.Application, l.Reliability + o.Reliability, l.Encryption + o.Encryption,
		l.Segment + o.Segment, l.Payload + o.Payload, l.Padding + o.Padding, l.Waku + o.Waku,
	}
}

// Kind is all envelopes of one kind of message.
type Kind struct {
	// Name is the type of the application message, or "acknowledgement" for what
	// carries none, "several" for payloads of several types.
	Name      string `json:"name"`
	Envelopes int    `json:"envelopes"`
	Bytes     int    `json:"bytes"`
	// Layers are sums over those envelopes that could be opened.
	Opened int    `json:"opened"`
	Layers Layers `json:"layers"`
}

// Kinds without an application message, or without one that anybody has read.
const (
	kindAck     = "acknowledgement"
	kindSeveral = "several"
	kindUnread  = "unread"
)

// kindOf names what an envelope carries.
func (x *wire) kindOf(p *published) string {
	name := ""
	for _, ref := range p.refs {
		k, ok := x.kinds[message.ID(ref)]
		this := kindUnread
		if ok {
			this = message.Name(k.typ)
		}
		if name != "" && name != this {
			return kindSeveral
		}
		name = this
	}
	return cmp.Or(name, kindAck)
}

// measure sums up the envelopes of a run by kind. texts are the lengths of what
// was written, by message id.
func (x *wire) measure(texts map[message.ID]int) []Kind {
	keys := newOpeners(x.keys)
	byName := map[string]*Kind{}
	for _, p := range x.envelopes {
		name, l, ok := x.inChannel(keys, p, texts)
		if name == "" {
			name = x.kindOf(p)
			l, ok = x.layers(keys, p, texts)
		}
		k := byName[name]
		if k == nil {
			k = &Kind{Name: name}
			byName[name] = k
		}
		k.Envelopes++
		k.Bytes += proto.Size(p.Message)
		if ok {
			k.Opened++
			k.Layers = k.Layers.plus(l)
		}
	}
	var all []Kind
	for _, k := range byName {
		all = append(all, *k)
	}
	slices.SortFunc(all, func(a, b Kind) int { return cmp.Or(b.Bytes-a.Bytes, cmp.Compare(a.Name, b.Name)) })
	return all
}

// openers are the keys of Waku payloads by content topic.
type openers struct {
	symmetric map[string][payload.SymmetricKeySize]byte
	private   map[string][]key.Private
}

func newOpeners(t *topicKeys) openers {
	o := openers{map[string][payload.SymmetricKeySize]byte{}, map[string][]key.Private{}}
	for name, k := range t.byName {
		o.symmetric[topic.Content(name)] = k
	}
	for _, k := range t.people {
		name := topic.Content(topic.PartitionedName(k.Public()))
		o.private[name] = append(o.private[name], k)
	}
	return o
}

func (o openers) open(m *wakupb.WakuMessage) *payload.Opened {
	if k, ok := o.symmetric[m.GetContentTopic()]; ok {
		if opened, err := payload.OpenSymmetric(m.Payload, k); err == nil {
			return opened
		}
	}
	for _, k := range o.private[m.GetContentTopic()] {
		if opened, err := payload.OpenAsymmetric(m.Payload, k); err == nil {
			return opened
		}
	}
	return nil
}

// inChannel takes an envelope apart that is for all of a community; the name of
// its kind is empty for others. What SDS adds is counted as reliability.
func (x *wire) inChannel(keys openers, p *published, texts map[message.ID]int) (name string, l Layers, ok bool) {
	const unread = "channel: unread"
	if !x.towns[p.Message.GetContentTopic()] {
		return "", l, false
	}
	opened := keys.open(p.Message)
	if opened == nil {
		return unread, l, false
	}
	l.Waku = proto.Size(p.Message) - len(p.Message.Payload)
	l.Padding = len(opened.Padding)
	plain := opened.Payload
	l.Payload = len(p.Message.Payload) - l.Padding - len(plain)
	if m := new(encryptionpb.ProtocolMessage); proto.Unmarshal(plain, m) == nil && m.InstallationId != "" {
		l.Encryption = len(plain) - len(m.PublicMessage)
		plain = m.PublicMessage
	}
	raw := plain
	if m, _, err := sds.Decode(plain); err == nil {
		raw = m.Content
	}
	l.Reliability = len(plain) - len(raw)
	if len(raw) == 0 {
		return "channel: synchronisation", l, true
	}
	said, err := message.Open(raw, opened.Signer)
	if err != nil {
		return unread, l, false
	}
	l.Text = texts[said.ID]
	l.Application = len(raw) - l.Text
	return "channel: " + message.Name(said.Type), l, true
}

// layers takes an envelope apart.
func (x *wire) layers(keys openers, p *published, texts map[message.ID]int) (l Layers, ok bool) {
	opened := keys.open(p.Message)
	if opened == nil {
		return l, false
	}
	l.Waku = proto.Size(p.Message) - len(p.Message.Payload)
	l.Padding = len(opened.Padding)
	inner := opened.Payload
	l.Payload = len(p.Message.Payload) - l.Padding - len(inner)
	if s := new(wakupb.SegmentMessage); proto.Unmarshal(inner, s) == nil && len(s.EntireMessageHash) == 32 && len(s.ProtoReflect().GetUnknown()) == 0 {
		// What is in a part of something cannot be told apart.
		l.Segment = len(inner) - len(s.Payload)
		l.Application = len(s.Payload)
		return l, true
	}
	plain := len(inner)
	m := new(encryptionpb.ProtocolMessage)
	if proto.Unmarshal(inner, m) == nil && m.InstallationId != "" {
		plain = plaintext(m)
	}
	l.Encryption = len(inner) - plain
	for _, ref := range p.refs {
		id := message.ID(ref)
		l.Application += x.kinds[id].bytes
		l.Text += texts[id]
	}
	l.Application -= l.Text
	l.Reliability = plain - l.Application - l.Text
	if l.Reliability < 0 || l.Application < 0 {
		return l, false // nobody has read all of it
	}
	return l, true
}

// plaintext is how long what a frame of the encryption layer holds is.
func plaintext(m *encryptionpb.ProtocolMessage) int {
	if len(m.PublicMessage) > 0 {
		return len(m.PublicMessage)
	}
	const dh = 28 // nonce and tag
	n := 0
	for _, e := range m.EncryptedMessage {
		if e.DhHeader != nil {
			n = max(n, len(e.Payload)-dh)
		} else {
			n = max(n, len(e.Payload)-ratchet.Overhead)
		}
	}
	return n
}
