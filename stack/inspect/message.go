package inspect

import (
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/fault"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/payload"
)

// WakuMessage is a serialised Waku message taken apart (14/WAKU2-MESSAGE).
// Fields that are absent have the value that stands for them: 0, false, 0x.
type WakuMessage struct {
	Payload      Hex    `json:"payload"`
	ContentTopic string `json:"content_topic"`
	Version      uint32 `json:"version"`
	// Timestamp is Unix time in nanoseconds.
	Timestamp int64 `json:"timestamp"`
	Meta      Hex   `json:"meta"`
	Ephemeral bool  `json:"ephemeral"`
	// RateLimitProof is there when the message has one.
	RateLimitProof Hex `json:"rate_limit_proof,omitempty"`
	// Hash is the message's hash on a pubsub topic; nil when none was given.
	Hash *message.Hash `json:"hash,omitempty"`
}

// ParseWakuMessage reads a Waku message, and computes its hash on a pubsub
// topic unless that is empty. Errors are those of message.Unmarshal, of kind
// fault.Invalid.
func ParseWakuMessage(raw []byte, pubsubTopic string) (WakuMessage, error) {
	m, err := message.Unmarshal(raw)
	if err != nil {
		return WakuMessage{}, invalid("reading the Waku message", err)
	}
	w := WakuMessage{
		Payload:        m.GetPayload(),
		ContentTopic:   m.GetContentTopic(),
		Version:        m.GetVersion(),
		Timestamp:      m.GetTimestamp(),
		Meta:           m.GetMeta(),
		Ephemeral:      m.GetEphemeral(),
		RateLimitProof: m.GetRateLimitProof(),
	}
	if pubsubTopic != "" {
		w.Hash = hashOf(pubsubTopic, m)
	}
	return w, nil
}

func hashOf(pubsubTopic string, m *wakupb.WakuMessage) *message.Hash {
	h := message.HashOf(pubsubTopic, m)
	return &h
}

// Payload is an opened payload of version 1 (26/WAKU2-PAYLOAD).
type Payload struct {
	Payload Hex `json:"payload"`
	// Signer is zQ3sh…, nil when nobody signed.
	Signer  *string `json:"signer"`
	Padding Hex     `json:"padding"`
	// SignerKey is the signer's 0x04….
	SignerKey *string `json:"signer_key"`
}

// OpenSymmetric opens a payload that is sealed with a topic's key. Errors are
// those of payload.OpenSymmetric, of kind fault.Invalid.
func OpenSymmetric(data []byte, topicKey [payload.SymmetricKeySize]byte) (Payload, error) {
	return describePayload(payload.OpenSymmetric(data, topicKey))
}

// OpenAsymmetric opens a payload that is sealed to the owner of a private key.
// Errors are ErrSecret, of kind fault.Usage, and those of
// payload.OpenAsymmetric, of kind fault.Invalid.
func OpenAsymmetric(data []byte, private [key.PrivateSize]byte) (Payload, error) {
	own, err := key.PrivateFromBytes(private[:])
	if err != nil {
		return Payload{}, usage(ErrSecret, "the file holds no private key of the curve secp256k1")
	}
	return describePayload(payload.OpenAsymmetric(data, own))
}

func describePayload(o *payload.Opened, err error) (Payload, error) {
	if err != nil {
		return Payload{}, &fault.Error{Kind: fault.Invalid, Op: "opening the payload", Err: err,
			Hint: "most often the key is another topic's or person's; BYTES is the payload of a Waku message, not the message"}
	}
	p := Payload{Payload: o.Payload, Padding: o.Padding}
	p.Signer, p.SignerKey = keyForms(o.Signer)
	return p, nil
}
