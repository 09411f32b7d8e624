package session

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/encryption/ratchet"
	"github.com/parley-im/parley/encryption/x3dh"
	"github.com/parley-im/parley/internal/kv"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
)

// Opened is a received message.
type Opened struct {
	// Payload is what the sender handed to its encryption layer. An empty one
	// is an advertisement of the sender's bundle and nothing else.
	Payload []byte
	// Public says that this layer had not encrypted it.
	Public bool
	// InstallationID is the sending installation, as the sender says.
	InstallationID string
	// NewInstallations are those that its bundle has made known.
	NewInstallations []Installation
	// Secret is the secret negotiated with the sender, if there is one
	// (HasSecret), and SecretNew says that there was none before this message:
	// its topic is to be listened to.
	Secret    [32]byte
	HasSecret bool
	SecretNew bool
	// GroupKeys is the hash ratchet header of a key exchange message, nil
	// otherwise.
	GroupKeys *encryptionpb.HRHeader
	// Healed is the break that this message has healed, Began the one that it
	// tells of: the sender has begun anew. Both are nil otherwise.
	Healed, Began *Break
	// Resume says that what was sent to the sender lately has to be sent again,
	// and what it has acknowledged to be offered again: it has lost some of it.
	Resume bool
	// Answer says that the sender should hear from us in a new session, even if
	// there is nothing to say.
	Answer bool
}

// Open reads a received message whose envelope was signed by from: it verifies
// and stores the sender's bundle and decrypts what is for us. When the message
// begins a new ratchet chain it reads one key from rand, otherwise nothing. On
// any error, which is one of this package or of encryption/ratchet, the store
// is as it was.
func (p *Protocol) Open(st kv.Store, now time.Time, rand io.Reader, from key.Public, data []byte) (*Opened, error) {
	m, err := decodeMessage(data)
	if err != nil {
		return nil, err
	}
	b := &batch{st: st}
	peer, err := b.peer(from)
	if err != nil {
		return nil, err
	}
	out := &Opened{InstallationID: m.GetInstallationId()}
	var before installation
	if i := peer.find(m.GetInstallationId()); i != nil {
		before = *i
	}
	// What we say of ourselves teaches us nothing.
	if !p.isSelf(from, m.GetInstallationId()) {
		if out.NewInstallations, err = p.processBundles(b, peer, from, m.GetInstallationId(), now, m.GetBundles()); err != nil {
			return nil, err
		}
	}
	if m.PublicMessage != nil {
		out.Payload, out.Public = m.PublicMessage, true
	} else if err := p.openPairwise(b, peer, from, m, now, rand, out); err != nil {
		return nil, err
	}
	if err := p.notice(b, peer, from, m, before, now, out); err != nil {
		return nil, err
	}
	b.savePeer(from, peer)
	return out, b.commit()
}

// Learn takes only the bundles out of a message, for one that Open has refused
// with ErrNotForUs, ErrNotPaired or ErrGroupKey: its bundle is as good as any.
// Errors: ErrNotProtocolMessage, ErrBundle.
func (p *Protocol) Learn(st kv.Store, now time.Time, from key.Public, data []byte) ([]Installation, error) {
	m, err := decodeMessage(data)
	if err != nil {
		return nil, err
	}
	if p.isSelf(from, m.GetInstallationId()) {
		return nil, nil
	}
	b := &batch{st: st}
	peer, err := b.peer(from)
	if err != nil {
		return nil, err
	}
	added, err := p.processBundles(b, peer, from, m.GetInstallationId(), now, m.GetBundles())
	if err != nil {
		return nil, err
	}
	b.savePeer(from, peer)
	return added, b.commit()
}

