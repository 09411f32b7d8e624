package session

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/encryption/ratchet"
	"github.com/parley-im/parley/internal/kv"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
)

// talk lets both write in turn, so that the ratchets turn.
func talk(t testing.TB, a, b *device, rounds int) {
	t.Helper()
	for i := range rounds {
		b.mustOpen(t, a, a.seal(t, b, fmt.Sprint("a", i)).Bytes, fmt.Sprint("a", i))
		a.mustOpen(t, b, b.seal(t, a, fmt.Sprint("b", i)).Bytes, fmt.Sprint("b", i))
	}
}

// finds hands over a message that does not open and returns what it means.
func (d *device) finds(t testing.TB, from *device, data []byte) Finding {
	t.Helper()
	_, refusal := d.open(from, data)
	if refusal == nil {
		t.Fatal("it opens")
	}
	f, err := d.Undecryptable(d.st, d.now, from.self(), data, refusal)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (d *device) heals(t testing.TB, from *device, data []byte) []byte {
	t.Helper()
	s, err := d.Heal(d.st, d.now, rand.Reader, from.self(), data)
	if err != nil || s == nil {
		t.Fatal(s, err)
	}
	return s.Bytes
}

func (d *device) only(t testing.TB) Break {
	t.Helper()
	all, err := d.Breaks(d.st)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	return all[0]
}

func (d *device) wait(by time.Duration) { d.now = d.now.Add(by) }

// Every cause, from the third message that does not open to the first in a new
// session; late messages of the old one still open.
func TestHealing(t *testing.T) {
	t.Parallel()
	for cause, spoil := range map[Cause]func(t *testing.T, alice, bob *device, earlier *kv.Memory){
		BehindUs:  func(t *testing.T, alice, _ *device, earlier *kv.Memory) { alice.st = earlier },
		NoSession: func(t *testing.T, _, bob *device, _ *kv.Memory) { remove(bob.st, sessionPrefix) },
		OtherKeys: func(t *testing.T, _, bob *device, _ *kv.Memory) {
			change1(bob.st, sessionPrefix, func(v []byte) []byte { v[60] ^= 1; v[100] ^= 1; v[130] ^= 1; return v })
		},
		Damaged: func(t *testing.T, _, bob *device, _ *kv.Memory) {
			change1(bob.st, sessionPrefix, func(v []byte) []byte { return v[:20] })
		},
		AheadOfUs: func(t *testing.T, alice, bob *device, _ *kv.Memory) {
			for range ratchet.MaxSkip + 1 {
				alice.seal(t, bob, "lost")
			}
		},
	} {
		t.Run(string(cause), func(t *testing.T) {
			t.Parallel()
			alice, bob := pair(t)
			talk(t, alice, bob, 3)
			earlier := alice.st.Copy()
			for range Threshold {
				bob.mustOpen(t, alice, alice.seal(t, bob, "one more").Bytes, "one more")
			}
			spoil(t, alice, bob, earlier)
			bob.now = alice.now
			var data []byte
			for i := range Threshold {
				alice.wait(time.Second)
				bob.wait(2 * time.Second)
				data = alice.seal(t, bob, "unread").Bytes
				f := bob.finds(t, alice, data)
				if f.Break == nil || f.Break.Cause != cause || f.Break.Messages != i+1 || f.Broken != (i == Threshold-1) || f.Heal != f.Broken {
					t.Fatalf("message %d: %+v, %+v", i, f, f.Break)
				}
				if again := bob.finds(t, alice, data); again.Break != nil {
					t.Fatalf("the same message counts again: %+v", again)
				}
			}
			// Until then messages go in the old session, then in DH form.
			advert := bob.heals(t, alice, data)
			if b := bob.only(t); b.State != Broken || b.Attempts != 1 || b.Peer != alice.self() || b.Installation != "alice" {
				t.Fatalf("%+v", b)
			}
			alice.now = bob.now
			o := alice.mustOpen(t, bob, advert, "")
			if o.Began == nil || o.Began.Cause != BegunAnew || !o.Answer {
				t.Fatalf("the advertisement is %+v", o)
			}
			if o := alice.mustOpen(t, bob, advert, ""); o.Began != nil || o.Answer {
				t.Fatalf("repeated, it is %+v", o)
			}
			answer := alice.seal(t, bob, "")
			if e := decode(t, answer.Bytes).EncryptedMessage["bob"]; e == nil || e.X3DhHeader == nil || e.DrHeader == nil {
				t.Fatal("the answer begins no session")
			}
			o = bob.mustOpen(t, alice, answer.Bytes, "")
			if o.Healed == nil || o.Healed.Cause != cause || o.Healed.HealedAt.IsZero() {
				t.Fatalf("the answer is %+v", o)
			}
			o = alice.mustOpen(t, bob, bob.seal(t, alice, "well").Bytes, "well")
			if o.Healed == nil || o.Healed.Cause != BegunAnew {
				t.Fatalf("the next message is %+v", o)
			}
			talk(t, alice, bob, 3)
			for _, d := range []*device{alice, bob} {
				if b := d.only(t); b.State != Healed {
					t.Errorf("%s: %+v", d.InstallationID, b)
				}
			}
		})
	}
}

func remove(st *kv.Memory, prefix string) { change1(st, prefix, func([]byte) []byte { return nil }) }

// change1 changes all records with a prefix; nil deletes them.
func change1(st *kv.Memory, prefix string, f func(v []byte) []byte) {
	all := map[string][]byte{}
	st.Scan(prefix, func(k string, v []byte) error { all[k] = f(bytes.Clone(v)); return nil })
	for k, v := range all {
		if v == nil {
			st.Delete(k)
		} else {
			st.Put(k, v)
		}
	}
}

// What opens in between ends the suspicion, unless it is older.
func TestSuspicionEnds(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t)
	talk(t, alice, bob, 2)
	spoilt := func() []byte {
		return change(t, alice.seal(t, bob, "x").Bytes, func(m *encryptionpb.ProtocolMessage) { entryOf(m).Payload[3] ^= 1 })
	}
	late := alice.seal(t, bob, "late").Bytes
	for round := range 4 {
		for range Threshold - 1 {
			data := spoilt()
			bob.now = alice.now
			if f := bob.finds(t, alice, data); f.Break == nil || f.Broken {
				t.Fatalf("round %d: %+v", round, f)
			}
		}
		if round == 0 {
			bob.mustOpen(t, alice, late, "late")
			if bob.count(breakPrefix) != 1 {
				t.Fatal("an older message has ended the suspicion")
			}
		}
		bob.mustOpen(t, alice, alice.seal(t, bob, "well").Bytes, "well")
		if n := bob.count(breakPrefix); n != 0 {
			t.Fatalf("round %d: %d suspicions", round, n)
		}
	}
	// Nor do messages add up over more than the window.
	for range Threshold + 2 {
		data := spoilt()
		bob.now = alice.now
		if f := bob.finds(t, alice, data); f.Broken {
			t.Fatal("broken")
		}
		alice.wait(SuspicionWindow/2 + time.Minute)
	}
	if all, err := bob.Breaks(bob.st); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	bob.wait(SuspicionWindow + time.Minute)
	if err := bob.PurgeBreaks(bob.st, bob.now); err != nil || bob.count(breakPrefix) != 0 {
		t.Errorf("%d left, %v", bob.count(breakPrefix), err)
	}
}

