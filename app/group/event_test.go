package group

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

const testID = "00000000-0000-4000-8000-000000000000-0x04"

// raw signs any body, also one that Sign refuses.
func raw(t testing.TB, id string, author key.Private, m *apppb.MembershipUpdateEvent) []byte {
	t.Helper()
	encoded, err := message.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return rawBytes(t, id, author, encoded)
}

func rawBytes(t testing.TB, id string, author key.Private, encoded []byte) []byte {
	t.Helper()
	signature, err := author.Sign(key.Keccak256([]byte(id), encoded))
	if err != nil {
		t.Fatal(err)
	}
	return append(signature, encoded...)
}

func members(n int) []string {
	var list []string
	for _, k := range people(n) {
		list = append(list, k.Public().Hex())
	}
	return list
}

// Every limit of an event, at it and past it.
func TestEventLimits(t *testing.T) {
	t.Parallel()
	me := people(1)[0]
	hex := me.Public().Hex()
	type body = apppb.MembershipUpdateEvent
	event := func(typ Type, b *body) *body {
		b.Type = apppb.MembershipUpdateEvent_EventType(typ)
		if b.Clock == 0 {
			b.Clock = 1
		}
		return b
	}
	text := func(n int) string { return strings.Repeat("x", n) }
	for name, c := range map[string]struct {
		body *body
		want error
	}{
		"created without anything": {event(ChatCreated, &body{}), nil},
		"created, long name":       {event(ChatCreated, &body{Name: text(MaxNameSize)}), nil},
		"created, too long name":   {event(ChatCreated, &body{Name: text(MaxNameSize + 1)}), ErrName},
		"created, long colour":     {event(ChatCreated, &body{Color: text(MaxColorSize)}), nil},
		"created, too long colour": {event(ChatCreated, &body{Color: text(MaxColorSize + 1)}), ErrColor},
		"name":                     {event(NameChanged, &body{Name: "x"}), nil},
		"no name":                  {event(NameChanged, &body{}), ErrName},
		"long name":                {event(NameChanged, &body{Name: text(MaxNameSize)}), nil},
		"too long name":            {event(NameChanged, &body{Name: text(MaxNameSize + 1)}), ErrName},
		"colour":                   {event(ColorChanged, &body{Color: text(MaxColorSize)}), nil},
		"no colour":                {event(ColorChanged, &body{}), ErrColor},
		"too long colour":          {event(ColorChanged, &body{Color: text(MaxColorSize + 1)}), ErrColor},
		"image":                    {event(ImageChanged, &body{Image: make([]byte, MaxImageSize)}), nil},
		"no image":                 {event(ImageChanged, &body{}), ErrImage},
		"too large image":          {event(ImageChanged, &body{Image: make([]byte, MaxImageSize+1)}), ErrImage},
		"image and more":           {event(ImageChanged, &body{Image: make([]byte, MaxImageSize), Name: text(MaxEventSize)}), ErrTooLarge},
		"nobody added":             {event(MembersAdded, &body{}), nil},
		"many added":               {event(MembersAdded, &body{Members: members(MaxEventMembers)}), nil},
		"too many added":           {event(MembersAdded, &body{Members: members(MaxEventMembers + 1)}), ErrTargets},
		"no key added":             {event(MembersAdded, &body{Members: []string{hex, "0x04"}}), ErrTargets},
		"key in upper case":        {event(MembersAdded, &body{Members: []string{"0x" + strings.ToUpper(hex[2:])}}), ErrTargets},
		"compressed key":           {event(MembersAdded, &body{Members: []string{me.Public().String()}}), ErrTargets},
		"no point added":           {event(MembersAdded, &body{Members: []string{"0x04" + text(0) + strings.Repeat("1", 128)}}), ErrTargets},
		"joined":                   {event(MemberJoined, &body{}), nil},
		"joined with a lot":        {event(MemberJoined, &body{Image: make([]byte, MaxEventSize)}), ErrTooLarge},
		"nobody removed":           {event(MemberRemoved, &body{}), ErrTargets},
		"one removed":              {event(MemberRemoved, &body{Members: members(1)}), nil},
		"two removed":              {event(MemberRemoved, &body{Members: members(2)}), ErrTargets},
		"no admins":                {event(AdminsAdded, &body{}), ErrTargets},
		"an admin":                 {event(AdminsAdded, &body{Members: members(1)}), nil},
		"many admins":              {event(AdminsAdded, &body{Members: members(MaxEventMembers)}), nil},
		"too many admins":          {event(AdminsAdded, &body{Members: members(MaxEventMembers + 1)}), ErrTargets},
		"no admin removed":         {event(AdminRemoved, &body{}), ErrTargets},
		"an admin removed":         {event(AdminRemoved, &body{Members: members(1)}), nil},
		"two admins removed":       {event(AdminRemoved, &body{Members: members(2)}), ErrTargets},
		"no type":                  {&body{Clock: 1}, ErrType},
		"type of the future":       {event(ImageChanged+1, &body{}), ErrType},
		"type beyond a byte":       {&body{Clock: 1, Type: 257}, ErrType},
		"negative type":            {&body{Clock: 1, Type: -1}, ErrType},
		"no clock":                 {&body{Type: 1}, message.ErrClockZero},
	} {
		got, err := ParseEvent(testID, raw(t, testID, me, c.body))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if (err == nil) != (got.Author == me.Public()) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Signatures have one spelling, and hold for one chat.
//
// Proves: AP-006.
func TestEventSignature(t *testing.T) {
	t.Parallel()
	me := people(1)[0]
	e, err := Sign(testID, Event{Type: NameChanged, Clock: 1, Name: "name"}, me)
	if err != nil {
		t.Fatal(err)
	}
	good := e.Raw
	if got, err := ParseEvent("x"+testID, good); err == nil && got.Author == me.Public() {
		t.Error("the signature holds for another chat")
	}
	change := func(f func(b []byte)) []byte {
		b := bytes.Clone(good)
		f(b)
		return b
	}
	order, _ := new(big.Int).SetString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
	if half := new(big.Int).Rsh(order, 1); half.Cmp(new(big.Int).SetBytes(halfOrder[:])) != 0 {
		t.Errorf("half of the order is %x", half)
	}
	for name, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"nothing":        {nil, ErrMalformed},
		"signature only": {good[:key.SignatureSize], ErrMalformed},
		"v of 27":        {change(func(b []byte) { b[64] += 27 }), ErrSignature},
		"v of 2":         {change(func(b []byte) { b[64] = 2 }), ErrSignature},
		"upper s": {change(func(b []byte) {
			s := new(big.Int).SetBytes(b[32:64])
			s.Sub(order, s).FillBytes(b[32:64])
			b[64] ^= 1
		}), ErrSignature},
		"r of zero":       {change(func(b []byte) { clear(b[:32]) }), ErrSignature},
		"not a message":   {rawBytes(t, testID, me, []byte{0xff}), ErrMalformed},
		"not UTF-8":       {rawBytes(t, testID, me, []byte{8, 1, 0x1a, 1, 0xff, 0x20, 2}), ErrMalformed},
		"larger than any": {make([]byte, MaxEventSize+MaxImageSize+1), ErrTooLarge},
	} {
		if got, err := ParseEvent(testID, c.raw); !errors.Is(err, c.want) || got.Raw != nil {
			t.Errorf("%s: %+v, %v, want %v", name, got, err, c.want)
		}
	}
	// Another text by the same signature is somebody else's.
	if got, err := ParseEvent(testID, change(func(b []byte) { b[len(b)-4] ^= 1 })); err == nil && got.Author == me.Public() {
		t.Error("the signature holds for another event")
	}
}

// What is unknown in an event stays in it: it is passed on as it was signed.
func TestEventKeepsItsBytes(t *testing.T) {
	t.Parallel()
	ks := people(2)
	g := create(t, ks[0], ks[1])
	body := &apppb.MembershipUpdateEvent{Clock: start + 9, Type: 2, Name: "new"}
	encoded, err := proto.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	// The type first, the clock with one byte too many, and a field 99.
	odd := slices.Concat([]byte{0x20, 2}, encoded, []byte{0x9a, 6, 1, 'x'})
	signed := rawBytes(t, g.ID, ks[1], odd)
	after, dropped, err := g.Merge(g.ID, [][]byte{signed}, now)
	if err != nil || len(dropped) > 0 || after.Name != "new" {
		t.Fatalf("%v, %v, name %q", err, dropped, after.Name)
	}
	if list := after.Update().Events; !bytes.Equal(list[len(list)-1], signed) {
		t.Errorf("passed on as %x", list[len(list)-1])
	}
	roundTrip(t, after)
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	me := people(1)[0]
	for name, c := range map[string]struct {
		e    Event
		want error
	}{
		"no type":  {Event{Clock: 1}, ErrType},
		"no clock": {Event{Type: MemberJoined}, message.ErrClockZero},
		"no key":   {Event{Type: MembersAdded, Clock: 1, Members: []key.Public{{}}}, ErrTargets},
		"no name":  {Event{Type: NameChanged, Clock: 1}, ErrName},
	} {
		if got, err := Sign(testID, c.e, me); !errors.Is(err, c.want) || got.Raw != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := Sign(testID, Event{Type: MemberJoined, Clock: 1}, key.Private{}); !errors.Is(err, key.ErrPrivate) {
		t.Errorf("nobody signs: %v", err)
	}
}

func TestNamesAndColors(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "Ünï cödé 🐢", strings.Repeat("é", MaxSentNameRunes)} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", "  ", "a\nb", "\x00", "\x7f", "\xff", strings.Repeat("é", MaxSentNameRunes+1)} {
		if err := CheckName(name); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, color := range []string{"#000000", "#AbCdEf"} {
		if err := CheckColor(color); err != nil {
			t.Errorf("%q: %v", color, err)
		}
	}
	for _, color := range []string{"", "red", "#fff", "#00000g", "#+00000", "0000000", "#1234567", "#12_456"} {
		if err := CheckColor(color); !errors.Is(err, ErrColor) {
			t.Errorf("%q: %v", color, err)
		}
	}
	if Type(99).String() != "99?" || MemberJoined.String() != "MEMBER_JOINED" {
		t.Error("types have other names")
	}
}

func TestStoredRefuses(t *testing.T) {
	t.Parallel()
	g := create(t, people(1)[0])
	good, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, new string) string {
		if !strings.Contains(string(good), old) {
			t.Fatalf("no %s in %s", old, good)
		}
		return strings.Replace(string(good), old, new, 1)
	}
	for name, text := range map[string]string{
		"a list":        `[]`,
		"no id":         change(g.ID, ""),
		"other id":      change(g.ID, "x"),
		"no author":     change(`"author":"0x04`, `"author":"`),
		"no raw":        change(`"raw":"`, `"raw":"","x":"`),
		"event damaged": `{"id":"` + g.ID + `","events":[{"raw":"` + strings.Repeat("A", 92) + `","author":"` + g.Creator.Hex() + `"}]}`,
		"event no list": `{"id":"` + g.ID + `","events":[1]}`,
	} {
		got := g
		if err := json.Unmarshal([]byte(text), &got); err == nil || look(got) != look(g) {
			t.Errorf("%s: %v", name, err)
		}
	}
	roundTrip(t, g)
	roundTrip(t, Group{})
}
