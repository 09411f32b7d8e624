package stack

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/device"
	"github.com/parley-im/parley/encryption/session"
	"github.com/parley-im/parley/encryption/x3dh"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/topic"
)

// listed shows the devices that a device knows, one after the other: its id, its
// name, and p for paired, a for asking, w for written to.
func (p *person) listed() string {
	p.t.Helper()
	all, err := p.Devices()
	if err != nil {
		p.t.Fatal(err)
	}
	var rows []string
	for _, d := range all {
		flags := ""
		for _, flag := range []struct {
			set  bool
			sign string
		}{{d.Paired, "p"}, {d.Asks, "a"}, {d.Written, "w"}} {
			if flag.set {
				flags += flag.sign
			}
		}
		rows = append(rows, strings.TrimSpace(fmt.Sprintf("%s %q %s", d.ID, d.Name, flags)))
	}
	return strings.Join(rows, "; ")
}

// deviceNews are the changes of devices that the event stream told, oldest first.
func (p *person) deviceNews() (all []string) {
	p.t.Helper()
	for _, e := range eventsOf(p.t, p.Stack, EventDevice) {
		var d view.DeviceChange
		if err := json.Unmarshal(e.Data, &d); err != nil {
			p.t.Fatal(err)
		}
		all = append(all, d.Change+" "+d.ID)
	}
	return all
}

// together makes two devices of an account that are paired by the people who
// hold them.
func together(t *testing.T, n *network, phone *person) (laptop *person) {
	t.Helper()
	laptop = n.device(t, phone.name, phone.key.Bytes()[31]-1, "laptop")
	synced(t, phone, laptop)
	return laptop
}

func synced(t *testing.T, phone, laptop *person) {
	t.Helper()
	eventually(t, time.Minute, "the devices know each other", func() bool {
		return strings.Contains(phone.listed(), laptop.installation) && strings.Contains(laptop.listed(), phone.installation)
	})
	for _, d := range [][2]*person{{phone, laptop}, {laptop, phone}} {
		if got, err := d[0].PairDevice(d[1].installation); err != nil || !got.Paired || !got.Written {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	eventually(t, 10*time.Minute, "what is said of the devices has arrived", func() bool {
		return len(refs(t, phone)) == 0 && len(refs(t, laptop)) == 0 && named(phone) && named(laptop)
	})
}

// named tells whether all devices that one knows have a name.
func named(p *person) bool { return !strings.Contains(p.listed(), `""`) }

// Devices learn of each other by their contact codes and say what they are
// called, also before they are paired: when they are named, and to one that
// comes later. Who has no name has a plain one.
//
// Proves: AP-175.
func TestDevicesAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(200)
		plain := "Parley on " + runtime.GOOS
		phone := n.person(t, "Bobby", 1)
		if _, err := phone.NameDevice("My phone"); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		for _, p := range n.publications(phone.link) {
			if p.light {
				t.Error("a single device has told somebody its name")
			}
		}
		laptop := n.device(t, "Bobby", 1, "laptop")
		eventually(t, 15*time.Minute, "both know what the other is called", func() bool { return named(phone) && named(laptop) })
		if a, b := phone.listed(), laptop.listed(); a != fmt.Sprintf("Bobby-installation %q; laptop %q", "My phone", plain) ||
			b != fmt.Sprintf("laptop %q; Bobby-installation %q", plain, "My phone") {
			t.Errorf("%s\n%s", a, b)
		}
		all, err := phone.Devices()
		if err != nil || all[1].Type != device.TypeOf(runtime.GOOS) || !all[0].This || all[1].This || all[1].Seen.IsZero() {
			t.Errorf("%+v, %v", all, err)
		}
		if got, err := laptop.NameDevice("  My laptop "); err != nil || got.Name != "My laptop" || !got.This {
			t.Errorf("%+v, %v", got, err)
		}
		eventually(t, 15*time.Minute, "the new name is there", func() bool { return strings.Contains(phone.listed(), `"My laptop"`) })
		if got := phone.deviceNews(); !slices.Equal(got, []string{"named Bobby-installation", "new laptop", "named laptop", "named laptop"}) {
			t.Errorf("%v", got)
		}
		if _, err := laptop.NameDevice(" "); fault.KindOf(err) != fault.Usage {
			t.Errorf("%v", err)
		}
		// The last name is the one that is told, whatever comes again, and it
		// survives a restart, which tells it no more.
		phone.crash()
		laptop.crash()
		before := len(n.publications(laptop.link))
		pass(15 * time.Minute)
		if a := phone.listed(); !strings.Contains(a, `laptop "My laptop"`) {
			t.Error(a)
		}
		for _, p := range n.publications(laptop.link)[before:] {
			if p.Message.GetContentTopic() == partition(laptop) {
				t.Error("the name was told again")
			}
		}
	})
}

