package relay

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/eventually"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newKey(t testing.TB) key.Private {
	t.Helper()
	k, err := key.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestSignAsSpecified is the test vector of Waku simple scaling, Protected
// shards.
func TestSignAsSpecified(t *testing.T) {
	t.Parallel()
	k, err := key.ParsePrivate("5526a8990317c9b7b58d07843d270f9cd1d9aaee129294c1c478abf7261dd9e6")
	if err != nil {
		t.Fatal(err)
	}
	m := &wakupb.WakuMessage{
		Payload: unhex(t, "1a12e077d0e89f9cac11fbbb6a676c86120b5ad3e248b1f180e98f15ee43d2df"+
			"cf62f00c92737b2ff6f59b3aba02773314b991c41dc19adb0ad8c17c8e26757b"),
		ContentTopic: "content-topic",
		Timestamp:    proto.Int64(1683208172339052800),
		Ephemeral:    proto.Bool(true),
	}
	sum := digest("pubsub-topic", m)
	if want := unhex(t, "662f8c20a335f170bd60abc1f02ad66f0c6a6ee285da2a53c95259e7937c0ae9"); !bytes.Equal(sum[:], want) {
		t.Errorf("digest %x, want %x", sum, want)
	}
	if err := Sign(k, "pubsub-topic", m); err != nil {
		t.Fatal(err)
	}
	want := unhex(t, "127fa211b2514f0e974a055392946dc1a14052182a6abefb8a6cd7c51da1bf2e"+
		"40595d28ef1a9488797c297eed3aac45430005fb3a7f037bdd9fc4bd99f59e63")
	if !bytes.Equal(m.Meta, want) {
		t.Errorf("signature %x, want %x", m.Meta, want)
	}
	if err := Verify(k.Public(), "pubsub-topic", m, time.Unix(0, m.GetTimestamp())); err != nil {
		t.Error(err)
	}
}

// TestSignIndependently puts the signed bytes together by hand and checks the
// signature with the standard library.
func TestSignIndependently(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	for _, ephemeral := range []*bool{nil, proto.Bool(false), proto.Bool(true)} {
		m := &wakupb.WakuMessage{
			Payload: []byte("payload"), ContentTopic: "/a/1/b/proto", Version: proto.Uint32(1),
			Timestamp: proto.Int64(0x0102030405060708), Ephemeral: ephemeral, Meta: []byte("replaced"),
		}
		if err := Sign(k, shard32, m); err != nil {
			t.Fatal(err)
		}
		last := byte(0)
		if ephemeral != nil && *ephemeral {
			last = 1
		}
		sum := sha256.Sum256(slices.Concat([]byte(shard32), []byte("payload"), []byte("/a/1/b/proto"),
			[]byte{8, 7, 6, 5, 4, 3, 2, 1}, []byte{last}))
		if len(m.Meta) != 64 {
			t.Fatalf("meta of %d bytes", len(m.Meta))
		}
		r, s := new(big.Int).SetBytes(m.Meta[:32]), new(big.Int).SetBytes(m.Meta[32:])
		if !ecdsa.Verify(k.Public().ECDSA(), sum[:], r, s) {
			t.Errorf("ephemeral %v: the signature is not over these bytes", ephemeral)
		}
	}
	if err := Sign(k, shard32, &wakupb.WakuMessage{Payload: []byte("x"), ContentTopic: "y"}); !errors.Is(err, ErrTimestamp) {
		t.Errorf("without a timestamp: %v", err)
	}
}

