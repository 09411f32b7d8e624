package preview

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/app/share"
	"github.com/parley-im/parley/internal/vectors"
	apppb "github.com/parley-im/parley/pb/app"
)

func TestLink(t *testing.T) {
	t.Parallel()
	page := Content{Kind: Page, Title: "T", Description: "D"}
	big, icon := pictureJPEG(t, 1600, 400), picturePNG(t, 200, 200)
	l, err := Link("https://A.org/x/", page, big, icon)
	if err != nil {
		t.Fatal(err)
	}
	if l.Url != "https://a.org/x" || l.Title != "T" || l.Description != "D" || l.Type != apppb.UnfurledLink_LINK ||
		l.ThumbnailWidth != ThumbnailSide || l.ThumbnailHeight != ThumbnailSide/4 || len(l.ThumbnailPayload) > ThumbnailMax ||
		len(l.FaviconPayload) == 0 || len(l.FaviconPayload) > IconMax {
		t.Errorf("%v", l)
	}
	good, bad := Validate("look: https://a.org/x", []*apppb.UnfurledLink{l})
	if len(bad) > 0 || len(good) != 1 || !proto.Equal(good[0], l) {
		t.Errorf("what we make we would not show: %v", bad)
	}
	// Pictures that cannot be used are left out.
	l, err = Link("https://a.org/x", page, []byte("<svg/>"), []byte{0, 0, 1, 0})
	if err != nil || l.ThumbnailPayload != nil || l.ThumbnailWidth != 0 || l.FaviconPayload != nil {
		t.Errorf("%v, %v", l, err)
	}
	l, err = Link("https://a.org/cat.png", FromImage("https://a.org/cat.png"), picturePNG(t, 30, 20), nil)
	if err != nil || l.Type != apppb.UnfurledLink_IMAGE || l.Title != "cat.png" || l.ThumbnailWidth != 30 || l.ThumbnailHeight != 20 {
		t.Errorf("%v, %v", l, err)
	}
	for name, c := range map[string]struct {
		link    string
		content Content
		want    error
	}{
		"no title":       {"https://a.org", Content{Kind: Page}, ErrTitle},
		"no picture":     {"https://a.org/x.png", Content{Kind: Image, Title: "x"}, ErrImage},
		"no link":        {"javascript:alert(1)", page, ErrURL},
		"a private host": {"http://10.0.0.1", page, ErrURL},
		"a share URL":    {userURL, page, ErrURL},
	} {
		if l, err := Link(c.link, c.content, nil, nil); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v", name, l, err)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	img := picturePNG(t, 30, 20)
	text := "https://a.org/x and (https://b.org/y_(z)), https://C.org/ `https://code.org` https://a.org/pic.png " + userURL
	link := func(url string) *apppb.UnfurledLink { return &apppb.UnfurledLink{Url: url, Title: "T"} }
	for name, c := range map[string]struct {
		link *apppb.UnfurledLink
		want error
	}{
		"good":                  {link("https://a.org/x"), nil},
		"in brackets":           {link("https://b.org/y_(z)"), nil},
		"as they write it":      {link("https://c.org"), nil},
		"other case":            {link("HTTPS://c.ORG/"), nil},
		"not in the text":       {link("https://evil.org"), ErrNotInText},
		"a part of one":         {link("https://a.org"), ErrNotInText},
		"in code":               {link("https://code.org"), ErrNotInText},
		"of a script":           {link("javascript:alert(1)"), ErrURL},
		"of a file":             {link("file:///etc/passwd"), ErrURL},
		"of a share URL":        {link(userURL), ErrURL},
		"nothing":               {nil, ErrURL},
		"no title":              {&apppb.UnfurledLink{Url: "https://a.org/x"}, ErrTitle},
		"title of blanks":       {&apppb.UnfurledLink{Url: "https://a.org/x", Title: " \u202e "}, ErrTitle},
		"longest title":         {&apppb.UnfurledLink{Url: "https://a.org/x", Title: strings.Repeat("ä", MaxReceivedTitle)}, nil},
		"title too long":        {&apppb.UnfurledLink{Url: "https://a.org/x", Title: strings.Repeat("ä", MaxReceivedTitle+1)}, ErrLength},
		"longest description":   {&apppb.UnfurledLink{Url: "https://a.org/x", Title: "T", Description: strings.Repeat("ä", MaxReceivedDescription)}, nil},
		"description too long":  {&apppb.UnfurledLink{Url: "https://a.org/x", Title: "T", Description: strings.Repeat("ä", MaxReceivedDescription+1)}, ErrLength},
		"a picture":             {&apppb.UnfurledLink{Url: "https://a.org/pic.png", Type: apppb.UnfurledLink_IMAGE, ThumbnailPayload: img}, nil},
		"a picture without one": {&apppb.UnfurledLink{Url: "https://a.org/pic.png", Type: apppb.UnfurledLink_IMAGE, Title: "T"}, ErrImage},
	} {
		var before *apppb.UnfurledLink
		if c.link != nil {
			before = proto.CloneOf(c.link)
		}
		good, bad := Validate(text, []*apppb.UnfurledLink{c.link})
		if c.want == nil && (len(good) != 1 || len(bad) > 0) || c.want != nil && (len(good) != 0 || len(bad) != 1 || !errors.Is(bad[0], c.want)) {
			t.Errorf("%s: %v, %v", name, good, bad)
		}
		if before != nil && !proto.Equal(before, c.link) {
			t.Errorf("%s was changed", name)
		}
	}
	// What one client takes for the end of a link another does not.
	if good, bad := Validate("https://a.org/x! https://b.org/~", []*apppb.UnfurledLink{link("https://a.org/x!"), link("https://b.org/~")}); len(good) != 2 {
		t.Error(bad)
	}
}

func TestValidatePictures(t *testing.T) {
	t.Parallel()
	l := &apppb.UnfurledLink{
		Url: "https://a.org", Title: "T",
		ThumbnailPayload: picturePNG(t, 30, 20), ThumbnailWidth: 9999, ThumbnailHeight: 1, FaviconPayload: picturePNG(t, 16, 16),
	}
	good, bad := Validate("https://a.org", []*apppb.UnfurledLink{l})
	if len(good) != 1 || len(bad) > 0 || good[0].ThumbnailWidth != 30 || good[0].ThumbnailHeight != 20 || good[0].FaviconPayload == nil {
		t.Errorf("%v, %v", good, bad)
	}
	l.ThumbnailPayload, l.FaviconPayload = []byte("<html>"), []byte("<svg/>")
	good, bad = Validate("https://a.org", []*apppb.UnfurledLink{l})
	if len(good) != 1 || len(bad) != 2 || !errors.Is(bad[0], picture.ErrFormat) || !errors.Is(bad[1], picture.ErrFormat) ||
		good[0].ThumbnailPayload != nil || good[0].ThumbnailWidth != 0 || good[0].FaviconPayload != nil || good[0].Title != "T" {
		t.Errorf("%v, %v", good, bad)
	}
}

func TestValidateNumber(t *testing.T) {
	t.Parallel()
	var links []*apppb.UnfurledLink
	text := ""
	for i := range MaxLinks + 3 {
		url := fmt.Sprintf("https://a.org/%d", i)
		text += url + " "
		links = append(links, &apppb.UnfurledLink{Url: url, Title: "T"})
	}
	good, bad := Validate(text, links[:MaxLinks])
	if len(good) != MaxLinks || len(bad) > 0 {
		t.Errorf("%d, %v", len(good), bad)
	}
	good, bad = Validate(text, links)
	if len(good) != MaxLinks || len(bad) != 1 || !errors.Is(bad[0], ErrTooMany) {
		t.Errorf("%d, %v", len(good), bad)
	}
	good, bad = Validate(text, []*apppb.UnfurledLink{links[0], links[1], links[0]})
	if len(good) != 2 || len(bad) != 1 || !errors.Is(bad[0], ErrDuplicate) {
		t.Errorf("%d, %v", len(good), bad)
	}
}

// Every share URL that deployed clients made has a preview of what it says,
// marked as not authenticated, which names the key of the URL and passes as
// received; and as a preview of anything else it does not.
func TestVectorsStatusPreviews(t *testing.T) {
	t.Parallel()
	type shared struct {
		URL  string
		Kind string
	}
	for i, c := range vectors.Cases[shared](t, "share_urls") {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			plan := Plan("see " + c.URL + ", please")
			u, err := share.Parse(c.URL)
			if err != nil {
				if len(plan) == 1 && plan[0].Kind == Status {
					t.Errorf("%v, but: %v", plan, err)
				}
				return
			}
			if len(plan) != 1 || plan[0].Kind != Status {
				t.Fatalf("%v", plan)
			}
			p, err := FromShare(c.URL, nil)
			if u.Key.IsZero() || told(u) == nil || told(u).DisplayName == "" {
				if !errors.Is(err, ErrNoPreview) {
					t.Fatalf("%v, %v", p, err)
				}
				if u.Key.IsZero() {
					return
				}
				p, err = FromShare(c.URL, &Known{DisplayName: "Known", Community: &Known{DisplayName: "C"}})
				if err != nil || !p.Authentic {
					t.Fatalf("%v, %v", p, err)
				}
			} else if err != nil || p.Authentic {
				t.Fatalf("%v, %v", p, err)
			}
			in := &apppb.UnfurledStatusLinks{UnfurledStatusLinks: []*apppb.UnfurledStatusLink{p.Link}}
			out, bad := ValidateStatus("see "+c.URL, in)
			if len(bad) > 0 || !proto.Equal(in, out) {
				t.Fatalf("%v, %v", out, bad)
			}
			if out, bad := ValidateStatus("no link", in); out != nil || len(bad) != 1 || !errors.Is(bad[0], ErrNotInText) {
				t.Errorf("%v, %v", out, bad)
			}
			// The URL of somebody else, the preview of this one.
			in = proto.CloneOf(in)
			other := userURL
			if u.Kind == share.User {
				other = channelURL
			}
			in.UnfurledStatusLinks[0].Url = other
			if out, bad := ValidateStatus(other, in); out != nil || len(bad) != 1 || !errors.Is(bad[0], ErrPayload) {
				t.Errorf("%v, %v", out, bad)
			}
		})
	}
}

