package segment

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
	apppb "github.com/parley-im/parley/pb/app"
	wakupb "github.com/parley-im/parley/pb/waku"
	"google.golang.org/protobuf/proto"
)

// add gives one segment to a store and fails the test on an error.
func add(t testing.TB, st kv.Store, from key.Public, raw []byte) ([]byte, Status) {
	t.Helper()
	p, status, err := Assembler{}.Add(st, now, from, raw)
	if err != nil {
		t.Fatal(err)
	}
	return p, status
}

// strip removes the original length, as clients before 2025 send segments.
func strip(t testing.TB, messages [][]byte) [][]byte {
	t.Helper()
	out := make([][]byte, len(messages))
	for i, raw := range messages {
		s := decoded(t, raw)
		s.OriginalPayloadLength = 0
		out[i] = encoded(t, s)
	}
	return out
}

// Any segments may be lost, as many as there is parity, in any order, with
// duplicates, and with a restart between any two: the payload comes once.
func TestAnyLossAnyOrder(t *testing.T) {
	t.Parallel()
	from := sender(t, 1)
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct{ n, size int }{{101, 100}, {250, 100}, {800, 100}, {801, 100}, {1650, 100}, {2560, 100}, {2280, 10}} {
		whole := content(c.n)
		current := mustSplit(t, whole, c.size)
		data := (c.n-1)/c.size + 1
		rounds := 60
		if data > 100 { // the code's matrix takes long
			rounds = 4
		}
		for round := range rounds {
			messages := current
			if round%2 == 1 {
				messages = strip(t, current)
			}
			order := r.Perm(len(messages))[:data] // the rest is lost
			var completed int
			st := kv.NewMemory()
			for i, at := range order {
				p, status := add(t, st, from, messages[at])
				want := Incomplete
				if i == data-1 {
					want = Complete
				}
				if status != want {
					t.Fatalf("%v: %v after %d of %d", c, status, i+1, data)
				}
				if status == Complete {
					completed++
					if !bytes.Equal(p, whole) {
						t.Fatalf("%v: another payload came back", c)
					}
				}
				// Repeat one that was seen, and restart.
				again := order[r.IntN(i+1)]
				if _, status := add(t, st, from, messages[again]); (status == AlreadyComplete) != (completed > 0) {
					t.Fatalf("%v: repeated segment is %v", c, status)
				}
				st = st.Copy()
			}
			for _, raw := range messages { // the late ones
				if _, status := add(t, st, from, raw); status != AlreadyComplete {
					t.Fatalf("%v: late segment is %v", c, status)
				}
			}
			// Nothing is left but the mark.
			for name := range dump(t, st) {
				if strings.HasPrefix(name, groupPrefix) || strings.HasPrefix(name, segmentPrefix) || strings.HasPrefix(name, openPrefix) {
					t.Fatalf("%v: %s is left", c, name)
				}
			}
		}
	}
}

// Each single segment lost in turn, the last data segment among them, with and
// without its length told.
func TestEachLoss(t *testing.T) {
	t.Parallel()
	from := sender(t, 1)
	for _, n := range []int{701, 750, 799, 800} {
		whole := content(n)
		for _, messages := range [][][]byte{mustSplit(t, whole, 100), strip(t, mustSplit(t, whole, 100))} {
			for lost := range messages {
				st := kv.NewMemory()
				var got []byte
				for i, raw := range messages {
					if i == lost {
						continue
					}
					if p, status := add(t, st, from, raw); status == Complete {
						got = p
					}
				}
				if !bytes.Equal(got, whole) {
					t.Errorf("%d bytes without segment %d: %x", n, lost, got)
				}
			}
		}
	}
}

