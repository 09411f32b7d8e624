package relay

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/crypto"

	"github.com/parley-im/parley/account/key"
	wakupb "github.com/parley-im/parley/pb/waku"
)

const (
	// ProtectedWindow is how far the timestamp of a message on a protected
	// pubsub topic may be from now (deployed relays).
	ProtectedWindow = 5 * time.Minute
	// signatureSize is r and s of a secp256k1 signature, in bytes.
	signatureSize = 64
)

// Why a message breaks the rules of its pubsub topic. These errors are
// ErrInvalid too.
var (
	ErrTimestamp = errors.New("timestamp out of the window")
	ErrSignature = errors.New("not signed by the key of the pubsub topic")
)

// digest is what the signature of a message on a protected pubsub topic
// covers: everything but meta, which holds the signature, and version.
func digest(pubsubTopic string, m *wakupb.WakuMessage) [32]byte {
	h := sha256.New()
	_, _ = h.Write([]byte(pubsubTopic))
	_, _ = h.Write(m.GetPayload())
	_, _ = h.Write([]byte(m.GetContentTopic()))
	tail := binary.LittleEndian.AppendUint64(nil, uint64(m.GetTimestamp()))
	if m.GetEphemeral() {
		tail = append(tail, 1)
	} else {
		tail = append(tail, 0)
	}
	_, _ = h.Write(tail)
	return [32]byte(h.Sum(nil))
}

// Sign makes m fit for a pubsub topic that is protected by k's public key: it
// sets meta to the signature, r and s in 64 bytes, over all of m but meta and
// version (Waku simple scaling, Protected shards; go-waku and nwaku check it).
// m must have its timestamp.
func Sign(k key.Private, pubsubTopic string, m *wakupb.WakuMessage) error {
	if m.GetTimestamp() == 0 {
		return fmt.Errorf("%w: %w: absent", ErrInvalid, ErrTimestamp)
	}
	sig, err := k.Sign(digest(pubsubTopic, m))
	if err != nil {
		return fmt.Errorf("relay: signing: %w", err)
	}
	m.Meta = sig[:signatureSize]
	return nil
}

// Verify checks m as a relay does that protects a pubsub topic with pub: the
// timestamp is within ProtectedWindow of now and meta is the signature of pub.
// Errors: ErrInvalid with ErrTimestamp or ErrSignature.
func Verify(pub key.Public, pubsubTopic string, m *wakupb.WakuMessage, now time.Time) error {
	if err := within(m, now, ProtectedWindow); err != nil {
		return err
	}
	sum := digest(pubsubTopic, m)
	if len(m.GetMeta()) != signatureSize || !crypto.VerifySignature(pub.Bytes(), sum[:], m.GetMeta()) {
		return fmt.Errorf("%w: %w", ErrInvalid, ErrSignature)
	}
	return nil
}

// within checks that m has a timestamp at most window from now.
func within(m *wakupb.WakuMessage, now time.Time, window time.Duration) error {
	if m.GetTimestamp() == 0 {
		return fmt.Errorf("%w: %w: absent", ErrInvalid, ErrTimestamp)
	}
	if off := time.Unix(0, m.GetTimestamp()).Sub(now); off > window || off < -window {
		return fmt.Errorf("%w: %w: %v from now, at most %v", ErrInvalid, ErrTimestamp, off, window)
	}
	return nil
}

// rules are what a relay asks of messages beside being well formed.
type rules struct {
	window    time.Duration
	protected map[string]key.Public
	now       func() time.Time
}

// check applies the rules of a pubsub topic.
func (r rules) check(pubsubTopic string, m *wakupb.WakuMessage) error {
	pub, protected := r.protected[pubsubTopic]
	if r.window == 0 && !protected {
		return nil
	}
	now := r.now()
	if r.window != 0 {
		if err := within(m, now, r.window); err != nil {
			return err
		}
	}
	if protected {
		return Verify(pub, pubsubTopic, m, now)
	}
	return nil
}