// What does not count leaves the store as it was.
func TestDoesNotCount(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t)
	first := alice.seal(t, bob, "first").Bytes
	bob.mustOpen(t, alice, first, "first")
	talk(t, alice, bob, 1)
	alice.wait(time.Hour)
	fresh := alice.seal(t, bob, "x").Bytes
	bob.now = alice.now
	without := change(t, fresh, func(m *encryptionpb.ProtocolMessage) { m.Bundles, entryOf(m).Payload[0] = nil, 1 })
	future := change(t, fresh, func(m *encryptionpb.ProtocolMessage) { m.Bundles[0].Timestamp = 1 << 62 })
	for name, c := range map[string]struct {
		data    []byte
		refusal error
	}{
		"repeated":              {first, ratchet.ErrReplay},
		"without a bundle":      {without, ratchet.ErrMAC},
		"error of another kind": {fresh, ErrHeader},
		"for others":            {fresh, ErrNotForUs},
		"no message":            {[]byte("x"), ratchet.ErrMAC},
		"no installation":       {change(t, fresh, func(m *encryptionpb.ProtocolMessage) { m.InstallationId = "" }), ErrNoSession},
	} {
		before := bob.content()
		f, err := bob.Undecryptable(bob.st, bob.now, alice.self(), c.data, c.refusal)
		if err != nil || f != (Finding{}) || !maps.Equal(before, bob.content()) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	// A clock that is far ahead counts as one that is a day ahead.
	if f, err := bob.Undecryptable(bob.st, bob.now, alice.self(), future, ratchet.ErrMAC); err != nil || f.Break == nil {
		t.Errorf("from the future: %+v, %v", f, err)
	}
	r, err := (&batch{st: bob.st}).loadBreak(alice.self(), "alice")
	if err != nil || r.Newest != bob.now.Add(clockSkew).UnixNano() {
		t.Errorf("%+v, %v", r, err)
	}
}

