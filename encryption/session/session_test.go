package session

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
)

var start = time.Unix(1700000000, 0)

func fresh(t testing.TB) key.Private {
	t.Helper()
	k, err := key.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// device is one installation with its store and its clock.
type device struct {
	*Protocol
	st  *kv.Memory
	now time.Time
}

func newDevice(t testing.TB, identity key.Private, id string) *device {
	if identity.IsZero() {
		identity = fresh(t)
	}
	return &device{&Protocol{Identity: identity, InstallationID: id}, kv.NewMemory(), start}
}

// pair is two devices of two people who have each other's bundle.
func pair(t testing.TB) (alice, bob *device) {
	t.Helper()
	alice, bob = newDevice(t, key.Private{}, "alice"), newDevice(t, key.Private{}, "bob")
	alice.learn(t, bob)
	bob.learn(t, alice)
	return alice, bob
}

func (d *device) learn(t testing.TB, of *device) []Installation {
	t.Helper()
	b, err := of.Bundle(of.st, of.now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	added, err := d.ProcessBundle(d.st, d.now, of.self(), b)
	if err != nil {
		t.Fatal(err)
	}
	return added
}

func (d *device) seal(t testing.TB, to *device, payload string) *Sealed {
	t.Helper()
	d.now = d.now.Add(time.Second)
	s, err := d.Seal(d.st, d.now, rand.Reader, to.self(), []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (d *device) open(from *device, data []byte) (*Opened, error) {
	return d.Open(d.st, d.now, rand.Reader, from.self(), data)
}

func (d *device) mustOpen(t testing.TB, from *device, data []byte, want string) *Opened {
	t.Helper()
	o, err := d.open(from, data)
	if err != nil {
		t.Fatalf("%q: %v", want, err)
	}
	if string(o.Payload) != want {
		t.Fatalf("opened %q, want %q", o.Payload, want)
	}
	return o
}

func (d *device) content() map[string]string {
	m := map[string]string{}
	d.st.Scan("", func(k string, v []byte) error { m[k] = string(v); return nil })
	return m
}

func (d *device) count(prefix string) int {
	n := 0
	d.st.Scan(prefix, func(string, []byte) error { n++; return nil })
	return n
}

// refuses checks the error and that nothing has changed.
func (d *device) refuses(t testing.TB, from *device, data []byte, want error) {
	t.Helper()
	before := d.content()
	if _, err := d.open(from, data); !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
	if !maps.Equal(before, d.content()) {
		t.Errorf("%v changed the store", want)
	}
}

func change(t testing.TB, data []byte, f func(*encryptionpb.ProtocolMessage)) []byte {
	t.Helper()
	m := decode(t, data)
	f(m)
	out, err := marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func entryOf(m *encryptionpb.ProtocolMessage) *encryptionpb.EncryptedMessageProtocol {
	for _, e := range m.EncryptedMessage {
		return e
	}
	return nil
}

// The X3DH header is in every message until the peer has answered, and the
// negotiated topic is agreed once the peer has been heard from.
func TestConversation(t *testing.T) {
	t.Parallel()
	alice, bob := newDevice(t, key.Private{}, "alice"), newDevice(t, key.Private{}, "bob")
	alice.learn(t, bob)
	var last *Sealed
	for i := range 3 {
		last = alice.seal(t, bob, fmt.Sprint(i))
		if entryOf(decode(t, last.Bytes)).X3DhHeader == nil || last.Agreed || last.SecretNew != (i == 0) {
			t.Fatalf("message %d: %+v", i, last)
		}
		o := bob.mustOpen(t, alice, last.Bytes, fmt.Sprint(i))
		if o.Secret != last.Secret || o.SecretNew != (i == 0) || len(o.NewInstallations) != max(0, 1-i) {
			t.Fatalf("message %d: %+v", i, o)
		}
	}
	answer := bob.seal(t, alice, "answer")
	if e := entryOf(decode(t, answer.Bytes)); e.X3DhHeader != nil || !answer.Agreed || answer.Secret != last.Secret {
		t.Fatalf("answer %+v", answer)
	}
	alice.mustOpen(t, bob, answer.Bytes, "answer")
	last = alice.seal(t, bob, "3")
	if entryOf(decode(t, last.Bytes)).X3DhHeader != nil || !last.Agreed {
		t.Fatalf("after the answer %+v", last)
	}
	bob.mustOpen(t, alice, last.Bytes, "3")
	secrets, err := bob.Secrets(bob.st)
	if err != nil || len(secrets) != 1 || secrets[0] != (Negotiated{alice.self(), last.Secret, true}) {
		t.Fatalf("secrets %v, %v", secrets, err)
	}
	shared, err := alice.Identity.ECDH(bob.self())
	if err != nil || shared != last.Secret {
		t.Errorf("the secret is not that of the identity keys")
	}
}

// Each row of the error cases of the layer.
func TestRefusals(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t)
	other := newDevice(t, alice.Identity, "other device")
	stranger := newDevice(t, key.Private{}, "stranger")
	sealed := alice.seal(t, bob, "hello").Bytes
	bob.mustOpen(t, alice, sealed, "hello")
	next := alice.seal(t, bob, "next").Bytes
	dh, err := alice.SealDH(alice.st, alice.now, rand.Reader, bob.self(), []byte("dh"))
	if err != nil {
		t.Fatal(err)
	}

	bob.refuses(t, alice, nil, ErrNotProtocolMessage)
	bob.refuses(t, alice, []byte("\xffnonsense"), ErrNotProtocolMessage)
	bob.refuses(t, alice, change(t, next, func(m *encryptionpb.ProtocolMessage) { m.EncryptedMessage = nil }), ErrNotProtocolMessage)
	bob.refuses(t, alice, change(t, next, func(m *encryptionpb.ProtocolMessage) { m.Bundles[0].Signature[3] ^= 1 }), ErrBundle)
	bob.refuses(t, stranger, next, ErrBundle) // bundle of somebody else
	bob.refuses(t, alice, change(t, next, func(m *encryptionpb.ProtocolMessage) {
		for range MaxBundles {
			m.Bundles = append(m.Bundles, m.Bundles[0])
		}
	}), ErrBundle)
	stranger.refuses(t, alice, next, ErrNotForUs)
	other.refuses(t, alice, next, ErrNotPaired)
	alice.refuses(t, alice, next, ErrOwnEcho)
	bob.refuses(t, alice, change(t, next, func(m *encryptionpb.ProtocolMessage) { entryOf(m).DrHeader = nil }), ErrHeader)
	bob.refuses(t, alice, change(t, next, func(m *encryptionpb.ProtocolMessage) { entryOf(m).DrHeader.Id = []byte{1} }), ErrHeader)
	bob.refuses(t, alice, change(t, next, func(m *encryptionpb.ProtocolMessage) { m.InstallationId = "" }), ErrHeader)
	bob.refuses(t, alice, change(t, next, func(m *encryptionpb.ProtocolMessage) {
		m.InstallationId = "reinstalled"
		entryOf(m).X3DhHeader.Id = bytes.Clone(entryOf(m).DrHeader.Key)
	}), ErrHeader)
	bob.refuses(t, alice, change(t, next, func(m *encryptionpb.ProtocolMessage) {
		m.InstallationId, entryOf(m).X3DhHeader = "reinstalled", nil
	}), ErrNoSession)
	bob.refuses(t, alice, change(t, next, func(m *encryptionpb.ProtocolMessage) {
		e := entryOf(m)
		e.X3DhHeader.Id = e.DrHeader.Key
		e.DrHeader.Id = e.DrHeader.Key
	}), ErrUnknownPreKey)
	bob.refuses(t, alice, change(t, next, func(m *encryptionpb.ProtocolMessage) {
		e := entryOf(m)
		e.HrHeader, e.DrHeader, e.X3DhHeader = &encryptionpb.HRHeader{SeqNo: 1}, nil, nil
	}), ErrGroupKey)
	bob.refuses(t, alice, change(t, dh, func(m *encryptionpb.ProtocolMessage) { entryOf(m).Payload[2] ^= 1 }), ErrDecrypt)
	bob.refuses(t, alice, change(t, dh, func(m *encryptionpb.ProtocolMessage) { entryOf(m).Payload = nil }), ErrDecrypt)
	bob.refuses(t, alice, change(t, dh, func(m *encryptionpb.ProtocolMessage) { entryOf(m).DhHeader.Key = nil }), ErrHeader)
	stranger.refuses(t, bob, change(t, dh, func(m *encryptionpb.ProtocolMessage) { m.Bundles = nil }), ErrDecrypt)

	if _, err := alice.SealPublic(alice.st, alice.now, rand.Reader, nil); !errors.Is(err, ErrEmpty) {
		t.Errorf("empty public message: %v", err)
	}
	if err := bob.SetEnabled(bob.st, alice.self(), "nobody", true); !errors.Is(err, ErrInstallation) {
		t.Errorf("unknown installation: %v", err)
	}
	bob.mustOpen(t, alice, next, "next")
	bob.mustOpen(t, alice, dh, "dh")
}

// A key exchange message has a hash ratchet header beside its own.
func TestGroupKeysBesidePayload(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t)
	data := change(t, alice.seal(t, bob, "keys").Bytes, func(m *encryptionpb.ProtocolMessage) {
		entryOf(m).HrHeader = &encryptionpb.HRHeader{GroupId: []byte("group")}
	})
	if o := bob.mustOpen(t, alice, data, "keys"); string(o.GroupKeys.GetGroupId()) != "group" {
		t.Errorf("opened %+v", o)
	}
}

// A day later there is a new signed pre key with the next version, the peer
// that learns of it starts a new session with its next message, and messages
// of the old session and to the old key still open.
func TestRotation(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t)
	late := alice.seal(t, bob, "late").Bytes
	first := alice.seal(t, bob, "first").Bytes
	bob.mustOpen(t, alice, first, "first")
	before, err := bob.Bundle(bob.st, start.Add(RotationPeriod), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	bob.now = start.Add(RotationPeriod + 1)
	after, err := bob.Bundle(bob.st, bob.now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if v := before.SignedPreKeys["bob"].Version; v != 1 || after.SignedPreKeys["bob"].Version != 2 {
		t.Fatalf("versions %d, %d", v, after.SignedPreKeys["bob"].Version)
	}
	stranger := newDevice(t, key.Private{}, "stranger")
	if _, err := stranger.ProcessBundle(stranger.st, start, bob.self(), before); err != nil {
		t.Fatal(err)
	}
	bob.mustOpen(t, stranger, stranger.seal(t, bob, "to the old key").Bytes, "to the old key")

	alice.learn(t, bob)
	second := alice.seal(t, bob, "second").Bytes
	if e := entryOf(decode(t, second)); !bytes.Equal(e.DrHeader.Id, after.SignedPreKeys["bob"].SignedPreKey) || e.X3DhHeader == nil {
		t.Fatal("not a new session")
	}
	bob.mustOpen(t, alice, second, "second")
	bob.mustOpen(t, alice, late, "late")
	// An older bundle, come late, changes nothing.
	if _, err := alice.ProcessBundle(alice.st, alice.now, bob.self(), before); err != nil {
		t.Fatal(err)
	}
	third := alice.seal(t, bob, "third").Bytes
	if e := entryOf(decode(t, third)); !bytes.Equal(e.DrHeader.Id, after.SignedPreKeys["bob"].SignedPreKey) {
		t.Fatal("an old bundle brought the old session back")
	}
}

func TestPreKeysAreBounded(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t)
	for range MaxPreKeys - 1 {
		bob.now = bob.now.Add(RotationPeriod + 1)
		if _, err := bob.Bundle(bob.st, bob.now, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	if n := bob.count(preKeyPrefix); n != MaxPreKeys {
		t.Fatalf("%d pre keys", n)
	}
	first := alice.seal(t, bob, "a month late").Bytes
	atLimit := bob.st.Copy()
	if _, err := bob.Bundle(bob.st, bob.now.Add(RotationPeriod+1), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if n := bob.count(preKeyPrefix); n != MaxPreKeys {
		t.Fatalf("%d pre keys", n)
	}
	bob.refuses(t, alice, first, ErrUnknownPreKey)
	bob.st = atLimit
	bob.mustOpen(t, alice, first, "a month late")
}

func TestBundleRefresh(t *testing.T) {
	t.Parallel()
	alice := newDevice(t, key.Private{}, "alice")
	at := func(d time.Duration) int64 {
		b, err := alice.Bundle(alice.st, start.Add(d), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return b.Timestamp - start.UnixNano()
	}
	if at(0) != 0 || at(time.Second) != int64(time.Second) {
		t.Error("not signed afresh each time")
	}
	alice.BundleRefresh = time.Hour
	at(0)
	if got := at(time.Hour - 1); got != 0 {
		t.Errorf("signed again after %v", time.Duration(got))
	}
	if got := at(time.Hour); got != int64(time.Hour) {
		t.Errorf("not signed again: %v", time.Duration(got))
	}
	phone := newDevice(t, alice.Identity, "phone")
	alice.learn(t, phone)
	if err := alice.SetEnabled(alice.st, alice.self(), "phone", true); err != nil {
		t.Fatal(err)
	}
	if got := at(time.Hour + 1); got != int64(time.Hour+1) {
		t.Errorf("pairing did not change the bundle: %v", time.Duration(got))
	}
}

// Installations of contacts are enabled at once, own ones when paired; a
// message to ourselves is for our other devices.
func TestOwnDevices(t *testing.T) {
	t.Parallel()
	laptop := newDevice(t, key.Private{}, "laptop")
	phone := newDevice(t, laptop.Identity, "phone")
	added := laptop.learn(t, phone)
	if len(added) != 1 || added[0].Enabled || added[0].ID != "phone" {
		t.Fatalf("added %+v", added)
	}
	if s := laptop.seal(t, phone, "anybody"); len(s.Installations) != 0 {
		t.Fatalf("sent to a device that is not paired: %+v", s)
	} else {
		phone.mustOpen(t, laptop, s.Bytes, "anybody")
	}
	if err := laptop.SetEnabled(laptop.st, laptop.self(), "phone", true); err != nil {
		t.Fatal(err)
	}
	s := laptop.seal(t, phone, "for the phone")
	if len(s.Installations) != 1 || s.Installations[0] != "phone" {
		t.Fatalf("sealed %+v", s)
	}
	phone.mustOpen(t, laptop, s.Bytes, "for the phone")
	laptop.refuses(t, laptop, s.Bytes, ErrOwnEcho)
	// A contact learns of both from either's bundle.
	bob := newDevice(t, key.Private{}, "bob")
	if added := bob.learn(t, laptop); len(added) != 2 || !added[0].Enabled || !added[1].Enabled {
		t.Fatalf("added %+v", added)
	}
	both := bob.seal(t, laptop, "to both")
	laptop.mustOpen(t, bob, both.Bytes, "to both")
	phone.mustOpen(t, bob, both.Bytes, "to both")
	if err := bob.SetEnabled(bob.st, laptop.self(), "phone", false); err != nil {
		t.Fatal(err)
	}
	phone.refuses(t, bob, bob.seal(t, laptop, "laptop only").Bytes, ErrNotForUs)
}

// A message goes to the three devices seen last; a bundle of ours lists two
// others; no more than MaxInstallations are known.
func TestManyDevices(t *testing.T) {
	t.Parallel()
	alice, identity := newDevice(t, key.Private{}, "alice"), fresh(t)
	devices := make([]*device, MaxInstallations+1)
	for i := range devices {
		devices[i] = newDevice(t, identity, fmt.Sprintf("device %02d", i))
		devices[i].now = start.Add(time.Duration(i+1) * time.Minute)
		alice.learn(t, devices[i])
		if i == 0 {
			alice.seal(t, devices[0], "a session that will be forgotten")
		}
	}
	known, err := alice.Installations(alice.st, identity.Public())
	if err != nil || len(known) != MaxInstallations || known[0].ID != devices[MaxInstallations].InstallationID {
		t.Fatalf("%d known, %v", len(known), err)
	}
	if n := alice.count(sessionPrefix); n != 0 {
		t.Errorf("%d sessions with forgotten installations", n)
	}
	s := alice.seal(t, devices[0], "hello")
	if len(s.Installations) != MaxTargets {
		t.Fatalf("sealed for %v", s.Installations)
	}
	for i, id := range s.Installations {
		d := devices[MaxInstallations-i]
		if d.InstallationID != id {
			t.Errorf("target %d is %s", i, id)
		}
		d.mustOpen(t, alice, s.Bytes, "hello")
	}
	own := devices[0]
	for _, d := range devices[1:5] {
		own.learn(t, d)
		if err := own.SetEnabled(own.st, own.self(), d.InstallationID, true); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := own.Bundle(own.st, own.now, rand.Reader); err != nil || len(b.SignedPreKeys) != MaxTargets {
		t.Errorf("own bundle lists %d, %v", len(b.SignedPreKeys), err)
	}
}

// The oldest sessions are forgotten, never the one in use.
func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t)
	for i := range MaxSessions + 2 {
		// A missing message, so that there are keys to forget.
		alice.seal(t, bob, "missing")
		bob.mustOpen(t, alice, alice.seal(t, bob, "hello").Bytes, "hello")
		if n := bob.count(sessionPrefix); n != min(i+1, MaxSessions) {
			t.Fatalf("%d sessions after %d", n, i+1)
		}
		if n := bob.count(skippedPrefix); n != min(i+1, MaxSessions) {
			t.Fatalf("%d kept keys after %d", n, i+1)
		}
		bob.now = bob.now.Add(RotationPeriod + 1)
		alice.now = bob.now
		alice.learn(t, bob)
	}
	if n := alice.count(sessionPrefix); n != MaxSessions {
		t.Errorf("%d sessions", n)
	}
	for i := range MaxPeerSessions {
		data := change(t, alice.seal(t, bob, "x").Bytes, func(m *encryptionpb.ProtocolMessage) {
			m.InstallationId, m.Bundles = fmt.Sprintf("made up %d", i), nil
		})
		bob.mustOpen(t, alice, data, "x")
	}
	if n := bob.count(sessionPrefix); n != MaxPeerSessions {
		t.Errorf("%d sessions with one peer", n)
	}
}

// A peer that repeats its bundle costs no second verification, and one that
// goes back in time is not believed.
func TestSameBundleAgain(t *testing.T) {
	t.Parallel()
	alice, bob := newDevice(t, key.Private{}, "alice"), newDevice(t, key.Private{}, "bob")
	b, err := bob.Bundle(bob.st, start, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{1, 0, 0} {
		before := alice.content()
		added, err := alice.ProcessBundle(alice.st, start, bob.self(), b)
		if err != nil || len(added) != want {
			t.Fatalf("time %d: %v, %v", i, added, err)
		}
		if i > 0 && !maps.Equal(before, alice.content()) {
			t.Error("the store changed")
		}
	}
	older, err := bob.Bundle(bob.st, start.Add(-time.Hour), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alice.ProcessBundle(alice.st, start, bob.self(), older); err != nil {
		t.Fatal(err)
	}
	if known, _ := alice.Installations(alice.st, bob.self()); !known[0].LastSeen.Equal(start) {
		t.Errorf("last seen %v", known[0].LastSeen)
	}
}

// The message that Open refuses as not for us still teaches its bundle, and
// the answer to it ours, at most once in ReplyCooldown.
func TestPartitionedDevice(t *testing.T) {
	t.Parallel()
	alice, old := pair(t)
	recovered := newDevice(t, old.Identity, "recovered")
	data := alice.seal(t, old, "hello").Bytes
	recovered.refuses(t, alice, data, ErrNotForUs)
	if added, err := recovered.Learn(recovered.st, start, alice.self(), data); err != nil || len(added) != 1 {
		t.Fatalf("learned %v, %v", added, err)
	}
	reply, err := recovered.SealAdvertisement(recovered.st, start, rand.Reader, alice.self())
	if err != nil || reply == nil {
		t.Fatal(reply, err)
	}
	if o := alice.mustOpen(t, recovered, reply.Bytes, ""); len(o.NewInstallations) != 1 || o.Public {
		t.Errorf("opened %+v", o)
	}
	for after, want := range map[time.Duration]bool{time.Second: false, ReplyCooldown - 1: false, ReplyCooldown: true} {
		st := recovered.st.Copy()
		reply, err := recovered.SealAdvertisement(st, start.Add(after), rand.Reader, alice.self())
		if err != nil || (reply != nil) != want {
			t.Errorf("after %v: %v, %v", after, reply != nil, err)
		}
	}
	recovered.mustOpen(t, alice, alice.seal(t, old, "again").Bytes, "again")
}

// A device that was set up again under the same installation id answers a stranger
// with a pre key whose version passes what it may have had before, once. Clients
// that begin a new session only for a higher version do so then.
func TestLossOutgrows(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t)
	talk(t, alice, bob, 3)
	before := must((&batch{st: bob.st}).own()).version
	bob.st = kv.NewMemory()
	if _, err := bob.Bundle(bob.st, bob.now, rand.Reader); err != nil {
		t.Fatal(err)
	}
	version := func() uint32 { return must((&batch{st: bob.st}).own()).version }
	if version() > before {
		t.Fatalf("version %d after %d", version(), before)
	}
	data := alice.seal(t, bob, "in the old session").Bytes
	bob.refuses(t, alice, data, ErrNoSession)
	loss, err := bob.SealLoss(bob.st, bob.now, rand.Reader, alice.self())
	if err != nil || loss == nil {
		t.Fatal(loss, err)
	}
	passed := version()
	if passed <= before+30_000 {
		t.Fatalf("version %d", passed)
	}
	// The next message begins a session with it.
	alice.mustOpen(t, bob, loss.Bytes, "")
	bob.mustOpen(t, alice, alice.seal(t, bob, "in a new one").Bytes, "in a new one")
	// Strangers cannot make it happen again, nor keep a session from healing.
	carol := newDevice(t, key.Private{}, "carol")
	if s, err := bob.SealLoss(bob.st, bob.now, rand.Reader, carol.self()); err != nil || s == nil || version() != passed {
		t.Errorf("version %d, %v", version(), err)
	}
	alice.mustOpen(t, bob, bob.seal(t, alice, "yes").Bytes, "yes")
	remove(bob.st, sessionPrefix)
	data = alice.seal(t, bob, "lost").Bytes
	bob.refuses(t, alice, data, ErrNoSession)
	if s, err := bob.Heal(bob.st, bob.now, rand.Reader, alice.self(), data); err != nil || s == nil || version() != passed+1 {
		t.Errorf("version %d, %v", version(), err)
	}
}

func TestNextAdvertisement(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		last time.Time
		want time.Duration
	}{
		{time.Time{}, 0},
		{start, AdvertisementInterval},
		{start.Add(-AdvertisementInterval + time.Second), time.Second},
		{start.Add(-AdvertisementInterval), 0},
		{start.Add(-2 * AdvertisementInterval), 0},
		{start.Add(time.Second), 0},
	} {
		if got := NextAdvertisement(c.last, start).Sub(start); got != c.want {
			t.Errorf("last at %v: in %v, want %v", c.last, got, c.want)
		}
	}
}
