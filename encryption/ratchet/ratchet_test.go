package ratchet

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	mathrand "math/rand/v2"
	"testing"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/vectors"
)

type primitive struct {
	Fn                                   string
	RootKey, DhOut, NewRootKey, ChainKey vectors.Hex
	NewChainKey, MessageKey              vectors.Hex
	AssociatedData, HeaderDH             vectors.Hex
	HeaderN, HeaderPN                    uint32
	Plaintext, Ciphertext                vectors.Hex
}

func TestVectorsDRPrimitives(t *testing.T) {
	t.Parallel()
	for i, c := range vectors.Cases[primitive](t, "dr_primitives") {
		t.Run(fmt.Sprintf("%s/%d", c.Fn, i), func(t *testing.T) {
			t.Parallel()
			switch c.Fn {
			case "KdfRK":
				root, chain := rootStep([32]byte(c.RootKey), [32]byte(c.DhOut))
				same(t, "root key", root[:], c.NewRootKey)
				same(t, "chain key", chain[:], c.ChainKey)
			case "KdfCK":
				next, mk := chainStep([32]byte(c.ChainKey))
				same(t, "chain key", next[:], c.NewChainKey)
				same(t, "message key", mk[:], c.MessageKey)
			case "Encrypt":
				h := Header{Key: [PublicSize]byte(c.HeaderDH), N: c.HeaderN, PN: c.HeaderPN}
				ad := h.associatedData()
				same(t, "associated data", ad[:], c.AssociatedData)
				same(t, "ciphertext", seal([32]byte(c.MessageKey), h, c.Plaintext), c.Ciphertext)
				plaintext, err := open([32]byte(c.MessageKey), h, c.Ciphertext)
				if err != nil {
					t.Fatal(err)
				}
				same(t, "plaintext", plaintext, c.Plaintext)
			default:
				t.Fatalf("unknown function %q", c.Fn)
			}
		})
	}
}

func TestHMACByte(t *testing.T) {
	t.Parallel()
	for message := range 256 {
		var k [32]byte
		rand.Read(k[:])
		want := hmac.New(sha256.New, k[:])
		want.Write([]byte{byte(message)})
		got := hmacByte(k, byte(message))
		same(t, "HMAC", got[:], want.Sum(nil))
	}
}

func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s %x, want %x", what, got, want)
	}
}

// party is one end of a session with its kept keys in memory.
type party struct {
	state State
	kept  map[Header]Skipped
}

func (p *party) lookup(k [PublicSize]byte, n uint32) ([32]byte, bool, error) {
	s, ok := p.kept[Header{Key: k, N: n}]
	return s.MessageKey, ok, nil
}

func (p *party) encrypt(t testing.TB, plaintext []byte) Message {
	t.Helper()
	state, m, err := Encrypt(p.state, plaintext)
	if err != nil {
		t.Fatal(err)
	}
	p.state = state
	return m
}

func (p *party) decrypt(m Message) ([]byte, error) {
	d, err := Decrypt(p.state, m, p.lookup, rand.Reader)
	if err != nil {
		return nil, err
	}
	p.state = d.State
	for _, s := range d.Skipped {
		p.kept[Header{Key: s.Key, N: s.N}] = s
	}
	if d.UsedSkipped {
		delete(p.kept, Header{Key: m.Header.Key, N: m.Header.N})
	}
	return d.Plaintext, nil
}

