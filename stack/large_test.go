package stack

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
	wakumessage "github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/segment"
	"github.com/parley-im/parley/waku/topic"
)

// large is the pubsub topic of large messages in the simulated network.
var largeTopic = topic.Pubsub(16, 992)

// noisy is a picture that stays large however it is encoded.
func noisy(t testing.TB, side int) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, side, side))
	if _, err := (&counterRand{7}).Read(img.Pix); err != nil {
		t.Fatal(err)
	}
	var raw bytes.Buffer
	if err := png.Encode(&raw, img); err != nil {
		t.Fatal(err)
	}
	return raw.Bytes()
}

// show sends a picture and returns its message.
func (p *person) show(to *person, picture []byte) *chat.Message {
	p.t.Helper()
	sent, err := p.Say(chat.OneToOneID(to.key.Public()), Content{Images: [][]byte{picture}})
	if err != nil {
		p.t.Fatal(err)
	}
	return sent[0]
}

// cut makes segments so small, before anything runs.
func (p *person) cut(size int) {
	p.halt()
	p.wrap = func(l *link) Transport { p.segmentSize = size; return l }
	p.start()
}

// transfers are the events of transfers in one direction.
func transfers(t testing.TB, s *Stack, direction string) (all []view.Transfer) {
	t.Helper()
	for _, e := range eventsOf(t, s, EventTransfer) {
		var v view.Transfer
		if err := json.Unmarshal(e.Data, &v); err != nil {
			t.Fatal(err)
		}
		if v.Direction == direction {
			all = append(all, v)
		}
	}
	return all
}

// has tells whether somebody has a message with its picture.
func (p *person) has(id message.ID) bool {
	p.t.Helper()
	m, err := p.Message(id)
	return err == nil && m.Image != nil
}

// A payload that does not fit one Waku message is a large message: it is cut,
// its segments go by lightpush to the shard for large messages although the
// client relays, nobody subscribes to that, and the other end finds them by
// store queries and fetches each once, by hash. Both see how it goes.
//
// Proves: SP-44, SP-57, SP-65, SP-73, SP-82, SP-84, SP-85, SP-86, SP-88, SP-89.
func TestLargeMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(221)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		settle(t, alice, bobby)
		before := len(n.publications(alice.link))
		bobby.link.set(func(l *link) { l.queries = nil })
		sent := alice.show(bobby, noisy(t, 900))
		if len(sent.Image.Payload) < 150_000 {
			t.Fatalf("a picture of %d bytes", len(sent.Image.Payload))
		}
		eventually(t, time.Hour, "delivered", func() bool { return delivered(alice) })
		large := 0
		for _, p := range n.publications(alice.link)[before:] {
			if size := len(p.Message.GetPayload()); size > 150_000 {
				t.Errorf("%d bytes in one message", size)
			} else if p.PubsubTopic == largeTopic {
				large++
				if !p.light {
					t.Error("a segment was relayed")
				}
			} else if size > 10_000 {
				t.Errorf("%d bytes on %s", size, p.PubsubTopic)
			}
		}
		if large < 2 {
			t.Errorf("%d segments on the shard for large messages", large)
		}
		for _, p := range []*person{alice, bobby} {
			p.link.set(func(l *link) {
				if _, ok := l.want[largeTopic]; ok {
					t.Errorf("%s subscribes to large messages", p.name)
				}
			})
		}
		fetched := map[wakumessage.Hash]bool{}
		for _, q := range bobby.link.queries {
			if q.IncludeData && q.PubsubTopic == largeTopic {
				t.Errorf("asked %+v", q)
			}
			if !q.IncludeData {
				continue
			}
			for _, h := range q.Hashes {
				if fetched[h] {
					t.Errorf("%s was fetched twice", h)
				}
				fetched[h] = true
			}
		}
		if len(fetched) != large {
			t.Errorf("%d of %d segments were fetched by hash", len(fetched), large)
		}
		if got, err := bobby.Payload(sent.ID, "image"); err != nil || !bytes.Equal(got, sent.Image.Payload) {
			t.Errorf("a picture of %d bytes arrived, %v", len(got), err)
		}
		for _, c := range []struct {
			p         *person
			direction string
			peer      key.Public
		}{{alice, view.TransferOut, bobby.key.Public()}, {bobby, view.TransferIn, alice.key.Public()}} {
			all := transfers(t, c.p.Stack, c.direction)
			if len(all) < 2 {
				t.Fatalf("%s: %+v", c.p.name, all)
			}
			last := all[len(all)-1]
			if last.State != view.TransferComplete || last.Done != last.Of || !slices.Equal(last.Messages, []message.ID{sent.ID}) ||
				last.Chat != chat.OneToOneID(c.peer) || last.Peer != c.peer || last.PeerKey != c.peer.Hex() || last.Bytes < len(sent.Image.Payload) {
				t.Errorf("%s: it ends with %+v", c.p.name, last)
			}
			for i, v := range all[:len(all)-1] {
				if v.State != view.TransferActive || v.ID != last.ID || i > 0 && v.Done <= all[i-1].Done {
					t.Errorf("%s: %+v", c.p.name, v)
				}
			}
		}
	})
}

