package sds

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/vectors"
	pb "github.com/parley-im/parley/pb/reliability"
)

// example is a message with everything in it.
func example() *Message {
	return &Message{
		Kind: Content, Sender: "alice", ID: "id", Channel: "channel", Lamport: 1_700_000_000_000,
		History:  []Entry{{ID: "a", Hint: []byte{1, 2}, Sender: "bob"}, {ID: "b"}, {ID: "c", Sender: "carol"}},
		Filter:   []byte{0, 1, 2, 3, 4, 5, 6, 7},
		Requests: []Entry{{ID: "d", Sender: "dave"}, {ID: "e"}},
		Content:  []byte("content"),
	}
}

// Every kind of message comes back from each layout that has it.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	full := example()
	bare := &Message{Kind: Content, Sender: "a", ID: "b", Channel: "c", Content: []byte{0}}
	sync := &Message{Kind: Sync, Sender: "a", ID: "b", Channel: "c", Lamport: 1 << 63, History: full.History, Content: []byte{}}
	ephemeral := &Message{Kind: Ephemeral, Sender: "a", ID: "b", Channel: "c", Content: []byte("x")}
	for _, m := range []*Message{full, bare, sync, ephemeral} {
		for _, layout := range []Layout{Standard, Nim} {
			data, err := m.Encode(layout)
			if m.Kind == Ephemeral && layout == Nim {
				if !errors.Is(err, ErrKind) {
					t.Errorf("ephemeral in the layout of nim-sds: %v", err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			back, as, err := Decode(data)
			if err != nil || as != layout || !reflect.DeepEqual(back, m) {
				t.Errorf("%s in layout %d came back as %+v in %d, error %v", m.Kind, layout, back, as, err)
			}
		}
	}
}

// The generated code of the protobuf definitions reads the same.
func TestDefinitions(t *testing.T) {
	t.Parallel()
	m := example()
	var s pb.SdsMessage
	if err := proto.Unmarshal(must(m.Encode(Standard)), &s); err != nil || len(s.ProtoReflect().GetUnknown()) > 0 {
		t.Fatal(err)
	}
	if s.SenderId != m.Sender || s.MessageId != m.ID || s.ChannelId != m.Channel || s.GetLamportTimestamp() != m.Lamport ||
		len(s.CausalHistory) != 3 || s.CausalHistory[0].GetSenderId() != "bob" || s.RepairRequest[1].MessageId != "e" ||
		!bytes.Equal(s.BloomFilter, m.Filter) || !bytes.Equal(s.Content, m.Content) {
		t.Errorf("read as %v", &s)
	}
	var n pb.NimSdsMessage
	if err := proto.Unmarshal(must(m.Encode(Nim)), &n); err != nil || len(n.ProtoReflect().GetUnknown()) > 0 {
		t.Fatal(err)
	}
	if n.SenderId != m.Sender || n.MessageId != m.ID || n.ChannelId != m.Channel || n.GetLamportTimestamp() != m.Lamport ||
		string(n.CausalHistory[1]) != "b" || len(n.HistoryMetadata) != 2 || n.HistoryMetadata[1].GetSenderId() != "carol" {
		t.Errorf("read as %v", &n)
	}
}

// The layout of nim-sds is read as all its builds write it.
func TestNimBuilds(t *testing.T) {
	t.Parallel()
	entries := []Entry{{ID: "aa", Hint: []byte{9}, Sender: "bob"}, {ID: "bb"}}
	lamport := uint64(1_700_000_000)
	base := func() *pb.NimSdsMessage {
		return &pb.NimSdsMessage{MessageId: "id", LamportTimestamp: &lamport, ChannelId: "channel", Content: []byte("x"), BloomFilter: []byte{}}
	}
	bare, nested, both := base(), base(), base()
	for _, e := range entries {
		bare.CausalHistory = append(bare.CausalHistory, []byte(e.ID))
		nested.CausalHistory = append(nested.CausalHistory, must(proto.Marshal(rawEntry(e))))
	}
	both.CausalHistory = bare.CausalHistory
	both.HistoryMetadata = []*pb.SdsHistoryEntry{rawEntry(entries[0]), rawEntry(Entry{ID: "elsewhere", Hint: []byte{1}})}
	for name, c := range map[string]struct {
		raw  *pb.NimSdsMessage
		want []Entry
	}{
		"bare ids":          {bare, []Entry{{ID: "aa"}, {ID: "bb"}}},
		"entries":           {nested, entries},
		"ids and metadata":  {both, entries},
		"without a history": {base(), nil},
	} {
		m, layout, err := Decode(must(proto.Marshal(c.raw)))
		if err != nil || layout != Nim || m.Kind != Content || m.Lamport != lamport || !reflect.DeepEqual(m.History, c.want) {
			t.Errorf("%s: %+v in layout %d, error %v", name, m, layout, err)
		}
	}
	// An id that would be read as an entry is not written.
	m := example()
	for _, id := range []string{"\n\x01a", "\nab", "\n"} {
		m.History = []Entry{{ID: id}}
		if _, err := m.Encode(Nim); !errors.Is(err, ErrNotMessage) {
			t.Errorf("an id that begins like an entry, %q: %v", id, err)
		}
		if _, err := m.Encode(Standard); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// tagged is a protobuf field.
func tagged(number protowire.Number, value any) []byte {
	switch v := value.(type) {
	case int:
		return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), uint64(v))
	case string:
		return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), v)
	}
	return protowire.AppendFixed32(protowire.AppendTag(nil, number, protowire.Fixed32Type), 7)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// Bytes that are neither layout, or could be read as both, are not read.
func TestAmbiguous(t *testing.T) {
	t.Parallel()
	standard := must(example().Encode(Standard))
	nim := must(example().Encode(Nim))
	metadata := []byte(nil)
	for _, c := range vectors.Cases[struct{ Wrapped vectors.Hex }](t, "application_metadata") {
		for _, h := range [][]byte{c.Wrapped} {
			if len(h) > 0 {
				metadata = h
			}
		}
	}
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":                     {nil, ErrNotMessage},
		"text":                        {[]byte("hello, world"), ErrNotMessage},
		"application metadata":        {join(tagged(1, strings.Repeat("\xff", 65)), tagged(2, "payload"), tagged(3, 1)), ErrNotMessage},
		"application metadata of 0":   {join(tagged(1, "signature"), tagged(2, "payload")), ErrKind},
		"recorded metadata":           {metadata, ErrNotMessage},
		"one layout and the other":    {join(standard, nim), ErrNotMessage},
		"the other and one":           {join(nim, standard), ErrNotMessage},
		"both types of field 2":       {join(standard, tagged(2, 5)), ErrNotMessage},
		"both types, number first":    {join(tagged(2, 5), standard), ErrNotMessage},
		"field 2 of a third type":     {join(tagged(2, nil), standard), ErrNotMessage},
		"id twice":                    {join(standard, tagged(2, "id")), ErrNotMessage},
		"content twice":               {join(standard, tagged(20, "other")), ErrNotMessage},
		"Lamport timestamp as text":   {join(tagged(1, "a"), tagged(2, "b"), tagged(3, "c"), tagged(10, "1"), tagged(20, "x")), ErrNotMessage},
		"Lamport timestamp twice":     {join(standard, tagged(10, 1)), ErrNotMessage},
		"content as a number":         {join(tagged(1, "a"), tagged(2, "b"), tagged(3, "c"), tagged(10, 1), tagged(20, 1)), ErrNotMessage},
		"no sender":                   {join(tagged(2, "b"), tagged(3, "c"), tagged(10, 1), tagged(20, "x")), ErrNotMessage},
		"no channel":                  {join(tagged(1, "a"), tagged(2, "b"), tagged(10, 1), tagged(20, "x")), ErrNotMessage},
		"empty id":                    {join(tagged(1, "a"), tagged(2, ""), tagged(3, "c"), tagged(10, 1), tagged(20, "x")), ErrNotMessage},
		"id not UTF-8":                {join(tagged(1, "a"), tagged(2, "\xff"), tagged(3, "c"), tagged(10, 1), tagged(20, "x")), ErrNotMessage},
		"no kind":                     {join(tagged(1, "a"), tagged(2, "b"), tagged(3, "c")), ErrKind},
		"no kind, empty content":      {join(tagged(1, "a"), tagged(2, "b"), tagged(3, "c"), tagged(20, "")), ErrKind},
		"entry without id":            {join(standard, tagged(11, string(tagged(3, "bob")))), ErrNotMessage},
		"entry of another type":       {join(standard, tagged(11, 4)), ErrNotMessage},
		"entry cut short":             {join(standard, tagged(11, "\x0a\x7f")), ErrNotMessage},
		"cut short":                   {standard[:len(standard)-1], ErrNotMessage},
		"nim-sds, entry cut short":    {join(nim, tagged(3, "\x0a\x7f")), ErrNotMessage},
		"nim-sds, empty id":           {join(nim, tagged(3, "")), ErrNotMessage},
		"nim-sds, no channel":         {join(tagged(1, "a"), tagged(2, 1), tagged(5, "x")), ErrNotMessage},
		"nim-sds, history of numbers": {join(nim, tagged(3, 1)), ErrNotMessage},
	} {
		if m, _, err := Decode(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, error %v, want %v", name, m, err, c.want)
		}
	}
	// Unknown fields are skipped, also those of the other layout's numbers.
	later := join(standard, tagged(4, "x"), tagged(5, 1), tagged(30, nil), tagged(1000, "y"))
	if m, layout, err := Decode(later); err != nil || layout != Standard || !reflect.DeepEqual(m, example()) {
		t.Errorf("with unknown fields: %+v, %v", m, err)
	}
}

