package stack

import (
	"encoding/hex"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/encryption/session"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/storage"
)

const (
	// contactCodeMark is when our contact code was published last.
	contactCodeMark = "contact code"
	// purgeMark is when old marks were forgotten last.
	purgeMark     = "purge"
	purgeInterval = 24 * time.Hour
	// marksKept is for how long envelopes and messages are known again. It
	// covers what store nodes keep.
	marksKept = 45 * 24 * time.Hour
)

// advertise publishes the contact code when it is due (53/WAKU2-X3DH, Bundle
// distribution).
func (s *Stack) advertise(t *step) error {
	last, err := t.Mark(contactCodeMark)
	if err != nil {
		return err
	}
	if session.NextAdvertisement(last, t.now).After(t.now) {
		return nil
	}
	return s.publishContactCode(t)
}

// publishContactCode publishes our bundle and who we are on our contact code
// topic.
func (s *Stack) publishContactCode(t *step) error {
	identity, err := s.introduction(t)
	if err != nil {
		return err
	}
	body, err := message.Encode(contact.ContactCode(identity))
	if err != nil {
		return err
	}
	if _, err := s.send(t, outgoing{typ: apppb.ApplicationMetadataMessage_CONTACT_CODE_ADVERTISEMENT, body: body}); err != nil {
		return err
	}
	return t.SetMark(contactCodeMark, t.now)
}

// identify tells somebody who we are, when they have not been told for a day or
// it has changed since.
func (s *Stack) identify(t *step, to key.Public) error {
	digest, err := s.saying(t)
	if err != nil {
		return err
	}
	// What we say is part of the name, so that a change is due at once.
	mark := "identity " + hex.EncodeToString(digest[:8]) + " " + to.CompressedHex()
	last, err := t.Mark(mark)
	if err != nil || !last.IsZero() && t.now.Sub(last) < contact.IdentityInterval {
		return err
	}
	identity, err := s.introduction(t)
	if err != nil {
		return err
	}
	if err := s.tell(t, to, apppb.ApplicationMetadataMessage_CHAT_IDENTITY, identity); err != nil {
		return err
	}
	return t.SetMark(mark, t.now)
}

// introduce answers somebody who does not know this device, or what has become of
// it (loss), with nothing but our bundle.
func (s *Stack) introduce(t *step, to key.Public, loss bool) error {
	if c, err := t.Contact(to); err != nil || c.Blocked {
		return err
	}
	seal := s.session.SealAdvertisement
	if loss {
		seal = s.session.SealLoss
	}
	sealed, err := seal(t.Core("session"), t.now, s.rand, to)
	if err != nil || sealed == nil {
		return err
	}
	return s.shipAdvert(t, to, sealed)
}

// purge forgets what is too old to come again.
func (s *Stack) purge(t *step) error {
	last, err := t.Mark(purgeMark)
	if err != nil || t.now.Sub(last) < purgeInterval {
		return err
	}
	if _, err := t.PurgeMarks(t.now.Add(-marksKept)); err != nil {
		return err
	}
	if err := s.purgeLarge(t); err != nil {
		return err
	}
	if err := s.session.PurgeBreaks(t.Core("session"), t.now); err != nil {
		return err
	}
	if _, err := t.PurgeForeign(t.now.Add(-marksKept)); err != nil {
		return err
	}
	if n, err := t.ExpireWaiting(t.now); err != nil || n == storage.WorkSlice {
		return err // there may be more, at the next tick
	}
	n, err := s.mvds.Purge(t.Core("mvds"), t.now)
	if err != nil || n == mvds.PurgeBatch {
		return err // there may be more, at the next tick
	}
	return t.SetMark(purgeMark, t.now)
}