// A device of an older version, which told nobody what it is called, does so at
// its next start.
func TestNameIsToldAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(201)
		phone := n.person(t, "Bobby", 1)
		laptop := n.device(t, "Bobby", 1, "laptop")
		pass(15 * time.Minute)
		for _, p := range []*person{phone, laptop} {
			err := p.db.Update(func(tx *storage.Tx) error {
				for _, id := range []string{phone.installation, laptop.installation} {
					if err := storage.DeleteRecord(tx, storage.Devices, id); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if named(phone) {
			t.Fatal(phone.listed())
		}
		laptop.crash()
		eventually(t, 15*time.Minute, "the name is told", func() bool { return named(phone) })
	})
}

// Only our own devices say who they are and what they know of contacts, and only
// those that have published their keys.
func TestDevicesOfOthers(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	said := &apppb.SyncPairInstallation{Clock: uint64(clock.at.UnixMilli()), InstallationId: "x", DeviceType: "ios", Name: "theirs"}
	of := device.ContactMessage(contact.Contact{Key: newForger(t, 2, clock.at).key.Public(), Local: contact.Sent, LocalClock: 1, Blocked: true})
	before := content(t, s.db, "seen/", "app/", "core/", "outbox/", "counter/", "topic-key/")
	f.deliver(s, f.wrap(apppb.ApplicationMetadataMessage_SYNC_PAIR_INSTALLATION, said))
	f.deliver(s, f.wrap(apppb.ApplicationMetadataMessage_SYNC_INSTALLATION_CONTACT_V2, of))
	if s.Counters()["message: "+errNotOwn.Error()] != 2 {
		t.Errorf("%v", s.Counters())
	}
	own := newForger(t, 0, clock.at)
	own.session.InstallationID = "mine"
	dh := func(id string) Envelope {
		said.InstallationId = id
		sealed, err := own.session.SealDH(own.st, own.now, own.rand, s.Self(), own.wrap(apppb.ApplicationMetadataMessage_SYNC_PAIR_INSTALLATION, said))
		own.ok(err)
		own.now = own.now.Add(time.Second)
		return own.mail(s.Self(), sealed)
	}
	hand(t, s, dh("unheard of"), dh(s.session.InstallationID))
	if s.Counters()["message: "+errNoDevice.Error()] != 1 {
		t.Errorf("%v", s.Counters())
	}
	for _, k := range difference(before, content(t, s.db, "seen/", "app/", "core/", "outbox/", "counter/", "topic-key/")) {
		if !strings.Contains(k, "device/still-0") && !strings.Contains(k, "event/") && !strings.Contains(k, "mark/") && !strings.Contains(k, "chat") {
			t.Errorf("%s has changed", k)
		}
	}
	hand(t, s, dh("mine"))
	if all, err := s.Devices(); err != nil || len(all) != 2 || all[1].Name != "theirs" || all[1].Type != "ios" || all[1].Paired {
		t.Errorf("%+v, %v", all, err)
	}
}

// known is what a device knows of somebody, as far as devices keep it in step.
func (p *person) known(of *person) string {
	c := p.of(of)
	return fmt.Sprint(c.State(), " ", c.Blocked, " ", c.Nickname, " ", c.Trust, " ", c.LocalClock, " ", c.RemoteClock, " ", c.DisplayName)
}

// Once both devices are paired, both know the same contacts, whichever of the two
// knew them, and all that is done to one later is done on the other; the contacts
// hear of nothing twice.
//
// Proves: AP-174, AP-175.
func TestPairedDevicesKeepContactsInStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(202)
		phone := n.person(t, "Bobby", 1)
		alice, carol, david, erika := n.person(t, "Alice", 0), n.person(t, "Carol", 2), n.person(t, "David", 3), n.person(t, "Erika", 4)
		people := []*person{alice, carol, david, erika}
		befriend(t, phone, alice)
		befriend(t, carol, phone)
		phone.must(phone.RenameContact(alice.key.Public(), "Lissy"))
		phone.must(phone.BlockContact(carol.key.Public()))
		david.must(david.AddContact(phone.key.Public(), "let me in"))
		phone.must(phone.Trust(erika.key.Public(), contact.Untrustworthy))
		eventually(t, 10*time.Minute, "David has asked", func() bool { return state(phone, david) == contact.StateReceived })
		eventually(t, 10*time.Minute, "all is delivered", func() bool { return len(refs(t, phone)) == 0 })
		pass(time.Minute)
		// What comes on the network from now on the laptop has to ask for.
		n.mu.Lock()
		n.history = nil
		n.mu.Unlock()

		laptop := n.device(t, "Bobby", 1, "laptop")
		// Half of pairing is enough for one way.
		eventually(t, 15*time.Minute, "the devices know each other", func() bool {
			return strings.Contains(phone.listed(), "laptop") && strings.Contains(laptop.listed(), phone.installation)
		})
		laptop.must(laptop.RenameContact(david.key.Public(), "Dave"))
		if state(laptop, alice) != contact.None {
			t.Fatal("the laptop knows Alice before it is paired")
		}
		if d, err := phone.PairDevice("lapt"); err != nil || d.ID != "laptop" {
			t.Fatalf("%+v, %v", d, err)
		}
		inStep := func() bool {
			return !slices.ContainsFunc(people, func(o *person) bool { return phone.known(o) != laptop.known(o) })
		}
		eventually(t, 5*time.Minute, "the laptop knows what the phone does", func() bool {
			return state(laptop, alice) == contact.StateMutual && laptop.of(alice).Nickname == "Lissy" && laptop.of(carol).Blocked &&
				state(laptop, david) == contact.StateReceived && laptop.of(david).Nickname == "Dave" && laptop.of(erika).Trust == contact.Untrustworthy
		})
		if phone.of(david).Nickname != "" {
			t.Error("the phone got what the laptop knows before the laptop was paired with it")
		}
		eventually(t, 15*time.Minute, "the laptop says that the phone asks", func() bool { return strings.HasSuffix(laptop.listed(), " a") })
		if got := laptop.deviceNews(); got[len(got)-1] != "asks "+phone.installation {
			t.Errorf("%v", got)
		}
		if got := laptop.noted("contact_request"); len(got) != 1 {
			t.Errorf("David's request is there as %v", got)
		}
		if _, err := laptop.PairDevice(phone.installation); err != nil {
			t.Fatal(err)
		}
		if got := laptop.listed(); !strings.HasSuffix(got, " pw") {
			t.Error(got)
		}
		eventually(t, 5*time.Minute, "both know the same", inStep)
		if phone.of(david).Nickname != "Dave" {
			t.Errorf("%+v", phone.of(david))
		}

		// Everything that one can do to somebody, on either device.
		for i, do := range []func(p *person) (contact.Contact, error){
			func(p *person) (contact.Contact, error) { return p.RenameContact(alice.key.Public(), "Alice B") },
			func(p *person) (contact.Contact, error) { return p.AcceptContact(david.key.Public()) },
			func(p *person) (contact.Contact, error) { return p.AddContact(erika.key.Public(), "hello Erika") },
			func(p *person) (contact.Contact, error) { return p.UnblockContact(carol.key.Public()) },
			func(p *person) (contact.Contact, error) { return p.Trust(alice.key.Public(), contact.Trusted) },
			func(p *person) (contact.Contact, error) { return p.RemoveContact(alice.key.Public()) },
			func(p *person) (contact.Contact, error) { return p.BlockContact(erika.key.Public()) },
			func(p *person) (contact.Contact, error) { return p.RenameContact(erika.key.Public(), "") },
		} {
			by, other := phone, laptop
			if i%2 == 1 {
				by, other = laptop, phone
			}
			before := len(n.publications(other.link))
			by.must(do(by))
			eventually(t, 5*time.Minute, fmt.Sprint("both know the same after step ", i), inStep)
			pass(5 * time.Second)
			// The other device has told nobody but its own.
			for _, p := range n.publications(other.link)[before:] {
				switch c := p.Message.GetContentTopic(); c {
				case partition(phone), ownTopic(phone, laptop), contactCode(phone):
				default:
					if _, name := n.open(t, p.Envelope, people...); i != 2 { // Erika's device is answered
						t.Errorf("step %d: the other device wrote to %s", i, name)
					}
				}
			}
		}
		if state(alice, phone) != contact.None || state(david, phone) != contact.StateMutual || !phone.of(erika).Blocked {
			t.Errorf("Alice is %s, David %s, Erika %+v", state(alice, phone), state(david, phone), phone.of(erika))
		}
		eventually(t, 10*time.Minute, "nothing waits for an acknowledgement", func() bool { return len(refs(t, phone)) == 0 && len(refs(t, laptop)) == 0 })
		// No echo: nothing goes to and fro when nothing is done.
		pass(10 * time.Minute)
		before := len(n.publications(nil))
		pass(time.Hour)
		for _, p := range n.publications(nil)[before:] {
			if c := p.Message.GetContentTopic(); c == ownTopic(phone, laptop) || c == partition(phone) {
				t.Errorf("the devices wrote to each other at %v", p.at)
			}
		}
	})
}