// Attempts with one installation become rare; a long calm makes them begin
// again.
func TestHealingBackOff(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t)
	talk(t, alice, bob, 1)
	var attempts []time.Duration
	begin := alice.now
	for range 4 * 24 * 12 {
		alice.wait(5 * time.Minute)
		data := change(t, must(alice.Seal(alice.st.Copy(), alice.now, rand.Reader, bob.self(), []byte("x"))).Bytes, func(m *encryptionpb.ProtocolMessage) { entryOf(m).Payload[3] ^= 1 })
		bob.now = alice.now
		if f := bob.finds(t, alice, data); f.Heal {
			bob.heals(t, alice, data)
			attempts = append(attempts, bob.now.Sub(begin).Round(time.Minute))
		}
	}
	want := []time.Duration{15, 25, 85, 445, 1885, 3325, 4765}
	for i := range want {
		want[i] *= time.Minute
	}
	if fmt.Sprint(attempts) != fmt.Sprint(want) {
		t.Errorf("attempts after %v, want %v", attempts, want)
	}
	if n := bob.count(preKeyPrefix); n > 6 { // and one a day anyhow
		t.Errorf("%d pre keys were used up", n)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A pre key is renewed only when the installation may have used it, once in
// HealRotation, with a version above all that may have been lost.
func TestRenewal(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t)
	carol := newDevice(t, key.Private{}, "carol")
	carol.learn(t, bob)
	bob.learn(t, carol)
	// Both begin the session, so it is by Bob's pre key.
	for _, d := range []*device{alice, carol} {
		bob.mustOpen(t, d, d.seal(t, bob, "first").Bytes, "first")
	}
	heal := func(d *device) *Sealed {
		data := d.seal(t, bob, "x").Bytes
		return must(bob.Heal(bob.st, bob.now, rand.Reader, d.self(), data))
	}
	version := func() uint32 { return must((&batch{st: bob.st}).own()).version }
	bob.now = alice.now
	if heal(alice) == nil || version() < 30_000 {
		t.Fatalf("version %d", version())
	}
	first := version()
	// Carol's session is by the earlier key: the new one will do.
	if heal(carol) == nil || version() != first {
		t.Fatalf("version %d after %d", version(), first)
	}
	// Alice uses the new one, and that breaks too: not within the hour.
	alice.learn(t, bob)
	alice.seal(t, bob, "begins")
	if s := heal(alice); s != nil {
		t.Fatal("a second pre key within the hour")
	}
	bob.wait(HealRotation)
	if s := heal(alice); s == nil || version() != first+1 {
		t.Fatalf("version %d after %d", version(), first)
	}
	// Who goes back to before all this makes a higher one still.
	bob.st.Put(ownKey, (&ownRecord{preKey: must((&batch{st: bob.st}).own()).preKey, version: 2, created: bob.now.UnixNano()}).encode())
	bob.wait(3 * time.Hour)
	if s := heal(alice); s == nil || version() <= first+1 {
		t.Fatalf("version %d after %d", version(), first+1)
	}
}

