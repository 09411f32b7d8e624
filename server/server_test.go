package server

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/app/share"
	"github.com/parley-im/parley/internal/fault"
)

func TestNeedsToken(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{Client: newClient(t)}); fault.KindOf(err) != fault.Usage {
		t.Errorf("a server without a token: %v", err)
	}
	a := newAPI(t, Config{})
	for _, path := range []string{"/api/v1/status", "/api/v1/events", "/api/v1/none", "/api/", "/openapi.json", "/openapi.yaml"} {
		for name, header := range map[string]string{
			"none":        "",
			"wrong":       "Bearer " + strings.Repeat("0", len(token)),
			"longer":      "Bearer " + token + "0",
			"other kind":  "Basic " + token,
			"only prefix": "Bearer ",
		} {
			r := a.request(http.MethodGet, path, "", func(r *http.Request) { r.Header.Set("Authorization", header) })
			raw, _ := io.ReadAll(r.Body)
			if r.StatusCode != http.StatusUnauthorized || decode[Error](t, raw).Kind != fault.Denied || strings.Contains(string(raw), token) {
				t.Errorf("%s, token %s: %d %s", path, name, r.StatusCode, raw)
			}
		}
	}
	a.call(http.MethodGet, "/api/v1/status", "", http.StatusOK)
	for _, path := range []string{"/", "/page.js", "/healthz"} {
		r := a.request(http.MethodGet, path, "", func(r *http.Request) { r.Header.Del("Authorization") })
		if r.StatusCode != http.StatusOK {
			t.Errorf("%s without token: %d", path, r.StatusCode)
		}
	}
}

// TestForeignHost: a web site that rebinds its own name to loopback is refused,
// with the token and without.
func TestForeignHost(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{Hosts: []string{"parley.example"}})
	for host, want := range map[string]int{
		"localhost":           http.StatusOK,
		"LOCALHOST:8645":      http.StatusOK,
		"127.0.0.1":           http.StatusOK,
		"[::1]:8645":          http.StatusOK,
		"192.0.2.1:8645":      http.StatusOK,
		"parley.example:8645": http.StatusOK,
		"evil.example":        http.StatusMisdirectedRequest,
		"evil.example:8645":   http.StatusMisdirectedRequest,
		"localhost.evil.org":  http.StatusMisdirectedRequest,
		"127.0.0.1.evil.org":  http.StatusMisdirectedRequest,
	} {
		for _, path := range []string{"/", "/healthz", "/api/v1/status"} {
			r := a.request(http.MethodGet, path, "", func(r *http.Request) { r.Host = host })
			if r.StatusCode != want {
				t.Errorf("%s of %s: %d, want %d", path, host, r.StatusCode, want)
			}
		}
	}
}

func TestContactRoutes(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	bob := stranger(t)
	link := (&share.URL{Kind: share.User, Key: bob}).String()
	get := func(who string) parley.Contact {
		return decode[parley.Contact](t, a.call(http.MethodGet, "/api/v1/contacts/"+url.PathEscape(who), "", http.StatusOK))
	}
	do := func(verb, body string) parley.Contact {
		return decode[parley.Contact](t, a.call(http.MethodPost, "/api/v1/contacts/"+bob.Hex()+"/"+verb, body, http.StatusOK))
	}
	list := func() []parley.Contact {
		return decode[[]parley.Contact](t, a.call(http.MethodGet, "/api/v1/contacts", "", http.StatusOK))
	}
	if all := list(); len(all) != 0 {
		t.Fatalf("at first: %v", all)
	}
	body, _ := json.Marshal(map[string]string{"who": link, "message": "hello"})
	added := decode[parley.Contact](t, a.call(http.MethodPost, "/api/v1/contacts", string(body), http.StatusOK))
	if added.Key != bob || added.State != "sent" || added.PublicKey != bob.Hex() || added.Alias == "" {
		t.Fatalf("added %+v", added)
	}
	if all := list(); len(all) != 1 || all[0] != added {
		t.Errorf("listed %+v", all)
	}
	if c := do("rename", `{"nickname":"Bob/by #1"}`); c.Name != "Bob/by #1" {
		t.Errorf("renamed %+v", c)
	}
	for _, who := range []string{bob.String(), bob.Hex(), bob.CompressedHex(), link, "bob/BY #1"} {
		if c := get(who); c.Key != bob {
			t.Errorf("%s is %+v", who, c)
		}
	}
	if c := do("rename", `{"nickname":""}`); c.Nickname != "" {
		t.Errorf("renamed back %+v", c)
	}
	if c := do("remove", ""); c.State != "none" {
		t.Errorf("removed %+v", c)
	}
	if c := do("block", ""); !c.Blocked {
		t.Errorf("blocked %+v", c)
	}
	if c := do("unblock", ""); c.Blocked {
		t.Errorf("unblocked %+v", c)
	}
	for _, verb := range []string{"accept", "reject"} {
		e := decode[Error](t, a.call(http.MethodPost, "/api/v1/contacts/"+bob.Hex()+"/"+verb, "", http.StatusNotFound))
		if e.Kind != fault.NotFound || e.Hint == "" {
			t.Errorf("%s without a request: %+v", verb, e)
		}
	}
}