// More contacts than one step tells, over a network that loses and repeats: all
// arrive, also when the phone crashes in between.
func TestManyContactsAreSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(203)
		phone := n.person(t, "Bobby", 1)
		const many = 3*roundBatch + 1
		for i := range byte(many) {
			phone.must(phone.RenameContact(identity(t, 100+i).Public(), fmt.Sprint("friend ", i)))
		}
		laptop := n.device(t, "Bobby", 1, "laptop")
		eventually(t, time.Minute, "the devices know each other", func() bool { return strings.Contains(phone.listed(), "laptop") })
		n.mu.Lock()
		n.loss, n.duplication = 0.3, 0.3
		n.mu.Unlock()
		if _, err := phone.PairDevice("laptop"); err != nil {
			t.Fatal(err)
		}
		<-time.After(1500 * time.Millisecond)
		phone.crash()
		eventually(t, time.Hour, "all are there", func() bool {
			all, err := laptop.Contacts()
			return err == nil && len(slices.DeleteFunc(all, func(c contact.Contact) bool { return !strings.HasPrefix(c.Nickname, "friend ") })) == many
		})
	})
}

// unacknowledged tells whether something waits for another device of an account.
func unacknowledged(p *person) (all []mvds.Expired, ok bool, err error) {
	err = p.db.View(func(tx *storage.Tx) error {
		all, err = p.mvds.Unacknowledged(tx.Core("mvds"), p.key.Public())
		return err
	})
	return all, len(all) > 0, err
}

