package rest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
)

func TestMessage(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 5)
	for _, c := range []struct {
		name, in string
		want     *wakupb.WakuMessage
	}{
		{"least", `{"payload":"aGk=","contentTopic":"/a/1/b/proto"}`, &wakupb.WakuMessage{
			Payload: []byte("hi"), ContentTopic: "/a/1/b/proto", Timestamp: proto.Int64(1_700_000_000_000_000_005),
		}},
		{"defaults", `{"payload":"aGk=","contentTopic":"c","version":0,"timestamp":0,"meta":"","ephemeral":false,"proof":""}`, &wakupb.WakuMessage{
			Payload: []byte("hi"), ContentTopic: "c", Timestamp: proto.Int64(1_700_000_000_000_000_005),
		}},
		{"everything", `{"payload":"aGk=","contentTopic":"c","version":2,"timestamp":7,"meta":"AQI=","ephemeral":true,"proof":"Aw=="}`, &wakupb.WakuMessage{
			Payload: []byte("hi"), ContentTopic: "c", Version: proto.Uint32(2), Timestamp: proto.Int64(7),
			Meta: []byte{1, 2}, Ephemeral: proto.Bool(true), RateLimitProof: []byte{3},
		}},
		{"null and unknown fields", `{"payload":"aGk=","contentTopic":"c","timestamp":7,"version":null,"meta":null,"x":{"payload":[]}}`, &wakupb.WakuMessage{
			Payload: []byte("hi"), ContentTopic: "c", Timestamp: proto.Int64(7),
		}},
		{"standard alphabet", `{"payload":"+/+/","contentTopic":"c","timestamp":7}`, &wakupb.WakuMessage{
			Payload: []byte{0xfb, 0xff, 0xbf}, ContentTopic: "c", Timestamp: proto.Int64(7),
		}},
		{"URL alphabet", `{"payload":"-_-_","contentTopic":"c","timestamp":7}`, &wakupb.WakuMessage{
			Payload: []byte{0xfb, 0xff, 0xbf}, ContentTopic: "c", Timestamp: proto.Int64(7),
		}},
		{"no padding", `{"payload":"aGk","contentTopic":"c","timestamp":7,"meta":"AQ"}`, &wakupb.WakuMessage{
			Payload: []byte("hi"), ContentTopic: "c", Timestamp: proto.Int64(7), Meta: []byte{1},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var m Message
			if err := json.Unmarshal([]byte(c.in), &m); err != nil {
				t.Fatal(err)
			}
			got, err := m.waku(now)
			if err != nil || !proto.Equal(got, c.want) {
				t.Errorf("%v %v, want %v", got, err, c.want)
			}
		})
	}
}

func TestMessageRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in  string
		err error
	}{
		"list":             {`[]`, errObject},
		"null":             {`null`, errObject},
		"no payload":       {`{"contentTopic":"c"}`, errMissing},
		"null payload":     {`{"payload":null,"contentTopic":"c"}`, errMissing},
		"blank payload":    {`{"payload":" ","contentTopic":"c"}`, errMissing},
		"no content topic": {`{"payload":"aGk="}`, errMissing},
		"other case":       {`{"Payload":"aGk=","contentTopic":"c"}`, errMissing},
		"twice":            {`{"payload":"aGk=","payload":"aGk=","contentTopic":"c"}`, errDuplicate},
		"unknown twice":    {`{"x":1,"x":2,"payload":"aGk=","contentTopic":"c"}`, errDuplicate},
		"bad payload":      {`{"payload":"a!k=","contentTopic":"c"}`, errBase64},
		"bad meta":         {`{"payload":"aGk=","contentTopic":"c","meta":"="}`, errBase64},
		"bad proof":        {`{"payload":"aGk=","contentTopic":"c","proof":"====="}`, errBase64},
		"negative version": {`{"payload":"aGk=","contentTopic":"c","version":-1}`, nil},
		"large version":    {`{"payload":"aGk=","contentTopic":"c","version":4294967296}`, nil},
		"large timestamp":  {`{"payload":"aGk=","contentTopic":"c","timestamp":9223372036854775808}`, nil},
		"text timestamp":   {`{"payload":"aGk=","contentTopic":"c","timestamp":"7"}`, nil},
		"number payload":   {`{"payload":7,"contentTopic":"c"}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := Message{ContentTopic: "as it was"}
			err := json.Unmarshal([]byte(c.in), &m)
			if err == nil {
				_, err = m.waku(time.Now())
			} else if m.ContentTopic != "as it was" {
				t.Error("the message changed")
			}
			if err == nil || c.err != nil && !errors.Is(err, c.err) {
				t.Errorf("%v, want %v", err, c.err)
			}
		})
	}
}

func TestMessageShown(t *testing.T) {
	t.Parallel()
	least := &wakupb.WakuMessage{Payload: []byte{0xfb, 0xff}, ContentTopic: "/a/1/b/proto"}
	full := &wakupb.WakuMessage{
		Payload: []byte("hi"), ContentTopic: "c", Version: proto.Uint32(1), Timestamp: proto.Int64(7),
		Meta: []byte{1}, Ephemeral: proto.Bool(true), RateLimitProof: []byte{2},
	}
	for name, c := range map[string]struct {
		show func(*wakupb.WakuMessage) Message
		of   *wakupb.WakuMessage
		want string
	}{
		"relay":           {relayMessage, least, `{"payload":"+/8=","contentTopic":"/a/1/b/proto","version":0,"timestamp":0,"ephemeral":false,"proof":""}`},
		"filter":          {filterMessage, least, `{"payload":"+/8=","contentTopic":"/a/1/b/proto","version":0,"timestamp":0,"ephemeral":false}`},
		"store":           {storeMessage, least, `{"payload":"+/8=","contentTopic":"/a/1/b/proto","version":0,"timestamp":0,"ephemeral":false}`},
		"relay, all set":  {relayMessage, full, `{"payload":"aGk=","contentTopic":"c","version":1,"timestamp":7,"meta":"AQ==","ephemeral":true,"proof":"Ag=="}`},
		"filter, all set": {filterMessage, full, `{"payload":"aGk=","contentTopic":"c","version":1,"timestamp":7,"meta":"AQ==","ephemeral":true}`},
		"store, all set":  {storeMessage, full, `{"payload":"aGk=","contentTopic":"c","version":1,"timestamp":7,"meta":"AQ==","ephemeral":true,"proof":"Ag=="}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, err := json.Marshal(c.show(c.of))
			if err != nil || string(raw) != c.want {
				t.Errorf("%s %v, want %s", raw, err, c.want)
			}
		})
	}
}