// Both crash again and again while a picture of many segments is on its way:
// what is published is not published again, what is here is not fetched again,
// and it arrives.
func TestLargeMessageResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(222)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		alice.cut(15_000)
		settle(t, alice, bobby)
		picture := noisy(t, 900)
		base := len(n.publications(nil))
		payloads := func() (all map[string]int) {
			all = map[string]int{}
			for _, p := range n.publications(nil)[base:] {
				if p.PubsubTopic == largeTopic {
					all[string(p.Message.GetPayload())]++
				}
			}
			return all
		}
		// From the fifth segment on nothing goes through, until after a restart.
		var sent *chat.Message
		var taken atomic.Int64
		bar := func(l *link) {
			l.bar = func(e Envelope) error {
				if e.PubsubTopic != largeTopic {
					return nil
				}
				if taken.Add(1)%6 == 5 {
					return errNoPeers
				}
				return nil
			}
		}
		alice.link.set(bar)
		sent = alice.show(bobby, picture)
		var fetched []wakumessage.Hash
		crashBobby := func() {
			fetched = append(fetched, lookups(bobby.link.queries)...)
			bobby.crash()
		}
		for i := 0; i < 60 && !bobby.has(sent.ID); i++ {
			pass(700 * time.Millisecond)
			alice.crash()
			alice.link.set(bar)
			if i%5 == 4 {
				crashBobby()
			}
			pass(largeFirst / 3)
		}
		eventually(t, time.Hour, "delivered", func() bool { return delivered(alice) && bobby.has(sent.ID) })
		crashBobby()
		for payload, times := range payloads() {
			// The same bytes go out again only where the crash came between
			// publishing and noting it.
			if times > 2 {
				t.Errorf("%x… was published %d times", payload[:4], times)
			}
		}
		seen := map[wakumessage.Hash]bool{}
		for _, h := range fetched {
			if seen[h] {
				t.Errorf("%s was fetched twice", h)
			}
			seen[h] = true
		}
		out := transfers(t, alice.Stack, view.TransferOut)
		if last := out[len(out)-1]; last.State != view.TransferComplete || last.Of < 20 || last.ID != out[0].ID {
			t.Errorf("it ends with %+v", last)
		}
		if in := transfers(t, bobby.Stack, view.TransferIn); in[len(in)-1].State != view.TransferComplete || len(in) > transferSteps+2 {
			t.Errorf("%d events, the last is %+v", len(in), in[len(in)-1])
		}
	})
}

// A segment that waited long gets the time of now, so that store nodes take it
// and it is looked for.
func TestSegmentsAreRestamped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(223)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		settle(t, alice, bobby)
		alice.link.set(func(l *link) { l.alone, l.silent = true, true })
		sent := alice.show(bobby, noisy(t, 900))
		pass(30 * time.Hour)
		alice.crash()
		eventually(t, time.Hour, "it arrives", func() bool { return bobby.has(sent.ID) && delivered(alice) })
		for _, p := range n.publications(nil) {
			if p.PubsubTopic != largeTopic {
				continue
			}
			if age := p.at.Sub(time.Unix(0, p.Message.GetTimestamp())); age > wakumessage.MaxSkew {
				t.Errorf("a segment was published %v after its time", age)
			}
		}
		if left := parts(t, alice.db); left != 0 {
			t.Errorf("%d parts are left", left)
		}
	})
}

// parts counts the envelopes that are noted as segments to publish.
func parts(t testing.TB, db *storage.DB) (n int) {
	t.Helper()
	for k := range content(t, db) {
		if strings.HasPrefix(k, "transfer-part/") {
			n++
		}
	}
	return n
}

