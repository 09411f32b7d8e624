package server

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/internal/fault"
)

func pixels(t testing.TB, width, height int) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// got and made make a call that must succeed.
func got[T any](a *api, path string) T {
	a.t.Helper()
	return decode[T](a.t, a.call(http.MethodGet, "/api/v1"+path, "", http.StatusOK))
}

func made[T any](a *api, path string, body any) T {
	a.t.Helper()
	text := ""
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			a.t.Fatal(err)
		}
		text = string(raw)
	}
	return decode[T](a.t, a.call(http.MethodPost, "/api/v1"+path, text, http.StatusOK))
}

type object map[string]any

func TestChangeRoutes(t *testing.T) {
	t.Parallel()
	a, bob := newAPI(t, Config{}), stranger(t)
	m := made[parley.Message](a, "/messages", object{"to": bob.String(), "text": "one"})
	path := "/messages/" + m.ID.String()
	if m = made[parley.Message](a, path+"/edit", object{"text": "two"}); m.Text != "two" || !m.Edited || m.EditedClock == 0 {
		t.Errorf("edited %+v", m)
	}
	if m = made[parley.Message](a, path+"/react", object{"emoji": "👍"}); len(m.Reactions) != 1 || m.Reactions[0].Emoji != "👍" || !m.Reactions[0].Self || m.Reactions[0].Who[0].PublicKey != a.client.Self().Hex() {
		t.Errorf("reacted %+v", m)
	}
	if m = made[parley.Message](a, path+"/unreact", object{"emoji": "1f44d"}); len(m.Reactions) != 0 {
		t.Errorf("unreacted %+v", m)
	}
	if m = made[parley.Message](a, path+"/pin", nil); !m.Pinned {
		t.Errorf("pinned %+v", m)
	}
	if pins := got[[]parley.Pin](a, "/chats/"+bob.String()+"/pins"); len(pins) != 1 || pins[0].Message != m.ID || pins[0].ByKey != a.client.Self().Hex() {
		t.Errorf("pins %+v", pins)
	}
	if m = made[parley.Message](a, path+"/unpin", nil); m.Pinned {
		t.Errorf("unpinned %+v", m)
	}
	if trace := got[parley.Trace](a, path+"/trace"); len(trace.Steps) != 6 || len(trace.Waiting) == 0 {
		t.Errorf("trace %+v", trace)
	}
	if found := got[parley.SearchPage](a, "/search?text=two&chat="+bob.Hex()); len(found.Messages) != 1 || found.Messages[0].ID != m.ID {
		t.Errorf("found %+v", found)
	}
	if page := got[parley.MessagePage](a, "/messages/page?oldest=true&limit=1&chat="+bob.Hex()); len(page.Messages) != 1 {
		t.Errorf("page %+v", page)
	}
	if e := decode[Error](t, a.call(http.MethodPost, "/api/v1"+path+"/retry", "", http.StatusConflict)); !strings.Contains(e.Message, "has not failed") {
		t.Errorf("%+v", e)
	}
	if m = made[parley.Message](a, path+"/delete", nil); !m.Deleted || m.DeletedBy == nil || m.DeletedForMe {
		t.Errorf("deleted %+v", m)
	}
	if m = made[parley.Message](a, path+"/delete", object{"for_me": true}); !m.DeletedForMe {
		t.Errorf("deleted for me %+v", m)
	}
}