// Pairing is done by a person, for a device that is known, once; taking it back
// ends what goes to the device, and the bundle lists it no more.
func TestUnpairing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(204)
		alice, phone := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, phone)
		for who, kind := range map[string]fault.Kind{"laptop": fault.NotFound, "": fault.NotFound, phone.installation: fault.Usage} {
			if _, err := phone.PairDevice(who); fault.KindOf(err) != kind {
				t.Errorf("%q: %v", who, err)
			}
		}
		laptop := together(t, n, phone)
		lists := func() (ids []string) {
			err := phone.update(func(t *step) error {
				b, err := phone.session.Bundle(t.Core("session"), t.now, phone.rand)
				if err != nil {
					return err
				}
				v, err := x3dh.Verify(b)
				if err != nil {
					return err
				}
				for _, e := range v.Entries() {
					ids = append(ids, e.Installation)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return ids
		}
		if got := lists(); !slices.Equal(got, []string{phone.installation, "laptop"}) {
			t.Errorf("the bundle lists %v", got)
		}
		news := len(phone.deviceNews())
		if d, err := phone.PairDevice("laptop"); err != nil || !d.Paired || len(phone.deviceNews()) != news {
			t.Errorf("%+v, %v", d, err)
		}
		phone.send(alice, "for both")
		eventually(t, 5*time.Minute, "the laptop has it", func() bool { return slices.Equal(laptop.heard(phone), []string{"for both"}) })

		phone.must(phone.RenameContact(alice.key.Public(), "Bird"))
		if d, err := phone.UnpairDevice("laptop"); err != nil || d.Paired || d.Written {
			t.Errorf("%+v, %v", d, err)
		}
		if got := lists(); !slices.Equal(got, []string{phone.installation}) {
			t.Errorf("the bundle lists %v", got)
		}
		phone.send(alice, "for the phone alone")
		pass(time.Second)
		phone.must(phone.RenameContact(alice.key.Public(), "Lissy"))
		if _, ok, err := unacknowledged(phone); err != nil || ok {
			t.Errorf("something waits for the laptop: %v", err)
		}
		laptop.send(alice, "from the laptop")
		pass(30 * time.Minute)
		if got := laptop.heard(phone); !slices.Equal(got, []string{"for both", "from the laptop"}) || laptop.of(alice).Nickname == "Lissy" {
			t.Errorf("the laptop has %q and %+v", got, laptop.of(alice))
		}
		// The other way round it has to be taken back there.
		if got := phone.heard(laptop); !slices.Equal(got, []string{"for both", "for the phone alone", "from the laptop"}) {
			t.Errorf("the phone has %q", got)
		}
		if got := phone.deviceNews(); got[len(got)-1] != "unpaired laptop" {
			t.Errorf("%v", got)
		}
		if len(alice.heard(phone)) != 3 {
			t.Errorf("Alice has %q", alice.heard(phone))
		}
	})
}

