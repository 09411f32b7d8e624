package filter

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/rpc"
)

const (
	// MaxPush is the largest push read, in bytes.
	MaxPush = message.MaxSize + 1024
	// MaxPushStreams bounds the pushes of one peer that are under way.
	MaxPushStreams = 256
	// rateRetries is how often a request is repeated that the peer answers
	// with StatusTooMany, after rateDelay, doubling. Deployed services take
	// one request a second.
	rateRetries = 5
	rateDelay   = 1100 * time.Millisecond
	// leaveTimeout bounds the farewell to one peer.
	leaveTimeout = 2 * time.Second
)

// caller sends a request to a peer and returns its response.
type caller func(context.Context, peer.ID, *wakupb.FilterSubscribeRequest) (*wakupb.FilterSubscribeResponse, error)

// streamCaller sends each request on a stream of its own.
func streamCaller(h host.Host) caller {
	return func(ctx context.Context, p peer.ID, req *wakupb.FilterSubscribeRequest) (*wakupb.FilterSubscribeResponse, error) {
		resp := new(wakupb.FilterSubscribeResponse)
		_, err := rpc.Do(ctx, h, p, rpc.Call{Protocol: SubscribeID, Request: req, Response: resp, MaxResponse: MaxResponse})
		return resp, err
	}
}

// session is the subscription at one peer.
type session struct {
	client *Client
	id     peer.ID
	ctx    context.Context
	cancel context.CancelCauseFunc
	woken  chan struct{}

	// Guarded by client.mu.
	asked    criteria // requested and not taken back
	active   bool     // all that is wanted is subscribed
	lastPing time.Time
}

func (s *session) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// run keeps the subscription in step with what is wanted and alive, until
// nothing is wanted (nil), the peer fails, or the client closes.
func (s *session) run() (err error) {
	defer func() {
		if err == nil || s.client.ctx.Err() != nil {
			s.leave()
		}
	}()
	timer := time.NewTimer(s.client.cfg.PingInterval)
	defer timer.Stop()
	for {
		more, err := s.sync()
		if errors.Is(err, ErrNoSubscription) && s.lost() {
			continue
		}
		if err != nil || !more {
			return err
		}
		select {
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		case <-s.woken:
			continue
		case <-timer.C:
		}
		sent := time.Now()
		err = s.request(ping, batch{})
		switch {
		case errors.Is(err, ErrNoSubscription):
			s.lost()
		case err != nil:
			return err
		default:
			s.alive(sent)
		}
		timer.Reset(s.client.cfg.PingInterval)
	}
}

// sync requests the difference between what is wanted and what was asked
// for. It returns false when nothing is wanted.
func (s *session) sync() (more bool, err error) {
	c := s.client
	c.mu.Lock()
	wanted, changes := c.wanted, c.changes
	add, drop := wanted.minus(s.asked), s.asked.minus(wanted)
	for k := range add { // pushes may come before the response
		s.asked[k] = struct{}{}
		s.active = false
	}
	c.mu.Unlock()
	if len(wanted) == 0 {
		return false, nil
	}
	for _, b := range add.batches() {
		if err := s.request(subscribe, b); err != nil {
			return true, err
		}
	}
	for _, b := range drop.batches() {
		if err := s.request(unsubscribe, b); err != nil {
			return true, err
		}
	}
	c.mu.Lock()
	for k := range drop {
		delete(s.asked, k)
	}
	if c.changes != changes {
		c.mu.Unlock()
		return true, nil // woken already, to do the rest
	}
	s.active = true
	since, gap := c.cover.begin(s.id, time.Now())
	c.mu.Unlock()
	c.report(since, gap)
	return true, nil
}

// lost starts over with a peer that forgot the subscription. It returns false
// when the peer did not even take it.
func (s *session) lost() bool {
	c := s.client
	c.mu.Lock()
	known := s.active
	s.asked, s.active = make(criteria), false
	since, gap := c.cover.end(s.id)
	c.mu.Unlock()
	c.report(since, gap)
	return known
}

// alive notes a ping sent at a time and answered.
func (s *session) alive(sent time.Time) {
	c := s.client
	c.mu.Lock()
	s.lastPing = sent
	delete(c.retries, s.id)
	since, gap := c.cover.confirm(s.id, sent)
	c.mu.Unlock()
	c.report(since, gap)
}

// leave takes the subscription back; failures do not matter.
func (s *session) leave() {
	c := s.client
	c.mu.Lock()
	subscribed := len(s.asked) > 0
	c.mu.Unlock()
	if !subscribed {
		return
	}
	ctx, cancel := context.WithTimeout(network.WithNoDial(context.Background(), "filter farewell"), leaveTimeout)
	defer cancel()
	_, _ = c.call(ctx, s.id, &wakupb.FilterSubscribeRequest{RequestId: rand.Text(), FilterSubscribeType: unsubscribeAll})
}