// TestPictureRoutes: pictures go in and come out as something harmless, and
// nothing else comes out.
func TestPictureRoutes(t *testing.T) {
	t.Parallel()
	a, bob := newAPI(t, Config{}), stranger(t)
	m := made[parley.Message](a, "/messages", object{"to": bob.String(), "text": "see", "images": [][]byte{pixels(t, 1200, 600), pixels(t, 20, 10)}})
	if len(m.Album) != 2 || m.Image == nil || m.Image.Width != 1200 {
		t.Fatalf("%+v", m)
	}
	for path, width := range map[string]int{
		"/messages/" + m.ID.String() + "/image":                1200,
		"/messages/" + m.ID.String() + "/image?side=100":       100,
		"/messages/" + m.Album[1].String() + "/image?side=999": 20,
	} {
		r := a.request(http.MethodGet, "/api/v1"+path, "", nil)
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		config, format, err := image.DecodeConfig(bytes.NewReader(raw))
		if err != nil || config.Width != width || r.Header.Get("Content-Type") != "image/"+format {
			t.Errorf("%s: %+v %v %s", path, config, err, r.Header)
		}
		if r.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(r.Header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: %v", path, r.Header)
		}
	}
	audio := made[parley.Message](a, "/messages", object{"to": bob.String(), "audio": object{"format": "aac", "payload": []byte{0xff, 0xf1, 0x4c, 0x80, 0x01, 0x1f, 0xfc, 0x21}, "duration_ms": 1000}})
	r := a.request(http.MethodGet, "/api/v1/messages/"+audio.ID.String()+"/audio", "", nil)
	if raw, _ := io.ReadAll(r.Body); r.Header.Get("Content-Type") != "audio/aac" || len(raw) != 8 || r.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("audio %v %v", r.Header, raw)
	}
	if p := made[parley.Profile](a, "/profile/picture", object{"image": pixels(t, 300, 300), "show_to": "contacts"}); p.Picture != "contacts" {
		t.Errorf("%+v", p)
	}
	self := url.PathEscape(a.client.Self().String())
	for size, most := range map[string]int{"": 80, "?size=thumbnail": 80, "?size=large": 240} {
		raw := a.call(http.MethodGet, "/api/v1/contacts/"+self+"/picture"+size, "", http.StatusOK)
		if config, _, err := image.DecodeConfig(bytes.NewReader(raw)); err != nil || config.Width != most {
			t.Errorf("picture%s: %+v, %v", size, config, err)
		}
	}
	made[parley.Profile](a, "/profile/picture/clear", nil)
	g := made[parley.Group](a, "/groups", object{"name": "Club"})
	if g = made[parley.Group](a, "/groups/Club/image", object{"image": pixels(t, 30, 30)}); !g.Image {
		t.Errorf("%+v", g)
	}
	if raw := a.call(http.MethodGet, "/api/v1/groups/Club/image?side=10", "", http.StatusOK); len(raw) == 0 {
		t.Error("the group has no picture")
	}
	for path, want := range map[string]int{
		"/contacts/" + self + "/picture":                         404,
		"/contacts/" + self + "/picture?size=huge":               422,
		"/messages/" + audio.ID.String() + "/image":              404,
		"/messages/" + m.ID.String() + "/audio":                  404,
		"/messages/" + m.ID.String() + "/links/0/image":          404,
		"/messages/" + m.ID.String() + "/links/x/image":          422,
		"/messages/" + m.ID.String() + "/image?side=-1":          422,
		"/messages/0x" + strings.Repeat("00", 32) + "/image":     404,
		"/messages/x/image":                                      400,
		"/contacts/" + url.PathEscape(bob.String()) + "/picture": 404,
		"/messages/page?before=nonsense":                         400,
		"/messages/page?limit=501":                               422,
		"/search":                                                422,
		"/search?text=x&from=Nobody":                             404,
		"/groups/Nothing":                                        404,
		"/chats/Nobody":                                          404,
		"/activities?kind=gossip":                                400,
		"/activities?next=x":                                     400,
	} {
		if e := decode[Error](t, a.call(http.MethodGet, "/api/v1"+path, "", want)); e.Kind == "" || e.Message == "" {
			t.Errorf("%s: %+v", path, e)
		}
	}
	for path, body := range map[string]string{
		"/messages":                             `{"to":"` + bob.String() + `","images":["` + "AAAA" + `"]}`,
		"/profile/picture":                      `{"image":"AAAA"}`,
		"/groups/Club/color":                    `{"color":"red"}`,
		"/messages/" + m.ID.String() + "/react": `{"emoji":"nonsense"}`,
	} {
		if e := decode[Error](t, a.call(http.MethodPost, "/api/v1"+path, body, http.StatusBadRequest)); e.Kind != fault.Usage {
			t.Errorf("%s: %+v", path, e)
		}
	}
}

func TestChatRoutes(t *testing.T) {
	t.Parallel()
	a, bob := newAPI(t, Config{}), stranger(t)
	made[parley.Message](a, "/messages", object{"to": bob.String(), "text": "one"})
	path := "/chats/" + bob.String()
	if all := got[[]parley.Chat](a, "/chats"); len(all) != 1 || all[0].ID != bob.Hex() || all[0].Last == nil || all[0].Last.Text != "one" {
		t.Errorf("%+v", all)
	}
	for _, step := range []struct {
		verb string
		body any
		ok   func(parley.Chat) bool
	}{
		{"mute", nil, func(c parley.Chat) bool { return c.Muted && c.MutedUntil == 0 }},
		{"mute", object{"seconds": 60}, func(c parley.Chat) bool { return c.Muted && c.MutedUntil > 0 }},
		{"unmute", nil, func(c parley.Chat) bool { return !c.Muted }},
		{"pin", nil, func(c parley.Chat) bool { return c.Pinned }},
		{"unpin", nil, func(c parley.Chat) bool { return !c.Pinned }},
		{"read", nil, func(c parley.Chat) bool { return c.ReadClock == c.LastClock }},
		{"read", object{"clock": 1}, func(c parley.Chat) bool { return c.ReadClock == c.LastClock }},
		{"clear", nil, func(c parley.Chat) bool { return c.Last == nil && c.Active }},
		{"delete", nil, func(c parley.Chat) bool { return !c.Active }},
	} {
		if c := made[parley.Chat](a, path+"/"+step.verb, step.body); !step.ok(c) {
			t.Errorf("%s %v: %+v", step.verb, step.body, c)
		}
	}
	a.call(http.MethodPost, "/api/v1"+path+"/mute", `{"seconds":-1}`, http.StatusUnprocessableEntity)
	a.call(http.MethodPost, "/api/v1"+path+"/mute", `{"seconds":9000000000000}`, http.StatusBadRequest)
	if all := got[[]parley.Chat](a, "/chats"); len(all) != 0 {
		t.Errorf("%+v", all)
	}
	if all := got[[]parley.Chat](a, "/chats?all=true"); len(all) != 1 {
		t.Errorf("%+v", all)
	}
	if d := made[parley.Draft](a, path+"/draft", object{"text": "Dear"}); d.Text != "Dear" {
		t.Errorf("%+v", d)
	}
	if d := got[parley.Draft](a, path+"/draft"); d.Text != "Dear" || d.Chat != bob.Hex() {
		t.Errorf("%+v", d)
	}
}

