package segment

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
	"github.com/parley-im/parley/internal/vectors"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/payload"
)

type segmentCase struct {
	Name          string
	Payload       vectors.Hex
	SegmentSize   int
	DataSegments  int
	ParitySegment int `json:"paritySegments"`
	Messages      []struct {
		Message           vectors.Hex
		EntireMessageHash vectors.Hex
		Index             *uint32
		SegmentsCount     *uint32
		ParityIndex       uint32
		ParityCount       uint32
	}
}

func TestVectorsSegments(t *testing.T) {
	t.Parallel()
	from := sender(t, 1)
	for _, c := range vectors.Cases[segmentCase](t, "segments") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			got, err := Split(c.Payload, c.SegmentSize)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(c.Messages) {
				t.Fatalf("%d messages, want %d", len(got), len(c.Messages))
			}
			bare, err := split(c.Payload, c.SegmentSize)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range c.Messages {
				if c.DataSegments == 0 {
					if !bytes.Equal(got[i], want.Message) {
						t.Errorf("payload that fits was changed: %x", got[i])
					}
					continue
				}
				// The recording has no original length: without it the bytes
				// are the same.
				old, err := marshal(bare[i])
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(old, want.Message) {
					t.Errorf("message %d without length is %x, want %x", i, old, want.Message)
				}
				// With it, it is what follows, and nothing else.
				tail, err := marshal(&wakupb.SegmentMessage{OriginalPayloadLength: uint64(len(c.Payload))})
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got[i], append(bytes.Clone(want.Message), tail...)) {
					t.Errorf("message %d is %x, want %x and %x", i, got[i], want.Message, tail)
				}
				if s := bare[i]; want.SegmentsCount != nil && (s.SegmentsCount != *want.SegmentsCount || s.Index != *want.Index ||
					s.ParitySegmentIndex != want.ParityIndex || s.ParitySegmentsCount != want.ParityCount ||
					!bytes.Equal(s.EntireMessageHash, want.EntireMessageHash)) {
					t.Errorf("message %d is %v, want %+v", i, s, want)
				}
			}

			// Recorded messages are put together again: in order, and
			// reversed, where parity takes the place of the first ones.
			for _, reversed := range []bool{false, true} {
				st := kv.NewMemory()
				var payload []byte
				for i := range c.Messages {
					if reversed {
						i = len(c.Messages) - 1 - i
					}
					p, status, err := Assembler{}.Add(st, now, from, c.Messages[i].Message)
					if err != nil {
						t.Fatal(err)
					}
					if status == Complete || status == Whole {
						payload = p
					}
				}
				if !bytes.Equal(payload, c.Payload) {
					t.Errorf("reversed %v: put together %x, want %x", reversed, payload, []byte(c.Payload))
				}
			}
		})
	}
}

var now = time.Unix(1_700_000_000, 0)

