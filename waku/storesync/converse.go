package storesync

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/parley-im/parley/waku/store"
)

// conversation is a reconciliation over one stream.
type conversation struct {
	s       network.Stream
	r       *bufio.Reader
	rounds  int // payloads read
	in, out int // bytes
	found   Result
	// scope is what payloads of our own are headed with.
	scope Scope
	// prepare returns the set that answers a payload and the bounds within
	// which ranges may be; ErrScope when there is nothing in common.
	prepare func(*Payload) (*Set, []Bounds, error)
}

// run reads payloads and answers them until one side has nothing left. What
// was found is in found, also after an error.
func (c *conversation) run() error {
	for c.rounds < MaxRounds {
		frame, err := c.read()
		if err != nil {
			return err
		}
		c.rounds++
		if len(frame) == 0 {
			return ErrScope
		}
		p, err := Decode(frame)
		if err != nil || p.done() {
			return err
		}
		set, bounds, err := c.prepare(p)
		if errors.Is(err, ErrScope) {
			return errors.Join(err, c.write(nil))
		}
		if err != nil {
			return err
		}
		if err := inside(p.Ranges, bounds); err != nil {
			return err
		}
		res := Process(p.Ranges, set)
		c.found.Have = extend(c.found.Have, res.Have)
		c.found.Want = extend(c.found.Want, res.Want)
		c.found.Dense += res.Dense
		if err := c.send(res.Reply); err != nil || len(res.Reply) == 0 {
			return err
		}
	}
	return fmt.Errorf("%w: %d rounds", ErrRounds, c.rounds)
}

// extend adds ids up to one more than MaxWanted, which tells that there are
// more.
func extend(ids, more []store.ID) []store.ID {
	return append(ids, more[:min(len(more), MaxWanted+1-len(ids))]...)
}

// inside checks that every range that is not skipped is within one of the
// bounds, which are in order as the ranges are.
func inside(ranges []Range, bounds []Bounds) error {
	for i := range ranges {
		r := &ranges[i]
		if r.Kind == Skip {
			continue
		}
		for len(bounds) > 0 && !r.within(bounds[0]) {
			bounds = bounds[1:]
		}
		if len(bounds) == 0 {
			return ErrOutside
		}
	}
	return nil
}

// send writes a payload of our own.
func (c *conversation) send(ranges []Range) error {
	b, err := (&Payload{c.scope, ranges}).Append(nil)
	if err != nil {
		return err
	}
	return c.write(b)
}

func (c *conversation) write(payload []byte) error {
	b := append(binary.AppendUvarint(nil, uint64(len(payload))), payload...)
	n, err := c.s.Write(b)
	c.out += n
	return err
}

// read reads one frame.
func (c *conversation) read() ([]byte, error) {
	b, err := readFrame(c.r, MaxPayload)
	c.in += len(b)
	return b, err
}

// readFrame reads bytes behind their length. Room is made as they come, not as
// they are announced.
func readFrame(r *bufio.Reader, limit int) ([]byte, error) {
	size, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	if size > uint64(limit) {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, size, limit)
	}
	const step = 64 << 10
	var b []byte
	for uint64(len(b)) < size {
		at := len(b)
		b = append(b, make([]byte, min(step+at, int(size)-at))...)
		if _, err := io.ReadFull(r, b[at:]); err != nil {
			return nil, truncated(err)
		}
	}
	return b, nil
}

// truncated tells the end of a stream within a frame from one behind it.
func truncated(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// guard ends a stream with ctx, after SessionTimeout, or when nothing moved on
// it for StallTimeout. Some streams keep no deadlines, so it resets.
type guard struct {
	network.Stream
	stall *time.Timer
	stop  []func() bool
}

func watch(ctx context.Context, s network.Stream) *guard {
	end := func() { _ = s.Reset() }
	g := &guard{Stream: s, stall: time.AfterFunc(StallTimeout, end)}
	g.stop = []func() bool{g.stall.Stop, time.AfterFunc(SessionTimeout, end).Stop, context.AfterFunc(ctx, end)}
	return g
}

// release stops watching; it closes the stream, or resets it after an error.
func (g *guard) release(err error) {
	for _, stop := range g.stop {
		stop()
	}
	if err != nil {
		_ = g.Reset()
		return
	}
	_ = g.Close()
}

// Read implements io.Reader.
func (g *guard) Read(b []byte) (int, error) {
	n, err := g.Stream.Read(b)
	if n > 0 {
		g.stall.Reset(StallTimeout)
	}
	return n, err
}

// Write implements io.Writer. It goes by parts, so that a slow reader who
// reads is not taken for one who does not.
func (g *guard) Write(b []byte) (n int, err error) {
	const part = 64 << 10
	for n < len(b) && err == nil {
		var m int
		m, err = g.Stream.Write(b[n:min(len(b), n+part)])
		n += m
		g.stall.Reset(StallTimeout)
	}
	return n, err
}