// FuzzMessage: what is read as a message is shown as JSON that is read as the
// same message.
func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"payload":"aGk=","contentTopic":"/a/1/b/proto","version":2,"timestamp":7,"meta":"AQI=","ephemeral":true,"proof":"Aw=="}`))
	f.Add([]byte(`{"payload":"-_","contentTopic":"c","x":[{}],"timestamp":null}`))
	f.Add([]byte(`{"payload":"aGk=","payload":"aGk=","contentTopic":"c"}`))
	f.Add([]byte(`{"payload":` + strings.Repeat("[", 100)))
	now := time.Unix(1, 0)
	f.Fuzz(func(t *testing.T, data []byte) {
		var m Message
		if json.Unmarshal(data, &m) != nil {
			return
		}
		first, err := m.waku(now)
		if err != nil || len(first.Payload) == 0 {
			return
		}
		raw, err := json.Marshal(relayMessage(first))
		if err != nil {
			t.Fatal(err)
		}
		var again Message
		if err := json.Unmarshal(raw, &again); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		second, err := again.waku(now)
		if err != nil || !proto.Equal(first, second) {
			t.Errorf("%v and %v %v", first, second, err)
		}
	})
}

// FuzzBodies: no body makes a decoder panic, and a refused one changes
// nothing.
func FuzzBodies(f *testing.F) {
	f.Add([]byte(`{"requestId":"1","pubsubTopic":"p","contentFilters":["c"]}`))
	f.Add([]byte(`{"pubsubTopic":"p","message":{"payload":"aGk=","contentTopic":"c"}}`))
	f.Add([]byte(`["/ip4/127.0.0.1/tcp/1"]`))
	f.Add([]byte(`{"multiaddr":"/ip4/127.0.0.1/tcp/1","shards":[1]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var filter FilterRequest
		if json.Unmarshal(data, &filter) != nil && (filter.RequestID != "" || filter.ContentFilters != nil) {
			t.Error("a refused filter request")
		}
		var push PushRequest
		if json.Unmarshal(data, &push) != nil && push != (PushRequest{}) {
			t.Error("a refused push request")
		}
		var all FilterAllRequest
		_ = json.Unmarshal(data, &all)
		var peers PeerAddrs
		if json.Unmarshal(data, &peers) != nil && peers != nil {
			t.Error("refused peers")
		}
	})
}

func BenchmarkMessageDecode(b *testing.B) {
	raw := []byte(`{"payload":"` + strings.Repeat("aGk+", 341) + `","contentTopic":"/waku/1/0x00000001/rfc26","version":1,"timestamp":1700000000000000000}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	now := time.Now()
	for b.Loop() {
		var m Message
		if err := json.Unmarshal(raw, &m); err != nil {
			b.Fatal(err)
		}
		if _, err := m.waku(now); err != nil {
			b.Fatal(err)
		}
	}
}
