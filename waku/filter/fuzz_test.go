package filter

import (
	"bufio"
	"bytes"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/vectors"
	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/rpc"
)

// frameOf returns m as a frame.
func frameOf(m proto.Message) []byte {
	var b bytes.Buffer
	if err := wire.Write(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// FuzzRequests gives a service a sequence of any frames of two peers: it
// answers each, and its tables stay consistent and within their limits.
func FuzzRequests(f *testing.F) {
	var all []byte
	for _, r := range []*wakupb.FilterSubscribeRequest{
		request(subscribe, testPubsub, "x", "y"), request(ping, ""), request(unsubscribe, testPubsub, "x"), request(unsubscribeAll, ""),
	} {
		f.Add(frameOf(r))
		all = append(all, frameOf(r)...)
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &Service{limit: rpc.NewLimiter(rpc.Rate{}), reg: *testRegistry(2, nil)}
		s.reg.request("b", request(subscribe, testPubsub, "x"), time.Now())
		r := bufio.NewReader(bytes.NewReader(data))
		for {
			before := r.Buffered()
			var req wakupb.FilterSubscribeRequest
			err := wire.Read(r, MaxRequest, &req)
			resp := s.answer("a", &req, err)
			switch code := resp.StatusCode; code {
			case 200, 404, 503:
				if err != nil {
					t.Fatalf("%d for %v", code, err)
				}
			case 400:
			default:
				t.Fatalf("status %d", code)
			}
			s.reg.check(t)
			if s.reg.peers["b"] == nil {
				t.Fatal("one peer's request changes another's subscription")
			}
			if err != nil && (r.Buffered() == 0 || r.Buffered() == before) {
				return
			}
		}
	})
}

// FuzzPush gives a client any push: what it accepts is valid and wanted.
func FuzzPush(f *testing.F) {
	for _, c := range vectors.Cases[struct {
		PubsubTopic, ContentTopic string
		WakuMessageProtobuf       vectors.Hex
	}](f, "waku_message_hash") {
		m := new(wakupb.WakuMessage)
		if err := proto.Unmarshal(c.WakuMessageProtobuf, m); err != nil {
			f.Fatal(err)
		}
		f.Add(frameOf(&wakupb.MessagePush{WakuMessage: m, PubsubTopic: &c.PubsubTopic}), c.PubsubTopic, c.ContentTopic)
		f.Add(frameOf(&wakupb.MessagePush{WakuMessage: m}), c.PubsubTopic, c.ContentTopic)
	}
	f.Fuzz(func(t *testing.T, data []byte, pubsub, content string) {
		var push wakupb.MessagePush
		if wire.Read(bufio.NewReader(bytes.NewReader(data)), MaxPush, &push) != nil {
			return
		}
		set := criteriaOf(map[string][]string{pubsub: {content}, "other": {"x"}})
		c := &Client{wanted: set, sessions: map[peer.ID]*session{"a": {asked: set}}}
		got, err := c.match("a", &push)
		if err != nil {
			return
		}
		if _, ok := set[criterion{got, push.WakuMessage.ContentTopic}]; !ok || message.Validate(push.WakuMessage) != nil {
			t.Fatalf("%v accepted on %q", &push, got)
		}
		if p := push.GetPubsubTopic(); p != "" && p != got {
			t.Fatalf("pubsub topic %q became %q", p, got)
		}
		if _, err := c.match("stranger", &push); err == nil {
			t.Fatal("accepted of a stranger")
		}
	})
}

// FuzzResponse gives a client any response: success needs a code of success
// and the request's id.
func FuzzResponse(f *testing.F) {
	f.Add(frameOf(&wakupb.FilterSubscribeResponse{RequestId: "1", StatusCode: 200}))
	f.Add(frameOf(&wakupb.FilterSubscribeResponse{RequestId: "N/A", StatusCode: 429, StatusDesc: proto.String("slow down")}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var resp wakupb.FilterSubscribeResponse
		if wire.Read(bufio.NewReader(bytes.NewReader(data)), MaxResponse, &resp) != nil {
			return
		}
		err := check("1", &resp)
		if ok := resp.RequestId == "1" && resp.StatusCode/100 == 2; ok != (err == nil) {
			t.Fatalf("%v: %v", &resp, err)
		}
		if err != nil && len(err.Error()) > 5*rpc.MaxDesc {
			t.Fatalf("an error of %d bytes", len(err.Error()))
		}
	})
}