func TestGroupRoutes(t *testing.T) {
	t.Parallel()
	a, bob := newAPI(t, Config{}), stranger(t)
	g := made[parley.Group](a, "/groups", object{"name": "Book/club #1", "color": "#112233"})
	path := "/groups/" + url.PathEscape("book/CLUB #1")
	if one := got[parley.Group](a, path); one.ID != g.ID || one.Color != "#112233" {
		t.Errorf("%+v", one)
	}
	if all := got[[]parley.Group](a, "/groups"); len(all) != 1 {
		t.Errorf("%+v", all)
	}
	if one := made[parley.Group](a, path+"/color", object{"color": "#332211"}); one.Color != "#332211" {
		t.Errorf("%+v", one)
	}
	for verb, c := range map[string]struct {
		body   string
		status int
	}{
		"add":       {`{"members":["` + bob.String() + `"]}`, 409},
		"remove":    {`{"who":"` + bob.String() + `"}`, 404},
		"admin":     {`{"who":"` + bob.String() + `"}`, 404},
		"reject":    {`{"who":"` + bob.String() + `"}`, 404},
		"join":      {"", 409},
		"step-down": {"", 409},
		"rename":    {`{"name":""}`, 422},
	} {
		a.call(http.MethodPost, "/api/v1"+path+"/"+verb, c.body, c.status)
	}
	if one := made[parley.Group](a, path+"/rename", object{"name": "Film club"}); one.Name != "Film club" {
		t.Errorf("%+v", one)
	}
	if one := made[parley.Group](a, "/groups/"+g.ID+"/leave", nil); one.Standing != "left" {
		t.Errorf("%+v", one)
	}
	r := made[parley.GroupRequest](a, "/group-requests", object{"group": "7b1f6d2c-6e3e-4d0f-9b43-2d3e7b1f6d2c-" + bob.Hex(), "admin": bob.String(), "introduction": "hello"})
	if all := got[[]parley.GroupRequest](a, "/group-requests"); len(all) != 1 || all[0] != r {
		t.Errorf("%+v, %+v", all, r)
	}
}

func TestOtherRoutes(t *testing.T) {
	t.Parallel()
	a, bob := newAPI(t, Config{}), stranger(t)
	who := "/contacts/" + bob.String()
	if c := made[parley.Contact](a, who+"/trust", object{"trust": "trusted"}); c.Trust != "trusted" {
		t.Errorf("%+v", c)
	}
	if all := got[[]parley.Verification](a, who+"/verifications"); len(all) != 0 {
		t.Errorf("%+v", all)
	}
	for verb, c := range map[string]struct {
		body   string
		status int
	}{
		"ask":     {`{"text":"Who are you?"}`, 409}, // no contact
		"answer":  {`{"text":"Bob"}`, 404},
		"decline": {"", 404},
		"cancel":  {"", 404},
	} {
		a.call(http.MethodPost, "/api/v1"+who+"/verifications/"+verb, c.body, c.status)
	}
	if n := got[parley.ActivityCounts](a, "/activities/counts"); n.Unread != 0 {
		t.Errorf("%+v", n)
	}
	if n := made[parley.ActivityCounts](a, "/activities/read", nil); n.Unread != 0 {
		t.Errorf("%+v", n)
	}
	a.call(http.MethodPost, "/api/v1/activities/"+url.PathEscape("message/0x00")+"/state", `{"state":"read"}`, http.StatusNotFound)
	if s := made[parley.Settings](a, "/settings", object{"contacts_only": true}); !s.ContactsOnly || s.PresenceUpdates {
		t.Errorf("%+v", s)
	}
	if s := made[parley.Settings](a, "/settings", object{"presence_updates": true}); !s.ContactsOnly || !s.PresenceUpdates {
		t.Errorf("%+v", s)
	}
	if s := got[parley.Settings](a, "/settings"); !s.ContactsOnly {
		t.Errorf("%+v", s)
	}
	if p := made[parley.Profile](a, "/profile", object{"bio": "A bio", "color": "magenta"}); p.Bio != "A bio" || p.Color != "magenta" || p.Name != "Alice" {
		t.Errorf("%+v", p)
	}
	if p := made[parley.Profile](a, "/profile/presence", object{"presence": "do_not_disturb", "text": "busy"}); p.Presence != "do_not_disturb" || p.PresenceText != "busy" {
		t.Errorf("%+v", p)
	}
	a.call(http.MethodPost, "/api/v1/profile", `{"color":"plaid"}`, http.StatusBadRequest)
}
