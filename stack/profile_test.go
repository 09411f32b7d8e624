package stack

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/waku/topic"
)

// watched counts the messages of a type that a person decodes.
func (p *person) watched(typ message.Type) func() int {
	var n atomic.Int64
	p.config = func(c *Config) {
		c.OnDecoded = func(d Decoded) {
			if d.Type == typ {
				n.Add(1)
			}
		}
	}
	p.halt()
	p.start()
	return func() int { return int(n.Load()) }
}

// A changed profile reaches the contacts, by an update to each of them, and
// survives restarts until the configuration says something else.
//
// Proves: AP-166, AP-167.
func TestSetProfile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(150)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		updates := bobby.watched(apppb.ApplicationMetadataMessage_CONTACT_UPDATE)
		settle(t, alice, bobby)
		refused(alice, "a bad name", func() error { _, err := alice.SetProfile("x", "", 0); return err })
		refused(alice, "a long bio", func() error { _, err := alice.SetProfile("Alicia", string(make([]rune, 500)), 0); return err })
		before := updates()
		if p, err := alice.SetProfile("  Alicia  ", "somebody new", 8); err != nil || p.DisplayName != "Alicia" {
			t.Fatalf("%+v, %v", p, err)
		}
		eventually(t, 10*time.Minute, "Bobby knows", func() bool {
			c := bobby.of(alice)
			return c.DisplayName == "Alicia" && c.Bio == "somebody new" && c.Color == 8
		})
		settle(t, alice, bobby)
		if got := updates() - before; got != 1 {
			t.Errorf("%d contact updates for one change", got)
		}
		before = updates()
		if err := alice.SetPicture(painting(t, 1), picture.Everyone); err != nil {
			t.Fatal(err)
		}
		eventually(t, 10*time.Minute, "an update for the picture", func() bool { return updates() == before+1 })
		if got := eventsOf(t, alice.Stack, EventProfile); len(got) != 2 || !strings.Contains(string(got[1].Data), `"name":"Alicia"`) || !strings.Contains(string(got[1].Data), `"picture":"everyone"`) {
			t.Errorf("%d events of the profile: %v", len(got), got)
		}
		settle(t, alice, bobby)
		alice.crash()
		if p := alice.Profile(); p.DisplayName != "Alicia" || p.Bio != "somebody new" {
			t.Errorf("after a restart %+v", p)
		}
		// And every other day, changed or not.
		before = updates()
		pass(2*contact.UpdateInterval + time.Hour)
		settle(t, alice, bobby)
		if got := updates() - before; got != 2 {
			t.Errorf("%d contact updates in four days", got)
		}
		if m := alice.says(chatWith(bobby), "by name"); m.Author.DisplayName != "Alicia" {
			t.Errorf("%+v", m.Author)
		}
		alice.config = func(c *Config) { c.Profile.DisplayName = "Alison" }
		alice.crash()
		if p := alice.Profile(); p.DisplayName != "Alison" {
			t.Errorf("after another configuration %+v", p)
		}
		settle(t, alice, bobby)
		if c := bobby.of(alice); c.DisplayName != "Alison" {
			t.Errorf("%+v", c)
		}
	})
}

func chatWith(p *person) string { return p.key.Public().Hex() }

