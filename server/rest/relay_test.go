package rest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/topic"
)

const subscriptions = "/relay/v1/subscriptions"

func TestRelay(t *testing.T) {
	t.Parallel()
	a, b := pair(t, Config{})
	messages := "/relay/v1/messages/" + seg(shard32)

	// The node's shards are subscribed to from the start.
	a.expect("GET", messages, "", 200, "[]")
	m := fresh(content)
	a.expect("POST", messages, post(m), 200, "OK")
	a.expect("GET", messages, "", 200, "["+asJSON(m, true)+"]")
	a.expect("GET", messages, "", 200, "[]")
	got := ""
	eventually.True(t, "the message at the other node", func() bool {
		_, got = b.call("GET", messages, "")
		return got != "[]"
	})
	if got != "["+asJSON(m, true)+"]" {
		t.Errorf("the other node shows %s", got)
	}

	// A shard of its own accord.
	shard33 := topic.Pubsub(cluster, 33)
	on33 := "/relay/v1/messages/" + seg(shard33)
	a.expect("GET", on33, "", 404, "")
	a.expect("POST", on33, post(m), 400, "Failed to publish: Node not subscribed to topic: "+shard33)
	a.expect("POST", subscriptions, list(shard33, "/test/2", "x"), 400, `Invalid pubsub topic(s): @["/test/2", "x"]`)
	a.expect("GET", on33, "", 404, "")
	a.expect("POST", on33, post(m), 400, "Failed to publish: Node not subscribed to topic: "+shard33)
	for _, s := range []*api{a, b} {
		s.expect("POST", subscriptions, list(shard33), 200, "OK")
		s.expect("POST", subscriptions, list(shard33, shard32), 200, "OK")
	}
	awaitRelay(t, shard33, a.node, b.node)
	a.expect("POST", on33, post(m), 200, "OK")
	a.expect("GET", on33, "", 200, "["+asJSON(m, true)+"]")
	a.expect("GET", messages, "", 200, "[]")
	a.expect("DELETE", subscriptions, list(shard33), 200, "OK")
	a.expect("DELETE", subscriptions, list(shard33), 200, "OK")
	a.expect("GET", on33, "", 404, "")
	a.expect("POST", on33, post(m), 400, "Failed to publish: Node not subscribed to topic: "+shard33)

	// The node's own shards are relayed on whatever the readers do.
	a.expect("DELETE", subscriptions, list(shard32), 200, "OK")
	a.expect("GET", messages, "", 404, "")
	if got := a.node.RelayTopics(); len(got) != 1 || got[0] != shard32 {
		t.Errorf("the node relays %v", got)
	}
	a.expect("DELETE", subscriptions, list("x"), 400, `Invalid pubsub topic(s): @["x"]`)
}

func TestRelayRefuses(t *testing.T) {
	t.Parallel()
	a, _ := pair(t, Config{})
	messages := "/relay/v1/messages/" + seg(shard32)
	const decode = "Invalid content body, could not decode: "
	for name, c := range map[string]struct {
		body   string
		status int
		answer string
	}{
		"nothing":      {"", 400, "Missing content body"},
		"no JSON":      {"{", 400, decode + "unexpected end of JSON input"},
		"behind":       {post(fresh(content)) + "x", 400, decode + "invalid character 'x' after top-level value"},
		"list":         {"[]", 400, decode + "not a JSON object"},
		"no payload":   {`{"contentTopic":"c"}`, 400, decode + "payload: the field is missing or empty"},
		"no topic":     {`{"payload":"aGk="}`, 400, decode + "contentTopic: the field is missing or empty"},
		"twice":        {`{"payload":"aGk=","contentTopic":"c","payload":""}`, 400, decode + `"payload": the field is there more than once`},
		"bad base64":   {`{"payload":"!","contentTopic":"c"}`, 400, "payload: incorrect base64 string: illegal base64 data at input byte 0"},
		"long meta":    {`{"payload":"aGk=","contentTopic":"c","meta":"` + strings.Repeat("A", 88) + `"}`, 400, ""},
		"old times":    {`{"payload":"aGk=","contentTopic":"c","timestamp":-1}`, 400, ""},
		"large":        {`{"payload":"` + strings.Repeat("A", relay.DefaultMaxFrame/3*4) + `","contentTopic":"c"}`, 400, "Failed to publish: Message size exceeded maximum of 150000 bytes"},
		"larger still": {`{"payload":"` + strings.Repeat("A", MaxBody) + `","contentTopic":"c"}`, 413, "the body has more than 1463640 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer := a.call("POST", messages, c.body)
			if status != c.status || c.answer != "" && answer != c.answer || answer == "" {
				t.Errorf("%d %q, want %d %q", status, answer, c.status, c.answer)
			}
		})
	}
	// At the limit of a body it is the message that is too large.
	frame := `{"payload":"","contentTopic":"c"}`
	at := strings.Replace(frame, `""`, `"`+strings.Repeat("A", MaxBody-len(frame))+`"`, 1)
	if status, answer := a.call("POST", messages, at); status != 400 || len(at) != MaxBody {
		t.Errorf("%d bytes: %d %.80q", len(at), status, answer)
	}
	if status, answer := a.call("POST", messages, at+" "); status != 413 {
		t.Errorf("%d bytes: %d %.80q", len(at)+1, status, answer)
	}
	a.expect("GET", messages, "", 200, "[]")
	for media, status := range map[string]int{
		"": 200, "text/plain": 200, "application/json; charset=utf-8": 200,
		"application/x-www-form-urlencoded": 400, "multipart/form-data": 400, "/": 400,
	} {
		headers := http.Header{}
		if media != "" {
			headers.Set("Content-Type", media)
		}
		if got, answer, _ := a.do("POST", messages, post(fresh(content)), headers); got != status {
			t.Errorf("%q: %d %q, want %d", media, got, answer, status)
		}
	}
}

