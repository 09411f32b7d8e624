package contact

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/vectors"
	apppb "github.com/parley-im/parley/pb/app"
)

// conversation is a recording of deployed clients that talk to each other.
type conversation struct {
	Name    string
	Parties []struct {
		Name      string
		PublicKey string
	}
	Envelopes []struct {
		Hash      string
		Timestamp int64
	}
	Decoded []struct {
		By, From, Type, ID, EnvelopeHash string
		Payload                          vectors.Hex
	}
}

// What deployed clients told each other about themselves and their relation is
// accepted at the time it was told, and everybody who added somebody is known
// to have done so.
func TestVectorsConversation(t *testing.T) {
	t.Parallel()
	for _, c := range vectors.Cases[conversation](t, "conversation") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			sentAt := map[string]time.Time{}
			for _, e := range c.Envelopes {
				sentAt[e.Hash] = time.Unix(0, e.Timestamp).Truncate(time.Second)
			}
			self := map[string]string{}
			for _, p := range c.Parties {
				self[p.Name] = p.PublicKey
			}
			known := map[[2]string]Contact{} // who knows whom
			added := map[[2]string]bool{}    // who was told to have added whom
			for _, d := range c.Decoded {
				if d.From == self[d.By] {
					continue
				}
				pair := [2]string{d.By, d.From}
				if _, ok := known[pair]; !ok {
					pub, err := key.ParsePublic(d.From)
					if err != nil {
						t.Fatal(err)
					}
					known[pair] = Contact{Key: pub}
				}
				in := Incoming{WakuTime: sentAt[d.EnvelopeHash]}
				after, adds, err := apply(known[pair], d.Type, d.ID, d.Payload, in)
				if err != nil {
					t.Errorf("%s of %s to %s: %v", d.Type, d.From, d.By, err)
					continue
				}
				known[pair] = after
				added[pair] = added[pair] || adds
			}
			requests := 0
			for pair, adds := range added {
				if adds {
					requests++
				}
				if got := known[pair]; (got.Remote == Received) != adds {
					t.Errorf("%s knows of %s: %+v; added: %v", pair[0], pair[1], got, adds)
				}
			}
			if requests == 0 {
				t.Error("nobody added anybody")
			}
		})
	}
}

// apply gives a recorded message to the contact and tells whether it says that
// its sender added us.
func apply(c Contact, typ, id string, payload []byte, in Incoming) (after Contact, adds bool, err error) {
	var m proto.Message
	switch typ {
	case "CHAT_MESSAGE":
		m = &apppb.ChatMessage{}
	case "CONTACT_UPDATE":
		m = &apppb.ContactUpdate{}
	case "ACCEPT_CONTACT_REQUEST":
		m = &apppb.AcceptContactRequest{}
	case "CHAT_IDENTITY":
		m = &apppb.ChatIdentity{}
	case "CONTACT_CODE_ADVERTISEMENT":
		m = &apppb.ContactCodeAdvertisement{}
	case "STATUS_UPDATE":
		m = &apppb.StatusUpdate{}
	default:
		return c, false, nil
	}
	if err := proto.Unmarshal(payload, m); err != nil {
		return c, false, err
	}
	switch m := m.(type) {
	case *apppb.ChatMessage:
		if m.MessageType != apppb.MessageType_ONE_TO_ONE {
			return c, false, nil
		}
		parsed, err := message.ParseID(strings.TrimSpace(id))
		if err != nil {
			return c, false, err
		}
		after, _, err = c.ReceiveChat(parsed, m, in)
		return after, m.ContentType == apppb.ChatMessage_CONTACT_REQUEST, err
	case *apppb.ContactUpdate:
		after, _, err = c.ReceiveUpdate(m, in)
		return after, m.ContactRequestPropagatedState.GetLocalState() == uint64(Sent), err
	case *apppb.AcceptContactRequest:
		after, _, err = c.ReceiveAccept(m, in)
		return after, true, err
	case *apppb.ChatIdentity:
		after, err = c.ApplyIdentity(m, in)
	case *apppb.ContactCodeAdvertisement:
		after, err = c.ApplyIdentity(m.ChatIdentity, in)
	case *apppb.StatusUpdate:
		after, err = c.ReceiveStatus(m, in)
	}
	return after, false, err
}
