package stack

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/device"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/waku/topic"
)

// What other clients copy to their devices is understood without the contact
// itself being told of.
func TestOwnAnswersOfOtherClients(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f, own := newForger(t, 1, clock.at), newForger(t, 0, clock.at)
	own.session.InstallationID = "mine"
	ms := func() uint64 { clock.advance(time.Second); return uint64(clock.at.UnixMilli()) }
	tell := func(typ message.Type, m proto.Message) {
		own.now = clock.at
		sealed, err := own.session.SealDH(own.st, own.now, own.rand, s.Self(), own.sync(s.Self(), own.wrap(typ, m)))
		own.ok(err)
		hand(t, s, own.mail(s.Self(), sealed))
	}
	bobby := f.key.Public()
	is := func(want contact.State) contact.Contact {
		t.Helper()
		c, err := s.Contact(bobby)
		if err != nil || c.State() != want {
			t.Errorf("%+v, %v; want %s", c, err, want)
		}
		return c
	}
	// The answer comes before the request.
	at := ms()
	raw, id := f.wrapped(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, &apppb.ChatMessage{
		Clock: at, Timestamp: at, Text: "hi", ChatId: chat.OneToOneID(s.Self()), MessageType: apppb.MessageType_ONE_TO_ONE,
		ContentType: apppb.ChatMessage_CONTACT_REQUEST,
	})
	tell(apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_REQUEST, &apppb.AcceptContactRequest{Id: id.String(), Clock: ms()})
	is(contact.None)
	f.now = clock.at
	f.deliver(s, raw)
	is(contact.StateMutual)
	tell(apppb.ApplicationMetadataMessage_SYNC_INSTALLATION_CONTACT_V2, &apppb.SyncInstallationContactV2{
		Id: bobby.Hex(), Removed: true, LastUpdatedLocally: ms(),
	})
	is(contact.None)
	// Our own request, and one without a message.
	at = ms()
	tell(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, &apppb.ChatMessage{
		Clock: at, Timestamp: at, Text: "hello", ChatId: chat.OneToOneID(bobby), MessageType: apppb.MessageType_ONE_TO_ONE,
		ContentType:                   apppb.ChatMessage_CONTACT_REQUEST,
		ContactRequestPropagatedState: &apppb.ContactRequestPropagatedState{LocalState: uint64(contact.Sent), LocalClock: at},
	})
	if c := is(contact.StateSent); c.SentRequest == "" || c.LocalClock != at {
		t.Errorf("%+v", c)
	}
	carol := newForger(t, 2, clock.at).key.Public()
	tell(apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_REQUEST, &apppb.AcceptContactRequest{Id: contact.DefaultRequestID(carol), Clock: ms()})
	if c, err := s.Contact(carol); err != nil || c.State() != contact.StateSent {
		t.Errorf("%+v, %v", c, err)
	}
	before := s.Counters()
	tell(apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_REQUEST, &apppb.AcceptContactRequest{Id: "nonsense", Clock: ms()})
	tell(apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_REQUEST, &apppb.AcceptContactRequest{Id: id.String()})
	tell(apppb.ApplicationMetadataMessage_SYNC_INSTALLATION_CONTACT_V2, &apppb.SyncInstallationContactV2{Id: s.Self().Hex(), Added: true, LastUpdatedLocally: ms()})
	if got := increased(before, s.Counters()); !slices.Equal(got, []string{
		"message: " + message.ErrClockZero.Error(), "message: " + device.ErrContact.Error(), "message: " + errOwnAnswer.Error(),
	}) && len(got) != 3 {
		t.Errorf("%v", got)
	}
	// Nobody but our own devices was written to.
	for _, e := range drain(t, s) {
		if c := e.Message.GetContentTopic(); c != topic.Content(topic.PartitionedName(s.Self())) && c != topic.Content(topic.ContactCodeName(s.Self())) {
			opened, err := f.open(e)
			if err == nil && len(opened) > 0 {
				if o, err := f.session.Open(f.st, f.now, f.rand, s.Self(), opened); err == nil && !onlyAcks(o.Payload) {
					t.Errorf("Bobby was sent something: %q", o.Payload)
				}
			}
		}
	}
}
