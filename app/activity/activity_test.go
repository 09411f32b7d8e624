package activity

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
)

func someone(t testing.TB, seed byte) key.Public {
	t.Helper()
	k, err := key.Generate(rand.NewChaCha8([32]byte{seed}))
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

func TestOfMessage(t *testing.T) {
	t.Parallel()
	from := someone(t, 1)
	text := &chat.Message{ID: message.ID{7}, Chat: "c", From: from, Text: "hi", Clock: 5, ContentType: "text"}
	request := *text
	request.ContentType = "contact_request"
	for _, test := range []struct {
		name string
		m    *chat.Message
		c    Circumstances
		kind Kind
		id   string
	}{
		{"nothing", text, Circumstances{}, "", ""},
		{"mention", text, Circumstances{MentionsMe: true}, Mention, MessageID(text.ID)},
		{"reply", text, Circumstances{ReplyToMine: true}, Reply, MessageID(text.ID)},
		{"both", text, Circumstances{MentionsMe: true, ReplyToMine: true}, Mention, MessageID(text.ID)},
		{"own", text, Circumstances{Own: true, MentionsMe: true, ReplyToMine: true}, "", ""},
		{"request", &request, Circumstances{}, ContactRequest, "contact_request/" + from.Hex()},
		{"request with a mention", &request, Circumstances{MentionsMe: true}, ContactRequest, "contact_request/" + from.Hex()},
		{"own request", &request, Circumstances{Own: true}, "", ""},
	} {
		e, ok := OfMessage(test.m, test.c)
		want := Entry{ID: test.id, Kind: test.kind, State: Unread, Clock: 5, Chat: "c", From: from, Message: text.ID.String(), Text: "hi"}
		if ok != (test.kind != "") || ok && e != want {
			t.Errorf("%s: %+v, %v", test.name, e, ok)
		}
		if ok && e.Validate() != nil {
			t.Errorf("%s: %v", test.name, e.Validate())
		}
		raw, err := json.Marshal(e)
		var back Entry
		if err != nil || json.Unmarshal(raw, &back) != nil || back != e {
			t.Errorf("%s became %+v, %v", raw, back, err)
		}
	}
}

// Every other thing has an id of its own.
func TestIDs(t *testing.T) {
	t.Parallel()
	a, b := someone(t, 1), someone(t, 2)
	var ids []string
	for _, kind := range Kinds {
		for _, from := range []key.Public{a, b} {
			for _, group := range []string{"g", "h"} {
				e, err := OfGroup(kind, group, from, 1, "")
				about := kind == GroupInvitation || kind == GroupAddition || kind == GroupRequest
				if (err == nil) != about || err != nil && !errors.Is(err, ErrEntry) {
					t.Errorf("%s: %v", kind, err)
				}
				if err == nil && (from == a || kind == GroupRequest) {
					ids = append(ids, e.ID)
				}
			}
		}
	}
	ids = append(ids, OfContactRequest(a, "", "", 1, "").ID, OfContactRequest(b, "", "", 1, "").ID,
		OfVerification("1", a, "", 1, "").ID, OfVerification("2", a, "", 1, "").ID, MessageID(message.ID{1}), MessageID(message.ID{2}))
	if OfContactRequest(a, "x", "y", 2, "z").ID != OfContactRequest(a, "", "", 1, "").ID {
		t.Error("a second request has another id")
	}
	slices.Sort(ids)
	if n := len(slices.Compact(slices.Clone(ids))); n != len(ids) || n != 14 {
		t.Errorf("%d ids of %d", n, len(ids))
	}
}

// Of a community there is an entry for each who asks, and one of each kind about
// us.
func TestOfCommunity(t *testing.T) {
	t.Parallel()
	a, b := key.Public{}, mustKey(t)
	for _, c := range []struct {
		kind Kind
		from key.Public
		id   string
	}{
		{CommunityRequest, b, "community_request/0x02ab/" + b.Hex()},
		{CommunityAccepted, a, "community_accepted/0x02ab"},
		{CommunityKicked, a, "community_kicked/0x02ab"},
	} {
		got, err := OfCommunity(c.kind, "0x02ab", c.from, 7, "text")
		want := Entry{ID: c.id, Kind: c.kind, State: Unread, Clock: 7, Chat: "0x02ab", From: c.from, Text: "text"}
		if got != want || err != nil || got.Validate() != nil {
			t.Errorf("%s: %+v, %v", c.kind, got, err)
		}
	}
	if _, err := OfCommunity(GroupRequest, "0x02ab", a, 7, ""); !errors.Is(err, ErrEntry) {
		t.Errorf("a kind about groups: %v", err)
	}
}

func mustKey(t *testing.T) key.Public {
	t.Helper()
	k, err := key.PrivateFromBytes(append(make([]byte, 31), 77))
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

// Every pair of states, of kinds that ask and kinds that do not.
func TestStates(t *testing.T) {
	t.Parallel()
	all := []State{Unread, Read, Accepted, Dismissed}
	for _, kind := range Kinds {
		asks := kind == ContactRequest || kind == GroupInvitation || kind == GroupRequest || kind == Verification || kind == CommunityRequest
		if kind.Asks() != asks {
			t.Errorf("%s asks: %v", kind, kind.Asks())
		}
		for _, from := range all {
			for _, to := range append(all, "nonsense", "") {
				var want error
				after := to
				switch {
				case !slices.Contains(all, to):
					want = ErrState
				case to == Accepted && !asks:
					want = ErrNoAnswer
				case from == to:
				case (from == Accepted || from == Dismissed) && to == Read:
					after = from
				case from == Accepted || from == Dismissed:
					want = ErrAnswered
				}
				if want != nil {
					after = from
				}
				got, err := Entry{ID: "x", Kind: kind, State: from, Clock: 3}.To(to)
				if got != (Entry{ID: "x", Kind: kind, State: after, Clock: 3}) || !errors.Is(err, want) || want == nil && err != nil {
					t.Errorf("%s from %s to %s: %+v, %v", kind, from, to, got, err)
				}
			}
		}
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	from := someone(t, 1)
	first := OfContactRequest(from, "c", "0x01", 5, "first")
	second := OfContactRequest(from, "c", "0x02", 7, "second")
	declined, err := first.To(Dismissed)
	if err != nil {
		t.Fatal(err)
	}
	read, err := second.To(Read)
	if err != nil {
		t.Fatal(err)
	}
	mention := Entry{ID: "m", Kind: Mention, State: Read, Clock: 3, Message: "0x03", Text: "old"}
	edited := Entry{ID: "m", Kind: Mention, State: Unread, Clock: 3, Message: "0x03", Text: "new"}
	editedRead := edited
	editedRead.State = Read
	added := Entry{ID: "g", Kind: GroupAddition, State: Read, Clock: 3}
	again := Entry{ID: "g", Kind: GroupAddition, State: Unread, Clock: 4}
	for _, test := range []struct {
		name              string
		known, came, want Entry
	}{
		{"the same request", declined, first, declined},
		{"a second request", declined, second, second},
		{"an older request", read, first, read},
		{"the second one again", read, second, read},
		{"an edit", mention, edited, editedRead},
		{"added again", added, again, again},
		{"an older addition", again, added, again},
	} {
		if got := Merge(test.known, test.came); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	good := Entry{ID: strings.Repeat("x", MaxID), Kind: Reply, State: Read}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, change := range []func(e *Entry){
		func(e *Entry) { e.ID = "" }, func(e *Entry) { e.ID += "x" }, func(e *Entry) { e.Kind = "other" },
		func(e *Entry) { e.Kind = "" }, func(e *Entry) { e.State = "" }, func(e *Entry) { e.State = "other" },
	} {
		bad := good
		change(&bad)
		if err := bad.Validate(); !errors.Is(err, ErrEntry) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