func TestMessageRoutes(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	bob, eve := stranger(t), stranger(t)
	send := func(body map[string]string) parley.Message {
		raw, _ := json.Marshal(body)
		return decode[parley.Message](t, a.call(http.MethodPost, "/api/v1/messages", string(raw), http.StatusOK))
	}
	first := send(map[string]string{"to": bob.String(), "text": "<first> & \"foremost\""})
	second := send(map[string]string{"to": bob.String(), "text": "second", "reply_to": first.ID.String()})
	send(map[string]string{"to": eve.String(), "text": "else"})
	if first.State != "pending" || first.Chat != bob.Hex() || first.From != a.client.Self() || second.ReplyTo != first.ID.String() || second.Clock <= first.Clock {
		t.Errorf("sent %+v, %+v", first, second)
	}
	list := func(query string) (texts []string) {
		for _, m := range decode[[]parley.Message](t, a.call(http.MethodGet, "/api/v1/messages"+query, "", http.StatusOK)) {
			texts = append(texts, m.Text)
		}
		return texts
	}
	for query, want := range map[string][]string{
		"?chat=" + bob.String():                             {first.Text, "second"},
		"?limit=1&chat=" + bob.Hex():                        {"second"},
		"?chat=" + bob.Hex() + "&since=" + clock(first):     {"second"},
		"?chat=" + stranger(t).String():                     nil,
		"?since=" + clock(second) + "&chat=" + bob.String(): nil,
	} {
		if got := list(query); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if got := list(""); len(got) != 3 {
		t.Errorf("of all chats: %q", got)
	}
	if m := decode[parley.Message](t, a.call(http.MethodGet, "/api/v1/messages/"+first.ID.String(), "", http.StatusOK)); m.Text != first.Text {
		t.Errorf("one message: %+v", m)
	}
	s := decode[parley.Status](t, a.call(http.MethodGet, "/api/v1/status", "", http.StatusOK))
	if s.Key != a.client.Self() || s.LastEvent < 3 || s.Pending == 0 || s.Network != "local" {
		t.Errorf("status %+v", s)
	}
}

func clock(m parley.Message) string {
	raw, _ := json.Marshal(m.Clock)
	return string(raw)
}

func TestErrors(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	bob := stranger(t)
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		kind               fault.Kind
	}{
		"no such call":       {http.MethodGet, "/api/v1/nothing", "", 404, fault.NotFound},
		"no such method":     {http.MethodDelete, "/api/v1/status", "", 404, fault.NotFound},
		"old version":        {http.MethodGet, "/api/v0/status", "", 404, fault.NotFound},
		"nobody":             {http.MethodGet, "/api/v1/contacts/Nobody", "", 404, fault.NotFound},
		"no message":         {http.MethodGet, "/api/v1/messages/0x" + strings.Repeat("00", 32), "", 404, fault.NotFound},
		"no message id":      {http.MethodGet, "/api/v1/messages/x", "", 400, fault.Usage},
		"to nobody":          {http.MethodPost, "/api/v1/messages", `{"to":"Nobody","text":"x"}`, 404, fault.NotFound},
		"to oneself":         {http.MethodPost, "/api/v1/messages", `{"to":"` + a.client.Self().String() + `","text":"x"}`, 400, fault.Usage},
		"blank text":         {http.MethodPost, "/api/v1/messages", `{"to":"` + bob.String() + `","text":" "}`, 400, fault.Usage},
		"empty text":         {http.MethodPost, "/api/v1/messages", `{"to":"` + bob.String() + `","text":""}`, 422, fault.Invalid},
		"text missing":       {http.MethodPost, "/api/v1/messages", `{"to":"` + bob.String() + `"}`, 422, fault.Invalid},
		"unknown field":      {http.MethodPost, "/api/v1/messages", `{"to":"x","text":"x","more":1}`, 422, fault.Invalid},
		"no JSON":            {http.MethodPost, "/api/v1/messages", `{"to":`, 400, fault.Usage},
		"no body":            {http.MethodPost, "/api/v1/messages", "", 400, fault.Usage},
		"since no number":    {http.MethodGet, "/api/v1/messages?since=x", "", 422, fault.Invalid},
		"limit below zero":   {http.MethodGet, "/api/v1/messages?limit=-1", "", 422, fault.Invalid},
		"events since":       {http.MethodGet, "/api/v1/events?since=-1", "", 422, fault.Invalid},
		"unblock, unblocked": {http.MethodPost, "/api/v1/contacts/" + bob.String() + "/unblock", "", 404, fault.NotFound},
		"answer to nothing":  {http.MethodPost, "/api/v1/messages", `{"to":"` + bob.String() + `","text":"x","reply_to":"0x` + strings.Repeat("00", 32) + `"}`, 404, fault.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			e := decode[Error](t, a.call(c.method, c.path, c.body, c.status))
			if e.Kind != c.kind || e.Status != c.status || e.Message == "" {
				t.Errorf("%+v, want kind %s", e, c.kind)
			}
		})
	}
	if all, err := a.client.Messages(t.Context(), "", 0, 0); err != nil || len(all) != 0 {
		t.Errorf("refused calls have left %v, %v", all, err)
	}
}