// Every limit holds, and one more is refused before anything is allocated.
func TestDecodeLimits(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n) }
	entries := func(n int) []Entry {
		list := make([]Entry, n)
		for i := range list {
			list[i].ID = fmt.Sprint(i)
		}
		return list
	}
	for name, c := range map[string]struct {
		most int
		set  func(m *Message, n int)
	}{
		"sender id":      {MaxID, func(m *Message, n int) { m.Sender = long(n) }},
		"message id":     {MaxID, func(m *Message, n int) { m.ID = long(n) }},
		"channel id":     {MaxID, func(m *Message, n int) { m.Channel = long(n) }},
		"dependency":     {MaxID, func(m *Message, n int) { m.History = []Entry{{ID: long(n)}} }},
		"their sender":   {MaxID, func(m *Message, n int) { m.History = []Entry{{ID: "a", Sender: long(n)}} }},
		"hint":           {MaxHint, func(m *Message, n int) { m.History = []Entry{{ID: "a", Hint: []byte(long(n))}} }},
		"requested hint": {MaxHint, func(m *Message, n int) { m.Requests = []Entry{{ID: "a", Hint: []byte(long(n))}} }},
		"history":        {MaxHistory, func(m *Message, n int) { m.History = entries(n) }},
		"requests":       {MaxRequests, func(m *Message, n int) { m.Requests = entries(n) }},
		"filter":         {MaxFilter, func(m *Message, n int) { m.Filter = []byte(long(n)) }},
	} {
		for _, layout := range []Layout{Standard, Nim} {
			m := example()
			c.set(m, c.most)
			if _, err := m.Encode(layout); err != nil {
				t.Errorf("%s of %d: %v", name, c.most, err)
			}
			c.set(m, c.most+1)
			if _, err := m.Encode(layout); !errors.Is(err, ErrLimit) {
				t.Errorf("%s of %d: %v", name, c.most+1, err)
			}
		}
	}
	m := example()
	m.Content = make([]byte, MaxSize-len(must(m.Encode(Standard)))+len(m.Content)-3)
	if data, err := m.Encode(Standard); err != nil || len(data) < MaxSize-2 || len(data) > MaxSize {
		t.Errorf("%d bytes, error %v", len(data), err)
	}
	m.Content = append(m.Content, 0, 0, 0, 0, 0)
	if _, err := m.Encode(Standard); !errors.Is(err, ErrLimit) {
		t.Errorf("message over the limit: %v", err)
	}
	huge := join(tagged(1, "a"), tagged(2, long(1<<20)), tagged(3, "c"), tagged(10, 1), tagged(20, "x"))
	if _, _, err := Decode(huge); !errors.Is(err, ErrLimit) {
		t.Errorf("an id of a megabyte: %v", err)
	}
}

