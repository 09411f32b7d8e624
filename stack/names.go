package stack

import (
	"errors"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/ens"
	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// claimed takes note of the ENS name that somebody claims, when it changed:
// whoever has an Ethereum node looks it up.
func (s *Stack) claimed(t *step, before, after contact.Contact) error {
	if before.ENSName == after.ENSName {
		return nil
	}
	id := after.Key.CompressedHex()
	known, _, err := storage.GetRecord[ens.Claim](t.Tx, storage.ENSClaims, id)
	if err != nil {
		return err
	}
	known.Key = after.Key
	next, err := known.Receive(after.ENSName, max(after.UpdatedClock, known.Clock+1))
	if err != nil {
		return nil //nolint:nilerr // what is no name is no claim
	}
	if next.Name == "" {
		return storage.DeleteRecord(t.Tx, storage.ENSClaims, id)
	}
	t.claims = true
	return storage.PutRecord(t.Tx, storage.ENSClaims, id, next)
}

// DueClaims returns the claims of ENS names that are to be looked up now, and
// when the next one is, the zero time for never.
func (s *Stack) DueClaims() (due []ens.Claim, next time.Time, err error) {
	now := s.now()
	err = s.db.View(func(tx *storage.Tx) error {
		all, err := storage.Records[ens.Claim](tx, storage.ENSClaims, "")
		for _, r := range all {
			if r.Value.Due(now) {
				due = append(due, r.Value)
			} else if at, ok := r.Value.NextTry(); ok && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
		return err
	})
	return due, next, err
}

// ClaimsChanged is signalled when there are claims to look up.
func (s *Stack) ClaimsChanged() <-chan struct{} { return s.wakeClaims }

// Looked takes over what looking up somebody's ENS name has shown.
func (s *Stack) Looked(who key.Public, name string, outcome ens.Outcome) error {
	return s.update(func(t *step) error {
		id := who.CompressedHex()
		claim, ok, err := storage.GetRecord[ens.Claim](t.Tx, storage.ENSClaims, id)
		if err != nil || !ok {
			return err
		}
		claim = claim.Looked(name, outcome, t.now)
		if err := storage.PutRecord(t.Tx, storage.ENSClaims, id, claim); err != nil {
			return err
		}
		before, err := t.Contact(who)
		if err != nil {
			return err
		}
		after := before.WithENS(claim.Name, claim.State == ens.Verified)
		if after == before {
			return nil
		}
		if err := t.PutContact(after); err != nil {
			return err
		}
		return s.contactEvent(t, after)
	})
}

// pictured stores the profile pictures of somebody's newest identity, those
// that we can see and that are fit to be shown.
func (s *Stack) pictured(t *step, who key.Public, clock uint64, images contact.Pictures) error {
	set, bad := picture.Fit(picture.Unseal(s.identity, who, images))
	for _, err := range bad {
		s.counters.add("picture: " + cause(err))
	}
	changed := false
	for _, name := range []string{picture.Thumbnail, picture.Large} {
		before, known, err := t.Picture(who, name)
		if err != nil {
			return err
		}
		p, there := set[name]
		switch {
		case !there && !known:
			continue
		case !there:
			err = t.DeletePicture(who, name)
		case string(before.Data) == string(p.Data):
			continue
		default:
			err = t.PutPicture(who, name, storage.Picture{Clock: clock, Data: p.Data})
		}
		if err != nil {
			return err
		}
		changed = true
	}
	if !changed {
		return nil
	}
	return t.event(EventPicture, view.ContactPicture{Person: view.NewPerson(who), There: len(set) > 0})
}

// ErrNoPicture means that somebody has no profile picture that we can see.
var ErrNoPicture = errors.New("no picture")

// ProfilePicture returns somebody's picture, or our own, encoded; name is
// "thumbnail" or "large". Errors: ErrNoPicture.
func (s *Stack) ProfilePicture(who key.Public, name string) (data []byte, err error) {
	if who == s.Self() {
		data, _, err = s.OwnPicture(name)
		return data, err
	}
	err = s.db.View(func(tx *storage.Tx) error {
		p, ok, err := tx.Picture(who, name)
		if err == nil && !ok {
			err = ErrNoPicture
		}
		data = p.Data
		return err
	})
	return data, err
}
