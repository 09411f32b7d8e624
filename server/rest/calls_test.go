package rest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/store"
)

func TestNoSuchCall(t *testing.T) {
	t.Parallel()
	n, _ := startNode(t, node.Full)
	a := serve(t, Config{Node: n, Admin: true})
	for call, allow := range map[string]string{
		"PUT /relay/v1/subscriptions":            "POST, DELETE, OPTIONS",
		"PATCH /relay/v1/subscriptions":          "POST, DELETE, OPTIONS",
		"BREW /health":                           "GET, OPTIONS",
		"HEAD /relay/v1/messages/x":              "GET, POST, OPTIONS", // it would empty the cache
		"POST /store/v3/messages":                "GET, OPTIONS",
		"POST /filter/v2/subscriptions/all":      "GET, DELETE, OPTIONS",
		"GET /lightpush/v3/message":              "POST, OPTIONS",
		"POST /openapi.json":                     "GET, OPTIONS",
		"DELETE /filter/v2/subscriptions/x":      "GET, OPTIONS",
		"POST /relay/v1/auto/messages/%2Fa%2F1b": "GET, OPTIONS",
	} {
		method, path, _ := strings.Cut(call, " ")
		status, body, headers := a.do(method, path, "", http.Header{})
		if status != http.StatusMethodNotAllowed || headers.Get("Allow") != allow || method != "HEAD" && body != badCall {
			t.Errorf("%s: %d %q, allowed are %q", call, status, body, headers.Get("Allow"))
		}
	}
	for _, call := range []string{"GET /", "GET /x", "POST /relay", "GET /relay/v1/messages", "GET /relay/v2/messages/x", "OPTIONS /x", "GET /store/v1/messages", "GET /filter/v2/messages/a/b/c"} {
		method, path, _ := strings.Cut(call, " ")
		a.expect(method, path, "", http.StatusNotFound, badCall)
	}
	a.expect("OPTIONS", "/relay/v1/messages/x", "", http.StatusOK, "OK")
}