// The number of breaks is bounded; those that matter least go first.
func TestBreaksBound(t *testing.T) {
	t.Parallel()
	bob := newDevice(t, key.Private{}, "bob")
	put := func(n int, state BreakState, since time.Time) {
		r := &breakRecord{Peer: bob.self(), Installation: fmt.Sprint("i", n), State: state, Cause: NoSession, Since: since.UnixNano(), Healed: 1}
		raw := must(json.Marshal(r))
		bob.st.Put(breakKey(r.Peer, r.Installation), raw)
	}
	for n := range MaxBreaks - 1 {
		state := Broken
		if n%3 == 0 {
			state = Healed
		}
		put(n, state, start.Add(time.Duration(n)*time.Second))
	}
	alice := newDevice(t, key.Private{}, "alice")
	alice.learn(t, bob)
	bob.now = start.Add(time.Hour)
	for i := range 3 {
		alice.InstallationID = fmt.Sprint("alice ", i)
		alice.now = start.Add(time.Hour)
		data := alice.seal(t, bob, "x").Bytes
		f := must(bob.Undecryptable(bob.st, bob.now.Add(time.Minute), alice.self(), data, ErrNoSession))
		if f.Break == nil {
			t.Fatal("it does not count")
		}
		if n := bob.count(breakPrefix); n != MaxBreaks {
			t.Fatalf("%d breaks", n)
		}
	}
	// The earlier suspicions of Alice's went first.
	if _, ok, _ := bob.st.Get(breakKey(alice.self(), "alice 0")); ok {
		t.Error("a suspicion was kept")
	}
	if err := bob.PurgeBreaks(bob.st, time.Unix(0, 1).Add(BreakRetention+time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, b := range must(bob.Breaks(bob.st)) {
		if b.State == Healed {
			t.Fatalf("%+v is kept", b)
		}
	}
	bob.st.Put(breakKey(bob.self(), "i1"), []byte("?"))
	if _, err := bob.Breaks(bob.st); !errors.Is(err, ErrStore) {
		t.Errorf("damaged: %v", err)
	}
}

// Who is set up again begins a session under the name of one that the other
// side has: it takes the place of the old one. Its first message, repeated after
// that, changes nothing; nor does that of the session before.
func TestReplacedSession(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t)
	old := alice.seal(t, bob, "old").Bytes
	bob.mustOpen(t, alice, old, "old")
	talk(t, alice, bob, 2)
	anew := newDevice(t, alice.Identity, "alice")
	anew.now = alice.now.Add(time.Hour)
	anew.learn(t, bob)
	first := anew.seal(t, bob, "anew").Bytes
	bob.now = anew.now
	if o := bob.mustOpen(t, anew, first, "anew"); o.Began == nil {
		t.Errorf("%+v", o)
	}
	for _, data := range [][]byte{old, first} {
		bob.refuses(t, alice, data, ratchet.ErrReplay)
	}
	talk(t, anew, bob, 2)
	for _, data := range [][]byte{old, first} {
		bob.refuses(t, alice, data, ratchet.ErrReplay)
	}
	if b := bob.only(t); b.State != Healed || b.Cause != BegunAnew {
		t.Errorf("%+v", b)
	}
}

// A record that cannot be read when something is to be sent is given up: the
// message goes in DH form, and the break is on record.
func TestDamagedWhenSending(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(v []byte) []byte{
		"cut short": func(v []byte) []byte { return v[:9] },
		"gone":      func([]byte) []byte { return nil },
	} {
		alice, bob := pair(t)
		talk(t, alice, bob, 2)
		change1(alice.st, sessionPrefix, spoil)
		s := alice.seal(t, bob, "still")
		if entry := decode(t, s.Bytes).EncryptedMessage["none"]; entry == nil || len(s.Installations) != 0 {
			t.Errorf("%s: sealed for %v", name, s.Installations)
		}
		if b := alice.only(t); b.Cause != Damaged || b.State != Broken || b.Installation != "bob" {
			t.Errorf("%s: %+v", name, b)
		}
		bob.mustOpen(t, alice, s.Bytes, "still")
	}
}

// Records of version 1 are read.
func TestPeerRecordOfOlderVersion(t *testing.T) {
	t.Parallel()
	r := &peerRecord{installations: []*installation{{id: "x", lastSeen: 7, lastOpened: 5}}}
	data := r.encode()
	got, err := decodePeer(data)
	if err != nil || got.installations[0].lastOpened != 5 {
		t.Fatal(got, err)
	}
	// Without the one number that version 1 does not have, which comes last but
	// the count of sessions.
	data[0] = recordVersion
	data = append(data[:len(data)-2], data[len(data)-1])
	if got, err = decodePeer(data); err != nil || got.installations[0].lastOpened != 7 {
		t.Fatal(got, err)
	}
}

// FuzzUndecryptable hands over any message that was refused: no panic, and what
// is kept stays bounded.
func FuzzUndecryptable(f *testing.F) {
	alice, bob := pair(f)
	bob.mustOpen(f, alice, alice.seal(f, bob, "x").Bytes, "x")
	f.Add(alice.seal(f, bob, "next").Bytes, uint8(0))
	f.Add(must(alice.SealDH(alice.st, alice.now, rand.Reader, bob.self(), nil)), uint8(3))
	errs := []error{ErrNoSession, ErrUnknownPreKey, ratchet.ErrReplay, ratchet.ErrMAC, ratchet.ErrTooManySkipped, ErrStore}
	whole := bob.st
	f.Fuzz(func(t *testing.T, data []byte, n uint8) {
		st, counted := whole.Copy(), 0
		for i := range 4 {
			now := bob.now.Add(time.Duration(i) * time.Hour)
			found, err := bob.Undecryptable(st, now, alice.self(), data, errs[int(n)%len(errs)])
			if err != nil {
				t.Fatal(err)
			}
			if found.Break != nil {
				counted++
			}
			if counted > 1 {
				t.Error("counted twice")
			}
			bob.Heal(st, now, rand.Reader, alice.self(), data)
		}
		if _, err := bob.Breaks(st); err != nil {
			t.Fatal(err)
		}
	})
}

// Any message in DH form from who has a session says that it is lost; what we
// have begun since and they have not answered is kept, and says the same again.
func TestDHFormMeansLoss(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t)
	talk(t, alice, bob, 2)
	dh := func(text string) []byte {
		bob.now = alice.now.Add(time.Second)
		return must(bob.SealDH(bob.st, bob.now, rand.Reader, alice.self(), []byte(text)))
	}
	bob.ImportPreKey(bob.st, fresh(t), 10, bob.now)
	first := dh("I have lost you")
	if o := alice.mustOpen(t, bob, first, "I have lost you"); o.Began == nil || !o.Answer {
		t.Fatalf("%+v", o)
	}
	one := alice.seal(t, bob, "one").Bytes
	if e := entryOf(decode(t, one)); e.X3DhHeader == nil {
		t.Fatal("no new session")
	}
	if o := alice.mustOpen(t, bob, dh("still"), "still"); o.Began != nil || o.Answer { // within the cooldown
		t.Errorf("%+v", o)
	}
	two := alice.seal(t, bob, "two").Bytes
	if a, b := entryOf(decode(t, one)), entryOf(decode(t, two)); !bytes.Equal(a.X3DhHeader.GetKey(), b.X3DhHeader.GetKey()) {
		t.Error("another session")
	}
	for text, data := range map[string][]byte{"two": two, "one": one} {
		bob.mustOpen(t, alice, data, text)
	}
	if o := alice.mustOpen(t, bob, bob.seal(t, alice, "well").Bytes, "well"); o.Healed == nil || !o.Resume {
		t.Errorf("%+v", o)
	}
	// Repeated, it says nothing.
	if o := alice.mustOpen(t, bob, first, "I have lost you"); o.Began != nil || o.Answer || alice.only(t).State != Healed {
		t.Errorf("%+v", o)
	}
	// Own devices pair in DH form without a loss.
	own := newDevice(t, alice.Identity, "other")
	own.learn(t, alice)
	alice.learn(t, own)
	if err := alice.SetEnabled(alice.st, own.self(), "other", true); err != nil {
		t.Fatal(err)
	}
	own.now = alice.now.Add(time.Minute)
	pairing := must(own.SealDH(own.st, own.now, rand.Reader, alice.self(), []byte("pair")))
	if o := alice.mustOpen(t, own, pairing, "pair"); o.Began != nil || o.Answer {
		t.Errorf("%+v", o)
	}
}

