package hostile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/relay"
)

// How much of each there is.
const (
	halfOpen    = 280 // streams with a protocol and no request
	bare        = 60  // streams without a protocol
	unread      = 48  // requests whose answers nobody reads
	floodPeers  = 4   // workers
	floodEach   = 25  // requests of each of them
	connections = 10
)

// attacker is a peer that means ill to a victim.
type attacker struct {
	host.Host
	victim peer.AddrInfo
	done   chan struct{} // closed when the attack is over
}

// newAttacker connects. It reads nothing that it is sent unasked.
func newAttacker(ctx context.Context, victim peer.AddrInfo) (*attacker, error) {
	h, err := newHost(shard)
	if err != nil {
		return nil, err
	}
	a := &attacker{Host: h, victim: victim, done: make(chan struct{})}
	never := func(s network.Stream) {
		<-a.done
		_ = s.Reset()
	}
	h.SetStreamHandler(relay.ProtocolID, never)
	h.SetStreamHandler(filter.PushID, never)
	if err := h.Connect(ctx, victim); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return a, nil
}

// leave ends the attack and the connection.
func (a *attacker) leave() {
	close(a.done)
	_ = a.Close()
}

// open opens a stream of a target's protocol.
func (a *attacker) open(ctx context.Context, tg target) (network.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := a.NewStream(network.WithNoDial(ctx, "attack"), a.victim.ID, tg.id)
	if err == nil {
		_ = s.SetDeadline(time.Now().Add(patience))
	}
	return s, err
}

// errEndless is a stream that the victim neither answers nor ends.
var errEndless = errors.New("the stream does not end")

// ends reads until the end of a stream, which must come, and returns the
// number of bytes before it.
func ends(s network.Stream) (int64, error) {
	n, err := io.Copy(io.Discard, s)
	_ = s.Reset()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, errEndless
	}
	return n, nil
}

// framed is b behind its length.
func framed(b []byte) []byte { return append(binary.AppendUvarint(nil, uint64(len(b))), b...) }

// attack is one way to harm. What is left open stays so until the attacker
// leaves. Its error is of something that the victim must not do; that it
// refuses is in order.
type attack func(context.Context, *attacker, target) error

var attacks = map[string]attack{
	"malformed": malformed, "oversized": oversized, "slow reader": slowReader, "slow writer": slowWriter,
	"half-open": halfOpenStreams, "flood": flood, "connections": manyConnections,
}

// malformed sends frames that are none, or make no sense.
func malformed(ctx context.Context, a *attacker, tg target) error {
	noise := make([]byte, 300)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	good := tg.request(0)
	frames := map[string][]byte{
		"empty":            {0},
		"no protobuf":      framed([]byte{0xff, 0xff, 0xff}),
		"noise":            framed(noise),
		"unframed noise":   noise,
		"groups":           framed(bytes.Repeat([]byte{0x0b}, 20_000)),
		"unknown fields":   framed(bytes.Repeat([]byte{0xf8, 0x7f, 1}, 1000)),
		"a wrong wiretype": framed([]byte{0x08, 1, 0x52, 0, 0x5d, 0, 0, 0, 0}),
		"no UTF-8":         framed([]byte{0x0a, 2, 0xc3, 0x28}),
		"many empty":       framed(bytes.Repeat([]byte{0x5a, 0, 0xa2, 1, 0}, 3000)),
		"cut short":        good[:len(good)/2],
		"cut in the size":  {0x80},
		"twice":            append(bytes.Clone(good), good...),
	}
	for name, frame := range frames {
		s, err := a.open(ctx, tg)
		if err != nil {
			continue // refused
		}
		_, _ = s.Write(frame)
		_ = s.CloseWrite()
		if _, err := ends(s); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// oversized sends frames beyond the limit, and lengths without end.
func oversized(ctx context.Context, a *attacker, tg target) error {
	junk := bytes.Repeat([]byte{0xff}, 64<<10)
	for name, head := range map[string][]byte{
		"limit + 1":   binary.AppendUvarint(nil, uint64(tg.limit)+1),
		"a huge one":  binary.AppendUvarint(nil, 1<<62),
		"no end":      {},
		"beyond 2^64": bytes.Repeat([]byte{0xff}, 20),
	} {
		s, err := a.open(ctx, tg)
		if err != nil {
			continue
		}
		_, err = s.Write(head)
		_ = s.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)) // nobody need read on
		for sent := 0; err == nil && sent <= tg.limit+len(junk); sent += len(junk) {
			_, err = s.Write(junk)
		}
		if _, err := ends(s); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// slowReader makes requests and reads no answer.
func slowReader(ctx context.Context, a *attacker, tg target) error {
	for i := range unread {
		if s, err := a.open(ctx, tg); err == nil {
			_, _ = s.Write(tg.request(i))
		}
	}
	return nil
}

// slowWriter writes byte after byte: a whole request, which is answered, and
// some that it never ends.
func slowWriter(ctx context.Context, a *attacker, tg target) error {
	whole, err := a.open(ctx, tg)
	if err != nil {
		return fmt.Errorf("a first stream: %w", err)
	}
	for _, b := range tg.request(0) {
		if _, err = whole.Write([]byte{b}); err != nil {
			break
		}
	}
	if tg.answers {
		n, ended := ends(whole)
		if err = errors.Join(err, ended); err != nil || n == 0 {
			return fmt.Errorf("a whole request is answered with %d bytes: %w", n, err)
		}
	}
	for i := range 8 {
		s, err := a.open(ctx, tg)
		if err != nil {
			return nil
		}
		request := tg.request(i)
		for _, b := range request[:len(request)-1] {
			if _, err := s.Write([]byte{b}); err != nil {
				break
			}
		}
	}
	return nil
}

// halfOpenStreams opens streams and does not use them.
func halfOpenStreams(ctx context.Context, a *attacker, tg target) error {
	for range halfOpen {
		if s, err := a.open(ctx, tg); err == nil {
			_, _ = s.Write(nil) // which says the protocol
		}
	}
	for _, c := range a.Network().ConnsToPeer(a.victim.ID) {
		for range bare {
			_, _ = c.NewStream(network.WithNoDial(ctx, "attack"))
		}
	}
	return nil
}

// flood makes requests as fast as it can.
func flood(ctx context.Context, a *attacker, tg target) error {
	errs := make([]error, floodPeers)
	var wg sync.WaitGroup
	for w := range floodPeers {
		wg.Go(func() {
			for i := range floodEach {
				s, err := a.open(ctx, tg)
				if err != nil {
					continue
				}
				_, _ = s.Write(tg.request(w*floodEach + i))
				_ = s.CloseWrite()
				if _, err := ends(s); err != nil {
					errs[w] = fmt.Errorf("request %d: %w", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// manyConnections has many peers open a stream and leave it at that. They
// stay until the attacker leaves.
func manyConnections(ctx context.Context, a *attacker, tg target) error {
	for range connections {
		other, err := newAttacker(ctx, a.victim)
		if err != nil {
			continue // refused
		}
		go func() {
			<-a.done
			other.leave()
		}()
		for range 3 {
			if s, err := other.open(ctx, tg); err == nil {
				_, _ = s.Write(nil)
			}
		}
	}
	return nil
}
