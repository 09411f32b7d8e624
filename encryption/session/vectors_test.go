package session

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/encryption/x3dh"
	"github.com/parley-im/parley/internal/kv"
	"github.com/parley-im/parley/internal/vectors"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
)

type recordedParty struct {
	Name, InstallationID            string
	IdentityPrivateKey              vectors.Hex
	SignedPreKeyPrivate             vectors.Hex
	GeneratedPrivateKeysByPublicKey map[string]vectors.Hex
}

type recordedEntry struct {
	DrHeader, X3dhHeader, DhHeader *struct{ ID, Key vectors.Hex }
	Payload                        vectors.Hex
}

type recordedMessage struct {
	Encrypted     map[string]recordedEntry
	PublicMessage vectors.Hex
}

type recordedState struct {
	ID, Dhr, DhsPrivate, DhsPublic           vectors.Hex
	RootChainKey, SendChainKey, RecvChainKey vectors.Hex
	SendChainN, RecvChainN, Pn               uint32
	KeysCount                                uint64
}

type recordedStep struct {
	Op, From, To, By, ID                       string
	BundleProtobuf, ProtocolMessage, Plaintext vectors.Hex
	SharedSecret                               vectors.Hex
	AgreedSecret                               bool
	Decoded                                    recordedMessage
	SenderSessionsAfter, ReceiverSessionsAfter []recordedState
}

type recordedCase struct {
	Name    string
	Parties []recordedParty
	Steps   []recordedStep
}

// player replays one recorded party.
type player struct {
	recordedParty
	p  *Protocol
	st *kv.Memory
	// fed are the generated keys that were given to it already.
	fed map[string]bool
}

func private(t testing.TB, b []byte) key.Private {
	t.Helper()
	k, err := key.PrivateFromBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newPlayer(t testing.TB, r recordedParty, bundles []*encryptionpb.Bundle) *player {
	t.Helper()
	pl := &player{r, &Protocol{Identity: private(t, r.IdentityPrivateKey), InstallationID: r.InstallationID}, kv.NewMemory(), map[string]bool{}}
	spk := private(t, r.SignedPreKeyPrivate)
	public := spk.Public().Compressed()
	pl.fed[hex.EncodeToString(public[:])] = true
	for _, b := range bundles {
		if e := b.SignedPreKeys[r.InstallationID]; e != nil && bytes.Equal(e.SignedPreKey, public[:]) {
			if err := pl.p.ImportPreKey(pl.st, spk, e.Version, time.Unix(0, b.Timestamp)); err != nil {
				t.Fatal(err)
			}
			return pl
		}
	}
	// It never shows its pre key in this recording.
	if err := pl.p.ImportPreKey(pl.st, spk, 1, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	return pl
}

// take hands out a generated key once.
func (pl *player) take(t testing.TB, public []byte) []byte {
	t.Helper()
	name := hex.EncodeToString(public)
	if pl.fed[name] || len(public) == 0 {
		return nil
	}
	k, ok := pl.GeneratedPrivateKeysByPublicKey[name]
	if !ok {
		t.Fatalf("%s has no key %s", pl.Name, name)
	}
	pl.fed[name] = true
	return k
}

// randomness for a message: what the sender generated for it, in the order
// that Seal documents.
func (pl *player) randomness(t testing.TB, m recordedMessage, order []string) *bytes.Reader {
	t.Helper()
	var b []byte
	for _, id := range order {
		e := m.Encrypted[id]
		if e.X3dhHeader != nil {
			if ephemeral := pl.take(t, e.X3dhHeader.Key); ephemeral != nil {
				b = append(b, ephemeral...)
				b = append(b, pl.take(t, e.DrHeader.Key)...)
			}
		}
	}
	if e, ok := m.Encrypted[x3dh.ReservedID]; ok && e.DhHeader != nil {
		b = append(b, pl.take(t, e.DhHeader.Key)...)
		b = append(b, e.Payload[len(e.Payload)-nonceSize:]...)
	}
	return bytes.NewReader(b)
}

func decode(t testing.TB, data []byte) *encryptionpb.ProtocolMessage {
	t.Helper()
	var m encryptionpb.ProtocolMessage
	if err := proto.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return &m
}

// sameMessage compares bytes; where a map has several entries, whose order on
// the wire is free, it compares the content.
func sameMessage(t testing.TB, got, want []byte) {
	t.Helper()
	g, w := decode(t, got), decode(t, want)
	if !proto.Equal(g, w) {
		t.Fatalf("message\n%v\nwant\n%v", g, w)
	}
	oneEach := len(w.EncryptedMessage) <= 1
	for _, b := range w.Bundles {
		oneEach = oneEach && len(b.SignedPreKeys) <= 1
	}
	if oneEach && !bytes.Equal(got, want) {
		t.Fatalf("bytes\n%x\nwant\n%x", got, want)
	}
}

// Each recorded conversation is replayed as each of its parties: given the keys
// that they generated, what we seal has their bytes, what they sealed opens,
// and the ratchet states are theirs after each step.
//
// Proves: AP-001.
func TestVectorsEncryptionSessions(t *testing.T) {
	t.Parallel()
	for _, c := range vectors.Cases[recordedCase](t, "encryption_sessions") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			replay(t, c)
		})
	}
}