// A suspicion is proven by a session that begins anew, and what was lost is not
// sent again more often than ResumeCooldown.
func TestSuspicionProven(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t)
	talk(t, alice, bob, 2)
	for round, resumed := range []bool{true, false, true} {
		if round == 2 {
			alice.wait(ResumeCooldown)
		}
		data := change(t, alice.seal(t, bob, "x").Bytes, func(m *encryptionpb.ProtocolMessage) { entryOf(m).Payload[3] ^= 1 })
		bob.now = alice.now
		if f := bob.finds(t, alice, data); f.Break == nil || f.Broken {
			t.Fatalf("%+v", f)
		}
		// Alice begins a session by a new pre key of Bob's.
		bob.ImportPreKey(bob.st, fresh(t), uint32(10+round), bob.now)
		alice.learn(t, bob)
		peer := must((&batch{st: alice.st}).peer(bob.self()))
		peer.giveUp("bob")
		b := &batch{st: alice.st}
		b.savePeer(bob.self(), peer)
		if err := b.commit(); err != nil {
			t.Fatal(err)
		}
		o := bob.mustOpen(t, alice, alice.seal(t, bob, "anew").Bytes, "anew")
		if o.Began == nil || o.Began.State != Broken || o.Healed == nil || o.Healed.State != Healed || o.Resume != resumed {
			t.Errorf("round %d: %+v", round, o)
		}
		alice.mustOpen(t, bob, bob.seal(t, alice, "yes").Bytes, "yes")
	}
}