// While a large message is on its way it is not sent again, however long that
// takes; what is small does not wait for it.
func TestLargeIsNotSentTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(224)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		alice.cut(15_000)
		settle(t, alice, bobby)
		alice.link.set(func(l *link) {
			l.bar = func(e Envelope) error {
				if e.PubsubTopic == largeTopic {
					<-time.After(4 * time.Second) // a slow line
				}
				return nil
			}
		})
		base := len(n.publications(nil))
		sent := alice.show(bobby, noisy(t, 900))
		pass(time.Second)
		alice.send(bobby, "did you get it?")
		pass(20 * time.Second)
		if !contains(bobby.heard(alice), "did you get it?") {
			t.Error("a small message waits for a large one")
		}
		eventually(t, time.Hour, "it arrives", func() bool { return bobby.has(sent.ID) && delivered(alice) })
		pass(10 * time.Minute)
		segments := 0
		for _, p := range n.publications(nil)[base:] {
			if p.PubsubTopic == largeTopic {
				segments++
			}
		}
		out := transfers(t, alice.Stack, view.TransferOut)
		if segments != out[0].Of || out[0].Of < 20 {
			t.Errorf("%d segments published, it has %d", segments, out[0].Of)
		}
		if m, err := alice.Message(sent.ID); err != nil || m.Stored == 0 {
			t.Errorf("it is not known to be stored: %+v, %v", m, err)
		}
	})
}

// Where no service takes large messages on their shard they go with the others,
// after a while, and arrive live.
func TestLargeWithoutService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(225)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		settle(t, alice, bobby)
		n.mu.Lock()
		n.noStore = true
		n.mu.Unlock()
		alice.link.set(func(l *link) {
			l.bar = func(e Envelope) error {
				if e.PubsubTopic == largeTopic {
					return errNoPeers
				}
				return nil
			}
		})
		base := len(n.publications(nil))
		sent := alice.show(bobby, noisy(t, 900))
		eventually(t, 2*time.Minute, "it arrives", func() bool { return bobby.has(sent.ID) })
		for _, p := range n.publications(nil)[base:] {
			if p.by == alice.link && p.light {
				t.Errorf("pushed on %s", p.PubsubTopic)
			}
		}
		out := transfers(t, alice.Stack, view.TransferOut)
		if last := out[len(out)-1]; last.State != view.TransferComplete || last.Done != last.Of {
			t.Errorf("it ends with %+v", last)
		}
	})
}

// In a network without a shard for them, large messages go where the others do,
// in segments, and arrive live.
func TestLargeOnDeployedShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(226)
		n.noStore = true
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		for _, p := range []*person{alice, bobby} {
			p.halt()
			p.config = func(c *Config) { c.Network.Shards = deployed() }
			p.start()
		}
		befriend(t, alice, bobby)
		base := len(n.publications(nil))
		sent := alice.show(bobby, noisy(t, 900))
		eventually(t, time.Minute, "it arrives", func() bool { return bobby.has(sent.ID) })
		for _, p := range n.publications(nil)[base:] {
			if p.light || p.PubsubTopic != topic.Pubsub(16, 32) {
				t.Errorf("on %s, pushed: %v", p.PubsubTopic, p.light)
			}
		}
		if content := alice.largeContent(); len(content) != 0 {
			t.Errorf("it looks for %v", content)
		}
		if out := transfers(t, alice.Stack, view.TransferOut); len(out) == 0 || out[len(out)-1].State != view.TransferComplete {
			t.Errorf("%+v", out)
		}
	})
}