// described are all calls.
const described = `
	GET:/status GET:/events
	GET:/contacts POST:/contacts GET:/contacts/{who} GET:/contacts/{who}/picture
	POST:/contacts/{who}/accept POST:/contacts/{who}/block POST:/contacts/{who}/reject POST:/contacts/{who}/remove
	POST:/contacts/{who}/rename POST:/contacts/{who}/unblock POST:/contacts/{who}/trust
	GET:/contacts/{who}/verifications POST:/contacts/{who}/verifications/ask POST:/contacts/{who}/verifications/answer
	POST:/contacts/{who}/verifications/decline POST:/contacts/{who}/verifications/cancel
	GET:/messages POST:/messages GET:/messages/page GET:/messages/{id} GET:/messages/{id}/trace GET:/search
	GET:/messages/{id}/image GET:/messages/{id}/audio GET:/messages/{id}/links/{n}/image
	POST:/messages/{id}/edit POST:/messages/{id}/delete POST:/messages/{id}/react POST:/messages/{id}/unreact
	POST:/messages/{id}/pin POST:/messages/{id}/unpin POST:/messages/{id}/retry GET:/profile/qr GET:/pages/chats GET:/pages/contacts
	GET:/chats GET:/chats/{chat} POST:/chats/{chat}/read POST:/chats/{chat}/mute POST:/chats/{chat}/unmute
	POST:/chats/{chat}/clear POST:/chats/{chat}/delete POST:/chats/{chat}/pin POST:/chats/{chat}/unpin
	GET:/chats/{chat}/pins GET:/chats/{chat}/draft GET:/chats/{chat}/mentionable POST:/chats/{chat}/draft
	GET:/groups POST:/groups GET:/groups/{group} GET:/groups/{group}/image POST:/groups/{group}/image
	POST:/groups/{group}/add POST:/groups/{group}/remove POST:/groups/{group}/admin POST:/groups/{group}/step-down
	POST:/groups/{group}/join POST:/groups/{group}/leave POST:/groups/{group}/rename POST:/groups/{group}/color
	POST:/groups/{group}/reject GET:/group-requests POST:/group-requests
	GET:/communities POST:/communities GET:/communities/{community} GET:/communities/{community}/members
	GET:/communities/{community}/picture GET:/communities/{community}/url GET:/community-tags GET:/community-requests
	POST:/communities/{community}/follow POST:/communities/{community}/unfollow POST:/communities/{community}/join
	POST:/communities/{community}/cancel POST:/communities/{community}/leave POST:/communities/{community}/share-addresses
	POST:/communities/{community}/edit POST:/communities/{community}/accept POST:/communities/{community}/reject
	POST:/communities/{community}/kick POST:/communities/{community}/ban POST:/communities/{community}/unban
	POST:/communities/{community}/export-key POST:/communities/{community}/forget-key POST:/community-keys
	POST:/communities/{community}/channels POST:/communities/{community}/channels/{channel}/edit
	POST:/communities/{community}/channels/{channel}/move POST:/communities/{community}/channels/{channel}/delete
	POST:/communities/{community}/categories POST:/communities/{community}/categories/{category}/rename
	POST:/communities/{community}/categories/{category}/channels POST:/communities/{community}/categories/{category}/move
	POST:/communities/{community}/categories/{category}/delete
	GET:/activities GET:/activities/counts POST:/activities/read POST:/activities/{id}/state
	GET:/profile POST:/profile POST:/profile/picture POST:/profile/picture/clear POST:/profile/presence
	GET:/settings POST:/settings
	GET:/devices POST:/devices/name POST:/devices/{device}/pair POST:/devices/{device}/unpair`

