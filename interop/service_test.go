package interop

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/waku-org/go-waku/waku/v2/protocol"

	"github.com/parley-im/parley/interop/internal/gowaku"
)

// wakuService is a service node of go-waku for both shards with a neighbour on
// both, and a node of ours on one of them, connected with the service.
func wakuService(t *testing.T, services gowaku.Option) (service, neighbour *gowaku.Node, p *parley) {
	t.Helper()
	both := []uint16{shard, other}
	service = startWaku(t, both, gowaku.Relay(frame), services)
	neighbour = startWaku(t, both, gowaku.Relay(frame))
	if err := neighbour.DialPeer(within(t), service.TCP()); err != nil {
		t.Fatal(err)
	}
	p = startParley(t, "--peer", service.TCP())
	wait(t, "relay peers", func() bool {
		return len(service.Relay().PubSub().ListPeers(topic)) == 2 && len(service.Relay().PubSub().ListPeers(otherTopic)) == 1 && p.isConnected(service.ID())
	})
	return service, neighbour, p
}

// What our node does not relay it pushes by go-waku's lightpush service: the
// message arrives at others, with the hash that we give it.
func TestWakuLightpush(t *testing.T) {
	t.Parallel()
	_, neighbour, p := wakuService(t, gowaku.Unlimited())
	contentTopic := content(t, "x")
	subs, err := neighbour.Relay().Subscribe(t.Context(), protocol.NewContentFilter(otherTopic, contentTopic))
	if err != nil {
		t.Fatal(err)
	}
	box := collect(t, subs[0].Ch)
	for i, size := range []int{1000, 100_000, frame - 2*around} {
		m := restMessage{Payload: noise(i, size), ContentTopic: contentTopic, Version: 1, Timestamp: time.Now().UnixNano(), Meta: []byte{7}}
		p.ok(http.MethodPost, "/lightpush/v3/message", pushed{otherTopic, m}, nil)
		e := box.expect(t, i+1)[i]
		if got := e.Message(); !bytes.Equal(got.Payload, m.Payload) || got.GetTimestamp() != m.Timestamp || !bytes.Equal(got.Meta, m.Meta) || got.GetVersion() != 1 {
			t.Errorf("a message of %d bytes has changed on its way", size)
		}
	}
	status, text := p.call(http.MethodPost, "/lightpush/v3/message", pushed{"/waku/2/rs/16/999", restMessage{Payload: []byte{1}, ContentTopic: contentTopic}}, nil)
	if status == http.StatusOK {
		t.Error("a message on a shard that nobody relays is published:", text)
	}
}

// Our filter client gets what go-waku's service pushes, on a shard that our
// node does not relay: subscribe, ping, messages, unsubscribe.
func TestWakuFilter(t *testing.T) {
	t.Parallel()
	service, neighbour, p := wakuService(t, gowaku.Unlimited())
	contentTopic := content(t, "x")
	request := map[string]any{"requestId": "1", "pubsubTopic": otherTopic, "contentFilters": []string{contentTopic, content(t, "y")}}
	p.ok(http.MethodPost, "/filter/v2/subscriptions", request, nil)
	p.ok(http.MethodGet, "/filter/v2/subscriptions/2", nil, nil)
	box := p.events("filter", otherTopic, contentTopic)
	sent := make(map[string][]byte)
	for i, size := range []int{1000, 1000, 1000, 100_000, frame - 2*around} {
		hash := publishOn(t, neighbour, otherTopic, contentTopic, noise(i, size))
		sent[hash] = noise(i, size)
		publishOn(t, neighbour, otherTopic, content(t, "z"), noise(i, 100)) // not subscribed to
	}
	for _, m := range box.expect(p, len(sent)) {
		if !bytes.Equal(sent[m.hash], m.Payload) {
			t.Errorf("%s is not what was sent", m.hash)
		}
	}
	const burst = 100
	more := content(t, "y")
	bursts := p.events("filter", otherTopic, more)
	for i := range burst {
		publishOn(t, neighbour, otherTopic, more, noise(i, 500))
		wait(t, "room on the way", func() bool { return len(bursts.all()) > i-inFlight })
	}
	bursts.expect(p, burst)
	request["requestId"] = "3"
	p.ok(http.MethodDelete, "/filter/v2/subscriptions", request, nil)
	if status, text := p.call(http.MethodGet, "/filter/v2/subscriptions/4", nil, nil); status != http.StatusNotFound {
		t.Errorf("a ping without a subscription: %d %s", status, text)
	}
	if !connected(service, p.id()) {
		t.Error("go-waku has disconnected")
	}
}

// go-waku has no store of version 3 for others. Ours says so when it is asked
// for what go-waku keeps, and does not wait for an answer.
func TestWakuStore(t *testing.T) {
	t.Parallel()
	archive, err := gowaku.Archive(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	n := startWaku(t, []uint16{shard}, gowaku.Relay(frame), archive)
	p := startParley(t, "--store=false", "--peer", n.TCP())
	meshed(t, n, p)
	for _, query := range []url.Values{
		{"peerAddr": {n.TCP()}, "pubsubTopic": {topic}, "contentTopics": {content(t, "x")}},
		{"pubsubTopic": {topic}, "contentTopics": {content(t, "x")}},
	} {
		status, text := p.call(http.MethodGet, "/store/v3/messages?"+query.Encode(), nil, nil)
		if status < 400 || strings.Contains(text, "timeout") {
			t.Errorf("%v: %d %s", query, status, text)
		}
	}
	if !connected(n, p.id()) {
		t.Error("go-waku has disconnected")
	}
}
