package rest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/topic"
)

const filterSubs = "/filter/v2/subscriptions"

func filterBody(id, pubsub string, contents ...string) string {
	return fmt.Sprintf(`{"requestId":%q,"pubsubTopic":%q,"contentFilters":%s}`, id, pubsub, list(contents...))
}

func answered(id, desc string) string {
	return fmt.Sprintf(`{"requestId":%q,"statusDesc":%q}`, id, desc)
}

// awaitService waits until a node knows of a filter service.
func awaitService(t testing.TB, a *api) {
	t.Helper()
	eventually.True(t, "a filter service", func() bool { return len(a.rest.filter.services()) > 0 })
}

func TestFilter(t *testing.T) {
	t.Parallel()
	a, b := pair(t, Config{})
	awaitService(t, a)
	second := "/waku/1/0x00000002/rfc26"
	const none, unknown = "NOT_FOUND: peer has no subscriptions", "NOT_FOUND: no subscription"
	a.expect("GET", filterSubs+"/1", "", 404, answered("1", unknown))
	a.expect("DELETE", filterSubs, filterBody("2", shard32, content), 404, answered("2", none))
	a.expect("DELETE", filterSubs+"/all", `{"requestId":"3"}`, 404, answered("3", none))
	a.expect("GET", "/filter/v2/messages/"+seg(content), "", 400, "Not subscribed to topic: "+content)

	a.expect("POST", filterSubs, filterBody("4", shard32, content), 200, answered("4", "OK"))
	a.expect("GET", filterSubs+"/5", "", 200, answered("5", "OK"))
	a.expect("GET", filterSubs+"/all", "", 200, answered("all", "OK"))
	a.expect("PUT", filterSubs, filterBody("6", shard32, second, content), 200, answered("6", "OK"))
	first, other := fresh(content), fresh(second)
	b.expect("POST", "/relay/v1/messages/"+seg(shard32), post(first), 200, "OK")
	b.expect("POST", "/relay/v1/messages/"+seg(shard32), post(other), 200, "OK")
	b.expect("POST", "/relay/v1/messages/"+seg(shard32), post(fresh("/other/1/x/proto")), 200, "OK")
	got := ""
	eventually.True(t, "the pushed message", func() bool {
		_, got = a.call("GET", "/filter/v2/messages/"+seg(content), "")
		return got != "[]"
	})
	if got != "["+asJSON(first, false)+"]" {
		t.Errorf("pushed: %s", got)
	}
	pair := "/filter/v2/messages/" + seg(shard32) + "/" + seg(second)
	eventually.True(t, "the other pushed message", func() bool {
		_, got = a.call("GET", pair, "")
		return got != "[]"
	})
	if got != "["+asJSON(other, false)+"]" {
		t.Errorf("pushed: %s", got)
	}
	a.expect("GET", pair, "", 200, "[]")
	a.expect("GET", "/filter/v2/messages/x/"+seg(second), "", 404, "not subscribed to pubsubTopic:x contentTopic: "+second)

	a.expect("DELETE", filterSubs, filterBody("7", shard32, second), 200, answered("7", "OK"))
	a.expect("GET", pair, "", 404, "not subscribed to pubsubTopic:"+shard32+" contentTopic: "+second)
	a.expect("GET", filterSubs+"/8", "", 200, answered("8", "OK"))
	a.expect("DELETE", filterSubs+"/all", `{"requestId":"9"}`, 200, answered("9", "OK"))
	a.expect("GET", "/filter/v2/messages/"+seg(content), "", 400, "Not subscribed to topic: "+content)
	eventually.True(t, "the end of the subscription", func() bool {
		status, _ := a.call("GET", filterSubs+"/10", "")
		return status == 404
	})
	// And again, at the same service.
	a.expect("POST", filterSubs, filterBody("11", shard32, content), 200, answered("11", "OK"))
}

