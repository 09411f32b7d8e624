package contact

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// A mark of trust survives storage and everything that happens to the relation.
func TestTrust(t *testing.T) {
	t.Parallel()
	for _, trust := range []Trust{TrustUnknown, Trusted, Untrustworthy} {
		c, err := peer(t, Sent, Received).WithTrust(trust)
		c.AddedAt = c.AddedAt.UTC()
		if err != nil || c.Trust != trust {
			t.Fatalf("%s: %+v, %v", trust, c, err)
		}
		raw, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var back Contact
		if err := json.Unmarshal(raw, &back); err != nil || back != c {
			t.Errorf("%s became %+v, %v", raw, back, err)
		}
		if strings.Contains(string(raw), trust.String()) == (trust == TrustUnknown) {
			t.Errorf("%s: stored as %s", trust, raw)
		}
		blocked, _, err := c.Block(11)
		if err != nil {
			t.Fatal(err)
		}
		free, _, err := blocked.Unblock(12)
		if err != nil || free.Trust != trust {
			t.Errorf("%s: %+v, %v", trust, free, err)
		}
	}
	c := peer(t, Sent, Received)
	if after, err := c.WithTrust(Untrustworthy + 1); !errors.Is(err, ErrTrust) || after != c {
		t.Errorf("%+v, %v", after, err)
	}
	var trust Trust
	if err := trust.UnmarshalText([]byte("friend")); !errors.Is(err, ErrTrust) {
		t.Error(err)
	}
	if got := (Untrustworthy + 1).String(); got != "trust 3" {
		t.Error(got)
	}
	// Nothing that is sent tells of it.
	c.Trust = Trusted
	plain := c
	plain.Trust = TrustUnknown
	profile := Profile{DisplayName: "alice"}
	if !proto.Equal(profile.Update(c, 20), profile.Update(plain, 20)) || !proto.Equal(c.Propagated(), plain.Propagated()) {
		t.Error("what is sent depends on the mark of trust")
	}
}