func replay(t *testing.T, c recordedCase) {
	var bundles []*encryptionpb.Bundle
	messages := map[string]recordedStep{}
	for _, s := range c.Steps {
		switch s.Op {
		case "bundle":
			var b encryptionpb.Bundle
			if err := proto.Unmarshal(s.BundleProtobuf, &b); err != nil {
				t.Fatal(err)
			}
			bundles = append(bundles, &b)
		case "send":
			messages[s.ID] = s
			bundles = append(bundles, decode(t, s.ProtocolMessage).Bundles...)
		}
	}
	players, byInstallation := map[string]*player{}, map[string]*player{}
	for _, r := range c.Parties {
		pl := newPlayer(t, r, bundles)
		players[r.Name], byInstallation[r.InstallationID] = pl, pl
	}
	for i, s := range c.Steps {
		switch s.Op {
		case "bundle":
			from, to := players[s.From], players[s.To]
			want := bundles[0]
			bundles = bundles[1:]
			got, err := from.p.Bundle(from.st, time.Unix(0, want.Timestamp), bytes.NewReader(nil))
			if err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
			if data, err := deterministic.Marshal(got); err != nil || !proto.Equal(got, want) ||
				len(want.SignedPreKeys) == 1 && !bytes.Equal(data, s.BundleProtobuf) {
				t.Fatalf("step %d: bundle %v, want %v", i, got, want)
			}
			added, err := to.p.ProcessBundle(to.st, time.Unix(0, want.Timestamp), from.p.self(), want)
			if err != nil || len(added) == 0 {
				t.Fatalf("step %d: %d installations, %v", i, len(added), err)
			}
		case "send":
			bundles = bundles[len(decode(t, s.ProtocolMessage).Bundles):]
			send(t, i, s, players[s.From], players[s.To].p.self())
			sessions(t, i, players[s.From], s.SenderSessionsAfter, byInstallation)
		case "receive":
			receive(t, i, s, messages[s.ID], players)
			sessions(t, i, players[s.By], s.ReceiverSessionsAfter, byInstallation)
		default:
			t.Fatalf("step %d: unknown operation %q", i, s.Op)
		}
	}
}

func send(t *testing.T, i int, s recordedStep, from *player, to key.Public) {
	t.Helper()
	known, err := from.p.Installations(from.st, to)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, k := range known {
		order = append(order, k.ID)
	}
	rand := from.randomness(t, s.Decoded, order)
	now := time.Unix(0, decode(t, s.ProtocolMessage).Bundles[0].Timestamp)
	sealed, err := from.p.Seal(from.st, now, rand, to, s.Plaintext)
	if err != nil {
		t.Fatalf("step %d: %v", i, err)
	}
	if rand.Len() != 0 {
		t.Fatalf("step %d: %d bytes of randomness left", i, rand.Len())
	}
	sameMessage(t, sealed.Bytes, s.ProtocolMessage)
	if sealed.Agreed != s.AgreedSecret || !bytes.Equal(sealed.Secret[:], s.SharedSecret) {
		t.Fatalf("step %d: agreed %v on %x, want %v, %x", i, sealed.Agreed, sealed.Secret, s.AgreedSecret, []byte(s.SharedSecret))
	}
}

func receive(t *testing.T, i int, s, sent recordedStep, players map[string]*player) {
	t.Helper()
	by := players[s.By]
	var fresh []byte // the ratchet key that it made, if any
	for _, state := range s.ReceiverSessionsAfter {
		fresh = append(fresh, by.take(t, state.DhsPublic)...)
	}
	rand := bytes.NewReader(fresh)
	opened, err := by.p.Open(by.st, time.Unix(0, 0), rand, players[sent.From].p.self(), sent.ProtocolMessage)
	if err != nil {
		t.Fatalf("step %d: %v", i, err)
	}
	if rand.Len() != 0 {
		t.Fatalf("step %d: %d bytes of randomness left", i, rand.Len())
	}
	if !bytes.Equal(opened.Payload, s.Plaintext) || opened.Public || opened.InstallationID != players[sent.From].InstallationID {
		t.Fatalf("step %d: %+v, want %q", i, opened, s.Plaintext)
	}
	if len(s.SharedSecret) > 0 && (!opened.HasSecret || !bytes.Equal(opened.Secret[:], s.SharedSecret)) {
		t.Fatalf("step %d: secret %x, want %x", i, opened.Secret, []byte(s.SharedSecret))
	}
}

