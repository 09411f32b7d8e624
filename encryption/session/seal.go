package session

import (
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
	// Installations are those it is encrypted for, the one seen last first;
	// none when it is in DH form.
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
// once for each, or in DH form when none is known. A message to our own
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
		entry, err := p.sealFor(b, peer, own, to, t, payload, rand)
		if err != nil {
			return nil, err
		}
		message.EncryptedMessage[t.id] = entry
		out.Installations = append(out.Installations, t.id)
	}
	if len(targets) == 0 {
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

// sealFor encrypts for one installation, in its session or in a new one.
func (p *Protocol) sealFor(b *batch, peer *peerRecord, own *ownRecord, to key.Public, t *installation, payload []byte, rand io.Reader) (*encryptionpb.EncryptedMessageProtocol, error) {
	ref, ok := peer.choose(t.id, own)
	var r *sessionRecord
	var err error
	if ok {
		if r, err = load(b, sessionPrefix+sessionName(to.Compressed(), ref), decodeSession); err != nil {
			return nil, err
		}
		if r == nil {
			return nil, fmt.Errorf("%w: session is missing", ErrStore)
		}
	} else {
		ref = sessionRef{installation: t.id, preKey: t.preKey, initiator: true}
		if r, err = p.initiate(to, ref, rand); err != nil {
			return nil, err
		}
		if err := b.addSession(to.Compressed(), peer, own, ref); err != nil {
			return nil, err
		}
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