// TestVerify: any change of what is signed shows, and so do another key, a
// signature of another form, and a time at the limit and beyond.
func TestVerify(t *testing.T) {
	t.Parallel()
	k, now := newKey(t), time.Unix(1_700_000_000, 5)
	at := func(d time.Duration) func(*wakupb.WakuMessage) {
		return func(m *wakupb.WakuMessage) {
			m.Timestamp = proto.Int64(now.Add(d).UnixNano())
			if err := Sign(k, shard32, m); err != nil {
				t.Error(err)
			}
		}
	}
	order := k.Public().ECDSA().Params().N
	for name, c := range map[string]struct {
		change func(*wakupb.WakuMessage)
		want   error
	}{
		"as signed":     {func(*wakupb.WakuMessage) {}, nil},
		"version":       {func(m *wakupb.WakuMessage) { m.Version = nil }, nil}, // not covered
		"payload":       {func(m *wakupb.WakuMessage) { m.Payload[0] ^= 1 }, ErrSignature},
		"content topic": {func(m *wakupb.WakuMessage) { m.ContentTopic += "x" }, ErrSignature},
		"timestamp":     {func(m *wakupb.WakuMessage) { *m.Timestamp++ }, ErrSignature},
		"ephemeral":     {func(m *wakupb.WakuMessage) { m.Ephemeral = proto.Bool(true) }, ErrSignature},
		"no signature":  {func(m *wakupb.WakuMessage) { m.Meta = nil }, ErrSignature},
		"short":         {func(m *wakupb.WakuMessage) { m.Meta = m.Meta[:63] }, ErrSignature},
		"with recovery": {func(m *wakupb.WakuMessage) { m.Meta = append(m.Meta, 0) }, ErrSignature},
		"zeros":         {func(m *wakupb.WakuMessage) { m.Meta = make([]byte, 64) }, ErrSignature},
		"another key":   {func(m *wakupb.WakuMessage) { _ = Sign(newKey(t), shard32, m) }, ErrSignature},
		"another shard": {func(m *wakupb.WakuMessage) { _ = Sign(k, "other", m) }, ErrSignature},
		"the other s": {func(m *wakupb.WakuMessage) {
			new(big.Int).Sub(order, new(big.Int).SetBytes(m.Meta[32:])).FillBytes(m.Meta[32:])
		}, ErrSignature},
		"no timestamp":   {func(m *wakupb.WakuMessage) { m.Timestamp = nil }, ErrTimestamp},
		"oldest":         {at(-ProtectedWindow), nil},
		"too old":        {at(-ProtectedWindow - 1), ErrTimestamp},
		"farthest ahead": {at(ProtectedWindow), nil},
		"too far ahead":  {at(ProtectedWindow + 1), ErrTimestamp},
	} {
		m := message.New([]byte("payload"), "/a/1/b/proto", now, false)
		if err := Sign(k, shard32, m); err != nil {
			t.Fatal(err)
		}
		c.change(m)
		err := Verify(k.Public(), shard32, m, now)
		if !errors.Is(err, c.want) || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestTimeWindow: none by default, and what a configured one takes.
func TestTimeWindow(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	strict := rules{window: message.MaxSkew, now: func() time.Time { return now }}
	for _, c := range []struct {
		off    time.Duration
		absent bool
		want   error
	}{
		{-message.MaxSkew, false, nil}, {message.MaxSkew, false, nil},
		{-message.MaxSkew - 1, false, ErrTimestamp}, {message.MaxSkew + 1, false, ErrTimestamp},
		{0, true, ErrTimestamp},
	} {
		m := message.New([]byte("x"), "y", now.Add(c.off), false)
		if c.absent {
			m.Timestamp = nil
		}
		if err := strict.check(shard32, m); !errors.Is(err, c.want) || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%v: %v, want %v", c.off, err, c.want)
		}
		if err := (rules{}).check(shard32, m); err != nil {
			t.Errorf("%v: no rule, %v", c.off, err)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for _, cfg := range []Config{
		{TimeWindow: -1},
		{Protected: map[string]key.Public{"": newKey(t).Public()}},
		{Protected: map[string]key.Public{shard32: {}}},
	} {
		if _, err := New(h, cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

// TestProtectedShard: a relay takes only signed messages on it, from
// neighbours and to publish, and counts the others by their reason. Another
// shard stays open.
func TestProtectedShard(t *testing.T) {
	t.Parallel()
	k, open := newKey(t), "/waku/2/rs/16/33"
	got := make(chan Delivery, 100)
	h := newHost(t)
	guarded, err := New(h, Config{
		Protected: map[string]key.Public{shard32: k.Public()},
		Deliver:   func(d Delivery) { got <- d },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = guarded.Close() })
	for _, name := range []string{shard32, open} {
		if err := guarded.Subscribe(name); err != nil {
			t.Fatal(err)
		}
	}
	free := newRelay(t, shard32, open) // knows nothing of the key
	connect(t, free.h, h)
	free.awaitPeers(t, shard32, 1)
	free.awaitPeers(t, open, 1)
	publish := func(name string, m *wakupb.WakuMessage) {
		t.Helper()
		if _, err := free.Publish(t.Context(), name, m); err != nil {
			t.Fatal(err)
		}
	}
	late := message.New([]byte("late"), "x", time.Now().Add(-2*ProtectedWindow), false)
	if err := Sign(k, shard32, late); err != nil {
		t.Fatal(err)
	}
	publish(shard32, text("unsigned"))
	publish(shard32, late)
	publish(open, text("open"))
	signed := text("signed")
	if err := Sign(k, shard32, signed); err != nil {
		t.Fatal(err)
	}
	publish(shard32, signed)
	want := map[string]bool{"open": true, "signed": true}
	for range 2 {
		if d := receive(t, got); !want[string(d.Message.Payload)] {
			t.Errorf("delivered %q", d.Message.Payload)
		} else {
			delete(want, string(d.Message.Payload))
		}
	}
	eventually.True(t, "both rejections", func() bool {
		return fmt.Sprint(guarded.Stats().Topics[shard32].Rejected) == "map[signature:1 timestamp:1]"
	})
	if _, err := guarded.Publish(t.Context(), shard32, text("mine")); !errors.Is(err, ErrInvalid) || !errors.Is(err, ErrSignature) {
		t.Errorf("publishing unsigned: %v", err)
	}
	if _, err := guarded.Publish(t.Context(), open, text("mine")); err != nil {
		t.Error(err)
	}
}

// FuzzVerify: whatever a neighbour sends is refused with a typed error unless
// it is what was signed.
func FuzzVerify(f *testing.F) {
	k := newKey(f)
	now := time.Unix(1_700_000_000, 0)
	m := message.New([]byte("payload"), "/a/1/b/proto", now, false)
	if err := Sign(k, shard32, m); err != nil {
		f.Fatal(err)
	}
	f.Add(m.Payload, m.ContentTopic, m.GetTimestamp(), false, m.Meta)
	f.Add([]byte{}, "", int64(0), true, []byte{})
	f.Add([]byte("x"), "y", int64(-1<<63), true, make([]byte, 64))
	f.Fuzz(func(t *testing.T, payload []byte, content string, at int64, ephemeral bool, meta []byte) {
		x := &wakupb.WakuMessage{Payload: payload, ContentTopic: content, Timestamp: &at, Ephemeral: &ephemeral, Meta: meta}
		err := Verify(k.Public(), shard32, x, now)
		if err != nil {
			if !errors.Is(err, ErrInvalid) || !errors.Is(err, ErrTimestamp) && !errors.Is(err, ErrSignature) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		// Payload and content topic are joined without a border in between.
		if !bytes.Equal(append(payload, content...), append([]byte("payload"), "/a/1/b/proto"...)) ||
			at != m.GetTimestamp() || ephemeral || !bytes.Equal(meta, m.Meta) {
			t.Fatalf("accepted %v", x)
		}
	})
}

// BenchmarkVerify is the work on a message of a protected pubsub topic beside
// decoding it.
func BenchmarkVerify(b *testing.B) {
	k := newKey(b)
	m := text(string(make([]byte, 1024)))
	if err := Sign(k, shard32, m); err != nil {
		b.Fatal(err)
	}
	now := time.Unix(0, m.GetTimestamp())
	b.ReportAllocs()
	for b.Loop() {
		if err := Verify(k.Public(), shard32, m, now); err != nil {
			b.Fatal(err)
		}
	}
}