// A payload that ends in zeros is cut at the right one although its last
// segment is lost and no length is told.
func TestZeroTail(t *testing.T) {
	t.Parallel()
	from := sender(t, 1)
	for _, zeros := range []int{1, 2, 30, 49, 50, 51, 150} {
		whole := content(750)
		clear(whole[750-zeros:])
		messages := strip(t, mustSplit(t, whole, 100))
		st := kv.NewMemory()
		var got []byte
		for i, raw := range messages {
			if i == 7 {
				continue
			}
			if p, status := add(t, st, from, raw); status == Complete {
				got = p
			}
		}
		if !bytes.Equal(got, whole) {
			t.Errorf("%d zeros at the end: %d bytes came back", zeros, len(got))
		}
	}
}

func TestZeroTailLimit(t *testing.T) {
	t.Parallel()
	whole := bytes.Repeat([]byte{0}, 2*(maxZeroTail+10))
	for _, c := range []struct {
		end int
		bad bool
	}{{maxZeroTail + 11, false}, {2*maxZeroTail + 11, false}, {2*maxZeroTail + 12, true}} {
		hash := key.Keccak256(whole[:c.end])
		got, err := trimmed(whole, maxZeroTail+10, hash[:])
		if c.bad != errors.Is(err, ErrHash) || (!c.bad && len(got) != c.end) {
			t.Errorf("end at %d: %d bytes, %v", c.end, len(got), err)
		}
	}
}

func TestSendersNeverMix(t *testing.T) {
	t.Parallel()
	alice, mallory := sender(t, 1), sender(t, 2)
	whole := content(950)
	messages := mustSplit(t, whole, 100)
	st := kv.NewMemory()
	// Mallory sends other bytes under the same hash.
	for _, raw := range messages[:9] {
		s := decoded(t, raw)
		s.Payload = bytes.Repeat([]byte{6}, len(s.Payload))
		if _, status := add(t, st, mallory, encoded(t, s)); status != Incomplete {
			t.Fatalf("Mallory: %v", status)
		}
	}
	for i, raw := range messages[:10] {
		p, status := add(t, st, alice, raw)
		if i < 9 && status != Incomplete {
			t.Fatalf("segment %d: %v", i, status)
		}
		if i == 9 && (status != Complete || !bytes.Equal(p, whole)) {
			t.Fatalf("last segment: %v", status)
		}
	}
	before := dump(t, st)
	if _, _, err := (Assembler{}).Add(st, now, mallory, messages[9]); !errors.Is(err, ErrHash) {
		t.Errorf("Mallory's last: %v, want ErrHash", err)
	}
	if !maps.Equal(before, dump(t, st)) {
		t.Error("a payload with another hash changed the state")
	}
}

