package chat

import (
	"errors"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

const clockNow = 1_700_000_000_000

// The retired messages about payments are in the timeline as what they are.
func TestNewTransaction(t *testing.T) {
	t.Parallel()
	self, peer := newKey(t, 1).Public(), newKey(t, 2).Public()
	limit := uint64(in.WakuTime.UnixMilli()) + 120_000
	request := message.ID{3}.String()
	const (
		askAddress     = apppb.ApplicationMetadataMessage_REQUEST_ADDRESS_FOR_TRANSACTION
		acceptAddress  = apppb.ApplicationMetadataMessage_ACCEPT_REQUEST_ADDRESS_FOR_TRANSACTION
		declineAddress = apppb.ApplicationMetadataMessage_DECLINE_REQUEST_ADDRESS_FOR_TRANSACTION
		ask            = apppb.ApplicationMetadataMessage_REQUEST_TRANSACTION
		send           = apppb.ApplicationMetadataMessage_SEND_TRANSACTION
		decline        = apppb.ApplicationMetadataMessage_DECLINE_REQUEST_TRANSACTION
	)
	for name, test := range map[string]struct {
		typ  message.Type
		m    proto.Message
		want Transaction
		err  error
	}{
		"request of an address": {askAddress, &apppb.RequestAddressForTransaction{Clock: clockNow, Value: "1.5", Contract: "0xc"},
			Transaction{Command: "request_address", Value: "1.5", Contract: "0xc"}, nil},
		"address": {acceptAddress, &apppb.AcceptRequestAddressForTransaction{Clock: clockNow, Id: request, Address: "0xa"},
			Transaction{Command: "accept_address", Request: request, Address: "0xa"}, nil},
		"no address": {declineAddress, &apppb.DeclineRequestAddressForTransaction{Clock: clockNow, Id: request},
			Transaction{Command: "decline_address", Request: request}, nil},
		"request": {ask, &apppb.RequestTransaction{Clock: clockNow, Value: "2", Contract: "0xc", Address: "0xa"},
			Transaction{Command: "request", Value: "2", Contract: "0xc", Address: "0xa"}, nil},
		"payment": {send, &apppb.SendTransaction{Clock: clockNow, Id: request, TransactionHash: "0xh", Signature: []byte{1}},
			Transaction{Command: "send", Request: request, Hash: "0xh", Signature: []byte{1}}, nil},
		"refusal": {decline, &apppb.DeclineRequestTransaction{Clock: clockNow, Id: request},
			Transaction{Command: "decline", Request: request}, nil},

		"no clock":       {decline, &apppb.DeclineRequestTransaction{Id: request}, Transaction{}, message.ErrClockZero},
		"clock at limit": {decline, &apppb.DeclineRequestTransaction{Clock: limit, Id: request}, Transaction{Command: "decline", Request: request}, nil},
		"clock ahead":    {decline, &apppb.DeclineRequestTransaction{Clock: limit + 1, Id: request}, Transaction{}, message.ErrClockAhead},
		"no value":       {askAddress, &apppb.RequestAddressForTransaction{Clock: 1}, Transaction{}, ErrAmount},
		"no number":      {askAddress, &apppb.RequestAddressForTransaction{Clock: 1, Value: "much"}, Transaction{}, ErrAmount},
		"infinite":       {askAddress, &apppb.RequestAddressForTransaction{Clock: 1, Value: "Inf"}, Transaction{}, ErrAmount},
		"NaN":            {ask, &apppb.RequestTransaction{Clock: 1, Value: "NaN", Address: "0xa"}, Transaction{}, ErrAmount},
		"to nobody":      {ask, &apppb.RequestTransaction{Clock: 1, Value: "1", Address: " "}, Transaction{}, ErrTransaction},
		"no answer":      {acceptAddress, &apppb.AcceptRequestAddressForTransaction{Clock: 1, Id: request}, Transaction{}, ErrTransaction},
		"answers what":   {acceptAddress, &apppb.AcceptRequestAddressForTransaction{Clock: 1, Address: "0xa"}, Transaction{}, ErrTransaction},
		"declines what":  {declineAddress, &apppb.DeclineRequestAddressForTransaction{Clock: 1}, Transaction{}, ErrTransaction},
		"refuses what":   {decline, &apppb.DeclineRequestTransaction{Clock: 1}, Transaction{}, ErrTransaction},
		"no hash":        {send, &apppb.SendTransaction{Clock: 1, Signature: []byte{1}}, Transaction{}, ErrTransaction},
		"no signature":   {send, &apppb.SendTransaction{Clock: 1, TransactionHash: "0xh"}, Transaction{}, ErrTransaction},
		"something else": {apppb.ApplicationMetadataMessage_CHAT_MESSAGE, text(), Transaction{}, ErrTransactionType},
	} {
		raw, err := proto.Marshal(test.m)
		if err != nil {
			t.Fatal(err)
		}
		wrapped := &message.Message{ID: message.ID{4}, Type: test.typ, Payload: raw, Author: peer}
		m, place, err := NewTransaction(wrapped, self, in)
		if !errors.Is(err, test.err) || (m == nil) != (err != nil) {
			t.Errorf("%s: %v", name, err)
		}
		if IsTransaction(test.typ) != (test.err != ErrTransactionType) {
			t.Errorf("%s: type %d", name, test.typ)
		}
		if err != nil {
			continue
		}
		if m.ContentType != "transaction" || m.Chat != peer.Hex() || place.Peer != peer || m.Clock == 0 || m.Timestamp == 0 ||
			m.State != Received || m.From != peer || m.ID != wrapped.ID {
			t.Errorf("%s: %+v in %+v", name, m, place)
		}
		got := *m.Transaction
		if string(got.Signature) != string(test.want.Signature) {
			t.Errorf("%s: signature %x", name, got.Signature)
		}
		sameJSON(t, m)
		got.Signature, test.want.Signature = nil, nil
		if got.Command != test.want.Command || got.Request != test.want.Request || got.Value != test.want.Value ||
			got.Contract != test.want.Contract || got.Address != test.want.Address || got.Hash != test.want.Hash {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Another device of ours says to whom it wrote.
func TestOwnTransaction(t *testing.T) {
	t.Parallel()
	self, peer := newKey(t, 1).Public(), newKey(t, 2).Public()
	for chatID, want := range map[string]error{peer.Hex(): nil, "": ErrChatID, "x": ErrChatID} {
		raw, err := proto.Marshal(&apppb.RequestTransaction{Clock: 1, Value: "1", Address: "0xa", ChatId: chatID})
		if err != nil {
			t.Fatal(err)
		}
		wrapped := &message.Message{Type: apppb.ApplicationMetadataMessage_REQUEST_TRANSACTION, Payload: raw, Author: self}
		m, place, err := NewTransaction(wrapped, self, in)
		if !errors.Is(err, want) || err == nil && (m.Chat != chatID || !place.Own) {
			t.Errorf("%q: %+v, %+v, %v", chatID, m, place, err)
		}
	}
}

func FuzzTransaction(f *testing.F) {
	raw, err := proto.Marshal(&apppb.RequestTransaction{Clock: 1, Value: "1", Address: "0xa"})
	if err != nil {
		f.Fatal(err)
	}
	for t := range 13 {
		f.Add(int32(t), raw)
	}
	self, author := newKey(f, 1).Public(), newKey(f, 2).Public()
	late := contact.Incoming{WakuTime: time.UnixMilli(math.MaxInt64 / 2)}
	f.Fuzz(func(t *testing.T, typ int32, raw []byte) {
		wrapped := &message.Message{Type: message.Type(typ), Payload: raw, Author: author}
		m, _, err := NewTransaction(wrapped, self, late)
		if err == nil && (!IsTransaction(wrapped.Type) || m.Transaction.Command == "" || m.Clock == 0) {
			t.Fatalf("%+v", m)
		}
	})
}
