package group

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/vectors"
	apppb "github.com/parley-im/parley/pb/app"
)

// updateCase is an update as a deployed client made it, and what such a client
// makes of it.
type updateCase struct {
	Name                                  string
	ChatID                                string
	PrivateKeyA, PrivateKeyB, PrivateKeyC vectors.Hex
	Events                                []struct {
		Clock                 uint64
		Type, Name, Color     string
		Image                 vectors.Hex
		Members               []string
		From                  string
		RawPayload, Signature vectors.Hex
	}
	MembershipUpdateMessage vectors.Hex
	WrappedByA              vectors.Hex
	MessageID               vectors.Hex
	Fold                    struct {
		Members, Admins       []string
		GroupName, GroupColor string
		AbridgedEvents        []struct {
			Clock uint64
			Type  string
		}
		// Invalid tells that deployed clients refuse the list.
		Invalid string
	}
}

// Proves: AP-006, AP-007.
func TestVectorsMembershipUpdate(t *testing.T) {
	t.Parallel()
	for _, c := range vectors.Cases[updateCase](t, "membership_update") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			authors := map[string]key.Private{}
			for _, raw := range []vectors.Hex{c.PrivateKeyA, c.PrivateKeyB, c.PrivateKeyC} {
				k, err := key.PrivateFromBytes(raw)
				if err != nil {
					t.Fatal(err)
				}
				authors[k.Public().Hex()] = k
			}
			creator, err := Creator(c.ChatID)
			if err != nil || creator.Hex() != c.Events[0].From {
				t.Fatalf("creator %s, %v", creator.Hex(), err)
			}

			// Out: the same fields give the same signed bytes.
			u := Update{ID: c.ChatID}
			for i, want := range c.Events {
				fields := Event{Clock: want.Clock, Name: want.Name, Color: want.Color, Image: want.Image,
					Type: Type(apppb.MembershipUpdateEvent_EventType_value[want.Type])}
				for _, m := range want.Members {
					k, err := key.ParsePublic(m)
					if err != nil {
						t.Fatal(err)
					}
					fields.Members = append(fields.Members, k)
				}
				e, err := Sign(c.ChatID, fields, authors[want.From])
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(e.Raw, slices.Concat(want.Signature, want.RawPayload)) {
					t.Errorf("event %d:\n%x, recorded\n%x%x", i, e.Raw, []byte(want.Signature), []byte(want.RawPayload))
				}
				u.Events = append(u.Events, e.Raw)
			}

			// In: the recorded bytes give the fields and the authors.
			got, err := ParseUpdate(c.MembershipUpdateMessage)
			if err != nil {
				t.Fatal(err)
			}
			if got.ID != c.ChatID || !slices.EqualFunc(got.Events, u.Events, bytes.Equal) {
				t.Errorf("read as %s with %d events", got.ID, len(got.Events))
			}
			for i, raw := range got.Events {
				e, err := ParseEvent(got.ID, raw)
				want := c.Events[i]
				if err != nil || e.Author.Hex() != want.From || e.Clock != want.Clock || e.Type.String() != want.Type ||
					e.Name != want.Name || e.Color != want.Color || !bytes.Equal(e.Image, want.Image) {
					t.Errorf("event %d: %+v, %v", i, e, err)
				}
				var members []string
				for _, k := range e.Members {
					members = append(members, k.Hex())
				}
				if !slices.Equal(members, want.Members) {
					t.Errorf("event %d: members %v", i, members)
				}
			}
			u.Message, u.Reaction = got.Message, got.Reaction
			raw, err := u.Encode()
			if err != nil || !bytes.Equal(raw, c.MembershipUpdateMessage) {
				t.Errorf("encoded\n%x, recorded\n%x (%v)", raw, []byte(c.MembershipUpdateMessage), err)
			}

			// Around: the wrapper says who sent it.
			m, err := message.Open(c.WrappedByA, key.Public{})
			if err != nil || m.Type != apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE ||
				!bytes.Equal(m.Payload, c.MembershipUpdateMessage) || !bytes.Equal(m.ID[:], c.MessageID) {
				t.Fatalf("opened as %+v, %v", m, err)
			}
			checkFold(t, c, got, m.Author)
		})
	}
}