func TestDescription(t *testing.T) {
	t.Parallel()
	n, _ := startNode(t, node.Full)
	a := serve(t, Config{Node: n, Admin: true})
	doc := get[struct {
		OpenAPI string `json:"openapi"`
		Info    struct{ Title, Version string }
		Paths   map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Parameters  []struct{ Name, In string }
			RequestBody *struct {
				Content map[string]struct{ Schema map[string]any }
			}
			Responses map[string]struct {
				Description string
				Content     map[string]struct{ Schema map[string]any }
			}
		}
		Components struct{ Schemas map[string]map[string]any }
	}](a, "/openapi.json")
	if !strings.HasPrefix(doc.OpenAPI, "3.1") || doc.Info.Version != "v1.2.3" {
		t.Errorf("%s %v", doc.OpenAPI, doc.Info)
	}
	ids := map[string]bool{}
	calls := 0
	for path, methods := range doc.Paths {
		for method, op := range methods {
			calls++
			if op.OperationID == "" || ids[op.OperationID] {
				t.Errorf("%s %s: the id %q", method, path, op.OperationID)
			}
			ids[op.OperationID] = true
			// Every call that is described is there, and no other method.
			real := strings.NewReplacer("{", "", "}", "").Replace(path)
			req, _ := http.NewRequestWithContext(t.Context(), strings.ToUpper(method), a.URL+real, nil)
			if _, pattern := a.rest.routes.mux.Handler(req); pattern != strings.ToUpper(method)+" "+path {
				t.Errorf("%s %s is served as %q", method, path, pattern)
			}
			for _, allowed := range a.rest.routes.methods(req) {
				if _, described := methods[strings.ToLower(allowed)]; !described && !strings.HasPrefix(path, "/filter/v2/subscriptions/") {
					t.Errorf("%s %s is not described", allowed, path)
				}
			}
			for _, p := range op.Parameters {
				if p.In == "path" != strings.Contains(path, "{"+p.Name+"}") {
					t.Errorf("%s %s: parameter %v", method, path, p)
				}
			}
			for status, r := range op.Responses {
				if r.Description == "" || len(r.Content) == 0 {
					t.Errorf("%s %s: response %s %v", method, path, status, r)
				}
			}
		}
	}
	if calls < 30 {
		t.Errorf("%d calls are described", calls)
	}
	props := doc.Components.Schemas["Message"]["properties"].(map[string]any)
	for _, name := range []string{"payload", "contentTopic", "version", "timestamp", "meta", "ephemeral", "proof"} {
		if props[name] == nil {
			t.Errorf("a message has no %s: %v", name, props)
		}
	}
	post := doc.Paths["/relay/v1/messages/{pubsubTopic}"]["post"]
	if post.RequestBody == nil || post.RequestBody.Content["application/json"].Schema["$ref"] != "#/components/schemas/Message" {
		t.Errorf("the body of a message: %v", post.RequestBody)
	}
	status, yaml := a.call("GET", "/openapi.yaml", "")
	if status != 200 || !strings.Contains(yaml, "openapi: 3.1.0") || !strings.Contains(yaml, "/store/v3/messages:") {
		t.Errorf("YAML: %d %.200s", status, yaml)
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	n, archive := startNode(t, node.Service)
	a := serve(t, Config{Node: n, Archive: archive, ENR: func() string { return "enr:-abc" }})
	raw, _ := json.Marshal(n.Addrs())
	for _, path := range []string{"/info", "/debug/v1/info"} {
		a.expect("GET", path, "", 200, `{"listenAddresses":`+string(raw)+`,"enrUri":"enr:-abc"}`)
	}
	for _, path := range []string{"/version", "/debug/v1/version"} {
		a.expect("GET", path, "", 200, "v1.2.3")
	}
	_, _, headers := a.do("GET", "/version", "", http.Header{})
	if headers.Get("Content-Type") != "text/plain" {
		t.Errorf("%v", headers)
	}
	a.expect("GET", "/health", "", 200, `{"nodeHealth":"NOT_READY","protocolsHealth":[`+
		`{"Relay":"NOT_READY","desc":"No connected peers"},`+
		`{"Lightpush":"NOT_READY","desc":"Node has no relay peers to fullfill push requests"},`+
		`{"Legacy Lightpush":"NOT_READY","desc":"Node has no relay peers to fullfill push requests"},`+
		`{"Filter":"NOT_READY","desc":"Relay is not ready, filter will not be able to sort out messages"},`+
		`{"Store":"READY"},`+
		`{"Lightpush Client":"NOT_READY","desc":"No Lightpush service peer available yet"},`+
		`{"Store Client":"READY"},`+
		`{"Filter Client":"NOT_READY","desc":"No Filter service peer available yet"}]}`)
	b, _ := startNode(t, node.Full, n)
	awaitRelay(t, shard32, n, b)
	eventually.True(t, "everything ready", func() bool {
		_, body := a.call("GET", "/health", "")
		return body == `{"nodeHealth":"READY","protocolsHealth":[{"Relay":"READY"},{"Lightpush":"READY"},{"Legacy Lightpush":"READY"},`+
			`{"Filter":"READY"},{"Store":"READY"},{"Lightpush Client":"READY"},{"Store Client":"READY"},{"Filter Client":"READY"}]}`
	})
	broken := HealthOf(node.Status{Protocols: []string{string(store.ProtocolID)}, Archive: &node.ArchiveStatus{Failing: true}})
	if !slices.Contains(broken.Protocols, ProtocolHealth{"Store", NotReady, "Messages cannot be written to the archive"}) {
		t.Errorf("an archive that fails: %+v", broken)
	}
	own := serve(t, Config{Node: n, Health: func() Health {
		return Health{Node: Initializing, Protocols: []ProtocolHealth{{"Mix", NotMounted, ""}}}
	}})
	own.expect("GET", "/health", "", 200, `{"nodeHealth":"INITIALIZING","protocolsHealth":[{"Mix":"NOT_MOUNTED"}]}`)
}