// What is read is written to bytes that are read as the same, and a message
// that we would write comes back byte for byte.
func FuzzDecode(f *testing.F) {
	for _, m := range recording(f).Messages {
		if len(m.Hex) < 4096 {
			f.Add([]byte(m.Hex))
		}
	}
	f.Add(must(example().Encode(Standard)))
	f.Add(must(example().Encode(Nim)))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, layout, err := Decode(data)
		if err != nil {
			for _, want := range []error{ErrNotMessage, ErrLimit, ErrKind} {
				if errors.Is(err, want) {
					return
				}
			}
			t.Fatalf("untyped error %v", err)
		}
		if layout == Nim {
			for _, h := range m.History {
				if h.ID[0] == entryTag {
					return // an entry may carry an id that no bare id can be
				}
			}
		}
		again, err := m.Encode(layout)
		if err != nil {
			t.Fatalf("%+v cannot be written: %v", m, err)
		}
		back, as, err := Decode(again)
		if err != nil || as != layout {
			t.Fatal(as, err)
		}
		if third := must(back.Encode(layout)); !bytes.Equal(third, again) {
			t.Fatalf("%x became %x", again, third)
		}
		if len(again) == len(data) && layout == Standard && ordered(data) && !bytes.Equal(again, data) {
			t.Fatalf("%x became %x", data, again)
		}
	})
}

// ordered reports whether the fields stand in ascending order, as we write
// them, and lengths and numbers are minimal: then the encoding is the only one.
func ordered(data []byte) bool {
	last := protowire.Number(0)
	var minimal []byte
	err := walk(data, func(f *field) error {
		if f.number < last || f.number == 11 || f.number == 13 {
			last = 1 << 29 // entries have an order of their own
			return nil
		}
		last = f.number
		minimal = protowire.AppendTag(minimal, f.number, f.typ)
		switch f.typ {
		case protowire.BytesType:
			minimal = protowire.AppendBytes(minimal, f.value)
		case protowire.VarintType:
			minimal = protowire.AppendVarint(minimal, f.n)
		}
		return nil
	})
	return err == nil && last < 1<<29 && bytes.Equal(minimal, data)
}