func TestPassThrough(t *testing.T) {
	t.Parallel()
	hash := make([]byte, hashSize)
	signed, err := proto.Marshal(&apppb.ApplicationMetadataMessage{
		Signature: make([]byte, key.SignatureSize), Payload: []byte("text"), Type: 27,
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := decoded(t, signed); s.SegmentsCount != 27 {
		t.Fatalf("the test's message reads as %v", s)
	}
	for name, raw := range map[string][]byte{
		"nothing":            {},
		"text":               []byte("plain text"),
		"no count":           encoded(t, &wakupb.SegmentMessage{EntireMessageHash: hash, Payload: []byte("x")}),
		"count of one":       encoded(t, &wakupb.SegmentMessage{EntireMessageHash: hash, SegmentsCount: 1, Payload: []byte("x")}),
		"no hash":            encoded(t, &wakupb.SegmentMessage{SegmentsCount: 2, Payload: []byte("x")}),
		"signed application": signed,
	} {
		st := kv.NewMemory()
		p, status := add(t, st, sender(t, 1), raw)
		if status != Whole || !bytes.Equal(p, raw) {
			t.Errorf("%s: %v, %x", name, status, p)
		}
		if len(dump(t, st)) != 0 {
			t.Errorf("%s was kept", name)
		}
	}
}

func TestBadSegments(t *testing.T) {
	t.Parallel()
	from := sender(t, 1)
	hash := key.Keccak256([]byte("whole"))
	data := func(index, count uint32, n int) *wakupb.SegmentMessage {
		return &wakupb.SegmentMessage{EntireMessageHash: hash[:], Index: index, SegmentsCount: count, Payload: make([]byte, n)}
	}
	parity := func(index, count uint32, n int) *wakupb.SegmentMessage {
		return &wakupb.SegmentMessage{EntireMessageHash: hash[:], ParitySegmentIndex: index, ParitySegmentsCount: count, Payload: make([]byte, n)}
	}
	long := func(s *wakupb.SegmentMessage, length uint64) *wakupb.SegmentMessage {
		s.OriginalPayloadLength = length
		return s
	}
	both := func(s *wakupb.SegmentMessage, count uint32) *wakupb.SegmentMessage {
		s.ParitySegmentsCount = count
		return s
	}
	for name, c := range map[string]struct {
		before []*wakupb.SegmentMessage // accepted
		then   *wakupb.SegmentMessage
		want   error
	}{
		"most data segments":           {nil, data(MaxSegments-1, MaxSegments, 1), nil},
		"too many data segments":       {nil, data(0, MaxSegments+1, 1), ErrCount},
		"all the data segments of all": {nil, data(0, 1<<32-1, 1), ErrCount},
		"most parity segments":         {nil, parity(253, 254, 1), nil},
		"too many parity segments":     {nil, parity(0, 255, 1), ErrCount},
		"one data segment with parity": {nil, both(data(0, 1, 1), 1), ErrCount},
		"as many as can be coded":      {nil, both(data(0, 228, 1), 28), nil},
		"too many to code":             {nil, both(data(0, 228, 1), 29), ErrCount},
		"data after too much parity":   {[]*wakupb.SegmentMessage{parity(0, 200, 1)}, data(0, 57, 1), ErrCount},
		"data index":                   {nil, data(3, 3, 1), ErrIndex},
		"parity index":                 {nil, parity(2, 2, 1), ErrIndex},
		"largest index":                {nil, data(1<<32-1, 3, 1), ErrIndex},
		"empty":                        {nil, data(0, 3, 0), ErrLength},
		"empty parity":                 {nil, parity(0, 3, 0), ErrLength},
		"another count":                {[]*wakupb.SegmentMessage{data(0, 3, 5)}, data(1, 4, 5), ErrCount},
		"another parity count":         {[]*wakupb.SegmentMessage{parity(0, 3, 5)}, parity(1, 4, 5), ErrCount},
		"another length":               {[]*wakupb.SegmentMessage{data(0, 3, 5)}, data(1, 3, 6), ErrLength},
		"another parity length":        {[]*wakupb.SegmentMessage{data(0, 3, 5)}, parity(0, 1, 6), ErrLength},
		"last as long":                 {[]*wakupb.SegmentMessage{data(0, 3, 5)}, data(2, 3, 5), nil},
		"last too long":                {[]*wakupb.SegmentMessage{data(0, 3, 5)}, data(2, 3, 6), ErrLength},
		"shorter after the last":       {[]*wakupb.SegmentMessage{data(2, 3, 5)}, data(0, 3, 4), ErrLength},
		"another payload length":       {[]*wakupb.SegmentMessage{long(data(0, 3, 5), 11)}, long(data(1, 3, 5), 12), ErrLength},
		"least payload length":         {nil, long(data(0, 3, 5), 11), nil},
		"payload length too small":     {nil, long(data(0, 3, 5), 10), ErrLength},
		"greatest payload length":      {nil, long(data(0, 3, 5), 15), nil},
		"payload length too great":     {nil, long(data(0, 3, 5), 16), ErrLength},
		"payload length and last":      {[]*wakupb.SegmentMessage{data(2, 3, 3)}, long(data(0, 3, 5), 14), ErrLength},
		"payload of any length":        {nil, long(data(2, 3, 5), 1<<63), ErrTooLarge},
		"repeated, other bytes":        {[]*wakupb.SegmentMessage{data(0, 3, 5)}, data(0, 3, 6), ErrLength},
	} {
		st := kv.NewMemory()
		for _, s := range c.before {
			add(t, st, from, encoded(t, s))
		}
		before := dump(t, st)
		p, status, err := Assembler{}.Add(st, now, from, encoded(t, c.then))
		if !errors.Is(err, c.want) || p != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if c.want == nil {
			if status != Incomplete {
				t.Errorf("%s: %v", name, status)
			}
			continue
		}
		if status != 0 || !maps.Equal(before, dump(t, st)) {
			t.Errorf("%s: status %v, or the state was changed", name, status)
		}
	}
}

// A payload told to be longer than it is does not fit its hash either.
func TestHashMismatch(t *testing.T) {
	t.Parallel()
	from := sender(t, 1)
	messages := mustSplit(t, content(900), 100)
	for bent := range 9 {
		st := kv.NewMemory()
		for i, raw := range messages[:9] {
			if i == bent {
				s := decoded(t, raw)
				s.Payload[0] ^= 1
				raw = encoded(t, s)
			}
			_, status, err := Assembler{}.Add(st, now, from, raw)
			if i < 8 && (err != nil || status != Incomplete) {
				t.Fatal(status, err)
			}
			if i == 8 && !errors.Is(err, ErrHash) {
				t.Errorf("segment %d bent: %v, want ErrHash", bent, err)
			}
		}
	}
}

func TestPayloadLimit(t *testing.T) {
	t.Parallel()
	from := sender(t, 1)
	for _, told := range []bool{true, false} {
		for _, n := range []int{1050, 1051} {
			messages := mustSplit(t, content(n), 100)
			if !told {
				messages = strip(t, messages)
			}
			// Without the last data segment, and in order: in the first case
			// its length is known only at the end.
			for _, order := range [][][]byte{append(messages[:len(messages)-2:len(messages)-2], messages[len(messages)-1]), messages} {
				st := kv.NewMemory()
				var got Status
				var failed error
				for _, raw := range order {
					_, status, err := Assembler{MaxPayload: 1050}.Add(st, now, from, raw)
					if err != nil {
						failed = err
					}
					if status == Complete {
						got = status
					}
				}
				if n <= 1050 && (got != Complete || failed != nil) {
					t.Errorf("%d bytes, told %v: %v, %v", n, told, got, failed)
				}
				if n > 1050 && (got == Complete || !errors.Is(failed, ErrTooLarge)) {
					t.Errorf("%d bytes, told %v: %v, %v", n, told, got, failed)
				}
			}
		}
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	from := sender(t, 1)
	st := kv.NewMemory()
	open, done := mustSplit(t, content(300), 100), mustSplit(t, content(301), 100)
	add(t, st, from, open[0])
	for _, raw := range done {
		add(t, st, from, raw)
	}
	before := dump(t, st)
	if _, err := (Assembler{}).Purge(st, now.Add(KeepFor-1)); err != nil || !maps.Equal(before, dump(t, st)) {
		t.Errorf("purged too early (%v)", err)
	}
	if _, status := add(t, st, from, done[0]); status != AlreadyComplete {
		t.Errorf("finished payload: %v", status)
	}
	if _, err := (Assembler{}).Purge(st, now.Add(KeepFor)); err != nil {
		t.Fatal(err)
	}
	left := dump(t, st)
	delete(left, totalsKey)
	if len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	var sum totals
	if err := load(st, totalsKey, &sum); err != nil || sum != (totals{}) {
		t.Errorf("totals %+v, %v", sum, err)
	}
	// Time before 1970 is time too.
	if _, _, err := (Assembler{}).Add(st, time.Time{}, from, open[0]); err != nil {
		t.Error(err)
	}
	if _, err := (Assembler{}).Purge(st, time.Time{}); err != nil {
		t.Error(err)
	}
}
