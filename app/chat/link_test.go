package chat

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	apppb "github.com/parley-im/parley/pb/app"
)

// links are previews in all their forms.
var links = []Link{
	{URL: "https://a", Title: "A", Description: "about a", Thumbnail: Thumbnail{Payload: []byte{1}, Width: 2, Height: 3}, Favicon: []byte{4}},
	{URL: "https://b/x.png", Image: true},
}

func statusLinks(t testing.TB) []StatusLink {
	community := CommunityLink{
		ID: newKey(t, 7).Public().CompressedHex(), DisplayName: "c", Description: "about c", Members: 5, Color: "#112233",
		Icon: Thumbnail{Payload: []byte{6}, Width: 7, Height: 8}, Banner: Thumbnail{Payload: []byte{9}},
	}
	return []StatusLink{
		{URL: "https://status.app/u/1", Contact: &ContactLink{
			Key: newKey(t, 8).Public(), DisplayName: "d", Description: "about d", Icon: Thumbnail{Payload: []byte{1}},
		}},
		{URL: "https://status.app/c/1", Community: &community},
		{URL: "https://status.app/cc/1", Channel: &ChannelLink{
			UUID: "u", Emoji: "👍", DisplayName: "e", Description: "about e", Color: "#445566", Community: &community,
		}},
		{URL: "https://status.app/later"},
	}
}

// Previews are the same after they were sent.
func TestLinks(t *testing.T) {
	t.Parallel()
	sent := &apppb.ChatMessage{UnfurledLinks: Unfurled(links), UnfurledStatusLinks: UnfurledStatus(statusLinks(t))}
	raw, err := proto.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	var m apppb.ChatMessage
	if err := proto.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	if got := LinksFrom(m.UnfurledLinks); !reflect.DeepEqual(got, links) {
		t.Errorf("%+v", got)
	}
	if got := StatusLinksFrom(m.UnfurledStatusLinks); !reflect.DeepEqual(got, statusLinks(t)) {
		t.Errorf("%+v", got)
	}
	if Unfurled(nil) != nil || UnfurledStatus(nil) != nil || LinksFrom(nil) != nil || StatusLinksFrom(nil) != nil {
		t.Error("something out of nothing")
	}
	// A person without a key is nobody.
	m.UnfurledStatusLinks.UnfurledStatusLinks[0].GetContact().PublicKey = []byte{2}
	if got := StatusLinksFrom(m.UnfurledStatusLinks); len(got) != len(statusLinks(t))-1 || got[0].Contact != nil {
		t.Errorf("%+v", got)
	}
	// Of too many the first are kept.
	var many []*apppb.UnfurledLink
	var manyStatus apppb.UnfurledStatusLinks
	for range MaxReceivedLinks + 1 {
		many = append(many, &apppb.UnfurledLink{Url: "x"})
		manyStatus.UnfurledStatusLinks = append(manyStatus.UnfurledStatusLinks, &apppb.UnfurledStatusLink{Url: "x"})
	}
	if len(LinksFrom(many)) != MaxReceivedLinks || len(StatusLinksFrom(&manyStatus)) != MaxReceivedLinks {
		t.Error("more previews than are kept")
	}
}

func TestCheckLinks(t *testing.T) {
	t.Parallel()
	all := statusLinks(t)
	both := all[0]
	both.Community = all[1].Community
	short, capitals, alone := *all[1].Community, *all[1].Community, *all[2].Channel
	short.ID = short.ID[:10]
	capitals.ID = "0x" + strings.ToUpper(capitals.ID[2:])
	alone.Community = nil
	big := func(n int) []Link {
		return []Link{{URL: "x", Thumbnail: Thumbnail{Payload: make([]byte, n-1)}, Favicon: []byte{1}}}
	}
	bigStatus := func(n int) []StatusLink {
		c := *all[1].Community
		c.Icon.Payload, c.Banner.Payload = make([]byte, n-1), []byte{1}
		return []StatusLink{{URL: "x", Community: &c}}
	}
	for name, test := range map[string]struct {
		links  []Link
		status []StatusLink
		want   error
	}{
		"none":             {nil, nil, nil},
		"all kinds":        {links, all[:3], nil},
		"one too many":     {append([]Link{links[0]}, links...), all[:3], ErrLinks},
		"no address":       {[]Link{{Title: "x"}}, nil, ErrLink},
		"share, no URL":    {nil, []StatusLink{{Community: all[1].Community}}, ErrLink},
		"shows nothing":    {nil, all[3:], ErrLinkOf},
		"shows two":        {nil, []StatusLink{both}, ErrLinkOf},
		"nobody":           {nil, []StatusLink{{URL: "x", Contact: &ContactLink{}}}, ErrLinkOf},
		"short community":  {nil, []StatusLink{{URL: "x", Community: &short}}, ErrLinkOf},
		"capitals":         {nil, []StatusLink{{URL: "x", Community: &capitals}}, ErrLinkOf},
		"channel alone":    {nil, []StatusLink{{URL: "x", Channel: &alone}}, ErrLinkOf},
		"size at limit":    {big(MaxPreview), nil, nil},
		"size over limit":  {big(MaxPreview + 1), nil, ErrLinkSize},
		"share at limit":   {nil, bigStatus(MaxPreview), nil},
		"share over limit": {nil, bigStatus(MaxPreview + 1), ErrLinkSize},
	} {
		if err := checkLinks(test.links, test.status); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