func sender(t testing.TB, seed byte) key.Public {
	t.Helper()
	k, err := key.Generate(rand.NewChaCha8([32]byte{seed}))
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

func content(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(b)
	return b
}

func mustSplit(t testing.TB, payload []byte, size int) [][]byte {
	t.Helper()
	out, err := Split(payload, size)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func decoded(t testing.TB, raw []byte) *wakupb.SegmentMessage {
	t.Helper()
	s := new(wakupb.SegmentMessage)
	if err := proto.Unmarshal(raw, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func encoded(t testing.TB, s *wakupb.SegmentMessage) []byte {
	t.Helper()
	raw, err := marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestSplitLimits(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, -1} {
		if _, err := Split([]byte("x"), size); !errors.Is(err, ErrSize) {
			t.Errorf("segments of %d: %v, want ErrSize", size, err)
		}
	}
	if got := mustSplit(t, make([]byte, MaxSegments), 1); len(got) != MaxSegments {
		t.Errorf("%d segments, want %d", len(got), MaxSegments)
	}
	if _, err := Split(make([]byte, MaxSegments+1), 1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one too many: %v, want ErrTooLarge", err)
	}
	for _, c := range []struct{ n, data, parity int }{
		{0, 1, 0}, {1, 1, 0}, {2, 2, 0}, {7, 7, 0}, {8, 8, 1}, {15, 15, 1}, {16, 16, 2}, {228, 228, 28}, {229, 229, 0},
	} {
		if got := mustSplit(t, content(c.n), 1); len(got) != c.data+c.parity {
			t.Errorf("%d bytes: %d messages, want %d and %d", c.n, len(got), c.data, c.parity)
		}
	}
}

// The payload is not changed, although the last segment is padded for parity.
func TestSplitKeepsPayload(t *testing.T) {
	t.Parallel()
	whole := append(content(805), []byte("behind")...)
	before := bytes.Clone(whole)
	mustSplit(t, whole[:805], 100)
	if !bytes.Equal(whole, before) {
		t.Error("the payload was changed")
	}
}

const contentTopic = "/waku/1/0xcd423760/rfc26"

// published returns the serialised size of the Waku message around one
// segment.
func published(t testing.TB, raw []byte, topic string, asymmetric bool) int {
	t.Helper()
	signer, err := key.Generate(rand.NewChaCha8([32]byte{7}))
	if err != nil {
		t.Fatal(err)
	}
	var sealed []byte
	if asymmetric {
		sealed, err = payload.SealAsymmetric(raw, signer.Public(), signer, rand.NewChaCha8([32]byte{}))
	} else {
		sealed, err = payload.SealSymmetric(raw, [32]byte{1}, signer, rand.NewChaCha8([32]byte{}))
	}
	if err != nil {
		t.Fatal(err)
	}
	// The last instant that the timestamp field can say.
	return proto.Size(message.New(sealed, topic, time.Unix(0, 1<<63-1), true))
}

// Proves: SP-87, SP-88.
func TestSizeForAtTheLimit(t *testing.T) {
	t.Parallel()
	for _, topic := range []string{contentTopic, "/a/1/b/c", "/" + strings.Repeat("long", 100) + "/1/b/c"} {
		size := SizeFor(topic, message.MaxPublishSize)
		if size < 148_000 {
			t.Errorf("segments of %d bytes only", size)
		}
		// Payloads around the border: one message up to the size, more above.
		for _, n := range []int{size, size + 1, 3*size - 1, 8 * size} {
			whole := content(n)
			messages := mustSplit(t, whole, size)
			if chunked := len(messages) > 1; chunked != (n > size) {
				t.Fatalf("%d bytes in segments of %d: %d messages", n, size, len(messages))
			}
			st := kv.NewMemory()
			var back []byte
			for i, raw := range messages {
				for _, asymmetric := range []bool{false, true} {
					if got := published(t, raw, topic, asymmetric); got > message.MaxPublishSize {
						t.Errorf("message %d of %d: %d bytes serialised, at most %d", i, len(messages), got, message.MaxPublishSize)
					}
				}
				if p, status, err := (Assembler{}).Add(st, now, sender(t, 1), raw); err != nil {
					t.Fatal(err)
				} else if status == Complete || status == Whole {
					back = p
				}
			}
			if !bytes.Equal(back, whole) {
				t.Errorf("%d bytes did not come back", n)
			}
		}
		// The size is the largest: with the numbers that take the most bytes
		// it fits, and one byte more does not.
		worst := &wakupb.SegmentMessage{
			EntireMessageHash: make([]byte, hashSize), Index: MaxSegments - 1, SegmentsCount: MaxSegments,
			OriginalPayloadLength: uint64(MaxSegments * size),
		}
		worst.Payload = content(size)
		if got := published(t, encoded(t, worst), topic, true); got > message.MaxPublishSize {
			t.Errorf("worst segment of %d bytes: %d serialised, at most %d", size, got, message.MaxPublishSize)
		}
		worst.Payload = content(size + 1)
		if got := published(t, encoded(t, worst), topic, true); got <= message.MaxPublishSize {
			t.Errorf("segments of %d bytes would fit as well: %d serialised", size+1, got)
		}
	}
}

func TestSizeForSmallLimits(t *testing.T) {
	t.Parallel()
	// Below one block of 256 there is no room for the frame and the envelope.
	for _, limit := range []int{-1, 0, 100, 400} {
		if got := SizeFor(contentTopic, limit); got != 0 {
			t.Errorf("limit %d: segments of %d", limit, got)
		}
	}
	for _, limit := range []int{700, 1000, 5000, 20_000, 70_000} {
		size := SizeFor(contentTopic, limit)
		for _, raw := range mustSplit(t, content(20*size), size) {
			if got := published(t, raw, contentTopic, true); got > limit {
				t.Fatalf("limit %d: %d serialised", limit, got)
			}
		}
	}
}

func TestStatusString(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for s := Status(0); s <= AlreadyComplete; s++ {
		seen[s.String()] = true
	}
	if len(seen) != 5 {
		t.Errorf("statuses share texts: %v", seen)
	}
}

// dump is the content of a store, to compare.
func dump(t testing.TB, st kv.Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := st.Scan("", func(name string, b []byte) error {
		all[name] = hex.EncodeToString(b)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
