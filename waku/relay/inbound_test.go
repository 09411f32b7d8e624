package relay

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pubsubpb "github.com/libp2p/go-libp2p-pubsub/pb"
	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
)

// TestLargeFrameIsPassedOver: a neighbour that counts the limit in another
// way sends a frame that is too large; its stream goes on and what follows on
// it arrives.
func TestLargeFrameIsPassedOver(t *testing.T) {
	t.Parallel()
	a := newRelay(t, shard32)
	x := newHostile(t, a, shard32)
	publish := func(m *wakupb.WakuMessage) {
		t.Helper()
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		x.publish(t, &pubsubpb.Message{Topic: &shard32, Data: data})
	}
	for i, size := range []int{DefaultMaxFrame, 1 << 20, maxSkip - 100} {
		large := text("")
		large.Payload = make([]byte, size)
		publish(large)
		publish(text(fmt.Sprint("after ", i)))
		if d := receive(t, a.got); string(d.Message.Payload) != fmt.Sprint("after ", i) {
			t.Fatalf("delivered %d bytes", len(d.Message.Payload))
		}
	}
	if n := len(a.Peers(shard32)); n != 1 {
		t.Errorf("%d peers", n)
	}
}

// TestSkippingStream at its limits, whatever the size of the reads.
func TestSkippingStream(t *testing.T) {
	t.Parallel()
	frame := func(size int) []byte {
		head := []byte{byte(size)&0x7f | 0x80, byte(size>>7)&0x7f | 0x80, byte(size >> 14 & 0x7f)}
		return append(head, bytes.Repeat([]byte{byte(size)}, size)...)
	}
	small, largest, over := []byte{2, 'o', 'k'}, frame(DefaultMaxFrame), frame(DefaultMaxFrame+1)
	for _, chunk := range []int{1, 2, 3, 1000, 1 << 20} {
		want := slices.Concat(small, largest, []byte{0}, small)
		in := slices.Concat(over, small, largest, over, over, []byte{0}, small, over)
		s := &skippingStream{r: bufio.NewReader(bytes.NewReader(in)), limit: DefaultMaxFrame, log: slog.New(slog.DiscardHandler)}
		var out []byte
		buf := make([]byte, chunk)
		for {
			n, err := s.Read(buf)
			out = append(out, buf[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(out, want) {
			t.Errorf("chunk %d: %d bytes, want %d", chunk, len(out), len(want))
		}
	}
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"more than is passed over": {[]byte{0x81, 0x80, 0x80, 0x02}, ErrTooLarge},
		"cut short":                {[]byte{100, 1}, io.EOF},
		"cut in the length":        {[]byte{0x80}, io.ErrUnexpectedEOF},
	} {
		s := &skippingStream{r: bufio.NewReader(bytes.NewReader(c.in)), limit: DefaultMaxFrame, log: slog.New(slog.DiscardHandler)}
		var err error
		for buf := make([]byte, 10); err == nil; {
			_, err = s.Read(buf)
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBurst: a burst of more than the library's queues hold arrives whole.
func TestBurst(t *testing.T) {
	t.Parallel()
	a, b := newRelay(t, shard32), newRelay(t, shard32)
	connect(t, a.h, b.h)
	a.awaitPeers(t, shard32, 1)
	b.awaitPeers(t, shard32, 1)
	const burst = 500
	for i := range burst {
		if _, err := a.Publish(t.Context(), shard32, text(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	got := make(map[string]bool)
	for len(got) < burst {
		got[string(receive(t, b.got).Message.Payload)] = true
	}
}

// TestUnvalidatedIsLost: a message dropped before validation is reported, one
// that is rejected is not.
func TestUnvalidatedIsLost(t *testing.T) {
	t.Parallel()
	var lost []string
	m := newMeshTracer("self", func(topic string) { lost = append(lost, topic) })
	raw := &pubsub.Message{Message: &pubsubpb.Message{Topic: &shard32}}
	m.RejectMessage(raw, pubsub.RejectValidationFailed)
	m.RejectMessage(raw, pubsub.RejectValidationQueueFull)
	newMeshTracer("self", nil).RejectMessage(raw, pubsub.RejectValidationQueueFull)
	if !slices.Equal(lost, []string{shard32}) {
		t.Errorf("lost %v", lost)
	}
}

// FuzzSkippingStream: what comes out are frames within the limit, and
// exactly those that went in.
func FuzzSkippingStream(f *testing.F) {
	f.Add([]byte{2, 'o', 'k', 0, 1, 'x'}, uint16(3))
	f.Add([]byte{0xf1, 0x93, 0x09, 1, 2, 3}, uint16(0))
	f.Add([]byte{0x81, 0x80, 0x80, 0x02}, uint16(1))
	f.Add(bytes.Repeat([]byte{0xff}, 20), uint16(1))
	f.Fuzz(func(t *testing.T, in []byte, pad uint16) {
		in = append(in, make([]byte, 10*int(pad))...) // empty frames, or the body of a large one
		var want []byte
		for r := bytes.NewReader(in); ; {
			size, err := binary.ReadUvarint(r)
			if err != nil || size > maxSkip {
				break
			}
			body := make([]byte, min(size, uint64(r.Len())))
			_, _ = r.Read(body)
			if size <= DefaultMaxFrame {
				want = append(binary.AppendUvarint(want, size), body...)
			}
		}
		s := &skippingStream{r: bufio.NewReader(bytes.NewReader(in)), limit: DefaultMaxFrame, log: slog.New(slog.DiscardHandler)}
		var got []byte
		for buf := make([]byte, 700); ; {
			n, err := s.Read(buf)
			got = append(got, buf[:n]...)
			if err != nil {
				break
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes, want %d", len(got), len(want))
		}
	})
}