// TestOpenAPI: the description names every call, and keys and ids are texts in
// it, as they are on the wire.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	type schema struct {
		Type       any
		Properties map[string]struct{ Type any }
	}
	doc := struct {
		OpenAPI    string
		Paths      map[string]map[string]json.RawMessage
		Components struct{ Schemas map[string]schema }
		Security   []map[string][]string
	}{}
	if err := json.Unmarshal(a.call(http.MethodGet, "/openapi.json", "", http.StatusOK), &doc); err != nil {
		t.Fatal(err)
	}
	var calls []string
	for path, methods := range doc.Paths {
		for method := range methods {
			calls = append(calls, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(calls)
	want := strings.Fields(described)
	for i, call := range want {
		want[i] = strings.Replace(call, ":", " /api/v1", 1)
	}
	slices.Sort(want)
	if !slices.Equal(calls, want) {
		t.Errorf("described are %q", calls)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") || len(doc.Security) != 1 {
		t.Errorf("OpenAPI %s, security %v", doc.OpenAPI, doc.Security)
	}
	for _, field := range []struct{ schema, name string }{
		{"Contact", "key"}, {"Message", "id"}, {"Message", "from"}, {"Status", "key"}, {"Event", "type"},
		{"Chat", "key"}, {"Chat", "kind"}, {"Group", "id"}, {"Member", "key"}, {"Member", "public_key"}, {"Activity", "from"},
		{"Verification", "id"}, {"Profile", "key"}, {"Pin", "by"}, {"GroupRequest", "from"},
	} {
		if got := doc.Components.Schemas[field.schema].Properties[field.name].Type; got != "string" {
			t.Errorf("%s.%s is described as %v; there are %v", field.schema, field.name, got, slices.Sorted(maps.Keys(doc.Components.Schemas)))
		}
	}
	// What is answered is what is described.
	bob := stranger(t)
	m, err := a.client.Send(t.Context(), bob.String(), "x", parley.SendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	g, err := a.client.CreateGroup(t.Context(), "Club", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"Status": "/api/v1/status", "Contact": "/api/v1/contacts/" + bob.String(), "Message": "/api/v1/messages/" + m.ID.String(),
		"Chat": "/api/v1/chats/" + bob.String(), "Group": "/api/v1/groups/" + g.ID, "Profile": "/api/v1/profile", "Trace": "/api/v1/messages/" + m.ID.String() + "/trace",
		"MessagePage": "/api/v1/messages/page", "SearchPage": "/api/v1/search?text=x", "ActivityPage": "/api/v1/activities",
	} {
		var answer map[string]json.RawMessage
		if err := json.Unmarshal(a.call(http.MethodGet, path, "", http.StatusOK), &answer); err != nil {
			t.Fatal(err)
		}
		for field := range answer {
			if _, ok := doc.Components.Schemas[name].Properties[field]; !ok {
				t.Errorf("%s answers with %q, which is not described", path, field)
			}
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	if got := a.call(http.MethodGet, "/healthz", "", http.StatusOK); string(got) != "ok\n" {
		t.Errorf("healthy: %q", got)
	}
	// Nobody is connected.
	if e := decode[Error](t, a.call(http.MethodGet, "/readyz", "", http.StatusServiceUnavailable)); e.Kind != fault.Unreachable {
		t.Errorf("ready: %+v", e)
	}
	a.client.Close()
	a.call(http.MethodGet, "/healthz", "", http.StatusServiceUnavailable)
}

// TestPage: the page and all it asks for come from here, under a policy that
// lets nothing else in.
func TestPage(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	page := a.call(http.MethodGet, "/", "", http.StatusOK)
	files := []string{"/"}
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(string(page), -1) {
		if strings.Contains(m[1], ":") || strings.HasPrefix(m[1], "//") {
			t.Errorf("the page asks for %s", m[1])
		}
		files = append(files, "/"+m[1])
	}
	if len(files) < 3 {
		t.Errorf("the page asks for %q", files)
	}
	for _, file := range files {
		r := a.request(http.MethodGet, file, "", nil)
		policy := r.Header.Get("Content-Security-Policy")
		if r.StatusCode != http.StatusOK || !strings.Contains(policy, "default-src 'self'") || !strings.Contains(policy, "frame-ancestors 'none'") ||
			strings.Contains(policy, "unsafe") || r.Header.Get("Referrer-Policy") != "no-referrer" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", file, r.StatusCode, r.Header)
		}
	}
	for _, inline := range []string{"<style", "style=", "onclick", "javascript:"} {
		if strings.Contains(string(page), inline) {
			t.Errorf("the page has %q, which its policy forbids", inline)
		}
	}
	a.call(http.MethodPost, "/", "{}", http.StatusMethodNotAllowed)
	a.call(http.MethodGet, "/nothing", "", http.StatusNotFound)
	if got := PageURL("http://127.0.0.1:1", "abc"); got != "http://127.0.0.1:1/#token=abc" {
		t.Errorf("address of the page: %s", got)
	}
}
