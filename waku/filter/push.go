package filter

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/waku/rpc"
)

const (
	// steadyAfter is how long a client keeps a stream that takes more than
	// one message from it.
	steadyAfter = PushTimeout
	// refusedPause is how long nothing is pushed to a client that refused a
	// push, which deployed ones do to more than 15 a second.
	refusedPause = time.Second
	// endWait is how long the end of a stream may take to show after a
	// write to it failed.
	endWait = time.Second
)

// errRefused is a stream reset by the client before it read the message.
var errRefused = errors.New("the client refuses the push")

// pusher pushes to one subscriber.
//
// 12/WAKU2-FILTER leaves open how many pushes a stream carries, and deployed
// clients differ. Some read from a stream until it ends and never end it
// themselves (nwaku, JavaScript; the latter takes at most 100 streams, so
// that a stream for each message ends in silence). Others read one message
// and end the stream (go-waku). So one stream is used as long as the client
// keeps it. When it ends one soon, it has read the first message only: the
// others are pushed again, and from then on each has a stream of its own,
// several at a time.
type pusher struct {
	h     host.Host
	id    peer.ID
	queue *queue
	pace  *rpc.Limiter
	told  func(frame, error) // of each frame pushed or lost

	stream *pushStream // nil when none is open
	alone  bool        // each message has a stream of its own
	flight flight      // of those
	again  []frame     // to be pushed again, before what is queued

	failures int // since the client certainly took something
}

// pushStream is a stream for more than one message.
type pushStream struct {
	network.Stream
	opened time.Time
	sent   []frame // all messages, until the stream is steady
	bytes  int     // in them
	full   bool    // more were sent than are remembered
	ended  chan struct{}
	end    error // how it ended, readable when ended is closed
}

// steady says whether the client has kept the stream for so long, or so many
// messages, that it is one that does.
func (s *pushStream) steady() bool { return s.full || time.Since(s.opened) >= steadyAfter }

// remember keeps a message until the stream is steady.
func (s *pushStream) remember(f frame) {
	s.full = s.full || len(s.sent) >= MaxQueue || s.bytes+len(f.data) > MaxQueueBytes
	if s.steady() {
		s.sent, s.bytes = nil, 0
		return
	}
	s.sent = append(s.sent, f)
	s.bytes += len(f.data)
}

// watch waits until the client ends the stream or ctx ends.
func (s *pushStream) watch(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { _ = s.Reset() })()
	var b [64]byte
	for s.end == nil {
		_, s.end = s.Read(b[:])
	}
	_ = s.Reset() // a write under way has nobody to read it
	close(s.ended)
}

// step waits for the next message and pushes it, or for the end of a stream
// and draws the conclusions.
func (p *pusher) step(ctx context.Context) error {
	f, err := p.next(ctx)
	switch {
	case err != nil:
	case p.alone:
		p.launch(ctx, f)
	default:
		err = p.push(ctx, f)
	}
	if errors.Is(err, errRefused) {
		select {
		case <-time.After(refusedPause):
		case <-ctx.Done():
		}
	}
	return err
}

// next returns what to push, or why what was pushed before failed.
func (p *pusher) next(ctx context.Context) (frame, error) {
	for {
		var wake, ended <-chan struct{}
		if !p.alone || !p.flight.full() {
			if len(p.again) > 0 {
				f := p.again[0]
				p.again = p.again[1:]
				return f, nil
			}
			if f, ok := p.queue.next(); ok {
				if !p.pace.Wait(ctx, p.id) {
					return frame{}, ctx.Err()
				}
				return f, nil
			}
			wake = p.queue.wake
		}
		if p.stream != nil {
			ended = p.stream.ended
		}
		var err error
		select {
		case <-wake:
		case <-ended:
			err = p.settle()
		case l := <-p.flight.landed:
			err = p.land(l)
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			return frame{}, err
		}
	}
}

// push pushes a message on the stream for more than one.
func (p *pusher) push(ctx context.Context, f frame) error {
	if p.stream == nil {
		stream, err := p.open(ctx)
		if err != nil {
			p.unopened(f, err)
			return err
		}
		p.stream = &pushStream{Stream: stream, opened: time.Now(), ended: make(chan struct{})}
		go p.stream.watch(ctx) // ends with the stream, which close ends
	}
	s := p.stream
	s.remember(f)
	late := time.AfterFunc(PushTimeout, func() { _ = s.Reset() })
	_, err := s.Write(f.data)
	onTime := late.Stop()
	switch {
	case err == nil:
		if s.steady() {
			p.failures = 0
		}
		p.told(f, nil)
		return nil
	case !onTime:
		p.close()
		p.told(f, err) // lost: the client takes nothing
		return err
	}
	select {
	case <-s.ended:
	case <-time.After(endWait):
		_ = s.Reset()
		<-s.ended
	}
	if s.steady() || s.Conn().IsClosed() {
		p.retry(f)
	}
	return p.settle()
}

// settle draws the conclusions of a stream that ended.
func (p *pusher) settle() error {
	s := p.stream
	p.stream = nil
	if s.steady() || s.Conn().IsClosed() || len(s.sent) == 0 {
		return nil
	}
	p.alone = true
	if errors.Is(s.end, io.EOF) {
		p.retry(s.sent[1:]...)
		return nil
	}
	p.retry(s.sent...)
	return errRefused
}

// open opens a stream to the client.
func (p *pusher) open(ctx context.Context) (network.Stream, error) {
	ctx, cancel := context.WithTimeout(network.WithNoDial(ctx, "filter push"), PushTimeout)
	defer cancel()
	return p.h.NewStream(ctx, p.id, PushID)
}

// unopened keeps a message for which no stream could be opened. When the
// client is connected all the same, it is lost.
func (p *pusher) unopened(f frame, err error) {
	if p.h.Network().Connectedness(p.id) == network.Connected {
		p.told(f, err)
		return
	}
	p.retry(f)
}

// retry has messages pushed again before all others.
func (p *pusher) retry(frames ...frame) { p.again = slices.Concat(frames, p.again) }

// giveBack puts what is to be pushed again back into the queue: the client is
// not connected.
func (p *pusher) giveBack() {
	p.queue.back(p.again...)
	p.again = nil
}

// close ends the stream. What the client has not read yet it does not want
// any more.
func (p *pusher) close() {
	if p.stream != nil {
		_ = p.stream.Reset()
		<-p.stream.ended
		p.stream = nil
	}
}
