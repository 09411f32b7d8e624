package device

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

func newKey(t testing.TB, seed byte) key.Public {
	t.Helper()
	k, err := key.Generate(rand.NewChaCha8([32]byte{seed}))
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

var in = contact.Incoming{WakuTime: now}

// synced is what two devices must agree on.
func synced(c contact.Contact) contact.Contact {
	c.SentRequest, c.ReceivedRequest, c.AddedAt = "", "", time.Time{}
	c.Status, c.ENSVerified = contact.Status{}, false
	return c
}

// merge hears of a contact over the wire.
func merge(t testing.TB, c contact.Contact, m *apppb.SyncInstallationContactV2) contact.Contact {
	t.Helper()
	raw, err := message.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	read := new(apppb.SyncInstallationContactV2)
	if err := proto.Unmarshal(raw, read); err != nil {
		t.Fatal(err)
	}
	after, err := Merge(c, read, in)
	if err != nil {
		t.Fatal(err)
	}
	return after
}

// A device that knows nothing of a contact learns all that can be told: the
// relation with its clocks, blocking, nickname, trust and names.
//
// Proves: AP-174.
func TestContactBothWays(t *testing.T) {
	t.Parallel()
	who := newKey(t, 1)
	for name, c := range map[string]contact.Contact{
		"mutual": {
			Key: who, Local: contact.Sent, LocalClock: 10, Remote: contact.Received, RemoteClock: 9, NotedClock: 12, Nickname: "Boss",
			Trust: contact.Trusted, DisplayName: "Robert", ENSName: "robert.eth", Color: 3, UpdatedClock: 11,
		},
		"blocked":   {Key: who, Local: contact.Dismissed, LocalClock: 10, RemoteClock: 9, Blocked: true, NotedClock: 10},
		"removed":   {Key: who, LocalClock: 10, RemoteClock: 10},
		"asks":      {Key: who, Remote: contact.Received, RemoteClock: 9},
		"a mark":    {Key: who, NotedClock: 4, Trust: contact.Untrustworthy},
		"of before": {Key: who, Nickname: "Boss"},
	} {
		if !Synced(c) {
			t.Errorf("%s: there is nothing to tell", name)
		}
		m := ContactMessage(c)
		got := merge(t, contact.Contact{Key: who}, m)
		if synced(got) != c {
			t.Errorf("%s: %+v, want %+v", name, got, c)
		}
		if added := c.Local == contact.Sent; m.Added != added || got.AddedAt.IsZero() == added || m.Blocked != c.Blocked || m.HasAddedUs != (c.Remote == contact.Received) {
			t.Errorf("%s: %v, added at %v", name, m, got.AddedAt)
		}
	}
	if Synced(contact.Contact{Key: who, DisplayName: "Robert", UpdatedClock: 4}) {
		t.Error("what a contact says of themselves everybody hears")
	}
}

// What is older changes nothing, part by part.
func TestOlderIsIgnored(t *testing.T) {
	t.Parallel()
	who := newKey(t, 1)
	c := contact.Contact{
		Key: who, Local: contact.Sent, LocalClock: 10, Remote: contact.Received, RemoteClock: 10, NotedClock: 10, Nickname: "Boss",
		DisplayName: "Robert", UpdatedClock: 10, SentRequest: "0x01", ReceivedRequest: "0x02",
	}
	old := contact.Contact{
		Key: who, Local: contact.Dismissed, LocalClock: 9, Blocked: true, RemoteClock: 9, NotedClock: 9, Nickname: "Zoe", Trust: contact.Trusted,
		DisplayName: "Zacharias", UpdatedClock: 9, Color: 4,
	}
	if got := merge(t, c, ContactMessage(old)); got != c {
		t.Errorf("%+v", got)
	}
	for name, test := range map[string]struct {
		newer contact.Contact
		want  func(c *contact.Contact)
	}{
		"our stance": {contact.Contact{LocalClock: 11}, func(c *contact.Contact) { c.Local, c.LocalClock, c.SentRequest = contact.NoRelation, 11, "" }},
		"their stance": {contact.Contact{LocalClock: 1, RemoteClock: 11}, func(c *contact.Contact) {
			c.Remote, c.RemoteClock, c.ReceivedRequest = contact.NoRelation, 11, ""
		}},
		"notes": {contact.Contact{NotedClock: 11, Trust: contact.Trusted}, func(c *contact.Contact) { c.NotedClock, c.Nickname, c.Trust = 11, "", contact.Trusted }},
		"names": {contact.Contact{UpdatedClock: 11, Color: 4, ENSName: "r.eth"}, func(c *contact.Contact) { c.UpdatedClock, c.Color, c.ENSName = 11, 4, "r.eth" }},
	} {
		test.newer.Key = who
		want := c
		test.want(&want)
		if got := merge(t, c, ContactMessage(test.newer)); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

// Clients that know no clocks of the relation tell it by flags.
func TestLegacyFlags(t *testing.T) {
	t.Parallel()
	who := newKey(t, 1)
	mutual := contact.Contact{Key: who, Local: contact.Sent, LocalClock: 10, Remote: contact.Received, RemoteClock: 10}
	for _, test := range []struct {
		name   string
		before contact.Contact
		m      *apppb.SyncInstallationContactV2
		want   contact.State
		block  bool
	}{
		{"added", contact.Contact{}, &apppb.SyncInstallationContactV2{Added: true, LastUpdatedLocally: 5}, contact.StateSent, false},
		{"has added us", contact.Contact{}, &apppb.SyncInstallationContactV2{HasAddedUs: true, LastUpdated: 5}, contact.StateReceived, false},
		{"both", contact.Contact{}, &apppb.SyncInstallationContactV2{Added: true, HasAddedUs: true, LastUpdated: 5, LastUpdatedLocally: 6}, contact.StateMutual, false},
		{"without a clock", contact.Contact{}, &apppb.SyncInstallationContactV2{Added: true, HasAddedUs: true}, contact.None, false},
		{"removed", mutual, &apppb.SyncInstallationContactV2{Added: true, Removed: true, LastUpdatedLocally: 11}, contact.None, false},
		{"removed before", mutual, &apppb.SyncInstallationContactV2{Removed: true, LastUpdatedLocally: 9}, contact.StateMutual, false},
		{"blocked", mutual, &apppb.SyncInstallationContactV2{Removed: true, Blocked: true, LastUpdatedLocally: 11}, contact.None, true},
		{"nothing", mutual, &apppb.SyncInstallationContactV2{LastUpdatedLocally: 11, LastUpdated: 11, LocalNickname: "Boss"}, contact.StateMutual, false},
		{"clocks count, flags do not", contact.Contact{}, &apppb.SyncInstallationContactV2{Added: true, LastUpdatedLocally: 9, ContactRequestRemoteClock: 4}, contact.None, false},
	} {
		test.before.Key, test.m.Id = who, who.Hex()
		got := merge(t, test.before, test.m)
		if got.State() != test.want || got.Blocked != test.block {
			t.Errorf("%s: %s, blocked %t: %+v", test.name, got.State(), got.Blocked, got)
		}
	}
}

// What is wrong changes nothing; a name that we would not take from anybody is
// left out alone.
func TestMergeRules(t *testing.T) {
	t.Parallel()
	who := newKey(t, 1)
	c := contact.Contact{Key: who, Local: contact.Sent, LocalClock: 10, NotedClock: 5, Nickname: "Boss", DisplayName: "Robert", UpdatedClock: 5}
	most := now.Truncate(time.Second).Add(message.MaxClockAhead).UnixMilli()
	for _, test := range []struct {
		name   string
		change func(m *apppb.SyncInstallationContactV2)
		want   error
	}{
		{"of nobody", func(m *apppb.SyncInstallationContactV2) { m.Id = "" }, ErrContact},
		{"in another form", func(m *apppb.SyncInstallationContactV2) { m.Id = who.CompressedHex() }, ErrContact},
		{"of somebody else", func(m *apppb.SyncInstallationContactV2) { m.Id = newKey(t, 2).Hex() }, ErrContact},
		{"our state", func(m *apppb.SyncInstallationContactV2) { m.ContactRequestLocalState = 3 }, ErrRelation},
		{"our state, far", func(m *apppb.SyncInstallationContactV2) { m.ContactRequestLocalState = 256 }, ErrRelation},
		{"their state", func(m *apppb.SyncInstallationContactV2) { m.ContactRequestRemoteState = 2 }, ErrRelation},
		{"our clock", func(m *apppb.SyncInstallationContactV2) { m.ContactRequestLocalClock = most + 1 }, message.ErrClockAhead},
		{"their clock", func(m *apppb.SyncInstallationContactV2) { m.ContactRequestRemoteClock = most + 1 }, message.ErrClockAhead},
		{"their clock, negative", func(m *apppb.SyncInstallationContactV2) { m.ContactRequestRemoteClock = -1 }, message.ErrClockAhead},
		{"clock of notes", func(m *apppb.SyncInstallationContactV2) { m.LastUpdatedLocally = uint64(most) + 1 }, message.ErrClockAhead},
		{"clock of names", func(m *apppb.SyncInstallationContactV2) { m.LastUpdated = uint64(most) + 1 }, message.ErrClockAhead},
		{"clocks at the limit", func(m *apppb.SyncInstallationContactV2) {
			m.ContactRequestLocalClock, m.ContactRequestRemoteClock, m.LastUpdatedLocally, m.LastUpdated = most, most, uint64(most), uint64(most)
		}, nil},
	} {
		m := ContactMessage(contact.Contact{Key: who, LocalClock: 20, NotedClock: 20, UpdatedClock: 20})
		test.change(m)
		got, err := Merge(c, m, in)
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if err != nil && got != c {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
	m := ContactMessage(contact.Contact{Key: who, LocalClock: 20, NotedClock: 20, UpdatedClock: 20})
	m.LocalNickname, m.DisplayName = "a\nb", "x"
	if got := merge(t, c, m); got.Nickname != "Boss" || got.DisplayName != "Robert" || got.Local != contact.NoRelation || got.LocalClock != 20 {
		t.Errorf("%+v", got)
	}
	m = ContactMessage(contact.Contact{Key: who, NotedClock: 20})
	m.VerificationStatus = verified
	if got := merge(t, c, m); got.Trust != contact.Trusted {
		t.Errorf("verified by another client: %+v", got)
	}
	m.TrustStatus = 3
	if got := merge(t, c, m); got.Trust != contact.TrustUnknown || got.NotedClock != 5 {
		t.Errorf("a mark that does not exist: %+v", got)
	}
}

// random makes anything that can be known of a contact, with clocks that are
// often the same.
func random(r *rand.Rand, who key.Public) contact.Contact {
	clock := func() uint64 { return uint64(r.IntN(4)) }
	c := contact.Contact{Key: who, LocalClock: clock(), RemoteClock: clock(), NotedClock: clock(), UpdatedClock: clock()}
	c.Local = []contact.Relation{contact.NoRelation, contact.Sent, contact.Dismissed}[r.IntN(3)]
	c.Remote = []contact.Relation{contact.NoRelation, contact.Received}[r.IntN(2)]
	c.Blocked = c.Local == contact.Dismissed && r.IntN(2) == 0
	c.Nickname = []string{"", "Boss", "Bobby"}[r.IntN(3)]
	c.Trust = contact.Trust(r.IntN(3))
	c.DisplayName = []string{"", "Robert", "Roberta"}[r.IntN(3)]
	c.ENSName = []string{"", "r.eth"}[r.IntN(2)]
	c.Color = uint32(r.IntN(2))
	// Somebody of whom nothing was ever said has no stance either.
	if c.LocalClock == 0 {
		c.Local, c.Blocked = contact.NoRelation, false
	}
	if c.RemoteClock == 0 {
		c.Remote = contact.NoRelation
	}
	return c
}

// Whatever two devices know, they know the same when each has heard the other
// once, in whichever order, and hearing it again changes nothing.
func TestMergeIsTheSameBothWays(t *testing.T) {
	t.Parallel()
	who := newKey(t, 1)
	for seed := range uint64(4_000) {
		r := rand.New(rand.NewPCG(seed, 1))
		a, b := random(r, who), random(r, who)
		ab, ba := merge(t, a, ContactMessage(b)), merge(t, b, ContactMessage(a))
		if synced(ab) != synced(ba) {
			t.Fatalf("%+v and %+v\nbecome %+v\nand    %+v", a, b, ab, ba)
		}
		for _, m := range []contact.Contact{a, b, ba} {
			if again := merge(t, ab, ContactMessage(m)); again != ab {
				t.Fatalf("%+v becomes %+v by %+v, which it has heard", ab, again, m)
			}
		}
	}
}

// pair is two devices that lose, repeat and reorder what they tell each other.
type pair struct {
	devices [2]contact.Contact
	// air are messages under way to a device.
	air [2][]*apppb.SyncInstallationContactV2
	now uint64
}

func (p *pair) tell(from int) { p.air[1-from] = append(p.air[1-from], ContactMessage(p.devices[from])) }

// act does something to the contact on one device, as its user would, or lets
// both hear from the contact.
func (p *pair) act(t *testing.T, r *rand.Rand) {
	i := r.IntN(2)
	c := &p.devices[i]
	if r.IntN(3) > 0 { // or at the same time as the other device
		p.now++
	}
	clock := max(p.now, c.Clock()+1)
	at := time.UnixMilli(int64(clock))
	was := *c
	switch r.IntN(8) {
	case 0:
		*c, _, _ = c.SendRequest(clock, at)
	case 1:
		*c, _, _ = c.Accept(clock, at)
	case 2:
		*c, _, _ = c.Decline(clock)
	case 3:
		*c, _, _ = c.Retract(clock)
	case 4:
		*c, _, _ = c.Block(clock)
	case 5:
		*c, _, _ = c.Unblock(clock)
	case 6:
		*c, _ = c.WithNickname([]string{"", "Boss", "Bobby"}[r.IntN(3)])
	case 7:
		// The contact says something, which one of the two may miss.
		for j := range p.devices {
			if r.IntN(4) > 0 {
				p.devices[j], _, _ = p.devices[j].ReceiveUpdate(&apppb.ContactUpdate{
					Clock: p.now, DisplayName: []string{"", "Robert", "Roberta"}[r.IntN(3)], CustomizationColor: uint32(p.now % 3),
					ContactRequestPropagatedState: &apppb.ContactRequestPropagatedState{
						LocalState: []uint64{0, 2, 4}[r.IntN(3)], LocalClock: p.now,
						RemoteState: []uint64{0, 3}[r.IntN(2)], RemoteClock: p.devices[j].LocalClock,
					},
				}, in)
			}
		}
		return
	}
	if *c == was {
		return
	}
	if c.Blocked != was.Blocked || c.Nickname != was.Nickname {
		c.NotedClock = max(p.now, c.NotedClock+1)
	}
	p.tell(i)
}

// hear delivers one of the messages under way, or loses it, or delivers it and
// keeps it for another time.
func (p *pair) hear(t *testing.T, r *rand.Rand) {
	to := r.IntN(2)
	if len(p.air[to]) == 0 {
		return
	}
	n := r.IntN(len(p.air[to]))
	m := p.air[to][n]
	fate := r.IntN(4)
	if fate != 0 {
		p.devices[to] = merge(t, p.devices[to], m)
	}
	if fate != 1 {
		p.air[to] = append(p.air[to][:n:n], p.air[to][n+1:]...)
	}
}

// Two devices whose users do things at the same time, over a network that loses,
// repeats and reorders, know the same of a contact once each has heard once how
// the other sees it, as they do when they are paired; and whatever comes late
// after that changes nothing more at one than at the other.
//
// Proves: AP-174.
func TestDevicesConverge(t *testing.T) {
	t.Parallel()
	who := newKey(t, 1)
	blocked, mutual := 0, 0
	for seed := range uint64(1_000) {
		r := rand.New(rand.NewPCG(seed, 2))
		p := &pair{now: 10}
		p.devices[0].Key, p.devices[1].Key = who, who
		for range 40 {
			p.act(t, r)
			p.hear(t, r)
		}
		first, second := ContactMessage(p.devices[0]), ContactMessage(p.devices[1])
		p.devices[0], p.devices[1] = merge(t, p.devices[0], second), merge(t, p.devices[1], first)
		if synced(p.devices[0]) != synced(p.devices[1]) {
			t.Fatalf("seed %d:\n%+v\n%+v", seed, p.devices[0], p.devices[1])
		}
		for to, late := range p.air {
			for _, m := range late {
				if got := merge(t, p.devices[to], m); synced(got) != synced(p.devices[to]) {
					t.Fatalf("seed %d: late news: %v\nmakes %+v\nof    %+v", seed, m, got, p.devices[to])
				}
			}
		}
		if p.devices[0].Blocked {
			blocked++
		}
		if p.devices[0].State() == contact.StateMutual {
			mutual++
		}
	}
	if blocked < 50 || mutual < 20 {
		t.Errorf("%d ended blocked and %d as contacts: the test does too little", blocked, mutual)
	}
}

// Without loss, no further word is needed: all that was said makes both know the
// same.
func TestDevicesConvergeByThemselves(t *testing.T) {
	t.Parallel()
	who := newKey(t, 1)
	for seed := range uint64(1_000) {
		r := rand.New(rand.NewPCG(seed, 3))
		p := &pair{now: 10}
		p.devices[0].Key, p.devices[1].Key = who, who
		heard := func(to, n int) {
			p.devices[to] = merge(t, p.devices[to], p.air[to][n])
			if r.IntN(3) > 0 {
				p.air[to] = append(p.air[to][:n:n], p.air[to][n+1:]...)
			}
		}
		for range 30 {
			for range 2 {
				if to := r.IntN(2); len(p.air[to]) > 0 {
					heard(to, r.IntN(len(p.air[to])))
				}
			}
			i := r.IntN(2)
			c := &p.devices[i]
			p.now += uint64(r.IntN(2))
			clock := max(p.now, c.Clock()+1)
			was := *c
			switch r.IntN(5) {
			case 0:
				*c, _, _ = c.SendRequest(clock, time.UnixMilli(int64(clock)))
			case 1:
				*c, _, _ = c.Retract(clock)
			case 2:
				*c, _, _ = c.Block(clock)
			case 3:
				*c, _, _ = c.Unblock(clock)
			case 4:
				*c, _ = c.WithTrust(contact.Trust(r.IntN(3)))
			}
			if *c != was {
				if c.Blocked != was.Blocked || c.Trust != was.Trust {
					c.NotedClock = max(p.now, c.NotedClock+1)
				}
				p.tell(i)
			}
		}
		for to := range p.air {
			for len(p.air[to]) > 0 {
				heard(to, r.IntN(len(p.air[to])))
			}
		}
		if synced(p.devices[0]) != synced(p.devices[1]) {
			t.Fatalf("seed %d:\n%+v\n%+v", seed, p.devices[0], p.devices[1])
		}
	}
}

// What another device says never panics and never breaks the rules.
func FuzzMerge(f *testing.F) {
	who := newKey(f, 1)
	before := contact.Contact{Key: who, Local: contact.Sent, LocalClock: 10}
	for _, m := range []*apppb.SyncInstallationContactV2{
		{}, {Id: who.Hex(), Blocked: true, LastUpdatedLocally: 11}, ContactMessage(before),
		ContactMessage(contact.Contact{Key: who, Nickname: "Boss", Trust: contact.Trusted, NotedClock: 4, DisplayName: "Robert", ENSName: "r.eth", UpdatedClock: 5}),
	} {
		raw, _ := proto.Marshal(m)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := new(apppb.SyncInstallationContactV2)
		if proto.Unmarshal(raw, m) != nil {
			return
		}
		after, err := Merge(before, m, in)
		if err != nil && after != before {
			t.Fatalf("an error changed something: %+v", after)
		}
		if name, err := contact.CheckReceivedName(after.DisplayName, nil); err != nil || name != after.DisplayName {
			t.Fatalf("%q was taken as a name: %v", after.DisplayName, err)
		}
		if _, err := contact.CheckNickname(after.Nickname); err != nil {
			t.Fatal(err)
		}
		if again := merge(t, after, ContactMessage(after)); again != after {
			t.Fatalf("%+v told to itself becomes %+v", after, again)
		}
		if err == nil {
			if again, err := Merge(after, m, in); err != nil || again != after {
				t.Fatalf("the same twice: %+v, %v", again, err)
			}
		}
	})
}

func BenchmarkMerge(b *testing.B) {
	c := contact.Contact{Key: newKey(b, 1), Local: contact.Sent, LocalClock: 10, Remote: contact.Received, RemoteClock: 10, DisplayName: "Robert", UpdatedClock: 9}
	m := ContactMessage(c)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Merge(c, m, in); err != nil {
			b.Fatal(err)
		}
	}
}