func TestAllowedFrom(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		from Origin
		want bool
	}{
		{"stranger", Origin{Sender: peer(t, NoRelation, NoRelation)}, false},
		{"somebody who asked us", Origin{Sender: peer(t, NoRelation, Received)}, false},
		{"somebody dismissed", Origin{Sender: peer(t, Dismissed, Received)}, false},
		{"somebody we asked", Origin{Sender: peer(t, Sent, NoRelation)}, true},
		{"contact", Origin{Sender: peer(t, Sent, Received)}, true},
		{"ourselves", Origin{Own: true}, true},
		{"stranger in a public chat", Origin{Public: true}, true},
		{"stranger in a chat we opened", Origin{Active: true}, true},
	} {
		if got := AllowedFrom(test.from); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestBlockHidesPresence(t *testing.T) {
	t.Parallel()
	c := peer(t, Sent, Received)
	c.Status = Status{Presence: AlwaysOnline, Clock: uint64(now.Unix())}
	if blocked, _, err := c.Block(11); err != nil || blocked.Status != (Status{}) {
		t.Errorf("somebody blocked shows as %+v, %v", blocked.Status, err)
	}
}

func TestNickname(t *testing.T) {
	t.Parallel()
	c := peer(t, NoRelation, NoRelation)
	for _, test := range []struct {
		nickname string
		want     error
	}{
		{"", nil},
		{"  mum ", nil},
		{"Ångström the 2nd!", nil},
		{"👩‍👩‍👧", nil},
		{"a\u00a0b", nil},
		{strings.Repeat("é", MaxNickname), nil},
		{" " + strings.Repeat("é", MaxNickname) + " ", nil},
		{strings.Repeat("é", MaxNickname+1), ErrNicknameLength},
		{"two\nlines", ErrNicknameChars},
		{"a\x00", ErrNicknameChars},
		{"a\xff", ErrNicknameChars},
		{"gro\u202eresrever", ErrNicknameChars},
		{"a\u200bb", ErrNicknameChars},
	} {
		named, err := c.WithNickname(test.nickname)
		if !errors.Is(err, test.want) || err != nil && named != c || err == nil && named.Nickname != strings.TrimSpace(test.nickname) {
			t.Errorf("%q: %q, %v; want %v", test.nickname, named.Nickname, err, test.want)
		}
	}
}

// Nickname, verified ENS name, display name, key: in this order.
func TestCalled(t *testing.T) {
	t.Parallel()
	c := peer(t, NoRelation, NoRelation)
	c.ENSName = "alice.eth"
	check := func(name string, kind NameKind) {
		t.Helper()
		if got, is := c.Called(); got != name || is != kind || c.Name() != name {
			t.Errorf("%q of kind %s, want %q of kind %s", got, is, name, kind)
		}
	}
	s := c.Key.String()
	check(s[:3]+"…"+s[len(s)-6:], NameKey)
	c.DisplayName = "Alice"
	check("Alice", NameDisplay)
	if other := c.WithENS("bob.eth", true); other != c {
		t.Errorf("another name was verified: %+v", other)
	}
	c = c.WithENS("alice.eth", true)
	check("alice.eth", NameENS)
	if refuted := c.WithENS("alice.eth", false); refuted.Name() != "Alice" {
		t.Errorf("%+v", refuted)
	}
	c.Nickname = "mum"
	check("mum", NameNickname)
	if name, kind := (Contact{}).Called(); name != "" || kind != "" {
		t.Errorf("nobody is called %q, %q", name, kind)
	}
	if none := (Contact{}).WithENS("", true); none.ENSVerified {
		t.Error("no name is verified")
	}
}

// A name that changes has to be looked up again, whatever message changes it.
func TestNewNameIsUnverified(t *testing.T) {
	t.Parallel()
	known := peer(t, Sent, Received)
	known.ENSName, known.ENSVerified = "alice.eth", true
	for name, receive := range map[string]func(c Contact, ens string) (Contact, error){
		"contact update": func(c Contact, ens string) (Contact, error) {
			after, _, err := c.ReceiveUpdate(&apppb.ContactUpdate{Clock: 20, EnsName: ens}, in)
			return after, err
		},
		"chat message": func(c Contact, ens string) (Contact, error) {
			after, _, err := c.ReceiveChat(message.ID{}, &apppb.ChatMessage{Clock: 20, EnsName: ens}, in)
			return after, err
		},
		"chat identity": func(c Contact, ens string) (Contact, error) {
			return c.ApplyIdentity(&apppb.ChatIdentity{Clock: 20, EnsName: ens}, in)
		},
	} {
		if after, err := receive(known, "alice.eth"); err != nil || !after.ENSVerified {
			t.Errorf("%s with the same name: %+v, %v", name, after, err)
		}
		if after, err := receive(known, "alicia.eth"); err != nil || after.ENSName != "alicia.eth" || after.ENSVerified {
			t.Errorf("%s with another name: %+v, %v", name, after, err)
		}
	}
}

func TestColors(t *testing.T) {
	t.Parallel()
	for id, name := range colors {
		if ColorName(uint32(id)) != name {
			t.Errorf("%d is %s", id, ColorName(uint32(id)))
		}
		if back, ok := ColorID(name); !ok || back != uint32(id) {
			t.Errorf("%s is %d, %v", name, back, ok)
		}
	}
	if got := ColorName(uint32(len(colors))); got != "blue" {
		t.Errorf("a colour of later versions is %s", got)
	}
	if _, ok := ColorID("ultraviolet"); ok {
		t.Error("there is an ultraviolet")
	}
}

// A display name stays one line, and allows what either generation of clients
// allows.
func TestReceivedNameOneLine(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Alice\nB":     "Alice B",
		"Alice\t\r\nB": "Alice   B",
		"Zoë\u2028Zoë": "Zoë Zoë",
	} {
		if got, err := CheckReceivedName(name, nil); err != nil || got != want {
			t.Errorf("%q became %q, %v", name, got, err)
		}
	}
	if _, err := CheckReceivedName("Hard\nTame Cat", func(name string) bool { return name == "Hard Tame Cat" }); !errors.Is(err, ErrNameAlias) {
		t.Error(err)
	}
}

func TestShown(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		presence Presence
		age      time.Duration
		want     Presence
	}{
		{"", 0, ""},
		{Automatic, -time.Minute, Automatic},
		{Automatic, AutomaticLife, Automatic},
		{Automatic, AutomaticLife + time.Second, Inactive},
		{Automatic, AlwaysOnlineLife, Inactive},
		{Automatic, AlwaysOnlineLife + time.Second, ""},
		{AlwaysOnline, AlwaysOnlineLife, AlwaysOnline},
		{AlwaysOnline, AlwaysOnlineLife + time.Second, ""},
		{DoNotDisturb, AlwaysOnlineLife, DoNotDisturb},
		{DoNotDisturb, AlwaysOnlineLife + time.Second, ""},
		{Inactive, 0, Inactive},
		{Inactive, AlwaysOnlineLife + time.Second, ""},
		{UnknownState, 0, UnknownState},
		{UnknownState, AlwaysOnlineLife + time.Second, ""},
	} {
		s := Status{Presence: test.presence, Clock: uint64(now.Unix())}
		if got := s.Shown(now.Add(test.age)); got != test.want {
			t.Errorf("%q after %v shows as %q, want %q", test.presence, test.age, got, test.want)
		}
	}
}
