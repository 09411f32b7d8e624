package segment

import (
	"bytes"
	"maps"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
	"github.com/parley-im/parley/internal/vectors"
	wakupb "github.com/parley-im/parley/pb/waku"
)

// Two foreign segments behind a part of a good payload: nothing panics, an
// error changes nothing, what is complete has its hash, and the good payload
// still arrives.
func FuzzAdd(f *testing.F) {
	for _, c := range vectors.Cases[segmentCase](f, "segments") {
		if len(c.Messages) > 1 && len(c.Messages) < 30 {
			f.Add([]byte(c.Messages[0].Message), []byte(c.Messages[len(c.Messages)-1].Message))
		}
	}
	good := content(850)
	messages := mustSplit(f, good, 100)
	for i := range messages[1:] {
		f.Add(messages[i], messages[i+1])
	}
	from, friend := sender(f, 1), sender(f, 2)
	a := Assembler{SenderGroups: 2}
	base := kv.NewMemory()
	for _, raw := range messages[:3] {
		add(f, base, from, raw)
		add(f, base, friend, raw)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		st := base.Copy()
		for _, raw := range [][]byte{first, second, first} {
			before := dump(t, st)
			p, status, err := a.Add(st, now, from, raw)
			switch {
			case err != nil:
				if status != 0 || p != nil || !maps.Equal(before, dump(t, st)) {
					t.Fatalf("%v: the state was changed", err)
				}
			case status == Whole:
				if !bytes.Equal(p, raw) || !maps.Equal(before, dump(t, st)) {
					t.Fatal("whole bytes were changed or kept")
				}
			case status == Complete:
				s := new(wakupb.SegmentMessage)
				if err := proto.Unmarshal(raw, s); err != nil {
					t.Fatal(err)
				}
				if got := key.Keccak256(p); !bytes.Equal(got[:], s.EntireMessageHash) {
					t.Fatal("a payload without its hash")
				}
			case status != Incomplete && status != AlreadyComplete:
				t.Fatalf("status %v", status)
			}
			checkTotals(t, st)
		}
		// Whatever one sender does, another's payload arrives.
		for i, raw := range messages[3:9] {
			p, status, err := a.Add(st, now, friend, raw)
			if err != nil || (i < 5 && status != Incomplete) || (i == 5 && (status != Complete || !bytes.Equal(p, good))) {
				t.Fatalf("another sender's segment %d: %v, %v", i+3, status, err)
			}
		}
	})
}