// Of many devices three besides this one are written to, those that were seen
// last, and the person is told which.
func TestDevicesBeyondThree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(205)
		alice, phone := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, phone)
		var others []*person
		for i := range session.MaxTargets + 1 {
			d := n.device(t, "Bobby", 1, fmt.Sprint("device-", i))
			pass(time.Minute)
			if _, err := phone.PairDevice(d.installation); err != nil {
				t.Fatal(err)
			}
			others = append(others, d)
		}
		all, err := phone.Devices()
		if err != nil || len(all) != len(others)+1 {
			t.Fatalf("%+v, %v", all, err)
		}
		var written []string
		for _, d := range all {
			if d.Written {
				written = append(written, d.ID)
			}
			if !d.This && !d.Paired {
				t.Errorf("%+v", d)
			}
		}
		slices.Sort(written)
		if !slices.Equal(written, []string{"device-1", "device-2", "device-3"}) {
			t.Errorf("written to are %v", written)
		}
		phone.send(alice, "hello")
		pass(10 * time.Minute)
		for i, d := range others {
			if got := len(d.heard(phone)) == 1; got != (i > 0) {
				t.Errorf("%s has it: %t", d.installation, got)
			}
		}
	})
}

// What others publish on our partition is not taken for a sign of our devices,
// and what is fetched is not either: a sign leads to a query, and a query must not
// be one.
func TestSignsOfDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(206)
		alice, phone := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, phone)
		laptop := together(t, n, phone)
		pass(10 * time.Minute)
		queries := func(p *person) (local int) {
			p.link.set(func(l *link) {
				for _, q := range l.queries {
					if q.PubsubTopic == topic.Pubsub(16, 960) {
						local++
					}
				}
			})
			return local
		}
		before := queries(laptop)
		pass(time.Hour)
		if got := queries(laptop) - before; got < 50 || got > 70 {
			t.Errorf("%d queries in an hour of silence", got)
		}
		// What is said live is answered by a query at once.
		<-time.After(90 * time.Second)
		at := time.Now()
		phone.must(phone.RenameContact(alice.key.Public(), "Lissy"))
		phone.must(phone.AddContact(identity(t, 9).Public(), "hello"))
		if _, err := phone.SetStatus(contact.DoNotDisturb, "away"); err != nil {
			t.Fatal(err)
		}
		eventually(t, 2*time.Minute, "the name is there", func() bool { return laptop.of(alice).Nickname == "Lissy" })
		if took := time.Since(at); took > ringInterval+ringPause {
			t.Errorf("it took %v", took)
		}
		if own, err := laptop.Status(); err != nil || own.Presence != contact.DoNotDisturb || own.Text != "away" {
			t.Errorf("%+v, %v", own, err)
		}
	})
}
