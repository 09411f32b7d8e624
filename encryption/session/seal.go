package session

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/encryption/ratchet"
	"github.com/parley-im/parley/encryption/x3dh"
	"github.com/parley-im/parley/internal/kv"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
)

// Sealed is a pairwise message, ready for the layer below.
type Sealed struct {
	// Bytes is the encoded ProtocolMessage.
	Bytes []byte
	// Installations are those it is encrypted for, the one seen last first,
	// without those that open the DH form.
	Installations []string
	// Secret is the secret negotiated with the peer, and SecretNew says that
	// there was none before this message: its topic is to be listened to.
	Secret    [32]byte
	SecretNew bool
	// Agreed says that every installation it is for has been heard from: the
	// message goes to the negotiated topic, otherwise to the partitioned one.
	Agreed bool
}

// SealPublic makes a message that this layer does not encrypt, with our
// bundle. It returns ErrEmpty for an empty payload, which receivers could not
// tell from none. Reads rand as Bundle does.
func (p *Protocol) SealPublic(st kv.Store, now time.Time, rand io.Reader, payload []byte) ([]byte, error) {
	if len(payload) == 0 {
		return nil, ErrEmpty
	}
	b := &batch{st: st}
	data, err := p.finish(b, now, rand, &encryptionpb.ProtocolMessage{PublicMessage: payload})
	if err != nil {
		return nil, err
	}
	return data, b.commit()
}

// SealDH makes a message in DH form, which any installation of the recipient
// opens, with our bundle. It has no forward secrecy. Reads from rand: key,
// nonce, then as Bundle does.
func (p *Protocol) SealDH(st kv.Store, now time.Time, rand io.Reader, to key.Public, payload []byte) ([]byte, error) {
	b := &batch{st: st}
	data, err := p.sealDH(b, now, rand, to, payload)
	if err != nil {
		return nil, err
	}
	return data, b.commit()
}

func (p *Protocol) sealDH(b *batch, now time.Time, rand io.Reader, to key.Public, payload []byte) ([]byte, error) {
	entry, err := sealDH(to, payload, rand)
	if err != nil {
		return nil, err
	}
	return p.finish(b, now, rand, pairwise(x3dh.ReservedID, entry))
}

// Seal encrypts a payload for up to MaxTargets installations of an identity,
// once for each, and in DH form when none is known or for those whose session is
// broken until they begin a new one: with a pre key that had one there cannot be
// another, since sessions are named by it. A message to our own
// identity is for our other enabled installations. Reads from rand: for each
// installation without a usable session, in the order of Sealed.Installations,
// the X3DH ephemeral key and the first ratchet key; for the DH form, key and
// nonce; then as Bundle does.
func (p *Protocol) Seal(st kv.Store, now time.Time, rand io.Reader, to key.Public, payload []byte) (*Sealed, error) {
	b := &batch{st: st}
	peer, err := b.peer(to)
	if err != nil {
		return nil, err
	}
	own, err := b.own()
	if err != nil {
		return nil, err
	}
	targets := p.targets(to, peer)
	out := &Sealed{Agreed: agreed(targets)}
	message := pairwise("", nil)
	for _, t := range targets {
		entry, err := p.sealFor(b, peer, own, to, t, payload, now, rand)
		if err != nil {
			return nil, err
		}
		if entry == nil {
			continue
		}
		message.EncryptedMessage[t.id] = entry
		out.Installations = append(out.Installations, t.id)
	}
	if len(out.Installations) < len(targets) || len(targets) == 0 {
		entry, err := sealDH(to, payload, rand)
		if err != nil {
			return nil, err
		}
		message.EncryptedMessage[x3dh.ReservedID] = entry
	}
	if out.SecretNew, err = p.ensureSecret(to, peer); err != nil {
		return nil, err
	}
	out.Secret = peer.secret
	b.savePeer(to, peer)
	if out.Bytes, err = p.finish(b, now, rand, message); err != nil {
		return nil, err
	}
	return out, b.commit()
}