// Many contacts are told in steps, none twice and none left out, over a restart
// in between.
func TestContactUpdatesInSteps(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	outer := t
	const many = 2*roundBatch + 5
	put := func(t *step) error {
		for i := range byte(many) {
			c := contact.Contact{Key: identity(outer, 100+i).Public(), Local: contact.Sent, LocalClock: 1, Blocked: i == 3}
			if i == 4 {
				c.Local = contact.Dismissed
			}
			if err := t.PutContact(c); err != nil {
				return err
			}
			// What they are does not matter here, and deriving them takes long.
			secret, err := s.identity.ECDH(c.Key)
			if err != nil {
				return err
			}
			for _, name := range []string{topic.ContactCodeName(c.Key), topic.NegotiatedName(secret)} {
				if err := t.PutTopicKey(key.Keccak256([]byte(name)), [32]byte{1}); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := s.update(put); err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	for range 10 {
		var next time.Time
		err := s.update(func(t *step) (err error) {
			next, err = s.tellContacts(t)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		step := 0
		for _, e := range drain(t, s) {
			told[e.Message.GetContentTopic()+string(e.Message.GetPayload()[:0])]++
			step++
		}
		if step > roundBatch {
			t.Errorf("%d at once", step)
		}
		if next.IsZero() {
			break
		}
		clock.advance(next.Sub(clock.at))
		if again, err := New(Config{Identity: s.identity, InstallationID: "still-0", Network: s.network, DB: s.db, Keys: sharedKeys, Now: clock.now, Profile: s.Profile()}); err != nil {
			t.Fatal(err)
		} else {
			s = again
		}
	}
	sum := 0
	for _, n := range told {
		sum += n
	}
	if sum != many-2 {
		t.Errorf("%d of %d contacts were told", sum, many-2)
	}
}

// A picture is shown to those whom it is for, and to nobody when it is taken
// away.
func TestProfilePictures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(151)
		alice, bobby, carol := n.person(t, "Alice", 0), n.person(t, "Bobby", 1), n.person(t, "Carol", 2)
		befriend(t, alice, bobby)
		// Carol has asked Alice, so that she hears of her, and is not added.
		carol.must(carol.AddContact(alice.key.Public(), "hello"))
		settle(t, alice, bobby, carol)
		sees := func(p *person) bool {
			t.Helper()
			large, err := p.ProfilePicture(alice.key.Public(), picture.Large)
			if errors.Is(err, ErrNoPicture) {
				return false
			}
			small, err2 := p.ProfilePicture(alice.key.Public(), picture.Thumbnail)
			if err != nil || err2 != nil || len(small) == 0 {
				t.Fatalf("%s: %v, %v", p.name, err, err2)
			}
			own, err := alice.ProfilePicture(alice.key.Public(), picture.Large)
			return err != nil || bytes.Equal(large, own)
		}
		shown := func(what string, toBobby, toCarol bool) {
			t.Helper()
			eventually(t, 10*time.Minute, what, func() bool { return sees(bobby) == toBobby && sees(carol) == toCarol })
			pass(time.Minute)
			if sees(bobby) != toBobby || sees(carol) != toCarol {
				t.Errorf("%s: Bobby %v, Carol %v", what, sees(bobby), sees(carol))
			}
			for p, there := range map[*person]bool{bobby: toBobby, carol: toCarol} {
				one, err := p.ShowContact(p.of(alice))
				all, err2 := p.ShowContacts()
				if err != nil || err2 != nil || one.Picture != there || len(all) != 1 || all[0] != one {
					t.Errorf("%s: %s is told %+v and %+v, %v, %v", what, p.name, one, all, err, err2)
				}
			}
		}
		shown("no picture", false, false)
		refused(alice, "what is no picture", func() error { return alice.SetPicture([]byte("x"), picture.Everyone) })
		if err := alice.SetPicture(painting(t, 1), "friends"); fault.KindOf(err) != fault.Usage {
			t.Errorf("%v", err)
		}
		set := func(number byte, to picture.ShowTo) {
			t.Helper()
			if err := alice.SetPicture(painting(t, number), to); err != nil {
				t.Fatal(err)
			}
		}
		set(1, picture.Everyone)
		shown("for everyone", true, true)
		set(2, picture.ContactsOnly)
		shown("for contacts", true, false)
		alice.crash()
		settle(t, alice, bobby, carol)
		shown("after a restart", true, false)
		alice.must(alice.AcceptContact(carol.key.Public()))
		shown("for a new contact", true, true)
		if err := alice.ClearPicture(); err != nil {
			t.Fatal(err)
		}
		shown("taken away", false, false)
		if _, _, err := alice.OwnPicture(picture.Large); !errors.Is(err, ErrNoPicture) {
			t.Errorf("%v", err)
		}
		if got := len(eventsOf(t, bobby.Stack, EventPicture)); got != 3 {
			t.Errorf("%d events of pictures", got)
		}
	})
}

// Our status is published when it is set, and again and again only if that was
// asked for; nothing keeps the automatic one.
func TestOwnStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(152)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		heard := bobby.watched(apppb.ApplicationMetadataMessage_STATUS_UPDATE)
		pass(time.Hour)
		if heard() != 0 {
			t.Fatalf("%d statuses that nobody asked for", heard())
		}
		ephemeral := func() (count int) {
			for _, p := range n.publications(alice.link) {
				if p.Message.GetEphemeral() {
					count++
				}
			}
			return count
		}
		if _, err := alice.SetStatus("somewhere", ""); fault.KindOf(err) != fault.Usage {
			t.Errorf("%v", err)
		}
		if own, err := alice.SetStatus(contact.AlwaysOnline, "at work"); err != nil || own.Clock == 0 {
			t.Errorf("%+v, %v", own, err)
		}
		pass(time.Second)
		if c := bobby.of(alice); c.Status.Presence != contact.AlwaysOnline || c.Status.Text != "at work" || ephemeral() != 0 {
			t.Errorf("%+v, %d ephemeral", c.Status, ephemeral())
		}
		if err := alice.SetStatusUpdates(true); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		if heard() != 1 {
			t.Errorf("%d statuses, though it is not automatic", heard())
		}
		if _, err := alice.SetStatus(contact.Automatic, ""); err != nil {
			t.Fatal(err)
		}
		before := heard()
		pass(time.Hour)
		if got := heard() - before; got < 11 || got > 13 {
			t.Errorf("%d statuses in an hour", got)
		}
		if got := bobby.of(alice).Status; !got.Online(time.Now()) || ephemeral() < 11 {
			t.Errorf("%+v, %d ephemeral", got, ephemeral())
		}
		alice.crash()
		if on, err := alice.StatusUpdates(); err != nil || !on {
			t.Errorf("%v, %v", on, err)
		}
		if err := alice.SetStatusUpdates(false); err != nil {
			t.Fatal(err)
		}
		if own, err := alice.Status(); err != nil || own.Presence != contact.Automatic {
			t.Errorf("%+v, %v", own, err)
		}
		pass(time.Minute)
		before = heard()
		pass(time.Hour)
		if heard() != before {
			t.Errorf("%d statuses after it was turned off", heard()-before)
		}
	})
}