func TestStatusPreviews(t *testing.T) {
	t.Parallel()
	u, err := share.Parse(userURL)
	if err != nil {
		t.Fatal(err)
	}
	icon := picture.Picture{Format: picture.PNG, Width: 30, Height: 20, Data: picturePNG(t, 30, 20)}
	p, err := FromShare(userURL, &Known{DisplayName: "Alice", Description: "a\nb", Icon: &icon})
	if err != nil || !p.Authentic || p.Link.GetContact().DisplayName != "Alice" || p.Link.GetContact().Description != "a b" {
		t.Fatalf("%v, %v", p, err)
	}
	if len(p.Link.GetContact().PublicKey) != key.CompressedSize || !isKey(p.Link.GetContact().PublicKey, u.Key) {
		t.Errorf("%x", p.Link.GetContact().PublicKey)
	}
	if _, err := FromShare("https://a.org", nil); !errors.Is(err, ErrURL) {
		t.Error(err)
	}
	stranger, err := key.Generate(bytes.NewReader(bytes.Repeat([]byte{5}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, change func(*apppb.UnfurledStatusLink), kept int, want error) {
		t.Helper()
		l := proto.CloneOf(p.Link)
		change(l)
		before := proto.CloneOf(l)
		out, bad := ValidateStatus(userURL+" "+channelURL, &apppb.UnfurledStatusLinks{UnfurledStatusLinks: []*apppb.UnfurledStatusLink{l}})
		if len(out.GetUnfurledStatusLinks()) != kept || want == nil && len(bad) > 0 || want != nil && (len(bad) != 1 || !errors.Is(bad[0], want)) {
			t.Errorf("%s: %v, %v", name, out, bad)
		}
		if !proto.Equal(l, before) {
			t.Errorf("%s was changed", name)
		}
	}
	check("good", func(*apppb.UnfurledStatusLink) {}, 1, nil)
	check("another key", func(l *apppb.UnfurledStatusLink) { l.GetContact().PublicKey = stranger.Public().Bytes() }, 0, ErrPayload)
	check("no key", func(l *apppb.UnfurledStatusLink) { l.GetContact().PublicKey = nil }, 0, ErrPayload)
	check("no payload", func(l *apppb.UnfurledStatusLink) { l.Payload = nil }, 0, ErrPayload)
	check("empty payload", func(l *apppb.UnfurledStatusLink) { l.Payload = &apppb.UnfurledStatusLink_Contact{} }, 0, ErrPayload)
	check("empty community", func(l *apppb.UnfurledStatusLink) { l.Payload = &apppb.UnfurledStatusLink_Community{} }, 0, ErrPayload)
	check("empty channel", func(l *apppb.UnfurledStatusLink) {
		l.Url, l.Payload = channelURL, &apppb.UnfurledStatusLink_Channel{}
	}, 0, ErrPayload)
	check("another channel", func(l *apppb.UnfurledStatusLink) {
		l.Url, l.Payload = channelURL, &apppb.UnfurledStatusLink_Channel{Channel: &apppb.UnfurledStatusChannelLink{ChannelUuid: "x"}}
	}, 0, ErrPayload)
	check("channel without community", func(l *apppb.UnfurledStatusLink) {
		l.Url, l.Payload = channelURL, &apppb.UnfurledStatusLink_Channel{Channel: &apppb.UnfurledStatusChannelLink{ChannelUuid: "003cdcd5-e065-48f9-b166-b1a94ac75a11"}}
	}, 0, ErrPayload)
	check("long name", func(l *apppb.UnfurledStatusLink) {
		l.GetContact().DisplayName = strings.Repeat("x", MaxReceivedTitle+1)
	}, 0, ErrLength)
	check("no share URL", func(l *apppb.UnfurledStatusLink) { l.Url = "https://a.org" }, 0, ErrURL)
	check("bad icon", func(l *apppb.UnfurledStatusLink) { l.GetContact().Icon.Payload = []byte("<svg/>") }, 1, picture.ErrFormat)

	lie := proto.CloneOf(p.Link)
	lie.GetContact().Icon.Width = 9999
	out, bad := ValidateStatus(userURL, &apppb.UnfurledStatusLinks{UnfurledStatusLinks: []*apppb.UnfurledStatusLink{lie, lie}})
	if len(bad) != 1 || !errors.Is(bad[0], ErrDuplicate) || out.UnfurledStatusLinks[0].GetContact().Icon.Width != 30 {
		t.Errorf("%v, %v", out, bad)
	}
	six := &apppb.UnfurledStatusLinks{}
	for range MaxLinks + 1 {
		six.UnfurledStatusLinks = append(six.UnfurledStatusLinks, p.Link)
	}
	if _, bad := ValidateStatus(userURL, six); !errors.Is(bad[len(bad)-1], ErrTooMany) || len(bad) != MaxLinks {
		t.Errorf("%v", bad)
	}
	if out, bad := ValidateStatus(userURL, nil); out != nil || bad != nil {
		t.Errorf("%v, %v", out, bad)
	}
}

// Whatever is received, what passes is of a link in the text and passes again.
func FuzzValidate(f *testing.F) {
	add := func(text string, m *apppb.ChatMessage) {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, raw)
	}
	add("https://a.org/x", &apppb.ChatMessage{UnfurledLinks: []*apppb.UnfurledLink{{Url: "https://a.org/x", Title: "T", ThumbnailPayload: picturePNG(f, 3, 3)}}})
	p, err := FromShare(channelURL, &Known{DisplayName: "C", Community: &Known{DisplayName: "D"}})
	if err != nil {
		f.Fatal(err)
	}
	add(channelURL, &apppb.ChatMessage{UnfurledStatusLinks: &apppb.UnfurledStatusLinks{UnfurledStatusLinks: []*apppb.UnfurledStatusLink{p.Link}}})
	f.Fuzz(func(t *testing.T, text string, raw []byte) {
		var m apppb.ChatMessage
		if proto.Unmarshal(raw, &m) != nil {
			return
		}
		good, _ := Validate(text, m.UnfurledLinks)
		again, bad := Validate(text, good)
		if len(bad) > 0 || len(again) != len(good) || len(good) > MaxLinks {
			t.Fatalf("%v: %v", good, bad)
		}
		for i := range good {
			if !proto.Equal(good[i], again[i]) {
				t.Fatalf("%v, then %v", good[i], again[i])
			}
		}
		status, _ := ValidateStatus(text, m.UnfurledStatusLinks)
		twice, bad := ValidateStatus(text, status)
		if len(bad) > 0 || !proto.Equal(status, twice) {
			t.Fatalf("%v, then %v: %v", status, twice, bad)
		}
	})
}
