package contact

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/vectors"
	apppb "github.com/parley-im/parley/pb/app"
)

func TestCheckName(t *testing.T) {
	t.Parallel()
	isAlias := func(name string) bool { return name == "Hard Tame Cat" }
	for _, test := range []struct {
		name      string
		own, read error
	}{
		{"", nil, nil},
		{"  ", nil, nil},
		{"alice", nil, nil},
		{" alice ", nil, nil},
		{"Alice B_2-x", nil, nil},
		{strings.Repeat("a", 4), ErrNameLength, ErrNameLength},
		{strings.Repeat("a", 5), nil, nil},
		{strings.Repeat("a", 24), nil, nil},
		{strings.Repeat("a", 25), ErrNameLength, ErrNameLength},
		{" aaaa ", ErrNameLength, ErrNameLength},
		{"alice.x", ErrNameChars, ErrNameChars},
		{"alice!", ErrNameChars, ErrNameChars},
		{"alice_eth", ErrNameENS, ErrNameENS},
		{"alice.eth", ErrNameENS, ErrNameENS},
		{"alice-eth", ErrNameENS, ErrNameENS},
		{"aliceeth", nil, nil},
		{"Hard Tame Cat", ErrNameAlias, ErrNameAlias},
		{"Żółty kot", ErrNameChars, nil},
		{strings.Repeat("é", 24), ErrNameChars, nil},
		{strings.Repeat("é", 25), ErrNameChars, ErrNameLength},
		{"alice😀", ErrNameChars, ErrNameChars},
		{"alice\x00", ErrNameChars, ErrNameChars},
		{"alice\xff", ErrNameChars, ErrNameChars},
	} {
		for _, check := range []struct {
			do   func(string, func(string) bool) (string, error)
			want error
		}{{CheckName, test.own}, {CheckReceivedName, test.read}} {
			got, err := check.do(test.name, isAlias)
			if !errors.Is(err, check.want) {
				t.Errorf("%q: got %v, want %v", test.name, err, check.want)
			}
			if err == nil && got != strings.TrimSpace(test.name) || err != nil && got != "" {
				t.Errorf("%q became %q", test.name, got)
			}
		}
	}
	if _, err := CheckName("Hard Tame Cat", nil); err != nil {
		t.Errorf("without a test for aliases: %v", err)
	}
}

func TestCheckBio(t *testing.T) {
	t.Parallel()
	if err := CheckBio(strings.Repeat("é", MaxBio)); err != nil {
		t.Error(err)
	}
	if err := CheckBio(strings.Repeat("é", MaxBio+1)); !errors.Is(err, ErrBioLength) {
		t.Errorf("got %v", err)
	}
}