func session(t testing.TB) (alice, bob *party) {
	t.Helper()
	var secret [32]byte
	rand.Read(secret[:])
	spk, err := key.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	state, err := InitInitiator(secret, spk.Public(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &party{state, map[Header]Skipped{}}, &party{InitResponder(secret, spk), map[Header]Skipped{}}
}

// Whatever the order and however often messages arrive, each decrypts once,
// and one that does not decrypt leaves the state as it was.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		r := mathrand.New(mathrand.NewPCG(seed, 1))
		alice, bob := session(t)
		type sent struct {
			m         Message
			plaintext string
			opened    bool
		}
		wires := map[*party][]*sent{} // by receiver
		send := func(from, to *party, n int) {
			plaintext := fmt.Sprintf("message %d", n)
			wires[to] = append(wires[to], &sent{from.encrypt(t, []byte(plaintext)), plaintext, false})
		}
		receive := func(to *party, s *sent) {
			before := to.state
			got, err := to.decrypt(s.m)
			switch {
			case s.opened && err == nil:
				t.Fatalf("seed %d: %q opened twice", seed, s.plaintext)
			case s.opened && to.state != before:
				t.Fatalf("seed %d: a replay changed the state", seed)
			case !s.opened && err != nil:
				t.Fatalf("seed %d: %q: %v", seed, s.plaintext, err)
			case !s.opened && string(got) != s.plaintext:
				t.Fatalf("seed %d: got %q, want %q", seed, got, s.plaintext)
			}
			s.opened = true
		}
		send(alice, bob, -1)
		receive(bob, wires[bob][0]) // a responder cannot speak first
		for n := range 80 {
			from, to := alice, bob
			if r.IntN(2) == 0 {
				from, to = bob, alice
			}
			if r.IntN(3) > 0 {
				send(from, to, n)
			} else if w := wires[to]; len(w) > 0 {
				s := w[r.IntN(len(w))]
				broken := s.m
				broken.Ciphertext = bytes.Clone(s.m.Ciphertext)
				broken.Ciphertext[r.IntN(len(broken.Ciphertext))] ^= 1 << r.IntN(8)
				before := to.state.Append(nil)
				if _, err := to.decrypt(broken); err == nil {
					t.Fatalf("seed %d: a changed message opened", seed)
				}
				if !bytes.Equal(before, to.state.Append(nil)) {
					t.Fatalf("seed %d: a changed message changed the state", seed)
				}
				receive(to, s)
			}
		}
		for to, w := range wires {
			r.Shuffle(len(w), func(i, j int) { w[i], w[j] = w[j], w[i] })
			for _, s := range w {
				receive(to, s)
			}
			if len(to.kept) != 0 {
				t.Fatalf("seed %d: %d keys left over", seed, len(to.kept))
			}
		}
	}
}

func TestMaxSkip(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		skipped int
		want    error
	}{{MaxSkip, nil}, {MaxSkip + 1, ErrTooManySkipped}} {
		alice, bob := session(t)
		for range c.skipped {
			alice.encrypt(t, nil)
		}
		m := alice.encrypt(t, []byte("late"))
		before := bob.state
		if _, err := bob.decrypt(m); !errors.Is(err, c.want) {
			t.Errorf("%d skipped: %v, want %v", c.skipped, err, c.want)
		}
		if c.want != nil && bob.state != before {
			t.Error("the state changed")
		}
		if c.want == nil && len(bob.kept) != c.skipped {
			t.Errorf("%d keys kept, want %d", len(bob.kept), c.skipped)
		}
	}
}

