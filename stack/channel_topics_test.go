package stack

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
	"github.com/parley-im/parley/waku/payload"
	"github.com/parley-im/parley/waku/topic"
)

// preset is a network by its name.
func preset(t testing.TB, name string) Network {
	t.Helper()
	n, err := LoadNetwork(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// contents are the types of what is said in channels.
var contents = []message.Type{
	apppb.ApplicationMetadataMessage_CHAT_MESSAGE, apppb.ApplicationMetadataMessage_EMOJI_REACTION,
	apppb.ApplicationMetadataMessage_PIN_MESSAGE, apppb.ApplicationMetadataMessage_EDIT_MESSAGE,
	apppb.ApplicationMetadataMessage_DELETE_MESSAGE, apppb.ApplicationMetadataMessage_THREAD_METADATA,
}

// utters sends any bytes to a channel.
func (w *town) utters(s *Stack, n int, typ message.Type, body []byte) (id message.ID) {
	w.t.Helper()
	w.ok(s.update(func(t *step) error {
		a, err := s.audience(t, w.channel(n))
		if err != nil {
			return err
		}
		id, err = s.address(t, a, typ, body)
		return err
	}))
	return id
}

// publicMessage opens an envelope on a named topic, down to what is in the
// public protocol message: what clients without SDS read.
func publicMessage(t testing.TB, name string, e Envelope) []byte {
	t.Helper()
	opened, err := payload.OpenSymmetric(e.Message.GetPayload(), derivedKey(name))
	if err != nil {
		t.Fatal(err)
	}
	var p encryptionpb.ProtocolMessage
	if err := proto.Unmarshal(opened.Payload, &p); err != nil {
		t.Fatal(err)
	}
	return p.PublicMessage
}

// Content goes to the topic that all channels share, as specified, and on
// networks with older clients to the channel's own topic, too: the same signed
// message, not wrapped, as a public message. Control goes where it went.
func TestChannelTopics(t *testing.T) {
	t.Parallel()
	both := preset(t, NetworkProd)
	both.SDS = SDSStandard
	for name, c := range map[string]struct {
		network Network
		copied  bool
	}{
		NetworkProd:      {preset(t, NetworkProd), true},
		NetworkStaging:   {preset(t, NetworkStaging), true},
		NetworkLocal:     {preset(t, NetworkLocal), false},
		"deployed, SDS":  {both, true},
		"the zero value": {Network{Cluster: 16, Shards: deployed()}, false},
	} {
		w := newTown(t, 220, identity(t, 0).Public(), time.Now())
		s, _ := stillOn(t, 0, func(n *Network) { *n = c.network })
		w.settle(s, true)
		drain(t, s)
		for _, typ := range contents {
			id := w.utters(s, 1, typ, []byte{8, byte(typ)})
			if got := records(t, s); len(got) > 1 && (len(got[0].Refs) != 1 || message.ID(got[0].Refs[0]) != id || len(got[1].Refs) != 0) {
				t.Errorf("%s: %s: the copy has a part in the state", name, message.Name(typ))
			}
			out := drain(t, s)
			want := []string{topic.UniversalName(w.Key)}
			if c.copied {
				want = append(want, topic.ChannelName(w.Key, w.Description.Channels[1].UUID))
			}
			if len(out) != len(want) {
				t.Fatalf("%s: %s goes out %d times, not %d", name, message.Name(typ), len(out), len(want))
			}
			var signed []byte
			for i, e := range out {
				_, content := s.network.CommunityTopics(w.Key)
				if e.Message.GetContentTopic() != topic.Content(want[i]) || e.PubsubTopic != content[0] {
					t.Errorf("%s: %s, copy %d is on %s, %s", name, message.Name(typ), i, e.PubsubTopic, e.Message.GetContentTopic())
				}
				m, said, _ := w.inTown(e)
				if said.ID != id || said.Type != typ || said.Author != s.Self() {
					t.Errorf("%s: copy %d is %+v", name, i, said)
				}
				if wrapped := i == 0 && (c.network.SDS == SDSStandard); (m != nil) != wrapped {
					t.Errorf("%s: copy %d is wrapped: %v", name, i, m != nil)
				}
				inner := publicMessage(t, want[i], e)
				if m != nil {
					inner = m.Content
				}
				if signed == nil {
					signed = inner
				}
				if !bytes.Equal(inner, signed) || len(inner) == 0 {
					t.Errorf("%s: copy %d is another message", name, i)
				}
			}
			if in := s.following(w.Key); in.channel != nil {
				log, err := in.channel.Log(storeOf(t, s, w))
				w.ok(err)
				if hint := log[len(log)-1].Hint; !slices.Contains(decodeHint(hint), out[0].Hash) {
					t.Errorf("%s: the hint is %x", name, hint)
				}
			}
			// Both come back to who sent them, which is no news.
			before := content(t, s.db)
			hand(t, s, out...)
			if changed := difference(before, content(t, s.db)); len(changed) != 0 {
				t.Errorf("%s: our own changed %v", name, changed)
			}
		}
		w.ok(s.update(func(t *step) error {
			_, err := s.send(t, outgoing{
				typ: apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION, body: w.Description.Encode(), community: w.Key, by: w.by.Key,
			})
			return err
		}))
		if out := drain(t, s); len(out) != 1 || out[0].Message.GetContentTopic() != topic.Content(topic.CommunityName(w.Key)) {
			t.Errorf("%s: %d descriptions", name, len(out))
		}
		// Clients that need the copy fail at segments.
		w.utters(s, 0, apppb.ApplicationMetadataMessage_CHAT_MESSAGE, bytes.Repeat([]byte("large "), 100_000))
		out := drain(t, s)
		if len(out) < 2 {
			t.Fatalf("%s: %d segments", name, len(out))
		}
		for _, e := range out {
			if e.Message.GetContentTopic() != topic.Content(topic.UniversalName(w.Key)) {
				t.Errorf("%s: a segment is on %s", name, e.Message.GetContentTopic())
			}
		}
	}
}

// Who listens to either topic alone hears what is said, and who listens to both
// hears it once, whichever comes first, wrapped or not.
func TestHeardOnEitherTopic(t *testing.T) {
	t.Parallel()
	for _, mode := range []SDSMode{SDSNone, SDSStandard, SDSNim} {
		for name, order := range map[string][]int{"the shared topic": {0}, "the channel's": {1}, "both": {0, 1}, "both, turned around": {1, 0}} {
			w := newTown(t, 221, identity(t, 0).Public(), time.Now(), identity(t, 1).Public())
			network := preset(t, NetworkProd)
			network.SDS = mode
			alice, _ := stillOn(t, 0, func(n *Network) { *n = network })
			bobby, _ := stillOn(t, 1, func(n *Network) { *n = network })
			w.settle(alice, true)
			w.settle(bobby, true)
			drain(t, alice)
			if _, err := alice.Say(w.channel(0), Content{Text: "hello"}); err != nil {
				t.Fatal(err)
			}
			out := drain(t, alice)
			if len(out) != 2 {
				t.Fatalf("%d envelopes", len(out))
			}
			for _, i := range order {
				hand(t, bobby, out[i])
			}
			if got := textsOf(t, bobby, w.channel(0)); !slices.Equal(got, []string{"hello"}) {
				t.Errorf("%s, sds %s: %q, %v", name, mode, got, bobby.Counters())
			}
			if got := eventsOf(t, bobby, EventMessage); len(got) != 1 {
				t.Errorf("%s, sds %s: %d events", name, mode, len(got))
			}
		}
	}
}

// A message is sent when it is out on the topic on which everybody listens.
func TestSentOnTheSharedTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(221)
		p := &person{t: t, net: n, name: "Alice", key: identity(t, 0), installation: "Alice"}
		p.config = func(c *Config) { c.Network = preset(t, NetworkProd) }
		p.db = keysKept(t, p.key)
		p.start()
		t.Cleanup(p.halt)
		w := newTown(t, 222, p.key.Public(), time.Now(), identity(t, 1).Public())
		w.settle(p.Stack, true)
		pass(time.Second)
		shared := topic.Content(topic.UniversalName(w.Key))
		barred := func(refuses func(contentTopic string) bool) {
			p.link.set(func(l *link) {
				l.bar = func(e Envelope) error {
					if refuses(e.Message.GetContentTopic()) {
						return errNoPeers
					}
					return nil
				}
			})
		}
		barred(func(at string) bool { return at == shared })
		id := p.posts(w, 0, "one")
		pass(10 * time.Second)
		if got := len(w.traffic(n, p.link)); got != 1 || p.stateOf(id) != chat.Pending {
			t.Errorf("%d envelopes are out, and it is %s", got, p.stateOf(id))
		}
		barred(func(string) bool { return false })
		eventually(t, time.Minute, "it is sent", func() bool { return p.stateOf(id) == chat.Sent })
		barred(func(at string) bool { return at != shared })
		id = p.posts(w, 0, "two")
		pass(10 * time.Second)
		if got := p.stateOf(id); got != chat.Sent {
			t.Errorf("it is %s", got)
		}
	})
}

// The network's file says so, and says nothing by default.
func TestChannelTopicsInNetworkFile(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{NetworkProd: true, NetworkStaging: true, NetworkLocal: false} {
		if got := preset(t, name).ChannelTopics; got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	var n Network
	if err := json.Unmarshal([]byte(`{"channel_topics": true}`), &n); err != nil || !n.ChannelTopics {
		t.Errorf("%+v, %v", n, err)
	}
	raw, err := json.Marshal(networkOf(specified()))
	if err != nil || bytes.Contains(raw, []byte("channel_topics")) {
		t.Errorf("%s, %v", raw, err)
	}
}

// The network file in the operator's manual is one.
func TestNetworkFileInManual(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "docs", "operating.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```json\n")
	example, _, _ := strings.Cut(rest, "```")
	d := json.NewDecoder(strings.NewReader(example))
	d.DisallowUnknownFields()
	var n Network
	if err := d.Decode(&n); err != nil || n.Validate() != nil || n.SDS != SDSStandard {
		t.Errorf("%+v: %v, %v", n, err, n.Validate())
	}
}
