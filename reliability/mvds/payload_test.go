package mvds

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/vectors"
)

type vectorMessage struct {
	Body, GroupID, MessageID vectors.Hex
	Timestamp                int64
}

type vectorCase struct {
	Name                   string
	PayloadProtobuf        *vectors.Hex
	IsValid                bool
	Acks, Offers, Requests []vectors.Hex
	Messages               []vectorMessage
	GroupOffers            []struct {
		GroupID    vectors.Hex
		MessageIDs []vectors.Hex
	}
	GroupID                vectors.Hex
	PublicKeyA, PublicKeyB vectors.Hex
}

func vectorIDs(t *testing.T, list []vectors.Hex) []MessageID {
	t.Helper()
	var out []MessageID
	for _, h := range list {
		if len(h) != IDSize {
			t.Fatalf("vector id of %d bytes", len(h))
		}
		out = append(out, MessageID(h))
	}
	return out
}

func TestVectorsMVDS(t *testing.T) {
	t.Parallel()
	for _, c := range vectors.Cases[vectorCase](t, "mvds") {
		t.Run(c.Name, func(t *testing.T) {
			switch {
			case c.PayloadProtobuf != nil:
				checkPayloadVector(t, c)
			case len(c.PublicKeyA) > 0:
				a, err := key.PublicFromBytes(c.PublicKeyA)
				if err != nil {
					t.Fatal(err)
				}
				b, err := key.PublicFromBytes(c.PublicKeyB)
				if err != nil {
					t.Fatal(err)
				}
				if got := OneToOneGroup(a, b); !bytes.Equal(got[:], c.GroupID) {
					t.Errorf("group %s, want %x", got, c.GroupID)
				}
				if OneToOneGroup(a, b) != OneToOneGroup(b, a) {
					t.Error("the group differs from the other side")
				}
			default:
				t.Fatal("unknown kind of case")
			}
		})
	}
}

func checkPayloadVector(t *testing.T, c vectorCase) {
	got, err := Decode(*c.PayloadProtobuf)
	if !c.IsValid {
		if !errors.Is(err, ErrNotPayload) {
			t.Fatalf("error %v, want %v", err, ErrNotPayload)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	want := &Payload{
		Acks:     vectorIDs(t, c.Acks),
		Offers:   vectorIDs(t, c.Offers),
		Requests: vectorIDs(t, c.Requests),
	}
	for _, m := range c.Messages {
		message := Message{GroupID(m.GroupID), m.Timestamp, m.Body}
		if id := message.ID(); !bytes.Equal(id[:], m.MessageID) {
			t.Errorf("message id %s, want %x", id, m.MessageID)
		}
		want.Messages = append(want.Messages, message)
	}
	for _, o := range c.GroupOffers {
		want.GroupOffers = append(want.GroupOffers, GroupOffer{o.GroupID, vectorIDs(t, o.MessageIDs)})
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("decoded %+v, want %+v", got, want)
	}
	if encoded := want.Encode(); !bytes.Equal(encoded, *c.PayloadProtobuf) {
		t.Errorf("encoded %x, want %x", encoded, *c.PayloadProtobuf)
	}
}

func TestDecodeErrors(t *testing.T) {
	t.Parallel()
	id := make([]byte, IDSize)
	field := func(number protowire.Number, value []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), value)
	}
	repeat := func(n int, b []byte) []byte { return bytes.Repeat(b, n) }
	message := (&Payload{Messages: []Message{{}}}).Encode()
	group := field(fieldOfferGroup, id)
	for _, c := range []struct {
		name string
		data []byte
		want error
	}{
		{"empty", nil, ErrNotPayload},
		{"text", []byte("hello, this is no protobuf"), ErrNotPayload},
		{"application message", append(field(1, make([]byte, 65)), field(2, []byte("chat"))...), ErrNotPayload},
		{"numbering of the reference implementation", append(field(1, id), field(4, id)...), ErrNotPayload},
		{"unknown field only", field(5006, id), ErrNotPayload},
		{"list of another wire type", protowire.AppendVarint(protowire.AppendTag(nil, fieldAcks, protowire.VarintType), 1), ErrNotPayload},
		{"cut off", message[:len(message)-1], ErrNotPayload},
		{"message is no protobuf", field(fieldMessages, []byte{0xff}), ErrNotPayload},
		{"short ack", field(fieldAcks, id[:31]), ErrLength},
		{"long offer", field(fieldOffers, make([]byte, 33)), ErrLength},
		{"empty request", field(fieldRequests, nil), ErrLength},
		{"message without group", field(fieldMessages, nil), ErrLength},
		{"message with long group", field(fieldMessages, field(fieldGroup, make([]byte, 33))), ErrLength},
		{"short id in group offer", field(fieldGroupOffers, field(fieldOfferIDs, id[:1])), ErrLength},

		{"acks at the limit", repeat(MaxIDs, field(fieldAcks, id)), nil},
		{"acks over the limit", repeat(MaxIDs+1, field(fieldAcks, id)), ErrLimit},
		{"offers over the limit", repeat(MaxIDs+1, field(fieldOffers, id)), ErrLimit},
		{"requests over the limit", repeat(MaxIDs+1, field(fieldRequests, id)), ErrLimit},
		{"messages at the limit", repeat(MaxMessages, message), nil},
		{"messages over the limit", repeat(MaxMessages+1, message), ErrLimit},
		{"group offers at the limit", repeat(MaxGroupOffers, field(fieldGroupOffers, group)), nil},
		{"group offers over the limit", repeat(MaxGroupOffers+1, field(fieldGroupOffers, group)), ErrLimit},
		{"offered ids at the limit", repeat(2, field(fieldGroupOffers, repeat(MaxIDs/2, field(fieldOfferIDs, id)))), nil},
		{"offered ids over the limit", repeat(2, field(fieldGroupOffers, repeat(MaxIDs/2+1, field(fieldOfferIDs, id)))), ErrLimit},
		{"offered group at the limit", field(fieldGroupOffers, field(fieldOfferGroup, make([]byte, MaxOfferGroup))), nil},
		{"offered group over the limit", field(fieldGroupOffers, field(fieldOfferGroup, make([]byte, MaxOfferGroup+1))), ErrLimit},
		{"size at the limit", sized(t, MaxSize), nil},
		{"size over the limit", sized(t, MaxSize+1), ErrLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, err := Decode(c.data)
			if !errors.Is(err, c.want) || (err == nil) != (p != nil) {
				t.Errorf("payload %t, error %v, want %v", p != nil, err, c.want)
			}
		})
	}
}