// The limit holds for the end of the chain before, too.
func TestMaxSkipInPreviousChain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		skipped int
		want    error
	}{{MaxSkip, nil}, {MaxSkip + 1, ErrTooManySkipped}} {
		alice, bob := session(t)
		if _, err := bob.decrypt(alice.encrypt(t, nil)); err != nil {
			t.Fatal(err)
		}
		for range c.skipped {
			alice.encrypt(t, nil)
		}
		if _, err := alice.decrypt(bob.encrypt(t, nil)); err != nil {
			t.Fatal(err)
		}
		if _, err := bob.decrypt(alice.encrypt(t, nil)); !errors.Is(err, c.want) {
			t.Errorf("%d skipped: %v, want %v", c.skipped, err, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	alice, bob := session(t)
	first := alice.encrypt(t, []byte("first"))
	if _, err := bob.decrypt(first); err != nil {
		t.Fatal(err)
	}
	next := alice.encrypt(t, []byte("next"))
	change := func(f func(*Message)) Message {
		m := Message{next.Header, bytes.Clone(next.Ciphertext)}
		f(&m)
		return m
	}
	offCurve := [PublicSize]byte{2, 5: 0}
	for offCurve[1] = 0; ; offCurve[1]++ {
		if _, err := key.PublicFromBytes(offCurve[:]); err != nil {
			break
		}
	}
	cases := map[string]struct {
		m    Message
		want error
	}{
		"replay":         {first, ErrReplay},
		"number":         {change(func(m *Message) { m.Header.N++ }), ErrMAC},
		"previous chain": {change(func(m *Message) { m.Header.PN++ }), ErrMAC},
		"far number":     {change(func(m *Message) { m.Header.N = math.MaxUint32 }), ErrTooManySkipped},
		"ciphertext":     {change(func(m *Message) { m.Ciphertext[ivSize] ^= 1 }), ErrMAC},
		"iv":             {change(func(m *Message) { m.Ciphertext[0] ^= 1 }), ErrMAC},
		"mac":            {change(func(m *Message) { m.Ciphertext[len(m.Ciphertext)-1] ^= 1 }), ErrMAC},
		"short":          {change(func(m *Message) { m.Ciphertext = m.Ciphertext[:Overhead-1] }), ErrMAC},
		"empty":          {change(func(m *Message) { m.Ciphertext = nil }), ErrMAC},
		"no ratchet key": {change(func(m *Message) { m.Header.Key = [PublicSize]byte{} }), ErrHeader},
		"not a point":    {change(func(m *Message) { m.Header.Key, m.Header.PN = offCurve, 1 }), ErrHeader},
		"short previous": {change(func(m *Message) { m.Header.Key, m.Header.PN = alice.state.Remote, 0 }), ErrReplay},
	}
	before := bob.state
	for name, c := range cases {
		if _, err := bob.decrypt(c.m); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if bob.state != before || len(bob.kept) != 0 {
			t.Fatalf("%s: the state changed", name)
		}
	}
	if got, err := bob.decrypt(next); err != nil || string(got) != "next" {
		t.Errorf("after all that: %q, %v", got, err)
	}
	if _, err := Decrypt(alice.state, bob.encrypt(t, nil), nil, bytes.NewReader(nil)); !errors.Is(err, io.EOF) {
		t.Errorf("without randomness: %v", err)
	}
	failing := errors.New("lookup")
	if _, err := Decrypt(bob.state, first, func([PublicSize]byte, uint32) ([32]byte, bool, error) { return [32]byte{}, false, failing }, nil); !errors.Is(err, failing) {
		t.Errorf("failing lookup: %v", err)
	}
	last := alice.state
	last.SendN = math.MaxUint32
	if _, _, err := Encrypt(last, nil); !errors.Is(err, ErrExhausted) {
		t.Errorf("last number: %v", err)
	}
	if s := fmt.Sprintf("%v %+v %x", before, before, before); s != "[ratchet state] [ratchet state] [ratchet state]" {
		t.Errorf("a state prints as %q", s)
	}
}

func TestEncoding(t *testing.T) {
	t.Parallel()
	alice, bob := session(t)
	for _, s := range []State{alice.state, bob.state} {
		encoded := s.Append(nil)
		if len(encoded) != StateSize {
			t.Errorf("%d bytes, want %d", len(encoded), StateSize)
		}
		got, err := DecodeState(encoded)
		if err != nil || got != s {
			t.Errorf("round trip: %v", err)
		}
		for _, bad := range [][]byte{nil, encoded[:StateSize-1], append(bytes.Clone(encoded), 0), append([]byte{2}, encoded[1:]...)} {
			if _, err := DecodeState(bad); !errors.Is(err, ErrState) {
				t.Errorf("%d bytes: %v", len(bad), err)
			}
		}
	}
}

func FuzzDecodeState(f *testing.F) {
	alice, bob := session(f)
	f.Add(alice.state.Append(nil))
	f.Add(bob.state.Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeState(data)
		if err != nil {
			if !errors.Is(err, ErrState) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if !bytes.Equal(s.Append(nil), data) {
			t.Fatal("another encoding of the same state")
		}
		// Whatever it holds, using it does not panic.
		_, m, err := Encrypt(s, data)
		if err == nil {
			Decrypt(s, m, nil, rand.Reader)
		}
	})
}

func FuzzDecrypt(f *testing.F) {
	alice, bob := session(f)
	m := alice.encrypt(f, []byte("plaintext"))
	header := func(m Message) []byte {
		b := binary.LittleEndian.AppendUint32(nil, m.Header.N)
		b = binary.LittleEndian.AppendUint32(b, m.Header.PN)
		return append(b, m.Header.Key[:]...)
	}
	f.Add(header(m), m.Ciphertext)
	for _, c := range vectors.Cases[primitive](f, "dr_primitives") {
		if c.Fn == "Encrypt" {
			f.Add([]byte(c.AssociatedData), []byte(c.Ciphertext))
		}
	}
	f.Fuzz(func(t *testing.T, h, ciphertext []byte) {
		if len(h) != 8+PublicSize {
			return
		}
		got := Message{Header{Key: [PublicSize]byte(h[8:]), N: binary.LittleEndian.Uint32(h), PN: binary.LittleEndian.Uint32(h[4:])}, ciphertext}
		before := bob.state
		d, err := Decrypt(bob.state, got, bob.lookup, rand.Reader)
		if bob.state != before {
			t.Fatal("the state changed")
		}
		// PN of a first message is not used but authenticated.
		if err == nil && (got.Header != m.Header || !bytes.Equal(ciphertext, m.Ciphertext) || string(d.Plaintext) != "plaintext") {
			t.Fatal("opened a forgery")
		}
	})
}

var benchPayload = make([]byte, 512)

// One message in the chain, with its state read and written.
func BenchmarkEncrypt(b *testing.B) {
	alice, _ := session(b)
	encoded := alice.state.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		s, err := DecodeState(encoded)
		if err != nil {
			b.Fatal(err)
		}
		if s, _, err = Encrypt(s, benchPayload); err != nil {
			b.Fatal(err)
		}
		encoded = s.Append(encoded[:0])
	}
}

// The next message of the chain, with its state read and written.
func BenchmarkDecrypt(b *testing.B) {
	alice, bob := session(b)
	if _, err := bob.decrypt(alice.encrypt(b, nil)); err != nil {
		b.Fatal(err)
	}
	encoded := bob.state.Append(nil)
	m := alice.encrypt(b, benchPayload)
	out := make([]byte, 0, StateSize)
	b.ReportAllocs()
	for b.Loop() {
		s, err := DecodeState(encoded)
		if err != nil {
			b.Fatal(err)
		}
		d, err := Decrypt(s, m, nil, nil)
		if err != nil {
			b.Fatal(err)
		}
		out = d.State.Append(out[:0])
	}
}

// Every message turns the ratchet.
func BenchmarkTurn(b *testing.B) {
	alice, bob := session(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bob.decrypt(alice.encrypt(b, benchPayload)); err != nil {
			b.Fatal(err)
		}
		alice, bob = bob, alice
	}
}

// A message with as many missing before it as are allowed.
func BenchmarkMaxSkip(b *testing.B) {
	alice, bob := session(b)
	if _, err := bob.decrypt(alice.encrypt(b, nil)); err != nil {
		b.Fatal(err)
	}
	for range MaxSkip {
		alice.encrypt(b, nil)
	}
	m := alice.encrypt(b, benchPayload)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decrypt(bob.state, m, nil, nil); err != nil {
			b.Fatal(err)
		}
	}
}