// sealFor encrypts for one installation, in its session or in a new one. It
// returns nil when there is neither.
func (p *Protocol) sealFor(b *batch, peer *peerRecord, own *ownRecord, to key.Public, t *installation, payload []byte, now time.Time, rand io.Reader) (*encryptionpb.EncryptedMessageProtocol, error) {
	r, ref, err := p.sessionFor(b, peer, own, to, t, now, rand)
	if r == nil || err != nil {
		return nil, err
	}
	state, m, err := ratchet.Encrypt(r.state, payload)
	if err != nil {
		return nil, err
	}
	r.state = state
	b.put(sessionPrefix+sessionName(to.Compressed(), ref), r.encode())
	entry := &encryptionpb.EncryptedMessageProtocol{
		DrHeader: &encryptionpb.DRHeader{
			Key: m.Header.Key[:], N: m.Header.N, Pn: m.Header.PN, Id: ref.preKey[:],
		},
		Payload: m.Ciphertext,
	}
	if r.ephemeral != (compressedKey{}) {
		entry.X3DhHeader = &encryptionpb.X3DHHeader{Key: r.ephemeral[:], Id: ref.preKey[:]}
	}
	return entry, nil
}

// sessionFor returns the session for sending to an installation, a new one if
// need be, or nil.
func (p *Protocol) sessionFor(b *batch, peer *peerRecord, own *ownRecord, to key.Public, t *installation, now time.Time, rand io.Reader) (*sessionRecord, sessionRef, error) {
	if ref, ok := peer.choose(t.id, own); ok {
		r, err := load(b, sessionPrefix+sessionName(to.Compressed(), ref), decodeSession)
		if r != nil || err != nil && !errors.Is(err, ErrStore) {
			return r, ref, err
		}
		// Missing or damaged.
		peer.named(ref).givenUp, peer.dirty = true, true
		if err := b.isDamaged(to, t, now); err != nil {
			return nil, ref, err
		}
		return p.sessionFor(b, peer, own, to, t, now, rand)
	}
	ref := sessionRef{installation: t.id, preKey: t.preKey, initiator: true}
	name := sessionName(to.Compressed(), ref)
	if _, used, err := b.get(sessionPrefix + name); used || err != nil || peer.named(ref) != nil {
		return nil, ref, err
	}
	r, err := p.initiate(to, ref, rand)
	if err != nil {
		return nil, ref, err
	}
	return r, ref, b.addSession(to.Compressed(), peer, own, ref)
}

// initiate runs X3DH with an installation's signed pre key. Reads the
// ephemeral key and the ratchet key from rand.
func (p *Protocol) initiate(to key.Public, ref sessionRef, rand io.Reader) (*sessionRecord, error) {
	preKey, err := key.PublicFromBytes(ref.preKey[:])
	if err != nil {
		return nil, fmt.Errorf("%w: pre key: %w", ErrStore, err)
	}
	ephemeral, err := key.Generate(rand)
	if err != nil {
		return nil, err
	}
	secret, err := x3dh.Initiate(p.Identity, x3dh.LocalEphemeral{Private: ephemeral}, to, x3dh.RemotePreKey{Public: preKey})
	if err != nil {
		return nil, err
	}
	state, err := ratchet.InitInitiator(secret, preKey, rand)
	if err != nil {
		return nil, err
	}
	return &sessionRecord{ephemeral: ephemeral.Public().Compressed(), state: state}, nil
}

// pairwise begins a message with at most one entry.
func pairwise(installation string, entry *encryptionpb.EncryptedMessageProtocol) *encryptionpb.ProtocolMessage {
	m := &encryptionpb.ProtocolMessage{EncryptedMessage: map[string]*encryptionpb.EncryptedMessageProtocol{}}
	if entry != nil {
		m.EncryptedMessage[installation] = entry
	}
	return m
}

// finish adds sender and bundle and encodes the message.
func (p *Protocol) finish(b *batch, now time.Time, rand io.Reader, m *encryptionpb.ProtocolMessage) ([]byte, error) {
	own, err := b.own()
	if err != nil {
		return nil, err
	}
	bundle, err := p.bundle(b, own, now, rand)
	if err != nil {
		return nil, err
	}
	m.InstallationId = p.InstallationID
	m.Bundles = []*encryptionpb.Bundle{bundle}
	return marshal(m)
}