// sessions compares every ratchet state of a party with the recorded ones.
func sessions(t *testing.T, i int, pl *player, want []recordedState, byInstallation map[string]*player) {
	t.Helper()
	n := 0
	pl.st.Scan(sessionPrefix, func(string, []byte) error { n++; return nil })
	if n != len(want) {
		t.Fatalf("step %d: %s has %d sessions, want %d", i, pl.Name, n, len(want))
	}
	for _, w := range want {
		ref := sessionRef{preKey: compressedKey(w.ID[:key.CompressedSize]), installation: string(w.ID[key.CompressedSize:])}
		peer := byInstallation[ref.installation].p.self()
		r, err := load(&batch{st: pl.st}, sessionPrefix+sessionName(peer.Compressed(), ref), decodeSession)
		if err != nil || r == nil {
			t.Fatalf("step %d: %s has no session %x: %v", i, pl.Name, []byte(w.ID), err)
		}
		s := r.state
		remote := s.Remote[:]
		if s.Remote == (compressedKey{}) {
			remote = nil
		}
		for what, pair := range map[string][2][]byte{
			"remote key": {remote, w.Dhr}, "own key": {s.Own[:], w.DhsPrivate}, "own public key": {s.OwnPublic[:], w.DhsPublic},
			"root": {s.Root[:], w.RootChainKey}, "send": {s.Send[:], w.SendChainKey}, "receive": {s.Recv[:], w.RecvChainKey},
		} {
			if !bytes.Equal(pair[0], pair[1]) {
				t.Errorf("step %d: %s: %s is %x, want %x", i, pl.Name, what, pair[0], pair[1])
			}
		}
		if s.SendN != w.SendChainN || s.RecvN != w.RecvChainN || s.PN != w.Pn || s.Derived != w.KeysCount {
			t.Errorf("step %d: %s: numbers %d %d %d %d, want %d %d %d %d", i, pl.Name,
				s.SendN, s.RecvN, s.PN, s.Derived, w.SendChainN, w.RecvChainN, w.Pn, w.KeysCount)
		}
	}
}

type recordedForm struct {
	Name                     string
	Party                    recordedParty
	Payload, ProtocolMessage vectors.Hex
	RecipientPrivateKey      vectors.Hex
	Decoded                  recordedMessage
}

// The forms outside of sessions, sealed as the recorded party and opened as the
// recipient.
func TestVectorsProtocolMessageMisc(t *testing.T) {
	t.Parallel()
	for _, c := range vectors.Cases[recordedForm](t, "protocol_message_misc") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			want := decode(t, c.ProtocolMessage)
			pl := newPlayer(t, c.Party, want.Bundles)
			now := time.Unix(0, want.Bundles[0].Timestamp)
			recipient := &Protocol{InstallationID: "recipient"}
			isPublic := len(c.Decoded.PublicMessage) > 0
			if isPublic {
				recipient.Identity = fresh(t)
				got, err := pl.p.SealPublic(pl.st, now, bytes.NewReader(nil), c.Payload)
				if err != nil {
					t.Fatal(err)
				}
				sameMessage(t, got, c.ProtocolMessage)
			} else {
				recipient.Identity = private(t, c.RecipientPrivateKey)
				to := recipient.self()
				rand := pl.randomness(t, c.Decoded, nil)
				var got []byte
				var err error
				if len(c.Payload) == 0 {
					var sealed *Sealed
					if sealed, err = pl.p.SealAdvertisement(pl.st, now, rand, to); err == nil {
						got = sealed.Bytes
					}
				} else {
					got, err = pl.p.SealDH(pl.st, now, rand, to, c.Payload)
				}
				if err != nil {
					t.Fatal(err)
				}
				sameMessage(t, got, c.ProtocolMessage)
			}
			opened, err := recipient.Open(kv.NewMemory(), now, bytes.NewReader(nil), pl.p.self(), c.ProtocolMessage)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(opened.Payload, c.Payload) || opened.Public != isPublic || opened.InstallationID != c.Party.InstallationID {
				t.Errorf("opened %+v", opened)
			}
			if len(opened.NewInstallations) != len(want.Bundles[0].SignedPreKeys) {
				t.Errorf("new installations %v", opened.NewInstallations)
			}
		})
	}
}
