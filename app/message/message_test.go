package message

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	apppb "github.com/parley-im/parley/pb/app"
)

const chatMessage = apppb.ApplicationMetadataMessage_CHAT_MESSAGE

// newKey returns a key that depends on nothing but the seed.
func newKey(t testing.TB, seed byte) key.Private {
	t.Helper()
	k, err := key.Generate(rand.NewChaCha8([32]byte{seed}))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func wrap(t testing.TB, typ Type, payload []byte, author key.Private) ([]byte, ID) {
	t.Helper()
	raw, id, err := Wrap(typ, payload, author)
	if err != nil {
		t.Fatal(err)
	}
	return raw, id
}

// Proves: AP-125.
func TestWrapOpen(t *testing.T) {
	t.Parallel()
	author, relayer := newKey(t, 1), newKey(t, 2)
	raw, id := wrap(t, chatMessage, []byte("payload"), author)

	m, err := Open(raw, relayer.Public())
	if err != nil {
		t.Fatal(err)
	}
	if m.ID != id || m.Type != chatMessage || string(m.Payload) != "payload" || !bytes.Equal(m.Raw, raw) {
		t.Errorf("got %+v", m)
	}
	if m.Author != author.Public() || !m.Signed {
		t.Errorf("the message's signature must win over the transport's: author %v, signed %v", m.Author, m.Signed)
	}
	if again, _ := wrap(t, chatMessage, []byte("payload"), author); !bytes.Equal(again, raw) {
		t.Error("wrapping twice gave other bytes, and so another id")
	}
	if NewID(relayer.Public(), raw) == id {
		t.Error("the id does not depend on the author")
	}
}

// A changed payload must not stay in its author's name.
//
// Proves: AP-125.
func TestOpenChangedPayload(t *testing.T) {
	t.Parallel()
	author := newKey(t, 1)
	raw, _ := wrap(t, chatMessage, []byte("payload"), author)
	changed := bytes.Replace(raw, []byte("payload"), []byte("Payload"), 1)
	if m, err := Open(changed, key.Public{}); err == nil && m.Author == author.Public() {
		t.Error("a changed payload is still attributed to its author")
	}
}

func TestOpenUnsigned(t *testing.T) {
	t.Parallel()
	signer := newKey(t, 3).Public()
	raw, err := Encode(&apppb.ApplicationMetadataMessage{Payload: []byte("payload"), Type: chatMessage})
	if err != nil {
		t.Fatal(err)
	}
	m, err := Open(raw, signer)
	if err != nil {
		t.Fatal(err)
	}
	if m.Author != signer || m.Signed || m.ID != NewID(signer, raw) {
		t.Errorf("author %v, signed %v", m.Author, m.Signed)
	}
	if _, err := Open(raw, key.Public{}); !errors.Is(err, ErrNoAuthor) {
		t.Errorf("nobody signed anything: got %v, want ErrNoAuthor", err)
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	author := newKey(t, 1)
	signature, err := author.Sign(key.Keccak256([]byte("payload")))
	if err != nil {
		t.Fatal(err)
	}
	encode := func(m *apppb.ApplicationMetadataMessage) []byte {
		raw, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	with := func(change func(sig []byte) []byte) []byte {
		return encode(&apppb.ApplicationMetadataMessage{
			Signature: change(bytes.Clone(signature)), Payload: []byte("payload"), Type: chatMessage,
		})
	}
	for name, test := range map[string]struct {
		raw  []byte
		want error
	}{
		"nothing":             {nil, ErrEmpty},
		"empty payload":       {encode(&apppb.ApplicationMetadataMessage{Signature: signature, Type: chatMessage}), ErrEmpty},
		"not protobuf":        {[]byte{0xff, 0xff}, ErrMalformed},
		"short signature":     {with(func(s []byte) []byte { return s[:64] }), ErrSignature},
		"long signature":      {with(func(s []byte) []byte { return append(s, 0) }), ErrSignature},
		"other recovery form": {with(func(s []byte) []byte { s[64] += 27; return s }), ErrSignature},
		"recovery id 2":       {with(func(s []byte) []byte { s[64] = 2; return s }), ErrSignature},
		"no point":            {with(func(s []byte) []byte { clear(s[:64]); return s }), ErrSignature},
	} {
		// The transport's signer must not take the place of a bad signature.
		if _, err := Open(test.raw, newKey(t, 2).Public()); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
}

func TestWrapErrors(t *testing.T) {
	t.Parallel()
	author := newKey(t, 1)
	if _, _, err := Wrap(chatMessage, nil, author); !errors.Is(err, ErrEmpty) {
		t.Errorf("empty payload: got %v", err)
	}
	if _, _, err := Wrap(chatMessage, []byte("x"), key.Private{}); !errors.Is(err, ErrNoAuthor) {
		t.Errorf("no key: got %v", err)
	}
	if _, _, err := Wrap(0, []byte("x"), author); !errors.Is(err, ErrType) {
		t.Errorf("type UNKNOWN: got %v", err)
	}
}

func TestMaxSize(t *testing.T) {
	t.Parallel()
	author := newKey(t, 1)
	small, _ := wrap(t, chatMessage, make([]byte, MaxSize/2), author)
	overhead := len(small) - MaxSize/2

	atLimit, _ := wrap(t, chatMessage, make([]byte, MaxSize-overhead), author)
	if len(atLimit) != MaxSize {
		t.Fatalf("built %d bytes, meant %d", len(atLimit), MaxSize)
	}
	if _, err := Open(atLimit, key.Public{}); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if _, _, err := Wrap(chatMessage, make([]byte, MaxSize-overhead+1), author); !errors.Is(err, ErrTooLarge) {
		t.Errorf("wrapping over the limit: got %v", err)
	}
	if _, err := Open(make([]byte, MaxSize+1), key.Public{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("opening over the limit: got %v", err)
	}
}

// Numbers and fields of later versions are read, not refused.
//
// Proves: AP-190.
func TestOpenLaterVersion(t *testing.T) {
	t.Parallel()
	author := newKey(t, 1)
	raw, _ := wrap(t, 4242, []byte("payload"), author)
	raw = protowire.AppendTag(raw, 77, protowire.BytesType)
	raw = protowire.AppendString(raw, "a field of a later version")
	m, err := Open(raw, key.Public{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Type != 4242 || Name(m.Type) != "UNKNOWN_4242" || m.Author != author.Public() {
		t.Errorf("got type %s by %v", Name(m.Type), m.Author)
	}
	if m.ID != NewID(author.Public(), raw) {
		t.Error("the id must cover every byte, known field or not")
	}
}

func TestID(t *testing.T) {
	t.Parallel()
	_, id := wrap(t, chatMessage, []byte("x"), newKey(t, 1))
	if len(id.String()) != 2+2*IDSize {
		t.Errorf("id %s", id)
	}
	for _, s := range []string{id.String(), id.String()[2:]} {
		if parsed, err := ParseID(s); err != nil || parsed != id {
			t.Errorf("ParseID(%q) = %v, %v", s, parsed, err)
		}
	}
	text, err := id.MarshalText()
	var back ID
	if err != nil || back.UnmarshalText(text) != nil || back != id {
		t.Errorf("text round trip: %s, %v", text, err)
	}
	for _, s := range []string{"", "0x", id.String()[:65], id.String() + "0", "0x" + id.String(), "zz" + id.String()[4:]} {
		if _, err := ParseID(s); !errors.Is(err, ErrID) {
			t.Errorf("ParseID(%q): got %v, want ErrID", s, err)
		}
		if back.UnmarshalText([]byte(s)) == nil || back != id {
			t.Errorf("UnmarshalText(%q) must fail and change nothing", s)
		}
	}
}

func TestCheckClock(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_700_000_000, 999_999_999)
	limit := uint64(1_700_000_000_000 + 120_000)
	for _, test := range []struct {
		clock uint64
		want  error
	}{
		{0, ErrClockZero}, {1, nil}, {limit, nil}, {limit + 1, ErrClockAhead}, {1<<64 - 1, ErrClockAhead},
	} {
		if err := CheckClock(test.clock, at); !errors.Is(err, test.want) {
			t.Errorf("clock %d: got %v, want %v", test.clock, err, test.want)
		}
	}
	if err := CheckClock(120_001, time.Time{}); !errors.Is(err, ErrClockAhead) {
		t.Errorf("a time before 1970 counts as 1970: got %v", err)
	}
}

// Whatever opens has an id of its own bytes and, re-wrapped by a known key,
// opens again to the same message.
func FuzzOpen(f *testing.F) {
	for _, c := range wrapped(f) {
		f.Add([]byte(c.Wrapped))
	}
	author := newKey(f, 1)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Open(raw, author.Public())
		if err != nil {
			if m != nil {
				t.Fatal("a message beside an error")
			}
			return
		}
		if len(m.Payload) == 0 || m.Author.IsZero() || m.ID != NewID(m.Author, raw) {
			t.Fatalf("inconsistent %+v", m)
		}
		if m.Type == 0 {
			return
		}
		again, id := wrap(t, m.Type, m.Payload, author)
		n, err := Open(again, key.Public{})
		if err != nil || n.ID != id || n.Type != m.Type || !bytes.Equal(n.Payload, m.Payload) || n.Author != author.Public() {
			t.Fatalf("re-wrapped: %+v, %v", n, err)
		}
	})
}

func BenchmarkWrap(b *testing.B) {
	author := newKey(b, 1)
	payload, err := Encode(&apppb.ChatMessage{Clock: 1, Timestamp: 1, Text: "hello", ChatId: author.Public().Hex()})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Wrap(chatMessage, payload, author); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	author := newKey(b, 1)
	payload, err := proto.Marshal(&apppb.ChatMessage{Clock: 1, Timestamp: 1, Text: "hello", ChatId: author.Public().Hex()})
	if err != nil {
		b.Fatal(err)
	}
	raw, _ := wrap(b, chatMessage, payload, author)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Open(raw, key.Public{}); err != nil {
			b.Fatal(err)
		}
	}
}