func TestRelayAlone(t *testing.T) {
	t.Parallel()
	n, archive := startNode(t, node.Service)
	a := serve(t, Config{Node: n, Archive: archive, NumShards: 8})
	for _, path := range []string{"/relay/v1/messages/" + seg(shard32), "/relay/v1/auto/messages"} {
		status, answer := a.call("POST", path, post(fresh(content)))
		if status != 503 || !strings.HasPrefix(answer, "Failed to publish: ") {
			t.Errorf("%s: %d %q", path, status, answer)
		}
	}
}

func TestAuto(t *testing.T) {
	t.Parallel()
	const subs, messages = "/relay/v1/auto/subscriptions", "/relay/v1/auto/messages"
	a, b := pair(t, Config{NumShards: 8})
	first, second := "/toychat/2/huilong/proto", "/toychat/2/luzhou/proto" // on one shard
	shard3 := topic.Pubsub(cluster, 3)
	for _, s := range []*api{a, b} {
		s.expect("POST", subs, list(first, second), 200, "OK")
		s.expect("POST", subs, list(first), 200, "OK")
	}
	awaitRelay(t, shard3, a.node, b.node)
	m, other, third := fresh(first), fresh(second), fresh("/toychat/2/third/proto")
	for _, m := range []string{post(m), post(other), post(third)} {
		a.expect("POST", messages, m, 200, "OK")
	}
	a.expect("GET", messages+"/"+seg(first), "", 200, "["+asJSON(m, true)+"]")
	a.expect("GET", messages+"/"+seg(first), "", 200, "[]")
	a.expect("GET", messages+"/"+seg(third.ContentTopic), "", 404, third.ContentTopic)
	a.expect("GET", "/relay/v1/messages/"+seg(shard3), "", 404, "")
	eventually.True(t, "the message at the other node", func() bool {
		_, got := b.call("GET", messages+"/"+seg(second), "")
		return got == "["+asJSON(other, true)+"]"
	})

	// The shard is left with its last content topic.
	a.expect("DELETE", subs, list(first), 200, "OK")
	a.expect("GET", messages+"/"+seg(first), "", 404, first)
	a.expect("GET", messages+"/"+seg(second), "", 200, "["+asJSON(other, true)+"]")
	if got := a.node.RelayTopics(); len(got) != 2 {
		t.Errorf("the node relays %v", got)
	}
	a.expect("DELETE", subs, list(second), 200, "OK")
	if got := a.node.RelayTopics(); len(got) != 1 {
		t.Errorf("the node relays %v", got)
	}

	const bad = "Autosharding error: invalid format: content-topic 'x' must start with slash"
	a.expect("POST", messages, `{"payload":"aGk=","contentTopic":"x"}`, 400, "Failed to publish. "+bad)
	a.expect("POST", subs, list("x"), 400, "Subscribe failed:"+bad)
	a.expect("DELETE", subs, list("x"), 400, "Unsubscribe failed:"+bad)
	a.expect("POST", subs, "", 400, "Missing content body")
}

func TestStaticSharding(t *testing.T) {
	t.Parallel()
	n, _ := startNode(t, node.Full)
	a := serve(t, Config{Node: n})
	const static = "Static sharding is used, relay subscriptions must specify a pubsub topic"
	a.expect("POST", "/relay/v1/auto/subscriptions", list(content), 500, "Subscribe failed:"+static)
	a.expect("DELETE", "/relay/v1/auto/subscriptions", list(content), 500, "Unsubscribe failed:"+static)
	a.expect("POST", "/relay/v1/auto/messages", post(fresh(content)), 400, "Failed to publish. Autosharding is disabled")
	a.expect("GET", "/relay/v1/auto/messages/"+seg(content), "", 404, content)
}

func TestLightNode(t *testing.T) {
	t.Parallel()
	n, _ := startNode(t, node.Light)
	a := serve(t, Config{Node: n})
	a.expect("GET", "/relay/v1/messages/x", "", 404, "/relay endpoints are not available. Please check your configuration: --relay")
	a.expect("POST", "/filter/v2/subscriptions", "{}", 404, "/filter endpoints are not available.")
	a.expect("GET", "/admin/v1/peers", "", 404, "/admin endpoints are not available. Please check your configuration: --rest-admin")
	a.expect("GET", "/store/v3/messages", "", 412, noService)
	body := `{"pubsubTopic":"` + shard32 + `","message":` + post(fresh(content)) + `}`
	a.expect("POST", "/lightpush/v1/message", body, 503, noService)
	a.expect("POST", "/lightpush/v3/message", body, 503, `{"statusDesc":"`+noService+`"}`)
}

// What other nodes say reaches the cache in full when it has no proof, meta or
// version.
func TestRelayForeign(t *testing.T) {
	t.Parallel()
	a, b := pair(t, Config{})
	m := message.New([]byte("hi"), content, fixed, true)
	m.Meta, m.Version = []byte{1}, nil
	if _, err := b.node.Publish(t.Context(), shard32, m); err != nil {
		t.Fatal(err)
	}
	got := ""
	eventually.True(t, "the message", func() bool {
		_, got = a.call("GET", "/relay/v1/messages/"+seg(shard32), "")
		return got != "[]"
	})
	const want = `[{"payload":"aGk=","contentTopic":"/waku/1/0x00000001/rfc26","version":0,"timestamp":1700000000000000000,"meta":"AQ==","ephemeral":true,"proof":""}]`
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