// sized is a payload of exactly n bytes.
func sized(t *testing.T, n int) []byte {
	t.Helper()
	p := &Payload{Messages: []Message{{Timestamp: 1, Body: make([]byte, n)}}}
	over := len(p.Encode()) - n
	p.Messages[0].Body = make([]byte, n-over)
	data := p.Encode()
	if len(data) != n {
		t.Fatalf("made %d bytes, want %d", len(data), n)
	}
	return data
}

// The metadata of 4/MVDS-META is skipped and is no part of the id.
func TestDecodeMetadata(t *testing.T) {
	t.Parallel()
	want := Message{GroupID{1}, 7, []byte("body")}
	inner := protowire.AppendBytes(protowire.AppendTag(nil, fieldGroup, protowire.BytesType), want.Group[:])
	inner = protowire.AppendVarint(protowire.AppendTag(inner, fieldTimestamp, protowire.VarintType), 7)
	inner = protowire.AppendBytes(protowire.AppendTag(inner, fieldBody, protowire.BytesType), want.Body)
	inner = protowire.AppendBytes(protowire.AppendTag(inner, 6004, protowire.BytesType), []byte{0x10, 1})
	p, err := Decode(protowire.AppendBytes(protowire.AppendTag(nil, fieldMessages, protowire.BytesType), inner))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(p.Messages, []Message{want}) || p.Messages[0].ID() != want.ID() {
		t.Errorf("decoded %+v, want %+v", p.Messages, want)
	}
}

func TestWireSize(t *testing.T) {
	t.Parallel()
	for _, timestamp := range []int64{-1, 0, 1, 1 << 20, 1 << 50} {
		for _, body := range []int{0, 1, 80, 127, 128, 16_300, 16_384, 3_000_000} {
			m := Message{GroupID{1}, timestamp, make([]byte, body)}
			if got, want := m.wireSize(), len((&Payload{Messages: []Message{m}}).Encode()); got != want {
				t.Errorf("timestamp %d, body %d: %d bytes, want %d", timestamp, body, got, want)
			}
		}
	}
}

// Whatever decodes is encoded to bytes, no more than came, that decode to the
// same again.
func FuzzDecode(f *testing.F) {
	seedPayloads(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Decode(data)
		if err != nil {
			if !errors.Is(err, ErrNotPayload) && !errors.Is(err, ErrLimit) && !errors.Is(err, ErrLength) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if p.Empty() {
			t.Fatal("an empty payload decoded")
		}
		encoded := p.Encode()
		again, err := Decode(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(normal(p), normal(again)) {
			t.Fatalf("%+v became %+v", p, again)
		}
		if len(encoded) > len(data) {
			t.Fatalf("%d bytes became %d", len(data), len(encoded))
		}
	})
}

// normal makes absent and empty bytes the same.
func normal(p *Payload) *Payload {
	n := *p
	n.Messages, n.GroupOffers = nil, nil
	for _, m := range p.Messages {
		m.Body = append([]byte{}, m.Body...)
		n.Messages = append(n.Messages, m)
	}
	for _, o := range p.GroupOffers {
		o.Group = append([]byte{}, o.Group...)
		n.GroupOffers = append(n.GroupOffers, o)
	}
	return &n
}

func seedPayloads(f *testing.F) {
	f.Helper()
	for _, c := range vectors.Cases[vectorCase](f, "mvds") {
		if c.PayloadProtobuf != nil {
			f.Add([]byte(*c.PayloadProtobuf))
		}
	}
}