// Who says to be going away is there still, and gets what waits; who said so
// long ago is not.
func TestGoingAwayShowsLife(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		presence contact.Presence
		ago      time.Duration
		want     bool
	}{
		{contact.Inactive, 0, true},
		{contact.Inactive, contact.AutomaticLife, true},
		{contact.Inactive, contact.AutomaticLife + time.Second, false},
		{contact.Automatic, 0, true},
		{contact.Automatic, contact.AutomaticLife + time.Second, false},
		{contact.AlwaysOnline, time.Hour, true},
		{contact.UnknownState, 0, false},
	} {
		status := contact.Status{Presence: c.presence, Clock: uint64(now.Add(-c.ago).Unix())}
		if got := showsLife(status, now); got != c.want {
			t.Errorf("%s %v ago shows life: %v", c.presence, c.ago, got)
		}
	}
}

// What is said of oneself fits what everybody is told, in every form.
func TestIntroductionDigests(t *testing.T) {
	t.Parallel()
	s, _ := still(t, 0)
	digests := map[contact.Digest]string{}
	for _, to := range []picture.ShowTo{picture.Nobody, picture.Everyone, picture.ContactsOnly} {
		if err := s.SetPicture(painting(t, 1), to); err != nil {
			t.Fatal(err)
		}
		for _, friends := range []int{0, 2} {
			var identity *apppb.ChatIdentity
			err := s.update(func(step *step) (err error) {
				for i := range friends {
					c := contact.Contact{Key: friend(t, i), Local: contact.Sent, LocalClock: 1}
					if err := step.PutContact(c); err != nil {
						return err
					}
				}
				digest, err := s.saying(step)
				if err != nil {
					return err
				}
				digests[digest] = fmt.Sprint(to, friends)
				identity, err = s.introduction(step)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			images := 2
			if to == picture.Nobody {
				images = 0
			}
			if len(identity.Images) != images || proto.Size(identity) > 100<<10 {
				t.Errorf("for %s: %d images, %d bytes", to, len(identity.Images), proto.Size(identity))
			}
			for _, m := range identity.Images {
				if m.Encrypted != (to == picture.ContactsOnly) {
					t.Errorf("for %s encrypted: %v", to, m.Encrypted)
				}
			}
		}
	}
	if len(digests) != 3 { // for contacts, those who have been added count
		t.Errorf("digests of %v", digests)
	}
}

func friend(t testing.TB, i int) key.Public { return identity(t, byte(200+i)).Public() }

// Several things that are said of oneself in one instant all arrive: of two
// introductions with one clock others take the first alone.
func TestIntroductionsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(153)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		settle(t, alice, bobby)
		for _, bio := range []string{"first", "second", "third"} {
			done[contact.Profile](alice)(alice.SetProfile("Alice", bio, 0))
		}
		if err := alice.SetPicture(painting(t, 1), picture.Everyone); err != nil {
			t.Fatal(err)
		}
		settle(t, alice, bobby)
		c, err := bobby.ShowContact(bobby.of(alice))
		if err != nil || c.Bio != "third" || !c.Picture {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

// The clock of introductions goes on when what they say changes, whatever the
// machine's clock does.
func TestIntroductionClock(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	begin := clock.at.UnixMilli()
	for i, said := range []struct {
		bio  string
		at   time.Duration
		want int64
	}{
		{"one", 0, 0}, {"one", 0, 0}, {"two", 0, 1}, {"two", 0, 1}, {"three", 0, 2}, {"three", 9 * time.Millisecond, 9},
		{"three", -time.Hour, 9}, {"four", -time.Hour, 10}, {"five", 11 * time.Millisecond, 11},
	} {
		clock.at = time.UnixMilli(begin).Add(said.at)
		if _, err := s.SetProfile("Still", said.bio, 0); err != nil {
			t.Fatal(err)
		}
		drain(t, s)
		var at time.Time
		if err := s.update(func(t *step) (err error) { at, err = s.introductionTime(t); return err }); err != nil {
			t.Fatal(err)
		}
		if got := at.UnixMilli() - begin; got != said.want {
			t.Errorf("step %d: %d ms, want %d", i, got, said.want)
		}
	}
}
