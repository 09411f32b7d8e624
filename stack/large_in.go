package stack

import (
	"encoding/hex"

	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/waku/segment"
)

// receiving tells how far a large message of others is, and which ones had to
// give way to it.
func (s *Stack) receiving(t *step, taken segment.Taken) error {
	for _, o := range taken.Dropped {
		if err := s.tellIncoming(t, o, view.TransferGivenUp, nil); err != nil {
			return err
		}
	}
	o := taken.Of
	if !taken.New || o.Need == 0 || o.Have > 1 && transferStep(o.Have-1, o.Need) == transferStep(o.Have, o.Need) {
		return nil
	}
	return s.tellIncoming(t, o, view.TransferActive, nil)
}

// completed takes a large message further up the road and tells what was in it
// that was not here.
func (s *Stack) completed(t *step, o segment.Open, further func(t *step) error) error {
	before := len(t.delivered)
	if err := further(t); err != nil {
		return err
	}
	return s.tellIncoming(t, o, view.TransferComplete, t.delivered[before:])
}

// tellIncoming tells the event stream of a transfer of others. Strangers can
// begin as many as they like; only what came through is news then.
func (s *Stack) tellIncoming(t *step, o segment.Open, state view.TransferState, messages []message.ID) error {
	from, err := t.Contact(o.From)
	if err != nil || from.Blocked || len(messages) == 0 && from.State() == contact.None {
		return err
	}
	v := view.Transfer{
		ID: "0x" + hex.EncodeToString(o.Hash[:]), Direction: view.TransferIn, Messages: messages,
		Done: o.Have, Of: o.Need, Bytes: o.Length, State: state,
	}.WithPeer(o.From)
	return s.tellOf(t, v)
}

// purgeLarge forgets large messages that will not be complete any more, ours
// and those of others.
func (s *Stack) purgeLarge(t *step) error {
	stale, err := s.segments.Purge(t.Core("segment"), t.now)
	if err != nil {
		return err
	}
	for _, o := range stale {
		if err := s.tellIncoming(t, o, view.TransferGivenUp, nil); err != nil {
			return err
		}
	}
	undone, err := t.PurgeTransfers(t.now.Add(-transfersKept))
	if err != nil {
		return err
	}
	for _, large := range undone {
		if err := s.tellTransfer(t, large, view.TransferGivenUp); err != nil {
			return err
		}
	}
	return nil
}