// checkFold compares the group with what deployed clients make of the update.
func checkFold(t *testing.T, c updateCase, u Update, sender key.Public) {
	out, err := Group{}.Receive(u, Incoming{Self: sender, Sender: sender, Allowed: true, Now: now})
	if err != nil || !out.New || len(out.Dropped) > 0 {
		t.Fatalf("received as %+v, %v", out, err)
	}
	g := out.Group
	roundTrip(t, g)
	if c.Fold.Invalid != "" {
		// They refuse the whole list; here the flawed event goes alone.
		if len(g.Refused) == 0 {
			t.Error("nothing is wrong with a list that deployed clients refuse")
		}
		var events []Event
		for _, raw := range u.Events {
			e, err := ParseEvent(u.ID, raw)
			if err != nil {
				t.Fatal(err)
			}
			events = append(events, e)
		}
		if _, err := foldStrictly(u.ID, events); err == nil {
			t.Error("the strict fold takes a list that deployed clients refuse")
		}
		deployed(t, g)
		return
	}
	if len(g.Refused) > 0 {
		t.Errorf("left out: %v", g.Refused)
	}
	hexes := func(ks []key.Public) []string {
		var out []string
		for _, k := range ks {
			out = append(out, k.Hex())
		}
		return out
	}
	if !slices.Equal(hexes(g.Members), c.Fold.Members) || !slices.Equal(hexes(g.Admins), c.Fold.Admins) {
		t.Errorf("members %v, admins %v", hexes(g.Members), hexes(g.Admins))
	}
	if g.Name != c.Fold.GroupName || g.Color != c.Fold.GroupColor {
		t.Errorf("name %q, colour %q", g.Name, g.Color)
	}
	if sent := g.Update(); !slices.EqualFunc(sent.Events, u.Events, bytes.Equal) {
		t.Errorf("%d events are passed on, %d came", len(sent.Events), len(u.Events))
	}
	deployed(t, g)

	abridged := g.Abridged()
	if len(abridged) != len(c.Fold.AbridgedEvents) {
		t.Fatalf("abridged to %d events, recorded %d", len(abridged), len(c.Fold.AbridgedEvents))
	}
	for i, want := range c.Fold.AbridgedEvents {
		if abridged[i].Clock != want.Clock || abridged[i].Type.String() != want.Type {
			t.Errorf("abridged event %d is %s at %d, recorded %s at %d", i, abridged[i].Type, abridged[i].Clock, want.Type, want.Clock)
		}
	}
}

// The messages that ride along come out as they went in.
func TestVectorsEntities(t *testing.T) {
	t.Parallel()
	messages, reactions := 0, 0
	for _, c := range vectors.Cases[updateCase](t, "membership_update") {
		u, err := ParseUpdate(c.MembershipUpdateMessage)
		if err != nil {
			t.Fatal(err)
		}
		var again Update
		switch {
		case u.Message != nil:
			messages++
			again = Update{ID: u.ID, Events: u.Events}.WithReaction(&apppb.EmojiReaction{}).WithMessage(proto.Clone(u.Message).(*apppb.ChatMessage))
		case u.Reaction != nil:
			reactions++
			again = Update{ID: u.ID, Events: u.Events}.WithMessage(&apppb.ChatMessage{}).WithReaction(proto.Clone(u.Reaction).(*apppb.EmojiReaction))
		default:
			continue
		}
		if raw, err := again.Encode(); err != nil || !bytes.Equal(raw, c.MembershipUpdateMessage) {
			t.Errorf("%s: encoded\n%x, %v", c.Name, raw, err)
		}
	}
	if messages == 0 || reactions == 0 {
		t.Errorf("recorded %d messages and %d reactions", messages, reactions)
	}
}

// conversation is what three deployed clients said to each other.
type conversation struct {
	Name      string
	Envelopes []struct {
		Hash      string
		Timestamp int64
	}
	Decoded []struct {
		By, From, Type, ID, EnvelopeHash string
		Payload                          vectors.Hex
	}
}

// Every update of the conversation is taken whole by whoever got it, is encoded
// to the same bytes, and all who got any end with what all of them say.
func TestVectorsConversation(t *testing.T) {
	t.Parallel()
	for _, c := range vectors.Cases[conversation](t, "conversation") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			times := map[string]time.Time{}
			for _, e := range c.Envelopes {
				times[e.Hash] = time.Unix(0, e.Timestamp)
			}
			groups, all := map[string]Group{}, Group{}
			for _, d := range c.Decoded {
				if d.Type != "MEMBERSHIP_UPDATE_MESSAGE" {
					continue
				}
				u, err := ParseUpdate(d.Payload)
				if err != nil {
					t.Fatalf("%s: %v", d.ID, err)
				}
				if again, err := u.Encode(); err != nil || !bytes.Equal(again, d.Payload) {
					t.Errorf("%s: encoded\n%x, %v", d.ID, again, err)
				}
				sender, err := key.ParsePublic(d.From)
				if err != nil {
					t.Fatal(err)
				}
				// Whom it is to is in the list: the group opens for any of them.
				in := Incoming{Self: sender, Sender: sender, Allowed: true, Now: times[d.EnvelopeHash]}
				for who, g := range map[string]Group{d.By: groups[d.By], "": all} {
					out, err := g.Receive(u, in)
					if err != nil || len(out.Dropped)+len(out.Group.Refused) > 0 {
						t.Fatalf("%s: %v, %v, %v", d.ID, err, out.Dropped, out.Group.Refused)
					}
					if who == "" {
						all = out.Group
					} else {
						groups[who] = out.Group
					}
				}
			}
			deployed(t, all)
			for who, g := range groups {
				t.Logf("%s has %d of %d events", who, len(g.Events), len(all.Events))
				// What one did last is with the others only.
				if merged := mergeAt(t, g, all, c.Envelopes[len(c.Envelopes)-1].Timestamp); look(merged) != look(all) {
					t.Errorf("%s:\n%s, want\n%s", who, look(merged), look(all))
				}
			}
			if len(groups) < 2 {
				t.Errorf("%d took part in a group", len(groups))
			}
		})
	}
}

func mergeAt(t *testing.T, g, other Group, at int64) Group {
	t.Helper()
	after, dropped, err := g.Merge(g.ID, other.Update().Events, time.Unix(0, at))
	if err != nil || len(dropped) > 0 {
		t.Fatal(err, dropped)
	}
	return after
}
