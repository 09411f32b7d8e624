package contact

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

var thumbnail = &apppb.IdentityImage{Payload: []byte{1}, SourceType: apppb.IdentityImage_RAW_PAYLOAD, ImageFormat: 2}

// Everything in a profile is told again when it changes, and at the interval.
func TestTold(t *testing.T) {
	t.Parallel()
	profile := Profile{DisplayName: "alice", ENSName: "alice.eth", Bio: "b", Color: 1}
	pictures := Pictures{Thumbnail: thumbnail}
	digest := profile.Digest(pictures)
	told := Told{Digest: digest, At: now}
	for _, interval := range []time.Duration{IdentityInterval, UpdateInterval} {
		for age, want := range map[time.Duration]bool{
			0:             false,
			interval - 1:  false,
			interval:      true,
			-interval + 1: false, // our clock is a bit behind
			-interval:     true,  // our clock was wrong
		} {
			if got := told.Due(digest, now.Add(age), interval); got != want {
				t.Errorf("after %v of %v: %v", age, interval, got)
			}
		}
		if !(Told{}).Due(Digest{}, now, interval) {
			t.Error("who was never told is not told")
		}
	}
	seen := map[Digest]string{digest: "the profile"}
	for name, d := range map[string]Digest{
		"name":        Profile{DisplayName: "alicia", ENSName: "alice.eth", Bio: "b", Color: 1}.Digest(pictures),
		"ENS name":    Profile{DisplayName: "alice", ENSName: "alicia.eth", Bio: "b", Color: 1}.Digest(pictures),
		"bio":         Profile{DisplayName: "alice", ENSName: "alice.eth", Bio: "c", Color: 1}.Digest(pictures),
		"colour":      Profile{DisplayName: "alice", ENSName: "alice.eth", Bio: "b", Color: 2}.Digest(pictures),
		"boundary":    Profile{DisplayName: "alicealice.eth", Bio: "b", Color: 1}.Digest(pictures),
		"no picture":  profile.Digest(nil),
		"picture":     profile.Digest(Pictures{Thumbnail: {Payload: []byte{2}, SourceType: 1, ImageFormat: 2}}),
		"source":      profile.Digest(Pictures{Thumbnail: {Payload: []byte{1}, SourceType: 2, ImageFormat: 2}}),
		"format":      profile.Digest(Pictures{Thumbnail: {Payload: []byte{1}, SourceType: 1, ImageFormat: 1}}),
		"keys":        profile.Digest(Pictures{Thumbnail: {Payload: []byte{1}, SourceType: 1, ImageFormat: 2, EncryptionKeys: [][]byte{{}}}}),
		"other size":  profile.Digest(Pictures{Large: thumbnail}),
		"one more":    profile.Digest(Pictures{Thumbnail: thumbnail, Large: thumbnail}),
		"empty added": profile.Digest(Pictures{Thumbnail: thumbnail, Large: nil}),
	} {
		if other, ok := seen[d]; ok {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[d] = name
		if !told.Due(d, now, IdentityInterval) {
			t.Errorf("another %s is not told", name)
		}
	}
	if profile.Digest(Pictures{Thumbnail: thumbnail}) != digest {
		t.Error("the digest changes by itself")
	}
}

// What one account publishes as its chat identity another takes over: clock,
// ENS name, pictures, display name, bio and colour. What only chats have
// (colour as text, emoji) and what is dead (social links) is accepted and
// changes nothing.
//
// Proves: AP-176.
func TestIdentityBothWays(t *testing.T) {
	t.Parallel()
	profile := Profile{DisplayName: "alice", ENSName: "alice.eth", Bio: "hello", Color: 7}
	sent := profile.IdentityWith(Pictures{Thumbnail: thumbnail, Large: {Payload: []byte{2}}}, now)
	if len(sent.SocialLinks) != 0 || sent.Color != "" || sent.Emoji != "" {
		t.Errorf("%v", sent)
	}
	raw, err := message.Encode(ContactCode(sent))
	if err != nil {
		t.Fatal(err)
	}
	receive := func(change func(m *apppb.ChatIdentity)) (Contact, Learnt, error) {
		var code apppb.ContactCodeAdvertisement
		if err := proto.Unmarshal(raw, &code); err != nil {
			t.Fatal(err)
		}
		change(code.ChatIdentity)
		return peer(t, Sent, Received).ReceiveIdentity(code.ChatIdentity, in)
	}
	c, learnt, err := receive(func(*apppb.ChatIdentity) {})
	if err != nil || c.DisplayName != "alice" || c.ENSName != "alice.eth" || c.ENSVerified || c.Bio != "hello" || c.Color != 7 || c.IdentityClock != uint64(now.UnixMilli()) {
		t.Errorf("%+v, %v", c, err)
	}
	if !learnt.Newer || len(learnt.Pictures) != 2 || !proto.Equal(learnt.Pictures[Thumbnail], thumbnail) || learnt.Pictures[Large].GetPayload()[0] != 2 {
		t.Errorf("%+v", learnt)
	}
	other, otherLearnt, err := receive(func(m *apppb.ChatIdentity) {
		m.Color, m.Emoji, m.FirstMessageTimestamp, m.ProfileShowcase = "#ffffff", "x", 3, []byte{1}
		m.SocialLinks = []*apppb.SocialLink{{Text: "site", Url: "https://example.org"}}
		m.Images["banner"] = thumbnail
	})
	if err != nil || other != c || len(otherLearnt.Pictures) != 2 {
		t.Errorf("%+v, %+v, %v; want %+v", other, otherLearnt, err, c)
	}

	// Without pictures it says that there are none any more.
	_, learnt, err = receive(func(m *apppb.ChatIdentity) { m.Images = nil })
	if err != nil || !learnt.Newer || learnt.Pictures != nil {
		t.Errorf("%+v, %v", learnt, err)
	}
	_, learnt, err = receive(func(m *apppb.ChatIdentity) { m.Images = map[string]*apppb.IdentityImage{Thumbnail: {}, Large: nil} })
	if err != nil || !learnt.Newer || learnt.Pictures != nil {
		t.Errorf("empty pictures: %+v, %v", learnt, err)
	}
	// One that is not newer says nothing, nor does one that is wrong.
	for _, clock := range []uint64{sent.Clock, sent.Clock - 1} {
		old := proto.CloneOf(sent)
		old.Clock = clock
		if after, learnt, err := c.ReceiveIdentity(old, in); err != nil || after != c || learnt.Newer || learnt.Pictures != nil {
			t.Errorf("clock %d: %+v, %v", clock, learnt, err)
		}
	}
	if _, learnt, err := receive(func(m *apppb.ChatIdentity) { m.DisplayName = "x" }); err == nil || learnt.Newer || learnt.Pictures != nil {
		t.Errorf("%+v, %v", learnt, err)
	}
	if after, learnt, err := c.ReceiveIdentity(nil, in); err != nil || after != c || learnt.Newer {
		t.Errorf("%+v, %+v, %v", after, learnt, err)
	}
}

// What others say about themselves never panics and never breaks the rules.
func FuzzReceiveIdentity(f *testing.F) {
	for _, m := range []*apppb.ChatIdentity{
		{},
		{Clock: 1, DisplayName: "alice", EnsName: "alice.eth", Description: "hello", Images: map[string]*apppb.IdentityImage{Thumbnail: thumbnail}},
	} {
		raw, _ := proto.Marshal(m)
		f.Add(raw)
	}
	before := Contact{Key: newKey(f, 2).Public(), Local: Sent, LocalClock: 10}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m apppb.ChatIdentity
		if proto.Unmarshal(raw, &m) != nil {
			return
		}
		after, learnt, err := before.ReceiveIdentity(&m, in)
		if err != nil && (after != before || learnt.Newer || learnt.Pictures != nil) {
			t.Fatalf("an error changed something: %+v, %+v", after, learnt)
		}
		if name, err := CheckReceivedName(after.DisplayName, nil); err != nil || name != after.DisplayName {
			t.Fatalf("%q was taken as a name: %v", after.DisplayName, err)
		}
		if err := CheckBio(after.Bio); err != nil {
			t.Fatal(err)
		}
		if again, learnt, err := after.ReceiveIdentity(&m, in); err == nil && (again != after || learnt.Newer) {
			t.Fatalf("the same identity twice: %+v", again)
		}
	})
}
