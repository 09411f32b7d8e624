package stack

import (
	"errors"
	"image"
	"time"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/storage"
)

// Settings of what others are told about us.
const (
	ownProfile = "own profile"
	ownPicture = "own picture"
)

// self is what others are told about us.
type self struct {
	contact.Profile
	pictures ownPictures
	// digest changes with any of it.
	digest contact.Digest
}

// ownPictures are the pictures of our own profile and who may see them.
type ownPictures struct {
	ShowTo picture.ShowTo `json:"show_to,omitempty"`
	Set    picture.Set    `json:"set,omitempty"`
}

// profileRecord is a profile that was set at run time.
type profileRecord struct {
	Profile contact.Profile `json:"profile"`
	// Configured is the one in the configuration that it took the place of.
	// When there is another one now, that is the newer word.
	Configured contact.Profile `json:"configured"`
}

// loadSelf finds out what others are told about us.
func (s *Stack) loadSelf(configured contact.Profile) error {
	s.configured = configured
	me := self{Profile: configured}
	err := s.db.View(func(tx *storage.Tx) error {
		r, ok, err := storage.GetRecord[profileRecord](tx, storage.Settings, ownProfile)
		if err != nil {
			return err
		}
		if ok && r.Configured == configured {
			me.Profile = r.Profile
		}
		me.pictures, _, err = storage.GetRecord[ownPictures](tx, storage.Settings, ownPicture)
		return err
	})
	s.become(me)
	return err
}

// become makes something what others are told about us.
func (s *Stack) become(me self) {
	me.digest = me.Digest(me.pictures.open())
	s.me.Store(&me)
}

// open are the pictures as everybody would see them whom they are shown to.
func (p ownPictures) open() contact.Pictures {
	if p.ShowTo != picture.Everyone && p.ShowTo != picture.ContactsOnly {
		return nil
	}
	return p.Set.Wire()
}

// Profile returns what others are told about us.
func (s *Stack) Profile() contact.Profile { return s.me.Load().Profile }

// SetProfile changes what others are told about us, at once and for good: it
// takes the place of the configured profile until that changes. The ENS name
// stays.
func (s *Stack) SetProfile(name, bio string, color uint32) (contact.Profile, error) {
	s.meMu.Lock()
	defer s.meMu.Unlock()
	me := *s.me.Load()
	p, err := contact.Profile{DisplayName: name, ENSName: me.ENSName, Bio: bio, Color: color}.Check(account.IsAlias)
	if err != nil {
		return me.Profile, fault.Wrap(fault.Usage, "changing the profile", err)
	}
	me.Profile = p
	return p, s.present(me, ownProfile, profileRecord{p, s.configured})
}

// SetPicture gives our profile a picture, encoded in any form that app/picture
// reads: its middle is shown in two sizes, without metadata, to everyone or to
// the contacts we added.
func (s *Stack) SetPicture(data []byte, showTo picture.ShowTo) error {
	if _, err := picture.ParseShowTo(string(showTo)); err != nil {
		return fault.Wrap(fault.Usage, "changing the profile picture", err)
	}
	set, err := picture.Profile(data, image.Rectangle{})
	if err != nil {
		return fault.Wrap(fault.Usage, "the picture cannot be used", err)
	}
	return s.showPictures(ownPictures{showTo, set})
}

// ClearPicture takes the picture of our profile away.
func (s *Stack) ClearPicture() error { return s.showPictures(ownPictures{}) }

func (s *Stack) showPictures(p ownPictures) error {
	s.meMu.Lock()
	defer s.meMu.Unlock()
	me := *s.me.Load()
	me.pictures = p
	return s.present(me, ownPicture, p)
}

// OwnPicture returns the picture of our own profile, encoded, and who may see
// it; name is as for ProfilePicture. Errors: ErrNoPicture.
func (s *Stack) OwnPicture(name string) ([]byte, picture.ShowTo, error) {
	p := s.me.Load().pictures
	shown, ok := p.Set[name]
	if !ok {
		return nil, "", ErrNoPicture
	}
	return shown.Data, p.ShowTo, nil
}

// present stores a part of what others are told about us and tells them: by the
// contact code at once, and one after the other by contact updates.
func (s *Stack) present(me self, setting string, record any) error {
	err := s.update(func(t *step) error {
		if err := storage.PutRecord(t.Tx, storage.Settings, setting, record); err != nil {
			return err
		}
		shown, err := s.showProfile(t.Tx, &me, t.now)
		if err != nil {
			return err
		}
		return t.event(EventProfile, shown)
	})
	if err != nil {
		return err
	}
	s.become(me)
	return s.update(func(t *step) error {
		t.flush = true // for the schedule to look after the contact updates
		return s.publishContactCode(t)
	})
}

// audienceOfPictures are the contacts that we added, when they alone may see
// our pictures.
func (s *Stack) audienceOfPictures(t *step, me *self) (all []key.Public, err error) {
	if me.pictures.ShowTo != picture.ContactsOnly || len(me.pictures.Set) == 0 {
		return nil, nil
	}
	contacts, err := t.Contacts()
	for _, c := range contacts {
		if c.Local == contact.Sent && !c.Blocked && len(all) < picture.MaxKeys {
			all = append(all, c.Key)
		}
	}
	return all, err
}

// saying is the digest of what we say of ourselves and of who may see it.
func (s *Stack) saying(t *step) (contact.Digest, error) {
	me := s.me.Load()
	viewers, err := s.audienceOfPictures(t, me)
	if err != nil || len(viewers) == 0 {
		return me.digest, err
	}
	pictures := me.pictures.open()
	for _, p := range pictures {
		for _, k := range viewers {
			p.EncryptionKeys = append(p.EncryptionKeys, k.Bytes())
		}
	}
	return me.Digest(pictures), nil
}

// introduction is what we say of ourselves, with the pictures as those may see
// them whom they are for.
func (s *Stack) introduction(t *step) (*apppb.ChatIdentity, error) {
	me := s.me.Load()
	at, err := s.introductionTime(t)
	if err != nil || len(me.pictures.Set) == 0 {
		return me.Identity(at), err
	}
	viewers, err := s.audienceOfPictures(t, me)
	if err != nil {
		return nil, err
	}
	images, err := picture.Showing{To: me.pictures.ShowTo, Own: s.identity, Contacts: viewers}.Images(s.rand, me.pictures.Set)
	if errors.Is(err, picture.ErrShowTo) {
		images, err = nil, nil // written by something else; nothing is shown
	}
	return me.IdentityWith(images, at), err
}

// ownIntroduction is the setting that says what the newest introduction was.
const ownIntroduction = "own introduction"

// introduced is the clock of an introduction, and what it said.
type introduced struct {
	Clock  int64          `json:"clock"`
	Digest contact.Digest `json:"digest"`
}

// introductionTime is the clock of the next introduction as a time: now, but
// newer than that of any that said something else. Of two with one clock others
// take the first alone, as of two that are made in the same millisecond, or
// after the machine's clock was set back.
func (s *Stack) introductionTime(t *step) (at time.Time, err error) {
	digest, err := s.saying(t)
	if err != nil {
		return at, err
	}
	last, known, err := storage.GetRecord[introduced](t.Tx, storage.Settings, ownIntroduction)
	if err != nil {
		return at, err
	}
	next := introduced{max(t.now.UnixMilli(), last.Clock), digest}
	if known && next.Clock == last.Clock && digest != last.Digest {
		next.Clock++
	}
	return time.UnixMilli(next.Clock), storage.PutRecord(t.Tx, storage.Settings, ownIntroduction, next)
}