// request makes one request, again when the peer limits their rate.
func (s *session) request(kind wakupb.FilterSubscribeRequest_FilterSubscribeType, b batch) error {
	delay := rateDelay
	for try := 0; ; try++ {
		err := s.once(kind, b)
		if err == nil || !errors.Is(err, ErrTooMany) || try == rateRetries {
			return err
		}
		select {
		case <-time.After(delay):
			delay *= 2
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
	}
}

func (s *session) once(kind wakupb.FilterSubscribeRequest_FilterSubscribeType, b batch) error {
	ctx, cancel := context.WithTimeout(s.ctx, RequestTimeout)
	defer cancel()
	req := &wakupb.FilterSubscribeRequest{RequestId: rand.Text(), FilterSubscribeType: kind, ContentTopics: b.contents}
	if b.pubsub != "" {
		req.PubsubTopic = &b.pubsub
	}
	resp, err := s.client.call(ctx, s.id, req)
	if cause := context.Cause(s.ctx); err != nil && cause != nil {
		return cause
	}
	if err != nil {
		return fmt.Errorf("filter request: %w", err)
	}
	return check(req.RequestId, resp)
}

// check reads the response to the request with an id.
func check(id string, resp *wakupb.FilterSubscribeResponse) error {
	if err := statuses.Check(resp.GetStatusCode(), resp.GetStatusDesc()); err != nil {
		return err
	}
	if resp.GetRequestId() != id {
		return fmt.Errorf("%w: it answers another request", ErrResponse)
	}
	return nil
}

// receive reads the pushes of a stream: one from most services, all of them
// from one that keeps its stream (nwaku).
func (c *Client) receive(stream network.Stream) {
	p := stream.Conn().RemotePeer()
	if !c.subscribedAt(p) || !c.gate.Enter(p) {
		_ = stream.Reset()
		return
	}
	defer c.gate.Leave(p)
	stop := context.AfterFunc(c.ctx, func() { _ = stream.Reset() })
	defer stop()
	_ = stream.SetReadDeadline(time.Now().Add(PushTimeout))
	r := bufio.NewReader(stream)
	for {
		err := c.receiveOne(p, r, stream.SetReadDeadline)
		switch {
		case errors.Is(err, io.EOF):
			_ = stream.Close()
			return
		case err != nil:
			_ = stream.Reset()
			c.log.Debug("filter push unread", "peer", p, "cause", err)
			return
		}
	}
}

// receiveOne reads one push and gives it on if it was asked for. It leaves no
// deadline for the next one to begin. A clean end before it is io.EOF.
func (c *Client) receiveOne(p peer.ID, r *bufio.Reader, setDeadline func(time.Time) error) error {
	if _, err := r.Peek(1); err != nil {
		return err
	}
	_ = setDeadline(time.Now().Add(PushTimeout))
	var push wakupb.MessagePush
	if err := wire.Read(r, MaxPush, &push); err != nil {
		return err
	}
	_ = setDeadline(time.Time{})
	if !c.subscribedAt(p) {
		return errUnwanted
	}
	pubsub, err := c.match(p, &push)
	if err != nil {
		c.log.Debug("filter push dropped", "peer", p, "cause", err)
		return nil
	}
	c.cfg.OnMessage(pubsub, push.WakuMessage)
	return nil
}

func (c *Client) subscribedAt(p peer.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[p] != nil
}

// errUnwanted is a push that matches no active subscription.
var errUnwanted = errors.New("matches no subscription")

// match returns the pubsub topic of a push, which must match what was asked
// of the peer and is still wanted (12/WAKU2-FILTER, Message Push). A push may
// lack the pubsub topic; it is then known if only one is wanted with the
// content topic.
func (c *Client) match(p peer.ID, push *wakupb.MessagePush) (string, error) {
	if err := message.Validate(push.GetWakuMessage()); err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[p]
	if s == nil {
		return "", errUnwanted
	}
	content := push.WakuMessage.GetContentTopic()
	matches := func(k criterion) bool {
		_, asked := s.asked[k]
		_, wanted := c.wanted[k]
		return asked && wanted
	}
	if pubsub := push.GetPubsubTopic(); pubsub != "" {
		if !matches(criterion{pubsub, content}) {
			return "", errUnwanted
		}
		return pubsub, nil
	}
	found := ""
	for k := range s.asked {
		if k.content == content && matches(k) {
			if found != "" {
				return "", fmt.Errorf("%w: no pubsub topic", errUnwanted)
			}
			found = k.pubsub
		}
	}
	if found == "" {
		return "", errUnwanted
	}
	return found, nil
}
