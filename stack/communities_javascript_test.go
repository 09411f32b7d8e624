package stack

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/community"
	apppb "github.com/parley-im/parley/pb/app"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/stack/view"
	wakumessage "github.com/parley-im/parley/waku/message"
)

// webRecording is what the JavaScript client of Status published in a community
// of ours; the file tells how it was made.
type webRecording struct {
	CommunityKey string        `json:"community_key"`
	Description  string        `json:"description"`
	Chat         string        `json:"chat"`
	Envelopes    []webEnvelope `json:"envelopes"`
}

type webEnvelope struct {
	What         string `json:"what"`
	Pubsub       string `json:"pubsub"`
	ContentTopic string `json:"content_topic"`
	Timestamp    string `json:"timestamp"` // nanoseconds
	Payload      string `json:"payload"`
}

func (e webEnvelope) at(t testing.TB) time.Time {
	t.Helper()
	ns, err := strconv.ParseInt(e.Timestamp, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(0, ns)
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The JavaScript client asks to join on the topic of the community, without an
// account and with its time in milliseconds; it is let in as anybody is. What it
// says after that, on three shards, is there once.
func TestJavaScriptClient(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/statusjs.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded webRecording
	if err := json.Unmarshal(raw, &recorded); err != nil {
		t.Fatal(err)
	}
	own, err := key.PrivateFromBytes(unhex(t, recorded.CommunityKey))
	if err != nil {
		t.Fatal(err)
	}
	s, clock := stillOn(t, 0, func(n *Network) { n.Shards, n.ChannelTopics = deployed(), true })
	w := &town{t: t}
	clock.at = recorded.Envelopes[0].at(t)
	w.Community, _, err = community.Community{Key: own.Public()}.ReceiveWrapped(unhex(t, recorded.Description), community.Incoming{Self: s.Self(), At: clock.at})
	w.ok(err)
	w.settle(s, true)
	w.ok(s.update(func(t *step) error { t.resubscribe = true; return putCommunityKey(t.Tx, own) }))
	accepted := false
	for _, e := range recorded.Envelopes {
		if e.What != "request" && !accepted {
			accepted = true
			all, err := s.CommunityRequests(w.Key)
			if err != nil || len(all) != 1 || all[0].State != community.Pending || len(all[0].Accounts) != 0 || all[0].Clock != uint64(clock.at.Unix()) {
				t.Fatalf("asked: %+v, %v; %v", all, err, s.Counters())
			}
			_, err = s.AcceptMember(w.Key, all[0].Member)
			w.ok(err)
		}
		clock.at = e.at(t)
		m := &wakupb.WakuMessage{
			Payload: unhex(t, e.Payload), ContentTopic: e.ContentTopic, Version: proto.Uint32(1), Timestamp: proto.Int64(clock.at.UnixNano()),
		}
		hand(t, s, Envelope{PubsubTopic: e.Pubsub, Message: m, Hash: wakumessage.HashOf(e.Pubsub, m)})
	}
	kept, err := s.Messages(recorded.Chat)
	w.ok(err)
	said, err := s.Show(kept)
	w.ok(err)
	var got []string
	for _, m := range said {
		got = append(got, webLine(said, m))
	}
	want := []string{
		"text Hello from the web ❤️1", "text A reply, to Hello from the web", "text Right word, edited", ", deleted", "emoji 🦊", "image , png of 84 bytes",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nnot %q; %v", got, want, s.Counters())
	}
	for kind, many := range map[string]int{EventMessage: 6, EventCommunityRequest: 2} {
		if n := len(eventsOf(t, s, kind)); n != many {
			t.Errorf("%d events %s, not %d", n, kind, many)
		}
	}
	if dropped := s.Counters(); len(dropped) != 0 {
		t.Errorf("dropped: %v", dropped)
	}
}

// webLine is all about a message that a person sees.
func webLine(among []view.Message, m view.Message) string {
	line := m.ContentType + " " + m.Text
	if m.Deleted {
		line = ", deleted"
	}
	if m.Edited {
		line += ", edited"
	}
	for _, other := range among {
		if other.ID.String() == m.ReplyTo {
			line += ", to " + other.Text
		}
	}
	if m.Image != nil {
		line += fmt.Sprintf(", %s of %d bytes", m.Image.Format, m.Image.Bytes)
	}
	for _, r := range m.Reactions {
		line += fmt.Sprintf(" %s%d", r.Emoji, r.Count)
	}
	return line
}

// Deployed clients send the owner a copy of their request without its accounts.
// It is the other one that counts, whichever comes first.
func TestCopyOfARequest(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"copy", "request"} {
		asking, clock := still(t, 1)
		owner, _ := still(t, 0)
		w := newTown(t, 218, owner.Self(), clock.at)
		w.settle(owner, true)
		w.settle(asking, false)
		w.ok(owner.update(func(t *step) error { t.resubscribe = true; return putCommunityKey(t.Tx, w.by.Key) }))
		_, err := asking.JoinCommunity(w.Key)
		w.ok(err)
		request := drain(t, asking)
		c, err := asking.Community(w.Key)
		w.ok(err)
		f := newForger(t, 1, clock.at)
		copied := f.wrap(apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN, &apppb.CommunityRequestToJoin{
			Clock: c.Request.Clock, CommunityId: unhex(t, w.ID()),
		})
		if first == "copy" {
			f.deliver(owner, copied)
			hand(t, owner, request...)
		} else {
			hand(t, owner, request...)
			f.deliver(owner, copied)
		}
		all, err := owner.CommunityRequests(w.Key)
		if err != nil || len(all) != 1 || len(all[0].Accounts) != 1 || all[0].State != community.Accepted {
			t.Errorf("%s first: %+v, %v", first, all, err)
		}
		if n := owner.Counters()["message: "+community.ErrNoAccount.Error()]; n != 1 {
			t.Errorf("%s first: %v", first, owner.Counters())
		}
	}
}
