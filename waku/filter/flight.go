package filter

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// maxFlight bounds the pushes under way to a client that has a stream for
// each: with one at a time it would get one message in a round trip.
const maxFlight = 8

// flight are the pushes under way to such a client. Their number grows by one
// with each that is taken, up to maxFlight, and begins at one again when the
// client refuses or fails.
type flight struct {
	window int // how many may be under way
	up     int // how many are
	round  int // counts failures: those of one round are one failure
	landed chan landing
}

func newFlight() flight { return flight{window: 1, landed: make(chan landing, maxFlight)} }

func (f *flight) full() bool { return f.up >= f.window }

// landing is how a push ended.
type landing struct {
	frame frame
	fate  fate
	err   error
	round int // when it was launched
}

type fate int

const (
	taken   fate = iota // the client read it and ended the stream
	kept                // the client has it, and keeps the stream
	refused             // the client reset the stream
	gone                // the connection ended
	lost                // the client takes nothing
)

// launch pushes a message on a stream of its own, which the client ends when
// it has read it. How that ends is to be landed.
func (p *pusher) launch(ctx context.Context, f frame) {
	l := landing{frame: f, round: p.flight.round}
	p.flight.up++
	go func() {
		l.fate, l.err = p.pushAlone(ctx, f)
		p.flight.landed <- l // has room
	}()
}

// pushAlone pushes one message and waits for the end of its stream. It does
// not touch the state of p.
func (p *pusher) pushAlone(ctx context.Context, f frame) (fate, error) {
	s, err := p.open(ctx)
	if err != nil {
		if p.h.Network().Connectedness(p.id) == network.Connected {
			return lost, err
		}
		return gone, err
	}
	defer context.AfterFunc(ctx, func() { _ = s.Reset() })()
	late := time.AfterFunc(PushTimeout, func() { _ = s.Reset() })
	written := false
	if _, err = s.Write(f.data); err == nil {
		err = s.CloseWrite()
		written = err == nil
	}
	var b [64]byte
	for err == nil {
		_, err = s.Read(b[:])
	}
	onTime := late.Stop()
	switch {
	case errors.Is(err, io.EOF):
		_ = s.Close()
		return taken, nil
	case !onTime && written:
		return kept, nil
	case !onTime:
		return lost, err
	}
	_ = s.Reset()
	if s.Conn().IsClosed() {
		return gone, err
	}
	return refused, errRefused
}

// land draws the conclusions of a push that ended.
func (p *pusher) land(l landing) error {
	p.flight.up--
	switch l.fate {
	case taken:
		p.failures = 0
		p.flight.window = min(p.flight.window+1, maxFlight)
		p.told(l.frame, nil)
		return nil
	case kept:
		p.alone = false
		p.told(l.frame, nil)
		return nil
	case lost:
		p.told(l.frame, l.err)
	default:
		p.retry(l.frame)
	}
	if l.fate == gone {
		return l.err
	}
	if l.round != p.flight.round {
		return nil // known already
	}
	p.flight.round++
	p.flight.window = 1
	return l.err
}

// ground waits for the pushes under way, which end with their context.
func (p *pusher) ground() {
	for ; p.flight.up > 0; p.flight.up-- {
		<-p.flight.landed
	}
}
