package stack

import (
	"encoding/hex"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/waku/payload"
	"github.com/parley-im/parley/waku/topic"
)

// Where everything of a community goes on a network with the specified shards:
// control on 128 and content on 256, descriptions on the topic of the
// community's key, content of all channels on one topic, under the symmetric
// key of its name; requests to the key itself, and the response, signed by it,
// to the member's partition.
//
// Proves: AP-045, AP-046, AP-047, AP-048, AP-049, AP-050, AP-051, AP-057.
func TestCommunityOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(230)
		olga, mia := n.person(t, "Olga O", 0), n.person(t, "Mia M", 1)
		k, general := olga.founds(community.AutoAccept)
		own, err := olga.ExportCommunityKey(k)
		if err != nil {
			t.Fatal(err)
		}
		quiet(t, olga)
		mia.enters(k)
		_, second, err := olga.CreateChannel(k, community.ChannelParams{Name: "second"})
		if err != nil {
			t.Fatal(err)
		}
		described(t, k, olga, mia)
		mia.says(general, "in one")
		mia.says(community.ChannelID(k, second), "in the other")
		heard(t, general, 1, olga, mia)
		heard(t, community.ChannelID(k, second), 1, olga, mia)

		control, content := topic.Pubsub(16, 128), topic.Pubsub(16, 256)
		universal, name := topic.UniversalName(k), topic.CommunityName(k)
		seen := map[message.Type]int{}
		for _, p := range n.publications(nil) {
			var opened *payload.Opened
			var err error
			want := control
			switch p.Message.GetContentTopic() {
			case topic.Content(name):
				opened, err = payload.OpenSymmetric(p.Message.GetPayload(), topic.Key(name))
			case topic.Content(universal):
				want = content
				opened, err = payload.OpenSymmetric(p.Message.GetPayload(), topic.Key(universal))
			case topic.Content(topic.ControlName(k)):
				opened, err = payload.OpenAsymmetric(p.Message.GetPayload(), own)
			case topic.Content(topic.PartitionedName(mia.key.Public())):
				if opened, err = payload.OpenAsymmetric(p.Message.GetPayload(), mia.key); err == nil && p.PubsubTopic != control {
					continue // between the two alone
				}
			default:
				continue
			}
			if err != nil {
				t.Errorf("on %s %s: %v", p.PubsubTopic, p.Message.GetContentTopic(), err)
				continue
			}
			inner := opened.Payload
			if e := (&recordedEnvelope{whole: inner}); want == content {
				e.decode()
				inner = e.inner()
			}
			m := readMessage(t, inner)
			seen[m.Type]++
			if p.PubsubTopic != want {
				t.Errorf("%s is on %s", message.Name(m.Type), p.PubsubTopic)
			}
			bySelf := m.Author == k
			if signed := slices.Contains([]message.Type{
				apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION, apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN_RESPONSE,
			}, m.Type); signed != bySelf {
				t.Errorf("%s is signed by the community: %v", message.Name(m.Type), bySelf)
			}
		}
		for typ, times := range map[message.Type]int{
			apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION:              3,
			apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN:          1,
			apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN_RESPONSE: 1,
			apppb.ApplicationMetadataMessage_CHAT_MESSAGE:                       2,
		} {
			if seen[typ] != times {
				t.Errorf("%d of %s, want %d", seen[typ], message.Name(typ), times)
			}
		}
		if got := topic.Content(name); got != "/waku/1/0x"+hexTopic(k.CompressedHex())+"/rfc26" {
			t.Errorf("the description is on %s", got)
		}
	})
}

// hexTopic is the first 4 bytes of keccak256 of a name, in hexadecimal.
func hexTopic(name string) string {
	h := key.Keccak256([]byte(name))
	return hex.EncodeToString(h[:4])
}
