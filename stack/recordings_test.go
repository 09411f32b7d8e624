package stack

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
)

// recorded returns so many frames of speech, 50 for a second.
func recorded(frames int) []byte {
	return append([]byte("#!AMR\n"), bytes.Repeat(append([]byte{0}, make([]byte, 12)...), frames)...)
}

// Of a recording the sound alone goes out, as what it is; what is no recording,
// or lasts too long, does not.
//
// Proves: AP-143, AP-147.
func TestSendRecording(t *testing.T) {
	t.Parallel()
	s, _ := still(t, 0)
	other, _ := still(t, 1)
	id := chat.OneToOneID(other.Self())
	tagged := append(recorded(100), "TAGthe telephone of Alice"...)
	sent, err := s.Say(id, Content{Audio: &chat.Audio{Format: "aac", Payload: tagged, DurationMS: 1}})
	if err != nil {
		t.Fatal(err)
	}
	var got []*apppb.AudioMessage
	other.onDecoded = func(d Decoded) {
		m := new(apppb.ChatMessage)
		if err := proto.Unmarshal(d.Message.Payload, m); err != nil {
			t.Error(err)
		}
		if audio := m.GetAudio(); audio != nil {
			got = append(got, audio)
		}
	}
	hand(t, other, drain(t, s)...)
	if len(got) != 1 || !bytes.Equal(got[0].Payload, recorded(100)) || got[0].Type != apppb.AudioMessage_AMR || got[0].DurationMs != 2000 {
		t.Errorf("sent %v", got)
	}
	if kept, err := s.Payload(sent[0].ID, chat.PayloadAudio); err != nil || !bytes.Equal(kept, recorded(100)) {
		t.Errorf("kept %q, %v", kept, err)
	}
	most := int(chat.MaxAudioDuration.Seconds()) * 50
	for name, test := range map[string]struct {
		payload []byte
		refused bool
	}{
		"at the limit":   {recorded(most), false},
		"over the limit": {recorded(most + 1), true},
		"no sound":       {recorded(0), true},
		"no recording":   {[]byte("recording"), true},
	} {
		_, err := s.Say(id, Content{Audio: &chat.Audio{Payload: test.payload}})
		if test.refused && fault.KindOf(err) != fault.Usage || !test.refused && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
