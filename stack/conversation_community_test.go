package stack

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/vectors"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/waku/topic"
)

// What the recorded clients did in communities: the party that made one
// published its description and answered requests; others asked, were let in
// and talked. It is played by what they sent and heard; what we would answer is
// made and compared in kind, not sent.

// recordedCommunity is a community of the run.
type recordedCommunity struct {
	ID, Name   string
	Encrypted  bool
	PrivateKey vectors.Hex

	key key.Private
}

// communityRoads adds the topics of the communities, and of the channels that
// their descriptions name, to the roads.
func (r *recording) communityRoads(t testing.TB, roads map[string][]road) {
	t.Helper()
	for _, c := range r.Communities {
		var err error
		if c.key, err = key.PrivateFromBytes(c.PrivateKey); err != nil {
			t.Fatal(err)
		}
		k := c.key.Public()
		names := map[string]bool{topic.CommunityName(k): true, topic.UniversalName(k): true}
		for _, d := range r.Decoded {
			if d.Type != "COMMUNITY_DESCRIPTION" || d.From != k.Hex() {
				continue
			}
			description, err := community.Parse(k, d.Payload)
			if err != nil {
				t.Fatal(err)
			}
			for _, ch := range description.Channels {
				names[topic.ChannelName(k, ch.UUID)] = true
			}
		}
		for name := range names {
			f := filter{contentTopic: topic.Content(name), symmetric: r.keys.Key(name)}
			roads[f.contentTopic] = append(roads[f.contentTopic], road{filter: f, of: c})
		}
		f := filter{contentTopic: topic.Content(topic.ControlName(k)), private: c.key}
		roads[f.contentTopic] = append(roads[f.contentTopic], road{filter: f, of: c})
	}
}

// inner is what is said in an envelope of a community.
func (e *recordedEnvelope) inner() []byte {
	switch {
	case e.message == nil:
		return e.whole
	case e.message.PublicMessage != nil:
		return e.message.PublicMessage
	}
	return besideKeys(e.whole)
}

// ofGated tells whether a message answers a request to join a gated community,
// which we do not make.
func (r *recording) ofGated(d recordedMessage) bool {
	if d.Type != "COMMUNITY_REQUEST_TO_JOIN_RESPONSE" {
		return false
	}
	response, err := community.ParseResponse(d.Payload)
	return err == nil && slices.ContainsFunc(r.Communities, func(c *recordedCommunity) bool {
		return c.Encrypted && c.key.Public() == response.Community
	})
}

// playCommunity plays an envelope on a topic of a community.
func (pl *player) playCommunity(t *testing.T, e *recordedEnvelope) {
	t.Helper()
	own := e.signer == pl.recordedParty
	said, err := message.Open(e.inner(), e.opened.Signer)
	if err != nil {
		if len(e.inner()) > 0 {
			t.Errorf("envelope %s: %v", e.envelope.Hash, err)
		}
		return // of a gated community, whose keys come later
	}
	if decodes := len(pl.expected(e)) > 0; !decodes && !own {
		return
	}
	pl.followRecorded(t, e)
	switch {
	case said.Type == apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN && own:
		pl.asks(t, e, said)
	case said.Type == apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN:
		pl.isAsked(t, e, said)
	case len(pl.expected(e)) > 0:
		pl.receive(t, e)
		pl.heard = append(pl.heard, e)
	case said.Type == apppb.ApplicationMetadataMessage_CHAT_MESSAGE:
		// What a client said itself it knows without hearing it.
		pl.until(e.sent())
		err := pl.step(t, func(s *step) error {
			return pl.Stack.handle(s, incoming{Message: said, at: e.sent()}, pl.handler(said.Type))
		})
		if err != nil {
			t.Errorf("%s: envelope %s: %v", pl.Name, e.envelope.Hash, err)
		}
	}
}

