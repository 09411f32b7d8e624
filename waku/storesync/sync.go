package storesync

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/parley-im/parley/waku/store"
)

const (
	// maxSpans bounds the sessions of one Sync.
	maxSpans = 64
	// minSpan is the shortest stretch of time that is divided further.
	minSpan = int64(time.Second)
)

// Sync makes a span of this archive and of p's equal: it begins a
// reconciliation, sends what p lacks and takes what p sends until all of it is
// there or nothing comes any more. Without pubsub topics the span is of all
// that this node stores. A span too large for one session is divided.
//
// The report counts what was done also when there is an error. ErrScope says
// that p stores nothing of it, ErrUnsupported that p does not serve store sync.
func (s *Service) Sync(ctx context.Context, p peer.ID, span store.Span) (Report, error) {
	if !s.own.Enter(p) {
		if s.ctx.Err() != nil {
			return Report{}, ErrClosed
		}
		return Report{}, ErrBusy
	}
	defer s.own.Leave(p)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	if len(span.PubsubTopics) == 0 {
		span.PubsubTopics = s.cfg.PubsubTopics()
	}
	if len(span.PubsubTopics) == 0 {
		return Report{}, ErrNoTopics
	}
	report, err := s.spans(ctx, p, span)
	if err != nil {
		err = fmt.Errorf("synchronizing the store with %s: %w", p, err)
	}
	s.done(p, report, err)
	return report, err
}

// spans synchronizes a span, in parts where it must be.
func (s *Service) spans(ctx context.Context, p peer.ID, span store.Span) (total Report, err error) {
	todo := []store.Span{span}
	for range maxSpans {
		if len(todo) == 0 {
			return total, nil
		}
		part := todo[len(todo)-1]
		if part.Start < 0 || part.Start >= part.End {
			return total, fmt.Errorf("%w: it begins at %d ns and ends at %d ns", ErrOutside, part.Start, part.End)
		}
		r, err := s.attempt(ctx, p, part)
		total.add(r)
		again := r.Partial && r.Sent+r.Received > 0
		switch {
		case (errors.Is(err, ErrSnapshot) || errors.Is(err, ErrTooLarge)) && part.End-part.Start > minSpan:
			half := part
			half.Start += (part.End - part.Start) / 2
			part.End = half.Start
			todo = append(todo[:len(todo)-1], half, part)
		case err != nil:
			return total, err
		case !again:
			todo = todo[:len(todo)-1]
			total.Missing += r.Missing
			total.Partial = total.Partial || r.Partial
		}
	}
	total.Partial = total.Partial || len(todo) > 0
	return total, nil
}

// attempt synchronizes a span in one session, in the form that p understood
// before or else in one after the other: who does not understand a form ends
// the stream, or answers without a payload.
func (s *Service) attempt(ctx context.Context, p peer.ID, span store.Span) (total Report, err error) {
	forms := []Form{Shards, Topics}
	s.mu.Lock()
	if known, ok := s.forms[p]; ok && known == Topics {
		slices.Reverse(forms)
	}
	s.mu.Unlock()
	if _, _, ok := shardsOf(span.PubsubTopics); !ok {
		forms = []Form{Topics}
	}
	for _, form := range forms {
		var r Report
		var answered bool
		r, answered, err = s.session(ctx, p, span, form)
		total.add(r)
		if answered {
			total.Missing, total.Partial = r.Missing, r.Partial
			s.remember(p, form)
			return total, err
		}
		if ctx.Err() != nil || errors.Is(err, ErrUnsupported) || errors.Is(err, ErrSnapshot) {
			return total, err
		}
	}
	return total, err
}

func (s *Service) remember(p peer.ID, form Form) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.forms) >= maxForms {
		clear(s.forms)
	}
	s.forms[p] = form
}

// session is one reconciliation with what follows from it. It was answered
// when p sent a payload.
func (s *Service) session(ctx context.Context, p peer.ID, span store.Span, form Form) (r Report, answered bool, err error) {
	topics := span.PubsubTopics
	bounds := []Bounds{Between(span.Start, span.End)}
	set, err := snapshot(ctx, s.cfg.Archive, bounds, topics)
	if err != nil {
		return r, false, err
	}
	first := true
	c := &conversation{scope: scopeOf(form, topics)}
	c.prepare = func(in *Payload) (*Set, []Bounds, error) {
		common := in.common(topics)
		if len(common) == 0 {
			return nil, nil, ErrScope
		}
		var err error
		if first && len(common) < len(topics) {
			set, err = snapshot(ctx, s.cfg.Archive, bounds, common)
		}
		first = false
		return set, bounds, err
	}
	a := s.ledger.begin(p, time.Now())
	err = s.reconcile(ctx, p, c, Open(set, span.Start, span.End))
	asked := s.ledger.end(a, c.found.Want, true, time.Now())
	answered = c.rounds > 0 && !(c.rounds == 1 && errors.Is(err, ErrScope))
	r = Report{Sessions: 1, Rounds: c.rounds, BytesIn: c.in, BytesOut: c.out, Partial: c.partial(asked)}
	if err != nil {
		r.Missing = asked
		return r, answered, err
	}
	r.Sent, r.BytesSent, err = s.transfer(ctx, p, c.found.Have)
	r.Missing = s.await(ctx, a)
	r.Received = max(0, asked-r.Missing)
	if err == nil {
		err = ctx.Err()
	}
	return r, answered, err
}

// reconcile begins a conversation.
func (s *Service) reconcile(ctx context.Context, p peer.ID, c *conversation, ranges []Range) (err error) {
	stream, err := open(ctx, s.h, p, ReconcileID)
	if err != nil {
		return err
	}
	g := watch(ctx, stream)
	defer func() { g.release(err) }()
	c.s, c.r = g, bufio.NewReader(g)
	if err := c.send(ranges); err != nil {
		return err
	}
	return c.run()
}

// open opens a stream; ErrUnsupported tells that p does not speak the
// protocol.
func open(ctx context.Context, h host.Host, p peer.ID, id protocol.ID) (network.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, StallTimeout)
	defer cancel()
	stream, err := h.NewStream(ctx, p, id)
	if err == nil {
		return stream, nil
	}
	if known, kerr := h.Peerstore().GetProtocols(p); kerr == nil && len(known) > 0 && !slices.Contains(known, id) {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return nil, err
}

// await waits until all that was asked for is there, or nothing has come for
// StallTimeout; it returns how much is missing.
func (s *Service) await(ctx context.Context, a *account) int {
	stall := time.NewTimer(StallTimeout)
	defer stall.Stop()
	for {
		missing, changed := s.ledger.missing(a)
		if missing == 0 {
			return 0
		}
		select {
		case <-changed:
			stall.Reset(StallTimeout)
			continue
		case <-stall.C:
		case <-ctx.Done():
		}
		s.ledger.forget(a)
		return missing
	}
}
