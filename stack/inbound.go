package stack

import (
	"errors"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/encryption/session"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/payload"
	"github.com/parley-im/parley/waku/segment"
)

// Receive is the road in, one envelope in one transaction:
//
//	WakuMessage → open payload → reassemble → decrypt → reliability → message → handler
//
// Each layer tries and, where the bytes are not its own, lets them fall
// through to the next, as deployed clients do. A frame that fails changes
// nothing but the mark that it was seen. The only errors are those of the
// database.
func (s *Stack) Receive(e Envelope) error {
	if e.Stored && !e.lookedUp {
		if seen, err := s.seen(e); seen || err != nil {
			return err
		}
	}
	opened, community, err := s.unseal(e)
	if err != nil {
		s.counters.add("envelope: " + err.Error())
		s.foreign.note(e.Hash)
		return nil
	}
	s.traffic(e, false, 0)
	e.community = community
	return s.update(func(t *step) error {
		fresh, err := t.MarkSeen(e.Hash, t.now)
		// What a channel lacks it may have seen when it had no room for it, or
		// before the community was left and followed again. On topics of
		// communities, nothing happens twice for that.
		again := e.lookedUp && !community.IsZero()
		if err != nil || !fresh && !again {
			return err
		}
		err = t.try(func(t *step) error {
			err := s.open(t, e, opened)
			if errors.Is(err, errWaiting) {
				return nil // nothing is wrong, and the segment must be kept
			}
			return err
		})
		return s.judge(t, e, opened.Signer, err)
	})
}

func (s *Stack) seen(e Envelope) (seen bool, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		seen, err = tx.Seen(e.Hash)
		return err
	})
	return seen, err
}

// Errors of the road itself.
var (
	errNotOurs  = errors.New("not for any of our topics and keys")
	errUnsigned = errors.New("payload without a signature")
	errPassedOn = errors.New("signed by somebody else than its sender")
	errBlocked  = errors.New("from a blocked contact")
	errKnown    = errors.New("application message already handled")
	errWaiting  = errors.New("segment of a payload that is not complete now")
)

// unseal opens the Waku payload with the keys of its content topic, and tells of
// which community's topics that is one.
func (s *Stack) unseal(e Envelope) (opened *payload.Opened, community key.Public, err error) {
	for _, f := range (*s.filters.Load())[e.Message.GetContentTopic()] {
		if f.private.IsZero() {
			opened, err = payload.OpenSymmetric(e.Message.GetPayload(), f.symmetric)
		} else {
			opened, err = payload.OpenAsymmetric(e.Message.GetPayload(), f.private)
		}
		if err != nil {
			continue
		}
		if opened.Signer.IsZero() {
			return nil, community, errUnsigned
		}
		return opened, f.community, nil
	}
	return nil, community, errNotOurs
}

// open is the road above the Waku payload.
func (s *Stack) open(t *step, e Envelope, opened *payload.Opened) error {
	taken, err := s.reassemble(t, opened)
	if err != nil {
		return err
	}
	if taken.Status == segment.Complete {
		e.parted = true
		return s.completed(t, taken.Of, func(t *step) error { return s.above(t, e, opened.Signer, taken.Payload) })
	}
	return s.above(t, e, opened.Signer, taken.Payload)
}

// above is the road above the segments.
func (s *Stack) above(t *step, e Envelope, from key.Public, whole []byte) error {
	inner, public, err := s.decrypt(t, from, whole)
	if err != nil {
		return err
	}
	t.rang = t.rang || from == s.Self() && !e.Stored
	if !e.community.IsZero() {
		return s.fromCommunity(t, e, from, inner)
	}
	var bodies [][]byte
	if len(inner) > 0 {
		if bodies, err = s.reliable(t, from, inner, public); err != nil {
			return err
		}
	}
	if !public {
		if err := s.showsUp(t, from, time.Unix(0, e.Message.GetTimestamp())); err != nil {
			return err
		}
	}
	for _, body := range bodies {
		if err := s.deliverAlone(t, e, from, body); err != nil {
			return err
		}
	}
	return nil
}

// deliverAlone delivers one application message. One that is bad does not take
// the others with it.
func (s *Stack) deliverAlone(t *step, e Envelope, from key.Public, raw []byte) error {
	err := t.try(func(t *step) error { return s.deliver(t, e, from, raw) })
	if errors.Is(err, storage.ErrIO) {
		return err
	}
	if err != nil && !errors.Is(err, errKnown) {
		s.counters.add("message: " + cause(err))
		s.log.Debug("message dropped", "from", from, "envelope", e.Hash, "cause", err)
	}
	return nil
}

// reassemble passes on what is no segment and what completes a payload.
func (s *Stack) reassemble(t *step, opened *payload.Opened) (segment.Taken, error) {
	taken, err := s.segments.Take(t.Core("segment"), t.now, opened.Signer, opened.Payload)
	if err != nil {
		return taken, err
	}
	switch taken.Status {
	case segment.Whole, segment.Complete:
		return taken, nil
	}
	if err := s.receiving(t, taken); err != nil {
		return taken, err
	}
	return taken, errWaiting
}

