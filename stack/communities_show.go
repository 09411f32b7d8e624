package stack

import (
	"errors"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// communityIDs returns the keys of all communities of which anything is known.
func communityIDs(tx *storage.Tx) (all []key.Public, err error) {
	prefix := string(storage.Communities)
	err = tx.Scan(prefix, func(name string, _ []byte) error {
		k, err := key.ParsePublic(name[len(prefix):])
		all = append(all, k)
		return err
	})
	return all, err
}

// Community returns what is known of a community that we follow or are a member
// of.
func (s *Stack) Community(k key.Public) (c community.Community, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		c, err = s.followedCommunity(tx, k)
		return err
	})
	return c, err
}

// Communities returns the communities that we follow or are a member of,
// ordered by id.
func (s *Stack) Communities() (all []community.Community, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		ids, err := communityIDs(tx)
		for _, k := range ids {
			c, _, readErr := s.community(tx, k)
			err = errors.Join(err, readErr)
			if c.Followed() {
				all = append(all, c)
			}
		}
		return err
	})
	return all, err
}

// ShowCommunity shows a community with what it is to us.
func (s *Stack) ShowCommunity(c community.Community) (shown view.Community, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		at := view.CommunityStanding{Self: s.Self()}
		if _, at.Control, err = communityKey(tx, c.Key); err != nil {
			return err
		}
		requests, err := requestsTo(tx, c.Key)
		for _, r := range requests {
			if r.State == community.Pending {
				at.Pending++
			}
		}
		shown = view.NewCommunity(c, at)
		return err
	})
	return shown, err
}

// CommunityMembers returns the members of a community, ordered by key, by the
// names under which we know them.
func (s *Stack) CommunityMembers(k key.Public) (all []view.CommunityMember, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		c, err := s.followedCommunity(tx, k)
		if err != nil {
			return err
		}
		for _, m := range c.Description.Members {
			who, err := m.ID.Key()
			if err != nil {
				continue
			}
			known, err := tx.Contact(who)
			if err != nil {
				return err
			}
			all = append(all, view.CommunityMember{Person: view.NewPerson(who), Name: view.Name(known), Role: m.Role})
		}
		return nil
	})
	return all, err
}

// tendInterval is how often requests are looked at that have waited too long.
const tendInterval = time.Hour

// tended is when that was done last.
const tended = "communities tended"

// tendCommunities publishes what is due, takes over what is ours now, and lets
// requests expire. It returns when to come back, the zero time for never.
func (s *Stack) tendCommunities(t *step) (next time.Time, err error) {
	if next, err = s.takeOver(t); err != nil {
		return next, err
	}
	due, err := s.publishDue(t)
	if err != nil {
		return next, err
	}
	if next.IsZero() || !due.IsZero() && due.Before(next) {
		next = due
	}
	last, err := t.Mark(tended)
	if err != nil || t.now.Sub(last) < tendInterval {
		return next, err
	}
	if err := t.SetMark(tended, t.now); err != nil {
		return next, err
	}
	if err := s.expireOwnRequests(t); err != nil {
		return next, err
	}
	return next, s.expireRequests(t)
}

// expireOwnRequests forgets our own requests that nobody answered.
func (s *Stack) expireOwnRequests(t *step) error {
	ids, err := communityIDs(t.Tx)
	if err != nil {
		return err
	}
	for _, k := range ids {
		before, _, err := s.community(t.Tx, k)
		if err != nil {
			return err
		}
		after, expired := before.Expire(t.now)
		if !expired {
			continue
		}
		if err := s.putCommunity(t, before, after, nil); err != nil {
			return err
		}
		r := community.Request{Member: s.Self(), Community: k, Clock: before.Request.Clock, State: view.RequestExpired}
		if err := t.event(EventCommunityRequest, view.NewCommunityRequest(r, after.Description.Name, true)); err != nil {
			return err
		}
	}
	return nil
}

// expireRequests deletes the requests to us that were not decided in time.
func (s *Stack) expireRequests(t *step) error {
	records, err := storage.Records[community.Request](t.Tx, storage.CommunityRequests, "")
	if err != nil {
		return err
	}
	for _, record := range records {
		r := record.Value
		if !r.Expired(t.now) {
			continue
		}
		if err := storage.DeleteRecord(t.Tx, storage.CommunityRequests, record.ID); err != nil {
			return err
		}
		c, _, err := s.community(t.Tx, r.Community)
		if err != nil {
			return err
		}
		r.State = view.RequestExpired
		if err := t.event(EventCommunityRequest, view.NewCommunityRequest(r, c.Description.Name, false)); err != nil {
			return err
		}
		entry, err := activity.OfCommunity(activity.CommunityRequest, c.ID(), r.Member, 0, "")
		if err == nil {
			err = s.closeActivity(t, entry.ID, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