// notice sees whether a message tells that its sender has begun anew: who needs
// no session although there is one has lost it. A message that somebody repeats
// has no newer bundle. Our own devices pair without a session. before is what was
// known of the sending installation.
func (p *Protocol) notice(b *batch, peer *peerRecord, from key.Public, m *encryptionpb.ProtocolMessage, before installation, now time.Time, out *Opened) (err error) {
	i := peer.find(m.GetInstallationId())
	if i == nil || before.id == "" {
		return nil
	}
	inDH := !out.Public && m.EncryptedMessage[p.InstallationID] == nil && m.EncryptedMessage[x3dh.ReservedID].GetDrHeader() == nil
	if inDH && i.lastSeen > before.lastSeen && (from != p.self() || len(out.Payload) == 0) {
		if _, err := p.beganAnew(b, peer, from, i, now); err != nil {
			return err
		}
		if out.Answer, err = b.answerDue(from, i.id, now); err != nil {
			return err
		}
	}
	if before.broken {
		return nil
	}
	if out.Healed != nil { // begun anew and healed with one message
		began := *out.Healed
		began.State, began.HealedAt = Broken, time.Time{}
		out.Began = &began
		return nil
	}
	if !i.broken {
		return nil
	}
	r, err := b.loadBreak(from, i.id)
	if r != nil && r.State == Broken {
		out.Began = r.public()
	}
	return err
}

func decodeMessage(data []byte) (*encryptionpb.ProtocolMessage, error) {
	var m encryptionpb.ProtocolMessage
	if err := proto.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotProtocolMessage, err)
	}
	if m.PublicMessage == nil && len(m.EncryptedMessage) == 0 {
		return nil, fmt.Errorf("%w: no payload", ErrNotProtocolMessage)
	}
	return &m, nil
}

// openPairwise decrypts the entry for this installation, or for any.
func (p *Protocol) openPairwise(b *batch, peer *peerRecord, from key.Public, m *encryptionpb.ProtocolMessage, now time.Time, rand io.Reader, out *Opened) error {
	entry := m.EncryptedMessage[p.InstallationID]
	if entry == nil {
		entry = m.EncryptedMessage[x3dh.ReservedID]
	}
	switch {
	case entry != nil:
	case from != p.self():
		return ErrNotForUs
	case m.GetInstallationId() != p.InstallationID:
		return ErrNotPaired
	default:
		return ErrOwnEcho
	}
	var err error
	switch {
	case entry.DrHeader != nil:
		out.Payload, err = p.openRatchet(b, peer, from, m, entry, now, rand, out)
	case entry.DhHeader != nil:
		out.Payload, err = p.openDH(entry.DhHeader, entry.Payload)
	case entry.HrHeader != nil:
		err = ErrGroupKey
	default:
		err = fmt.Errorf("%w: no key specified", ErrHeader)
	}
	if err != nil {
		return err
	}
	out.GroupKeys = entry.HrHeader
	if i := peer.find(m.GetInstallationId()); i != nil {
		if at := bundleTime(m, now); at > i.lastOpened {
			i.lastOpened, peer.dirty = at, true
		}
	}
	if protocolVersion(m) >= MinSecretVersion {
		if out.SecretNew, err = p.ensureSecret(from, peer); err != nil {
			return err
		}
		if i := peer.find(m.GetInstallationId()); i != nil && !i.heard {
			i.heard, peer.dirty = true, true
		}
	}
	out.Secret, out.HasSecret = peer.secret, peer.hasSecret
	return nil
}