func TestPush(t *testing.T) {
	t.Parallel()
	a, b := pair(t, Config{})
	m := fresh(content)
	body := func(pubsub, message string) string {
		return `{"pubsubTopic":"` + pubsub + `","message":` + message + `}`
	}
	a.expect("POST", "/lightpush/v3/message", body(shard32, post(m)), 200, `{"relayPeerCount":1}`)
	eventually.True(t, "the pushed message", func() bool {
		_, got := b.call("GET", "/relay/v1/messages/"+seg(shard32), "")
		return got == "["+asJSON(m, true)+"]"
	})
	a.expect("POST", "/lightpush/v1/message", body(shard32, post(fresh(content))), 200, "OK")
	const v1, v3 = "Invalid content body, could not decode: ", "Invalid push request! "
	large := `{"payload":"` + strings.Repeat("A", 300_000) + `","contentTopic":"c"}`
	for name, c := range map[string]struct {
		body       string
		v1, v3     int
		text, desc string
	}{
		"nothing":         {"", 400, 400, "Missing content body", v3 + "Missing content body"},
		"no message":      {"{}", 400, 400, v1 + "message: the field is missing or empty", v3 + "message: the field is missing or empty"},
		"bad base64":      {body(shard32, `{"payload":"!","contentTopic":"c"}`), 400, 400, "Invalid message! payload: ", "Invalid message! payload: "},
		"no pubsub topic": {`{"message":` + post(m) + `}`, 503, 420, "Failed to request a message push: Pubsub topic must be specified when static sharding is enabled", "Pubsub topic must be specified when static sharding is enabled"},
		"no shard":        {body("x", post(m)), 503, 421, "Failed to request a message push: ", ""},
		"too large":       {body(shard32, large), 503, 413, "Failed to request a message push: ", ""},
		"far too large":   {strings.Repeat(" ", MaxBody+1), 413, 413, "the body has more", ""},
	} {
		status, got := a.call("POST", "/lightpush/v1/message", c.body)
		if status != c.v1 || !strings.HasPrefix(got, c.text) {
			t.Errorf("%s, version 1: %d %q, want %d %q", name, status, got, c.v1, c.text)
		}
		status, got = a.call("POST", "/lightpush/v3/message", c.body)
		var resp PushResponse
		_ = json.Unmarshal([]byte(got), &resp)
		if status != c.v3 || c.desc != "" && (resp.StatusDesc == nil || !strings.HasPrefix(*resp.StatusDesc, c.desc)) || resp.RelayPeerCount != nil {
			t.Errorf("%s, version 3: %d %q, want %d %q", name, status, got, c.v3, c.desc)
		}
	}
	lone, _ := startNode(t, node.Full)
	c := serve(t, Config{Node: lone})
	c.expect("POST", "/lightpush/v1/message", body(shard32, post(m)), 503, "Failed to request a message push: not_published_to_any_peer")
	c.expect("POST", "/lightpush/v3/message", body(shard32, post(m)), 505, `{"statusDesc":"No peers for topic, skipping publish"}`)
	c.expect("POST", "/lightpush/v3/message", body("/waku/2/rs/16/1", post(m)), 503, `{"statusDesc":"`+noService+`"}`)

	// A topic that the node does not relay goes through a service that does.
	if err := b.node.JoinShard("/waku/2/rs/16/40"); err != nil {
		t.Fatal(err)
	}
	peer, _ := startNode(t, node.Full, b.node)
	if err := peer.JoinShard("/waku/2/rs/16/40"); err != nil {
		t.Fatal(err)
	}
	awaitRelay(t, "/waku/2/rs/16/40", b.node)
	eventually.True(t, "a push through the other node", func() bool {
		status, _ := a.call("POST", "/lightpush/v3/message", body("/waku/2/rs/16/40", post(fresh(content))))
		return status == 200
	})
	// A service that does not relay it either says so.
	status, got := a.call("POST", "/lightpush/v3/message", body("/waku/2/rs/16/41", post(m)))
	if status != 421 {
		t.Errorf("a shard that nobody relays: %d %s", status, got)
	}
	auto := serve(t, Config{Node: lone, NumShards: 8})
	auto.expect("POST", "/lightpush/v3/message", `{"message":{"payload":"aGk=","contentTopic":"x"}}`, 420,
		`{"statusDesc":"Invalid content-topic:Autosharding error: invalid format: content-topic 'x' must start with slash"}`)
}
