package community

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/picture"
	apppb "github.com/parley-im/parley/pb/app"
)

// A new community has its creator as owner, one channel, and the id of its key.
//
// Proves: AP-036, AP-041.
func TestCreate(t *testing.T) {
	t.Parallel()
	p := people(3)
	c := create(t)
	d := c.Description
	if !c.Joined || c.Role(p[1].Public()) != Owner || len(d.Members) != 1 || !slices.Equal(names(d), []string{"general"}) ||
		d.Clock != milliseconds(now) || d.Access != ManualAccept || d.Name != "a community" || c.Key != p[0].Public() {
		t.Errorf("%+v", c)
	}
	m := wire(t, c)
	if m.ID != p[0].Public().CompressedHex() || m.Chats[d.Channels[0].UUID].Identity.FirstMessageTimestamp != 1 {
		t.Errorf("%v", m)
	}
	if !reflectParams(d.Params(), params()) {
		t.Errorf("parameters came back as %+v", d.Params())
	}
	roundTrip(t, c)
	for name, tc := range map[string]struct {
		by    func(by *Control)
		owner key.Public
		want  error
	}{
		"no key":    {func(by *Control) { by.Key = key.Private{} }, p[1].Public(), ErrControl},
		"no owner":  {func(by *Control) {}, key.Public{}, key.ErrPublic},
		"no random": {func(by *Control) { by.Rand = nil }, p[1].Public(), ErrControl},
	} {
		control := by(0)
		tc.by(&control)
		if _, err := Create(control, tc.owner, params()); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func reflectParams(a, b Params) bool {
	return a.Name == b.Name && a.Text == b.Text && a.Color == b.Color && a.Emoji == b.Emoji && a.Intro == b.Intro && a.Outro == b.Outro &&
		slices.Equal(a.Tags, b.Tags) && a.Access == b.Access && a.ENSOnly == b.ENSOnly && a.PinByAll == b.PinByAll &&
		a.ThreadsByAll == b.ThreadsByAll && len(a.Images) == len(b.Images)
}

// What an owner may say, at the limits and past them.
func TestParams(t *testing.T) {
	t.Parallel()
	c := create(t)
	long := func(n int) string { return strings.Repeat("a", n) }
	for name, tc := range map[string]struct {
		edit func(p *Params)
		want error
	}{
		"as it is":     {func(p *Params) {}, nil},
		"no name":      {func(p *Params) { p.Name = "" }, ErrName},
		"name":         {func(p *Params) { p.Name = long(MaxName) }, nil},
		"long name":    {func(p *Params) { p.Name = long(MaxName + 1) }, ErrName},
		"bytes":        {func(p *Params) { p.Name = strings.Repeat("é", MaxName/2+1) }, ErrName},
		"no text":      {func(p *Params) { p.Text = "" }, ErrText},
		"text":         {func(p *Params) { p.Text = long(MaxText) }, nil},
		"long text":    {func(p *Params) { p.Text = long(MaxText + 1) }, ErrText},
		"intro":        {func(p *Params) { p.Intro = long(MaxIntro) }, nil},
		"long intro":   {func(p *Params) { p.Intro = long(MaxIntro + 1) }, ErrText},
		"outro":        {func(p *Params) { p.Outro = long(MaxOutro) }, nil},
		"long outro":   {func(p *Params) { p.Outro = long(MaxOutro + 1) }, ErrText},
		"long emoji":   {func(p *Params) { p.Emoji = long(MaxName + 1) }, ErrText},
		"no colour":    {func(p *Params) { p.Color = "" }, ErrColor},
		"colour":       {func(p *Params) { p.Color = "#AABBCC" }, nil},
		"word":         {func(p *Params) { p.Color = "#purple" }, ErrColor},
		"tag":          {func(p *Params) { p.Tags = []string{"nonsense"} }, ErrTag},
		"no tags":      {func(p *Params) { p.Tags = nil }, nil},
		"no access":    {func(p *Params) { p.Access = "" }, ErrAccess},
		"invitation":   {func(p *Params) { p.Access = InvitationOnly }, ErrAccess},
		"auto":         {func(p *Params) { p.Access = AutoAccept; p.ENSOnly = true; p.PinByAll = true; p.ThreadsByAll = true }, nil},
		"picture":      {func(p *Params) { p.Images = map[string]*apppb.IdentityImage{picture.Large: {Payload: []byte{1}}} }, nil},
		"broken UTF-8": {func(p *Params) { p.Text = "\xff" }, nil},
	} {
		p := c.Description.Params()
		tc.edit(&p)
		after, err := c.Edit(by(time.Second), p)
		if name == "broken UTF-8" {
			if err == nil {
				t.Error("broken UTF-8 is published")
			}
			continue
		}
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !bytes.Equal(after.Wrapped, c.Wrapped) {
			t.Errorf("%s: refused and changed", name)
		}
		if err == nil && !reflectParams(after.Description.Params(), p) {
			t.Errorf("%s: %+v", name, after.Description.Params())
		}
	}
}

// Clocks rise whatever the time is, and only the key's holder changes anything.
//
// Proves: AP-076.
func TestControl(t *testing.T) {
	t.Parallel()
	p := people(3)
	c := create(t)
	for _, after := range []time.Duration{-time.Hour, 0, time.Hour, time.Hour} {
		next := must(t)(c.Edit(by(after), params()))
		want := max(milliseconds(now.Add(after)), c.Description.Clock+1)
		if next.Description.Clock != want {
			t.Errorf("clock %d, want %d", next.Description.Clock, want)
		}
		author, _, err := Unwrap(next.Wrapped)
		if err != nil || author != c.Key {
			t.Errorf("signed by %s, %v", author.Hex(), err)
		}
		c = next
	}
	for name, tc := range map[string]struct {
		c    Community
		by   Control
		want error
	}{
		"another key": {c, Control{Key: p[1], Now: now}, ErrControl},
		"no key":      {c, Control{Now: now}, ErrControl},
		"unknown":     {Community{Key: c.Key}, by(0), ErrUnknown},
		"sealed": {forged(t, c, func(m *apppb.CommunityDescription) {
			m.PrivateData = map[string][]byte{"a": {1}}
		}), by(0), ErrGated},
		"last clock": {forged(t, c, func(m *apppb.CommunityDescription) { m.Clock = math.MaxUint64 }), by(0), ErrClock},
	} {
		if after, err := tc.c.Ban(tc.by, p[2].Public(), true); !errors.Is(err, tc.want) || !bytes.Equal(after.Wrapped, tc.c.Wrapped) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Members are added, kicked, banned and let in again.
//
// Proves: AP-037.
func TestMembers(t *testing.T) {
	t.Parallel()
	p := people(5)
	a, b := p[2].Public(), p[3].Public()
	c := create(t, p[2], p[3])
	if !c.IsMember(a) || !c.IsMember(b) {
		t.Fatal("not added")
	}
	if again := join(t, c, p[2]); again.Description.Clock != c.Description.Clock {
		t.Error("adding a member again changes the description")
	}
	if newer, err := c.AddMembers(by(1), Request{Member: a, Community: c.Key, Clock: seconds(now) + 9, State: Accepted}); err != nil || len(newer.Description.Members) != 3 {
		t.Errorf("%d members, %v", len(newer.Description.Members), err)
	}
	c = must(t)(c.RemoveMember(by(1), a))
	if c.IsMember(a) || c.IsBanned(a) {
		t.Error("kicked: still there, or banned")
	}
	c = must(t)(c.Ban(by(2), b, true))
	m := wire(t, c)
	if c.IsMember(b) || !c.IsBanned(b) || !slices.Equal(m.BanList, []string{b.Hex()}) || !m.BannedMembers[b.Hex()].GetDeleteAllMessages() {
		t.Errorf("banned: %v %v", m.BanList, m.BannedMembers)
	}
	// A ban can be changed, and is listed once.
	c = must(t)(c.Ban(by(3), b, false))
	if m = wire(t, c); len(m.BanList) != 1 || m.BannedMembers[b.Hex()].GetDeleteAllMessages() {
		t.Errorf("banned again: %v %v", m.BanList, m.BannedMembers)
	}
	c = must(t)(c.Unban(by(4), b))
	if m = wire(t, c); c.IsBanned(b) || c.IsMember(b) || len(m.BanList)+len(m.BannedMembers) > 0 {
		t.Errorf("let in again: %v %v", m.BanList, m.BannedMembers)
	}
	if c = must(t)(c.Ban(by(5), p[4].Public(), false)); !c.IsBanned(p[4].Public()) {
		t.Error("a stranger cannot be banned")
	}
	accepted := func(k key.Public) Request { return Request{Member: k, Community: c.Key, Clock: 1, State: Accepted} }
	for name, tc := range map[string]struct {
		do   func() (Community, error)
		want error
	}{
		"kick a stranger":       {func() (Community, error) { return c.RemoveMember(by(6), a) }, ErrNoMember},
		"kick the owner":        {func() (Community, error) { return c.RemoveMember(by(6), p[1].Public()) }, ErrOwner},
		"kick the community":    {func() (Community, error) { return c.RemoveMember(by(6), c.Key) }, ErrOwner},
		"ban the owner":         {func() (Community, error) { return c.Ban(by(6), p[1].Public(), false) }, ErrOwner},
		"ban nobody":            {func() (Community, error) { return c.Ban(by(6), key.Public{}, false) }, key.ErrPublic},
		"unban who is not":      {func() (Community, error) { return c.Unban(by(6), a) }, ErrNotBanned},
		"add who is banned":     {func() (Community, error) { return c.AddMembers(by(6), accepted(a), accepted(p[4].Public())) }, ErrBanned},
		"add nobody":            {func() (Community, error) { return c.AddMembers(by(6), accepted(key.Public{})) }, key.ErrPublic},
		"add to another":        {func() (Community, error) { return c.AddMembers(by(6), Request{Member: a, State: Accepted}) }, ErrElse},
		"add without a request": {func() (Community, error) { return c.AddMembers(by(6), Request{Member: a, Community: c.Key}) }, ErrDecided},
	} {
		if after, err := tc.do(); !errors.Is(err, tc.want) || !bytes.Equal(after.Wrapped, c.Wrapped) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Out of the community is out of channels with members of their own.
	c = join(t, c, p[2])
	c = forged(t, c, func(m *apppb.CommunityDescription) {
		for uuid, ch := range m.Chats {
			ch.Members = map[string]*apppb.CommunityMember{a.Hex(): {}}
			m.TokenPermissions = map[string]*apppb.CommunityTokenPermission{"a": {ChatIds: []string{c.ID() + uuid}}}
		}
	})
	if c = must(t)(c.RemoveMember(by(7), a)); len(c.Description.Channels[0].Members) != 0 {
		t.Error("still in a channel")
	}
}

// outline is the channels as they are shown.
func outline(d Description) string {
	var out []string
	for _, ch := range d.Channels {
		g, _ := d.Category(ch.Category)
		out = append(out, g.Name+"/"+ch.Name)
	}
	return strings.Join(out, " ")
}

// Channels and categories come, move and go, and keep their places.
//
// Proves: AP-038.
func TestChannels(t *testing.T) {
	t.Parallel()
	c := create(t)
	ids := map[string]string{"general": c.Description.Channels[0].UUID}
	tick := time.Duration(0)
	next := func() Control { tick++; return by(tick) }
	for _, name := range []string{"a", "b", "c"} {
		after, id, err := c.CreateChannel(next(), ChannelParams{Name: name, Text: "about " + name, Color: "#112233", Emoji: "🙂", ViewersReact: true, HideLocked: true})
		if err != nil {
			t.Fatal(err)
		}
		c, ids[name] = after, id
	}
	if ch, ok := c.Description.Channel(ids["b"]); !ok || ch.Text != "about b" || ch.Color != "#112233" || ch.Emoji != "🙂" || !ch.ViewersReact || !ch.HideLocked {
		t.Errorf("%+v", ch)
	}
	check := func(what, want string) {
		t.Helper()
		if got := outline(c.Description); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
		places := map[string]int32{}
		for _, ch := range c.Description.Channels {
			if ch.Position != places[ch.Category] {
				t.Errorf("%s: %s at %d, want %d", what, ch.Name, ch.Position, places[ch.Category])
			}
			places[ch.Category]++
		}
		for i, g := range c.Description.Categories {
			if g.Position != int32(i) {
				t.Errorf("%s: category %s at %d, want %d", what, g.Name, g.Position, i)
			}
		}
	}
	check("made", "/general /a /b /c")
	var x, y string
	var err error
	if c, x, err = c.CreateCategory(next(), "X", []string{ids["c"], ids["a"]}); err != nil {
		t.Fatal(err)
	}
	check("a category", "/general /b X/c X/a")
	if c, y, err = c.CreateCategory(next(), "Y", []string{ids["a"]}); err != nil {
		t.Fatal(err)
	}
	check("another", "/general /b X/c Y/a")
	c = must(t)(c.MoveChannel(next(), ids["b"], x, 0))
	check("moved into one", "/general X/b X/c Y/a")
	c = must(t)(c.MoveChannel(next(), ids["b"], x, 99))
	check("moved to the end", "/general X/c X/b Y/a")
	c = must(t)(c.MoveChannel(next(), ids["a"], "", -1))
	check("moved out", "/a /general X/c X/b")
	c = must(t)(c.MoveCategory(next(), y, 0))
	c = must(t)(c.EditCategory(next(), y, "Z", []string{ids["b"], ids["c"]}))
	check("renamed and filled", "/a /general Z/b Z/c")
	c = must(t)(c.EditCategory(next(), y, "Z", []string{ids["c"]}))
	check("one taken out", "/a /general /b Z/c")
	edit, _ := c.Description.Channel(ids["general"])
	p := edit.Params()
	p.Name, p.Category = "lobby", x
	c = must(t)(c.EditChannel(next(), ids["general"], p))
	check("edited", "/a /b Z/c X/lobby")
	c = must(t)(c.DeleteCategory(next(), y))
	check("a category deleted", "/a /b /c X/lobby")
	c = must(t)(c.DeleteChannel(next(), ids["b"]))
	check("a channel deleted", "/a /c X/lobby")

	for name, tc := range map[string]struct {
		do   func() (Community, error)
		want error
	}{
		"edit none":    {func() (Community, error) { return c.EditChannel(next(), ids["b"], p) }, ErrNoChannel},
		"delete none":  {func() (Community, error) { return c.DeleteChannel(next(), ids["b"]) }, ErrNoChannel},
		"move none":    {func() (Community, error) { return c.MoveChannel(next(), ids["b"], "", 0) }, ErrNoChannel},
		"move to none": {func() (Community, error) { return c.MoveChannel(next(), ids["a"], y, 0) }, ErrNoGroup},
		"edit to none": {func() (Community, error) {
			return c.EditChannel(next(), ids["a"], ChannelParams{Name: "a", Category: y})
		}, ErrNoGroup},
		"no name": {func() (Community, error) { return c.EditChannel(next(), ids["a"], ChannelParams{}) }, ErrChannel},
		"name": {func() (Community, error) {
			return c.EditChannel(next(), ids["a"], ChannelParams{Name: strings.Repeat("a", MaxChannelName)})
		}, nil},
		"long name": {func() (Community, error) {
			return c.EditChannel(next(), ids["a"], ChannelParams{Name: strings.Repeat("a", MaxChannelName+1)})
		}, ErrChannel},
		"text": {func() (Community, error) {
			return c.EditChannel(next(), ids["a"], ChannelParams{Name: "a", Text: strings.Repeat("a", MaxChannelText)})
		}, nil},
		"long text": {func() (Community, error) {
			return c.EditChannel(next(), ids["a"], ChannelParams{Name: "a", Text: strings.Repeat("a", MaxChannelText+1)})
		}, ErrChannel},
		"long emoji": {func() (Community, error) {
			return c.EditChannel(next(), ids["a"], ChannelParams{Name: "a", Emoji: strings.Repeat("a", MaxChannelName+1)})
		}, ErrChannel},
		"colour": {func() (Community, error) {
			return c.EditChannel(next(), ids["a"], ChannelParams{Name: "a", Color: "red"})
		}, ErrColor},
		"no category":      {func() (Community, error) { return c.EditCategory(next(), y, "Y", nil) }, ErrNoGroup},
		"move no category": {func() (Community, error) { return c.MoveCategory(next(), y, 0) }, ErrNoGroup},
		"delete category":  {func() (Community, error) { return c.DeleteCategory(next(), y) }, ErrNoGroup},
		"category name":    {func() (Community, error) { return c.EditCategory(next(), x, strings.Repeat("a", MaxChannelName), nil) }, nil},
		"long category": {func() (Community, error) {
			return c.EditCategory(next(), x, strings.Repeat("a", MaxChannelName+1), nil)
		}, ErrCategory},
		"nameless":      {func() (Community, error) { return c.EditCategory(next(), x, "", nil) }, ErrCategory},
		"of no channel": {func() (Community, error) { return c.EditCategory(next(), x, "X", []string{ids["b"]}) }, ErrNoChannel},
		"twice":         {func() (Community, error) { return c.EditCategory(next(), x, "X", []string{ids["a"], ids["a"]}) }, ErrCategory},
		"same channel id": {func() (Community, error) {
			b := next()
			after, _, err := c.CreateChannel(Control{b.Key, b.Now, &counting{77}}, ChannelParams{Name: "a"})
			if err != nil {
				return c, err
			}
			last, id, err := after.CreateChannel(Control{b.Key, b.Now, &counting{77}}, ChannelParams{Name: "a"})
			if id != "" || !bytes.Equal(last.Wrapped, after.Wrapped) {
				t.Error("refused and changed")
			}
			return c, err
		}, ErrChannel},
		"no random": {func() (Community, error) {
			after, _, err := c.CreateCategory(Control{Key: people(1)[0], Now: now}, "a", nil)
			return after, err
		}, ErrControl},
	} {
		if after, err := tc.do(); !errors.Is(err, tc.want) || (err != nil && !bytes.Equal(after.Wrapped, c.Wrapped)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Following, and what comes of it.
func TestFollow(t *testing.T) {
	t.Parallel()
	p := people(3)
	c, _ := seen(t, create(t), Community{}, p[2])
	if c.Followed() || !c.Follow().Followed() || c.Follow().Unfollow().Followed() {
		t.Error("following is not what was asked for")
	}
	if got := c.Owned(p[2].Public(), now); got.Joined {
		t.Error("owned by somebody who is not listed")
	}
	if got := c.Owned(p[1].Public(), now); !got.Joined || got.JoinedAt != milliseconds(now) {
		t.Error("not joined with one's own community")
	}
	if !(Community{}).IsZero() || c.IsZero() || c.ID() != c.Key.CompressedHex() {
		t.Error("zero is something")
	}
	if _, ok := TagAt(-1); ok {
		t.Error("a tag before the first")
	}
	if _, ok := TagAt(len(Tags())); ok {
		t.Error("a tag after the last")
	}
}