func TestFilterRefuses(t *testing.T) {
	t.Parallel()
	a, b := pair(t, Config{})
	awaitService(t, a)
	const decode = "BAD_REQUEST: Failed to decode request: "
	for body, want := range map[string]string{
		"":                                     answered("unknown", decode+"Missing content body"),
		"[]":                                   answered("unknown", decode+"not a JSON object"),
		`{"contentFilters":["c"]}`:             answered("unknown", decode+"requestId: the field is missing or empty"),
		`{"requestId":"1"}`:                    answered("unknown", decode+"contentFilters: the field is missing or empty"),
		filterBody("1", shard32):               answered("unknown", decode+"contentFilters: the field is missing or empty"),
		filterBody("1", shard32, "c", ""):      answered("unknown", decode+"contentFilters: an empty content topic: the field is missing or empty"),
		filterBody("1", "", content):           answered("1", "BAD_REQUEST: pubsub topic must be specified with static sharding"),
		`{"requestId":"1","contentFilters":7}`: "",
	} {
		for _, method := range []string{"POST", "PUT", "DELETE"} {
			status, got := a.call(method, filterSubs, body)
			if status != 400 || want != "" && got != want {
				t.Errorf("%s %s: %d %s, want %s", method, body, status, got, want)
			}
		}
	}
	a.expect("DELETE", filterSubs+"/all", "{}", 400, answered("unknown", decode+"requestId: the field is missing or empty"))
	// As many as a peer takes, and one more.
	most := make([]string, filter.MaxCriteria)
	for i := range most {
		most[i] = fmt.Sprint("/a/1/", i, "/proto")
	}
	if status, got := a.call("POST", filterSubs, filterBody("2", shard32, most...)); status != 200 {
		t.Errorf("%d content topics: %d %s", len(most), status, got)
	}
	if status, got := a.call("POST", filterSubs, filterBody("3", shard32, content)); status != 400 {
		t.Errorf("%d content topics: %d %s", len(most)+1, status, got)
	}
	// What the service refuses leaves things as they were.
	a.expect("DELETE", filterSubs+"/all", `{"requestId":"4"}`, 200, answered("4", "OK"))
	other := "/waku/1/0x00000002/rfc26"
	a.expect("POST", filterSubs, filterBody("5", shard32, other), 200, answered("5", "OK"))
	status, got := a.call("POST", filterSubs, filterBody("5", topic.Pubsub(cluster, 99), content))
	if status != 503 || !strings.Contains(got, `"requestId":"5"`) {
		t.Errorf("a shard that the service does not have: %d %s", status, got)
	}
	a.expect("GET", "/filter/v2/messages/"+seg(content), "", 400, "Not subscribed to topic: "+content)
	m := fresh(other)
	b.expect("POST", "/relay/v1/messages/"+seg(shard32), post(m), 200, "OK")
	eventually.True(t, "a message of the subscription that was there", func() bool {
		_, got := a.call("GET", "/filter/v2/messages/"+seg(other), "")
		return got == "["+asJSON(m, false)+"]"
	})
	a.expect("POST", filterSubs, filterBody("6", shard32, content), 200, answered("6", "OK"))
}

func TestFilterAlone(t *testing.T) {
	t.Parallel()
	n, _ := startNode(t, node.Full)
	a := serve(t, Config{Node: n})
	const want = "SERVICE_UNAVAILABLE: " + noService
	a.expect("POST", filterSubs, filterBody("1", shard32, content), 503, answered("1", want))
	a.expect("DELETE", filterSubs, filterBody("2", shard32, content), 503, answered("2", want))
	a.expect("DELETE", filterSubs+"/all", `{"requestId":"3"}`, 503, answered("3", want))
	a.expect("GET", filterSubs+"/4", "", 503, answered("4", want))
	a.expect("GET", "/filter/v2/messages/"+seg(content), "", 400, "Not subscribed to topic: "+content)
}

func TestFilterAuto(t *testing.T) {
	t.Parallel()
	a, b := pair(t, Config{NumShards: 8})
	awaitService(t, a)
	name := "/toychat/2/huilong/proto"
	shard3 := topic.Pubsub(cluster, 3)
	for _, s := range []*api{a, b} { // one relays for the other
		s.expect("POST", "/relay/v1/auto/subscriptions", list(name), 200, "OK")
	}
	awaitRelay(t, shard3, a.node, b.node)
	a.expect("POST", filterSubs, `{"requestId":"1","contentFilters":["`+name+`"]}`, 200, answered("1", "OK"))
	m := fresh(name)
	b.expect("POST", "/relay/v1/auto/messages", post(m), 200, "OK")
	eventually.True(t, "the pushed message", func() bool {
		_, got := a.call("GET", "/filter/v2/messages/"+seg(name), "")
		return got == "["+asJSON(m, false)+"]"
	})
	a.expect("POST", filterSubs, `{"requestId":"2","contentFilters":["x"]}`, 400,
		answered("2", "BAD_REQUEST: can't get shard: Autosharding error: invalid format: content-topic 'x' must start with slash"))
}

func TestFilterErrors(t *testing.T) {
	t.Parallel()
	for code, want := range map[uint32]filterError{
		400: {http.StatusBadRequest, "BAD_REQUEST", "why"},
		404: {http.StatusNotFound, "NOT_FOUND", "why"},
		429: {http.StatusTooManyRequests, "TOO_MANY_REQUESTS", "why"},
		503: {http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE", "why"},
		300: {http.StatusInternalServerError, "BAD_RESPONSE", "why"},
	} {
		for _, desc := range []string{"why", want.kind + ": why"} {
			got := filterErrorOf(fmt.Errorf("asking: %w", pingStatuses.Check(code, desc)))
			if *got != want {
				t.Errorf("%d %q: %+v", code, desc, got)
			}
		}
	}
	if got := filterErrorOf(errors.New("no route")); got.status != http.StatusGatewayTimeout || got.Error() != "PEER_DIAL_FAILURE: no route" {
		t.Errorf("%+v", got)
	}
}
