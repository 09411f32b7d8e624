// Package session is the encryption layer as the stack calls it: it turns a
// payload into the bytes of a ProtocolMessage and back, and keeps what that
// needs: our signed pre keys, the installations (devices) of everybody we have
// heard of, one double ratchet per pair of installations, and the secrets that
// negotiated topics come from.
//
// Specification: 53/WAKU2-X3DH and 54/WAKU2-X3DH-SESSIONS. Where deployed
// clients (status-go) differ from the text, their bytes are produced and the
// place says so.
//
// # Calls
//
// Nothing here has a goroutine, a clock or a memory of its own. State is in the
// [kv.Store] that the caller hands in, which is the caller's transaction:
// methods write only after everything has succeeded, and when a write fails the
// caller rolls back.
//
// # Randomness
//
// Each method documents in which order it reads rand, so that a recorded run
// can be replayed by feeding the recorded keys. A key is 32 bytes
// ([key.Generate]), a nonce 12.
package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/encryption/x3dh"
	"github.com/parley-im/parley/internal/kv"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
)

// Numbers of the protocol.
const (
	// RotationPeriod is how long a signed pre key of ours stays the current
	// one (2/ACCOUNT: 24 hours).
	RotationPeriod = 24 * time.Hour
	// MaxTargets is to how many installations of one identity a message is
	// encrypted (54/WAKU2-X3DH-SESSIONS, Recommendations: n = 3).
	MaxTargets = 3
	// ProtocolVersion is what our bundle says of this installation.
	ProtocolVersion = 1
	// MinSecretVersion is from which protocol version on an installation
	// takes part in negotiating a secret.
	MinSecretVersion = 1
)

// Bounds of what is stored. The oldest goes first.
const (
	// MaxPreKeys is how many private signed pre keys of ours are kept, the
	// current one among them. With one a day, a first message that took a
	// month still opens.
	MaxPreKeys = 32
	// MaxInstallations is how many installations of one identity are known.
	MaxInstallations = x3dh.MaxInstallations
	// MaxSessions is how many sessions with one installation are kept.
	MaxSessions = 8
	// MaxPeerSessions is how many sessions with one identity are kept.
	MaxPeerSessions = 64
	// MaxBundles is how many bundles one message may carry; deployed clients
	// send one.
	MaxBundles = 4
)

// Errors of this package. Those of encryption/ratchet are returned as well.
// After any of them the store is as it was.
var (
	// ErrNotProtocolMessage: the bytes are no ProtocolMessage, or one without
	// public or encrypted content. The caller passes them to the next layer.
	ErrNotProtocolMessage = errors.New("not a protocol message")
	// ErrNotForUs: encrypted for other installations only. The sender does not
	// know this one; SealAdvertisement makes the answer that 54 asks for.
	ErrNotForUs = errors.New("message is for other installations only")
	// ErrNotPaired: from another installation of our own identity, and not for
	// this one.
	ErrNotPaired = errors.New("message of an own installation that is not paired with this one")
	// ErrOwnEcho: a message that this installation sent itself.
	ErrOwnEcho = errors.New("own message")
	// ErrNoSession: the message belongs to a session that we do not have.
	ErrNoSession = errors.New("no such session")
	// ErrUnknownPreKey: the message begins a session with a signed pre key
	// that we do not have (any more).
	ErrUnknownPreKey = errors.New("unknown signed pre key")
	// ErrBundle: a bundle is malformed, not signed by its identity, or not of
	// the sender.
	ErrBundle = errors.New("bundle refused")
	// ErrGroupKey: encrypted with a group's hash ratchet, not for one
	// installation.
	ErrGroupKey = errors.New("message is encrypted with a group key")
	// ErrHeader: an entry for us without a usable header.
	ErrHeader = errors.New("encrypted message without a usable header")
	// ErrDecrypt: a message in DH form does not open.
	ErrDecrypt = errors.New("message does not decrypt")
	// ErrEmpty: a public message needs a payload.
	ErrEmpty = errors.New("public message without payload")
	// ErrInstallation: no such installation is known.
	ErrInstallation = errors.New("unknown installation")
	// ErrStore: a record of the store cannot be read.
	ErrStore = errors.New("corrupt encryption record")
)

// Protocol is one installation of one identity. It is a plain value without
// state of its own.
type Protocol struct {
	// Identity is the chat key of the account.
	Identity key.Private
	// InstallationID names this device, a UUID in text form.
	InstallationID string
	// BundleRefresh is for how long a signature over our own bundle is used
	// again; 0 signs afresh for each message, as deployed clients do.
	BundleRefresh time.Duration
}

func (p *Protocol) self() key.Public { return p.Identity.Public() }

// isSelf reports whether a message came from this very installation.
func (p *Protocol) isSelf(from key.Public, installation string) bool {
	return from == p.self() && installation == p.InstallationID
}

// Negotiated is a peer with a negotiated secret: there may be messages on the
// topic derived from it.
type Negotiated struct {
	Peer   key.Public
	Secret [32]byte
	// Agreed says that every installation a message would be encrypted for has
	// been heard from, so that messages may be sent to the negotiated topic.
	Agreed bool
}

// Secrets lists the peers with a negotiated secret, by compressed key.
func (p *Protocol) Secrets(st kv.Store) ([]Negotiated, error) {
	var out []Negotiated
	err := st.Scan(peerPrefix, func(name string, value []byte) error {
		id, err := peerFromKey(name)
		if err != nil {
			return err
		}
		r, err := decodePeer(value)
		if err != nil {
			return err
		}
		if r.hasSecret {
			out = append(out, Negotiated{id, r.secret, agreed(p.targets(id, r))})
		}
		return nil
	})
	return out, err
}

// ensureSecret returns the negotiated secret X(ECDH(IK, IK)) with a peer and
// whether it is new (54/WAKU2-X3DH-SESSIONS, Negotiated topic). It is computed
// once and then read from the peer's record.
func (p *Protocol) ensureSecret(peer key.Public, r *peerRecord) (isNew bool, err error) {
	if r.hasSecret {
		return false, nil
	}
	if r.secret, err = p.Identity.ECDH(peer); err != nil {
		return false, err
	}
	r.hasSecret, r.dirty = true, true
	return true, nil
}

// agreed is the rule for the negotiated topic: at least one target, and all of
// them heard from.
func agreed(targets []*installation) bool {
	for _, t := range targets {
		if !t.heard {
			return false
		}
	}
	return len(targets) > 0
}

var deterministic = proto.MarshalOptions{Deterministic: true}

// marshal writes a ProtocolMessage of ours; the same message gives the same
// bytes.
func marshal(m *encryptionpb.ProtocolMessage) ([]byte, error) {
	data, err := deterministic.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encoding a protocol message: %w", err)
	}
	return data, nil
}

func encodeTime(t time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(t.UnixNano()))
}