// followRecorded follows a community from its first envelope that the recorded
// client sent or took, with the newest description of that time, which it had
// from a store. Who made it has its key.
func (pl *player) followRecorded(t *testing.T, e *recordedEnvelope) {
	t.Helper()
	k := e.community.key.Public()
	if _, err := pl.Community(k); err == nil {
		return
	}
	pl.until(time.UnixMilli(e.SeenBy[pl.Name]))
	if _, err := pl.FollowCommunity(k); err != nil {
		t.Fatal(err)
	}
	var newest *recordedEnvelope
	for _, before := range pl.r.Envelopes {
		if before == e {
			break
		}
		if before.community != e.community {
			continue
		}
		m, err := message.Open(before.inner(), key.Public{})
		if err == nil && m.Type == apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION {
			newest = before
		}
	}
	err := pl.step(t, func(s *step) error {
		s.resubscribe = true
		if e.community.Name != "" && pl.made(e.community) {
			if err := putCommunityKey(s.Tx, e.community.key); err != nil {
				return err
			}
		}
		if newest == nil {
			return nil
		}
		m, err := message.Open(newest.inner(), key.Public{})
		if err != nil {
			return err
		}
		return pl.onCommunityDescription(s, incoming{Message: m, at: newest.sent()})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// made tells whether the party made a community: the first to carry something
// of its own.
func (pl *player) made(c *recordedCommunity) bool {
	for _, e := range pl.r.Envelopes {
		if e.community == c {
			return e.signer == pl.recordedParty
		}
	}
	return false
}

// asks plays the party's own request: ours says the same, but for the account,
// which is of our own making.
func (pl *player) asks(t *testing.T, e *recordedEnvelope, said *message.Message) {
	t.Helper()
	recorded, err := community.ParseRequest(said.Author, said.Payload)
	if err != nil {
		t.Fatal(err)
	}
	pl.until(e.sent())
	err = pl.step(t, func(s *step) error {
		before, _, err := pl.community(s.Tx, recorded.Community)
		if err != nil {
			return err
		}
		now := time.Unix(int64(recorded.Clock), 0)
		after, ours, err := before.Ask(pl.key, community.Asking{
			ENSName: recorded.ENSName, DisplayName: recorded.DisplayName, Color: recorded.Color,
		}, now)
		if e.community.Encrypted {
			if !errors.Is(err, community.ErrGated) {
				t.Errorf("asking to join a gated community: %v", err)
			}
			return nil
		}
		if err != nil {
			return err
		}
		if len(ours.Accounts) != 1 || ours.Accounts[0].Check(community.Proof(pl.key.Public(), recorded.Community)) != nil {
			t.Errorf("revealed %+v", ours.Accounts)
		}
		ours.Accounts = recorded.Accounts
		body, err := ours.Encode()
		if err != nil {
			return err
		}
		got, want := new(apppb.CommunityRequestToJoin), new(apppb.CommunityRequestToJoin)
		if err := errors.Join(proto.Unmarshal(body, got), proto.Unmarshal(said.Payload, want)); err != nil {
			return err
		}
		if err := sameMessage("request", got, want); err != nil {
			t.Error(err)
		}
		return pl.putCommunity(s, before, after, nil)
	})
	if err != nil {
		t.Errorf("%s: envelope %s: %v", pl.Name, e.envelope.Hash, err)
	}
}

// isAsked plays a request to the party. What we make of it is compared with
// what the recorded client did and then dropped, since its own description
// comes next.
func (pl *player) isAsked(t *testing.T, e *recordedEnvelope, said *message.Message) {
	t.Helper()
	pl.until(time.UnixMilli(e.SeenBy[pl.Name]))
	before := pl.Counters()
	opened, of, err := pl.unseal(e.envelope)
	if err != nil {
		t.Fatalf("%s: envelope %s: Waku payload: %v", pl.Name, e.envelope.Hash, err)
	}
	err = pl.step(t, func(s *step) error {
		e.envelope.community = of
		if err := pl.open(s, e.envelope, opened); err != nil {
			return err
		}
		r, known, err := requestOf(s.Tx, said.Author, e.community.key.Public())
		if err != nil {
			return err
		}
		c, _, err := pl.community(s.Tx, e.community.key.Public())
		if err != nil {
			return err
		}
		if r.State == community.Pending { // its owner let him in
			if r, err = r.Accept(); err != nil {
				return err
			}
			by := community.Control{Key: e.community.key, Now: s.now, Rand: pl.rand}
			if err := pl.admit(s, by, c, r); err != nil {
				return err
			}
			if c, _, err = pl.community(s.Tx, e.community.key.Public()); err != nil {
				return err
			}
		}
		if let := known && r.State == community.Accepted && c.IsMember(said.Author); let == e.community.Encrypted {
			t.Errorf("request %+v of %s is known: %v", r.WithoutAccounts(), pl.r.party(said.Author).Name, known)
		}
		return errScratch
	})
	if !errors.Is(err, errScratch) {
		t.Errorf("%s: envelope %s: %v", pl.Name, e.envelope.Hash, err)
	}
	for _, what := range increased(before, pl.Counters()) {
		if !e.community.Encrypted {
			t.Errorf("%s: envelope %s: %s", pl.Name, e.envelope.Hash, what)
		}
	}
}

// compareCommunities checks that all who follow a community to the end have its
// newest description, byte for byte, and its members the same timelines.
func compareCommunities(t *testing.T, players []*player) {
	said := 0
	for _, recorded := range players[0].r.Communities {
		k := recorded.key.Public()
		var in []*player
		for _, pl := range players {
			c, err := pl.Community(k)
			if err != nil {
				continue
			}
			if c.Description.Gated != recorded.Encrypted {
				t.Errorf("%s: %s is gated: %v", pl.Name, recorded.Name, c.Description.Gated)
			}
			if id, err := hex.DecodeString(recorded.ID[2:]); err != nil || !bytes.Equal(id, idOf(k)) {
				t.Errorf("community %s: %v", recorded.ID, err)
			}
			in = append(in, pl)
		}
		for _, pl := range in[1:] {
			first, err := in[0].Community(k)
			if err != nil {
				t.Fatal(err)
			}
			c, err := pl.Community(k)
			if err != nil {
				t.Fatal(err)
			}
			// Those of a gated one are encrypted anew each time.
			if same := bytes.Equal(c.Wrapped, first.Wrapped); !same && !recorded.Encrypted || c.Description.Clock != first.Description.Clock {
				t.Errorf("%s and %s have other descriptions of %s: %d, %d", in[0].Name, pl.Name, recorded.Name, first.Description.Clock, c.Description.Clock)
			}
			if !first.IsMember(pl.recordedParty.key.Public()) {
				continue
			}
			for _, ch := range c.Description.Channels {
				id := community.ChannelID(k, ch.UUID)
				mine := timelineOf(t, in[0].Stack, id)
				sameTimeline(t, in[0].Name+" and "+pl.Name+" in "+ch.Name, mine, timelineOf(t, pl.Stack, id))
				said += len(mine)
			}
			if !recorded.Encrypted && !c.Joined {
				t.Errorf("%s has not joined %s", pl.Name, recorded.Name)
			}
		}
		t.Logf("%s: followed by %d", recorded.Name, len(in))
	}
	if said == 0 {
		t.Error("nothing was said in communities")
	}
}

func idOf(k key.Public) []byte { c := k.Compressed(); return c[:] }