// Large messages of each scope have shards of their own where the network says
// so; those to ourselves never go where others do.
//
// Proves: SP-45, SP-64, SP-78, SP-79, SP-83.
func TestLargeShardOfEveryScope(t *testing.T) {
	t.Parallel()
	s := specified()
	s.LargeOf = map[string][]uint16{"global_control": {993, 994}, "community_content": {}}
	n := networkOf(s)
	if err := n.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		scope message.Scope
		want  []string
	}{
		{message.GlobalControl, pubsub(993, 994)}, {message.GlobalContent, pubsub(992)},
		{message.CommunityControl, pubsub(992)}, {message.CommunityContent, nil}, {message.Local, nil},
	} {
		if got := n.LargeTopics(message.Rule{Scope: c.scope}); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, not %v", c.scope, got, c.want)
		}
	}
	if got := n.LargeQueryTopics(message.GlobalControl, message.GlobalContent, message.Local); !slices.Equal(got, pubsub(993, 994, 992)) {
		t.Errorf("asked for on %v", got)
	}
	for _, i := range []uint16{992, 993, 994} {
		if !slices.Contains(n.AllShards(), i) || slices.Contains(n.GlobalShards(), i) {
			t.Errorf("shard %d: all are %v, relayed are %v", i, n.AllShards(), n.GlobalShards())
		}
	}
	for _, bad := range []map[string][]uint16{{"globe": {5}}, {"local": {1024}}} {
		s.LargeOf = bad
		if err := networkOf(s).Validate(); err == nil {
			t.Errorf("%v is accepted", bad)
		}
	}

	// On the road.
	for _, local := range [][]uint16{nil, {995}} {
		alice, clock := still(t, 0)
		alice.segmentSize = 500
		want := topic.Pubsub(16, 960)
		if local != nil {
			alice.network.Shards.LargeOf = map[string][]uint16{"local": local}
			alice.largeTopics = alice.network.allLargeTopics()
			want = topic.Pubsub(16, 995)
		}
		body, err := message.Encode(&apppb.StatusUpdate{Clock: 1, CustomText: strings.Repeat("mine ", 500)})
		if err != nil {
			t.Fatal(err)
		}
		err = alice.update(func(t *step) error {
			_, err := alice.send(t, outgoing{typ: apppb.ApplicationMetadataMessage_BACKUP, body: body, to: []key.Public{alice.Self()}})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		clock.advance(time.Second)
		all := records(t, alice)
		if len(all) < 4 {
			t.Errorf("%d records", len(all))
		}
		for _, r := range all {
			if r.PubsubTopic != want || !r.Lightpush {
				t.Errorf("on %s, pushed: %v", r.PubsubTopic, r.Lightpush)
			}
		}
	}
}

// What lacks segments is given up when it is stale, at the limit and not before,
// and that is told.
func TestStaleTransfers(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	hand(t, s, f.mail(s.Self(), f.encrypt(s.Self(), f.sync(s.Self(), f.chat(s.Self(), "hello", clock.at)))))
	if _, err := s.AddContact(f.key.Public(), "you are no stranger"); err != nil {
		t.Fatal(err)
	}
	segments := f.segments(1000)
	hand(t, s, f.mail(s.Self(), segments[0]), f.mail(s.Self(), segments[1]))
	incoming := transfers(t, s, view.TransferIn)
	if len(incoming) != 2 || incoming[1].Done != 2 || incoming[1].Of < 3 || incoming[1].State != view.TransferActive {
		t.Fatalf("%+v", incoming)
	}
	purge := func() {
		t.Helper()
		if err := s.update(func(t *step) error { return s.purgeLarge(t) }); err != nil {
			t.Fatal(err)
		}
	}
	kept := func() (n int) {
		for k := range content(t, s.db) {
			if strings.HasPrefix(k, "core/segment/s/") {
				n++
			}
		}
		return n
	}
	clock.advance(segment.KeepFor - 1)
	purge()
	if kept() != 2 || len(transfers(t, s, view.TransferIn)) != 2 {
		t.Errorf("just before the limit %d segments are kept", kept())
	}
	clock.advance(1)
	purge()
	all := transfers(t, s, view.TransferIn)
	if last := all[len(all)-1]; kept() != 0 || len(all) != 3 || last.State != view.TransferGivenUp || last.ID != all[0].ID || last.Done != 2 || last.Peer != f.key.Public() {
		t.Errorf("at the limit %d segments are kept: %+v", kept(), all)
	}
	purge()
	if len(transfers(t, s, view.TransferIn)) != 3 {
		t.Error("told again")
	}
}

// A stranger's segments are no news, and neither are those of somebody blocked.
func TestTransfersOfStrangers(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	hand(t, s, f.mail(s.Self(), f.segments(1000)[0]))
	if all := transfers(t, s, view.TransferIn); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

// A transfer of a thousand segments has about twenty events, one of three has
// one for each.
func TestTransferSteps(t *testing.T) {
	t.Parallel()
	for of, want := range map[int]int{1: 1, 2: 2, 3: 3, 19: 19, 20: 20, 21: 20, 1000: 20, 4096: 20} {
		events := 0
		for done := 1; done <= of; done++ {
			if transferStep(done, of) != transferStep(done-1, of) {
				events++
			}
		}
		if events != want || transferStep(of, of) == transferStep(of-1, of) {
			t.Errorf("%d segments: %d events, not %d", of, events, want)
		}
	}
	if transferStep(3, 0) != 0 {
		t.Error("of nothing")
	}
}