func TestProfile(t *testing.T) {
	t.Parallel()
	p, err := Profile{DisplayName: " alice ", Bio: "hello", Color: 2}.Check(nil)
	if err != nil || p.DisplayName != "alice" || p.Bio != "hello" {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := (Profile{DisplayName: "x"}).Check(nil); !errors.Is(err, ErrNameLength) {
		t.Error(err)
	}
	if _, err := (Profile{Bio: strings.Repeat("b", MaxBio+1)}).Check(nil); !errors.Is(err, ErrBioLength) {
		t.Error(err)
	}
	identity := p.Identity(now)
	code := ContactCode(identity)
	c, err := peer(t, Sent, Received).ApplyIdentity(code.GetChatIdentity(), in)
	if err != nil || c.DisplayName != "alice" || c.Bio != "hello" || c.Color != 2 || c.IdentityClock != uint64(now.UnixMilli()) {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := c.ApplyIdentity(ContactCode(nil).GetChatIdentity(), in); err != nil || c.DisplayName != "alice" {
		t.Errorf("a contact code without identity: %+v, %v", c, err)
	}
}

func TestApplyIdentity(t *testing.T) {
	t.Parallel()
	c := peer(t, Sent, Received)
	c.IdentityClock, c.UpdatedClock, c.DisplayName, c.Bio = 10, 20, "alice", "old"
	identity := func(clock uint64) *apppb.ChatIdentity {
		return &apppb.ChatIdentity{Clock: clock, DisplayName: "alicia", Description: "new", EnsName: "a.eth", CustomizationColor: 4}
	}
	for _, clock := range []uint64{9, 10} {
		if after, err := c.ApplyIdentity(identity(clock), in); err != nil || after != c {
			t.Errorf("clock %d: %+v, %v", clock, after, err)
		}
	}
	// Newer than the last identity, older than the last contact update.
	after, err := c.ApplyIdentity(identity(15), in)
	if err != nil || after.Bio != "new" || after.IdentityClock != 15 || after.DisplayName != "alice" || after.UpdatedClock != 20 {
		t.Errorf("%+v, %v", after, err)
	}
	after, err = c.ApplyIdentity(identity(21), in)
	if err != nil || after.DisplayName != "alicia" || after.ENSName != "a.eth" || after.Color != 4 || after.UpdatedClock != 21 {
		t.Errorf("%+v, %v", after, err)
	}
	for name, m := range map[string]*apppb.ChatIdentity{
		"no clock":    {},
		"clock ahead": {Clock: uint64(in.WakuTime.UnixMilli()) + 120_001},
		"bad name":    {Clock: 30, DisplayName: "x"},
		"long bio":    {Clock: 30, Description: strings.Repeat("b", MaxBio+1)},
	} {
		if after, err := c.ApplyIdentity(m, in); err == nil || after != c {
			t.Errorf("%s: %+v, %v", name, after, err)
		}
	}
	c.Blocked = true
	if after, err := c.ApplyIdentity(identity(30), in); !errors.Is(err, ErrBlocked) || after != c {
		t.Errorf("blocked: %v", err)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	c := peer(t, Sent, Received)
	for _, presence := range []Presence{Automatic, DoNotDisturb, AlwaysOnline, Inactive} {
		m, err := Status{Presence: presence, Text: "at sea"}.Update(now)
		if err != nil {
			t.Fatal(err)
		}
		after, err := c.ReceiveStatus(m, in)
		if err != nil || after.Status != (Status{presence, uint64(now.Unix()), "at sea"}) {
			t.Errorf("%s: %+v, %v", presence, after.Status, err)
		}
		if again, err := after.ReceiveStatus(&apppb.StatusUpdate{Clock: m.Clock, StatusType: 1}, in); err != nil || again != after {
			t.Errorf("an equal clock: %+v, %v", again.Status, err)
		}
	}
	if _, err := (Status{}).Update(now); !errors.Is(err, ErrStatusType) {
		t.Errorf("no presence: %v", err)
	}
	limit := uint64(in.WakuTime.Unix()) + 120
	for name, test := range map[string]struct {
		m    *apppb.StatusUpdate
		want error
	}{
		"no clock":            {&apppb.StatusUpdate{StatusType: 1}, ErrStatusClock},
		"clock at limit":      {&apppb.StatusUpdate{StatusType: 1, Clock: limit}, nil},
		"clock over limit":    {&apppb.StatusUpdate{StatusType: 1, Clock: limit + 1}, ErrStatusClock},
		"milliseconds":        {&apppb.StatusUpdate{StatusType: 1, Clock: uint64(now.UnixMilli())}, ErrStatusClock},
		"no type":             {&apppb.StatusUpdate{Clock: 1}, ErrStatusType},
		"a later type":        {&apppb.StatusUpdate{StatusType: 77, Clock: 1}, nil},
		"text at the limit":   {&apppb.StatusUpdate{StatusType: 1, Clock: 1, CustomText: strings.Repeat("é", MaxStatusText)}, nil},
		"text over the limit": {&apppb.StatusUpdate{StatusType: 1, Clock: 1, CustomText: strings.Repeat("é", MaxStatusText+1)}, ErrStatusText},
	} {
		after, err := c.ReceiveStatus(test.m, in)
		if !errors.Is(err, test.want) || (err != nil) != (after == c) {
			t.Errorf("%s: %+v, %v", name, after.Status, err)
		}
	}
	c.Blocked = true
	if _, err := c.ReceiveStatus(&apppb.StatusUpdate{StatusType: 1, Clock: 1}, in); !errors.Is(err, ErrBlocked) {
		t.Errorf("blocked: %v", err)
	}
}

func TestOnline(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		presence Presence
		life     time.Duration
	}{{Automatic, AutomaticLife}, {AlwaysOnline, AlwaysOnlineLife}, {DoNotDisturb, AlwaysOnlineLife}, {Inactive, -1}, {"", -1}, {UnknownState, -1}} {
		s := Status{Presence: test.presence, Clock: uint64(now.Unix())}
		if got := s.Online(now); got != (test.life > 0) {
			t.Errorf("%q at once: %v", test.presence, got)
		}
		if test.life > 0 && (!s.Online(now.Add(test.life)) || s.Online(now.Add(test.life+1))) {
			t.Errorf("%q: not online for %v", test.presence, test.life)
		}
	}
}

// Recorded messages of deployed clients are accepted, and what they carry
// comes out.
func TestVectorsContactMessages(t *testing.T) {
	t.Parallel()
	type recorded struct {
		Name    string
		Type    message.Type
		Payload vectors.Hex
	}
	var checked int
	for _, r := range vectors.Cases[recorded](t, "application_metadata") {
		decode := func(m proto.Message) {
			if err := proto.Unmarshal(r.Payload, m); err != nil {
				t.Fatal(err)
			}
			checked++
		}
		same := func(m proto.Message) {
			if raw, err := message.Encode(m); err != nil || !bytes.Equal(raw, r.Payload) {
				t.Errorf("%s: built %x, recorded %x", r.Name, raw, []byte(r.Payload))
			}
		}
		c := peer(t, NoRelation, NoRelation)
		var err error
		switch r.Type {
		case apppb.ApplicationMetadataMessage_CONTACT_UPDATE:
			var m apppb.ContactUpdate
			decode(&m)
			c, _, err = c.ReceiveUpdate(&m, in)
			if c.DisplayName != m.DisplayName || c.Color != m.CustomizationColor || c.UpdatedClock != m.Clock {
				t.Errorf("%s: %+v", r.Name, c)
			}
		case apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_REQUEST:
			var m apppb.AcceptContactRequest
			decode(&m)
			c, _, err = c.ReceiveAccept(&m, in)
			if c.RemoteClock != m.Clock || c.Remote != Received {
				t.Errorf("%s: %+v", r.Name, c)
			}
		case apppb.ApplicationMetadataMessage_RETRACT_CONTACT_REQUEST:
			var m apppb.RetractContactRequest
			decode(&m)
			c, _, err = c.ReceiveRetract(&m, in)
			if c.RemoteClock != m.Clock || c.Remote != NoRelation {
				t.Errorf("%s: %+v", r.Name, c)
			}
			same(RetractMessage(m.Id, m.Clock))
		case apppb.ApplicationMetadataMessage_CHAT_IDENTITY:
			var m apppb.ChatIdentity
			decode(&m)
			c, err = c.ApplyIdentity(&m, in)
			if c.DisplayName != m.DisplayName || c.Bio != m.Description || c.IdentityClock != m.Clock {
				t.Errorf("%s: %+v", r.Name, c)
			}
			same(Profile{DisplayName: m.DisplayName, Bio: m.Description, ENSName: m.EnsName, Color: m.CustomizationColor}.Identity(time.UnixMilli(int64(m.Clock))))
		case apppb.ApplicationMetadataMessage_CONTACT_CODE_ADVERTISEMENT:
			var m apppb.ContactCodeAdvertisement
			decode(&m)
			c, err = c.ApplyIdentity(m.ChatIdentity, in)
			if c.DisplayName != m.ChatIdentity.GetDisplayName() {
				t.Errorf("%s: %+v", r.Name, c)
			}
			same(ContactCode(m.ChatIdentity))
		case apppb.ApplicationMetadataMessage_STATUS_UPDATE:
			var m apppb.StatusUpdate
			decode(&m)
			c, err = c.ReceiveStatus(&m, in)
			if c.Status.Clock != m.Clock {
				t.Errorf("%s: %+v", r.Name, c.Status)
			}
			built, buildErr := c.Status.Update(time.Unix(int64(m.Clock), 0))
			if buildErr != nil {
				t.Error(buildErr)
			}
			same(built)
		}
		if err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
	}
	if checked == 0 {
		t.Error("no message of contacts in the recording")
	}
}

func BenchmarkReceiveChat(b *testing.B) {
	c := Contact{Key: newKey(b, 2).Public(), Local: Sent, LocalClock: 10, Remote: Received, RemoteClock: 10}
	m := &apppb.ChatMessage{Clock: 11, DisplayName: "alice", ContactRequestPropagatedState: c.Propagated()}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := c.ReceiveChat(message.ID{}, m, in); err != nil {
			b.Fatal(err)
		}
	}
}