// decrypt takes the encryption layer off, where there is one. It returns
// nothing when the message has nothing for this device.
func (s *Stack) decrypt(t *step, from key.Public, data []byte) (inner []byte, public bool, err error) {
	core := t.Core("session")
	opened, err := s.session.Open(core, t.now, s.rand, from, data)
	switch {
	case errors.Is(err, session.ErrNotProtocolMessage):
		return data, false, nil
	case errors.Is(err, session.ErrOwnEcho):
		return nil, false, nil
	case errors.Is(err, session.ErrNotForUs), errors.Is(err, session.ErrNotPaired), errors.Is(err, session.ErrGroupKey):
		// Its bundle is as good as any, and where the sender does not know
		// this device, it is told.
		beside := besideKeys(data)
		if beside == nil {
			s.counters.add("not for this device: " + cause(err))
		}
		found, learnErr := s.session.Learn(core, t.now, from, data)
		if learnErr == nil && from == s.Self() {
			learnErr = s.foundDevices(t, found)
		}
		if learnErr != nil {
			return nil, false, learnErr
		}
		if errors.Is(err, session.ErrNotForUs) {
			return nil, false, s.introduce(t, from, false)
		}
		return beside, beside != nil, nil
	case err != nil:
		return nil, false, unreadable{err, data}
	}
	if err := s.sessions(t, from, opened); err != nil {
		return nil, false, err
	}
	// A public message makes nothing new to listen to: in a community, everybody's
	// first one would have all of its history fetched again.
	if opened.SecretNew || !opened.Public && len(opened.NewInstallations) > 0 {
		t.resubscribe = true
	}
	if from == s.Self() {
		if err := s.foundDevices(t, opened.NewInstallations); err != nil {
			return nil, false, err
		}
	}
	return opened.Payload, opened.Public, nil
}

// reliable takes MVDS off: acknowledgements become delivery states, messages go
// on. Everything that was received is acknowledged with the next payload.
func (s *Stack) reliable(t *step, from key.Public, data []byte, public bool) ([][]byte, error) {
	p, err := mvds.Decode(data)
	if public || errors.Is(err, mvds.ErrNotPayload) {
		return [][]byte{data}, nil
	}
	if err != nil {
		return nil, err
	}
	received, err := s.mvds.Receive(t.Core("mvds"), t.now, s.rand, from, p)
	if err != nil {
		return nil, err
	}
	s.synced.add(from, mvds.Usage{}, p.Usage())
	t.flush, t.heard = true, t.heard || len(received.Messages) > 0
	for _, id := range received.Acked {
		if err := s.acknowledged(t, id, from); err != nil {
			return nil, err
		}
	}
	bodies := make([][]byte, 0, len(received.Messages))
	for _, m := range received.Messages {
		bodies = append(bodies, m.Body)
	}
	return bodies, nil
}

// acknowledged moves a message of ours to delivered.
func (s *Stack) acknowledged(t *step, id mvds.MessageID, by key.Public) error {
	ref, ok, err := t.Ref(id)
	if err != nil || !ok {
		return err
	}
	if err := t.DeleteRef(id); err != nil {
		return err
	}
	app := message.ID(ref.ApplicationId)
	if err := s.setState(t, app, view.StateChange{State: chat.Delivered, By: by}); err != nil {
		return err
	}
	return s.forgetAcknowledged(t, app, message.Type(ref.Type), by)
}

// incoming is an application message with where it came from.
type incoming struct {
	*message.Message
	// at is the Waku timestamp cut to seconds, the reference of clock rules.
	at time.Time
	// aside tells that it came to us, not on a topic of a community. It is not
	// known of what has waited.
	aside bool
}

// deliver hands one application message to the handler of its type, once.
func (s *Stack) deliver(t *step, e Envelope, from key.Public, raw []byte) error {
	m, err := message.Open(raw, from)
	if err != nil {
		return err
	}
	sender, err := t.Contact(m.Author)
	if err != nil {
		return err
	}
	if sender.Blocked {
		return errBlocked
	}
	fresh, err := t.MarkDelivered(m.ID, t.now)
	if err != nil {
		return err
	}
	if !fresh {
		return errKnown
	}
	t.delivered = append(t.delivered, m.ID)
	do := s.handler(m.Type)
	if s.onDecoded != nil {
		s.onDecoded(Decoded{Message: m, Envelope: e, Handled: do != nil})
	}
	if do == nil {
		s.counters.add("not handled: " + message.Name(m.Type))
		return nil
	}
	// Whoever is written to could pass the signed message on, as if it had been
	// written to us.
	if m.Author != from && !mayBePassedOn(e.community, m) {
		return errPassedOn
	}
	at := time.Unix(0, e.Message.GetTimestamp())
	if e.said.After(at) {
		at = e.said
	}
	return s.handle(t, incoming{m, at.Truncate(time.Second), e.community.IsZero()}, do)
}

// judge decides what a failed frame means. Only an error of the database is
// returned.
func (s *Stack) judge(t *step, e Envelope, from key.Public, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, storage.ErrIO):
		return err
	}
	s.counters.add("frame: " + cause(err))
	s.log.Debug("frame dropped", "from", from, "envelope", e.Hash, "cause", err)
	news := true
	if u, ok := errors.AsType[unreadable](err); ok && session.MeansBroken(u) {
		healErr := t.try(func(t *step) (err error) {
			news, err = s.heal(t, from, u)
			return err
		})
		if err := s.dropped(healErr); err != nil {
			return err
		}
	}
	// Strangers can send rubbish without end; only acquaintances are news.
	known, findErr := t.Contact(from)
	if findErr != nil || !news || known.Blocked || known.State() == contact.None {
		return findErr
	}
	return t.event(EventUndecryptable, view.NewUndecryptable(from, e.Hash.String(), err))
}

// cause is the text of what is at the bottom of an error, of several errors that
// of the first: a bounded set, good for counting. What is above may quote what
// others sent.
func cause(err error) string {
	for {
		var inner error
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			inner = e.Unwrap()
		case interface{ Unwrap() []error }:
			if all := e.Unwrap(); len(all) > 0 {
				inner = all[0]
			}
		}
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