// openRatchet decrypts in the session that the header names; an X3DH header
// begins it if there is none, or if the sender has begun anew.
func (p *Protocol) openRatchet(b *batch, peer *peerRecord, from key.Public, m *encryptionpb.ProtocolMessage, entry *encryptionpb.EncryptedMessageProtocol, now time.Time, rand io.Reader, out *Opened) ([]byte, error) {
	h, installation := entry.DrHeader, m.GetInstallationId()
	if err := x3dh.CheckInstallationID(installation); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHeader, err)
	}
	if len(h.GetId()) != key.CompressedSize || len(h.GetKey()) != ratchet.PublicSize {
		return nil, fmt.Errorf("%w: size of a key", ErrHeader)
	}
	ref := sessionRef{installation: installation, preKey: compressedKey(h.GetId())}
	name := sessionName(from.Compressed(), ref)
	i, known := peer.find(installation), peer.named(ref)
	// Only who has begun anew has the new pre key in the bundle; an old first
	// message that somebody repeats has not.
	again := known != nil && known.replaceable && entry.X3DhHeader != nil &&
		i != nil && bytes.Equal(preKeyIn(m), i.preKey[:])
	r, err := load(b, sessionPrefix+name, decodeSession)
	if err != nil && !again {
		return nil, err
	}
	isNew := r == nil || again
	if isNew {
		if r, err = p.respond(b, from, ref, entry.X3DhHeader); err != nil {
			return nil, err
		}
	}
	skipped := skippedStore{b, name}
	var lookup ratchet.Lookup
	if r.stored > 0 {
		lookup = skipped.lookup
	}
	d, err := ratchet.Decrypt(r.state, ratchet.Message{
		Header:     ratchet.Header{Key: compressedKey(h.GetKey()), N: h.GetN(), PN: h.GetPn()},
		Ciphertext: entry.Payload,
	}, lookup, rand)
	if err != nil {
		return nil, err
	}
	r.state = d.State
	r.ephemeral = compressedKey{} // the peer has the session: no X3DH header any more
	if d.UsedSkipped {
		err = skipped.used(r, ratchet.Header{Key: compressedKey(h.GetKey()), N: h.GetN()})
	} else {
		err = skipped.add(r, d.Skipped)
	}
	if err != nil {
		return nil, err
	}
	if again {
		if err := b.clear(name); err != nil {
			return nil, err
		}
		known.givenUp, known.replaceable, peer.dirty = false, false, true
	} else if known == nil {
		own, err := b.own()
		if err != nil {
			return nil, err
		}
		if err := b.addSession(from.Compressed(), peer, own, ref); err != nil {
			return nil, err
		}
	}
	b.put(sessionPrefix+name, r.encode())
	if i != nil && i.broken && (known == nil || !known.givenUp) {
		if err := b.goesOn(peer, from, i, isNew, bundleTime(m, now), now, out); err != nil {
			return nil, err
		}
	}
	return d.Plaintext, nil
}

// respond begins a session as its responder.
func (p *Protocol) respond(b *batch, from key.Public, ref sessionRef, h *encryptionpb.X3DHHeader) (*sessionRecord, error) {
	if h == nil {
		return nil, ErrNoSession
	}
	if string(h.GetId()) != string(ref.preKey[:]) {
		return nil, fmt.Errorf("%w: two different pre keys", ErrHeader)
	}
	if len(h.GetKey()) != key.CompressedSize {
		return nil, fmt.Errorf("%w: size of a key", ErrHeader)
	}
	stored, err := load(b, preKeyPrefix+hexKey(ref.preKey), decodePreKey)
	if err != nil {
		return nil, err
	}
	if stored == nil {
		return nil, ErrUnknownPreKey
	}
	ephemeral, err := key.PublicFromBytes(h.GetKey())
	if err != nil {
		return nil, fmt.Errorf("%w: ephemeral key: %w", ErrHeader, err)
	}
	spk, err := key.PrivateFromBytes(stored.private[:])
	if err != nil {
		return nil, fmt.Errorf("%w: pre key: %w", ErrStore, err)
	}
	secret, err := x3dh.Respond(p.Identity, x3dh.LocalPreKey{Private: spk}, from, x3dh.RemoteEphemeral{Public: ephemeral})
	if err != nil {
		return nil, err
	}
	return &sessionRecord{state: ratchet.InitResponder(secret, spk)}, nil
}

// protocolVersion is what the first bundle of a message says of the sending
// installation, 0 if nothing.
func protocolVersion(m *encryptionpb.ProtocolMessage) uint32 {
	if len(m.GetBundles()) == 0 {
		return 0
	}
	return m.GetBundles()[0].GetSignedPreKeys()[m.GetInstallationId()].GetProtocolVersion()
}
