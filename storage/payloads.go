package storage

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/kv"
)

// Payloads of messages, pictures and recordings, are records of their own, so
// that whoever reads messages does not read them too. They come and go with
// their message.

func payloadKey(id message.ID, name string) string { return familyPayload + string(id[:]) + name }

// Payload returns a payload of a message by its name, see [chat.Message.Detach],
// and whether the message has it.
func (tx *Tx) Payload(id message.ID, name string) ([]byte, bool, error) {
	k, ok, err := tx.visible(id)
	if err != nil || !ok {
		return nil, false, err
	}
	if data, ok, err := tx.Get(payloadKey(id, name)); ok || err != nil {
		return data, ok, err
	}
	raw, ok, err := tx.Get(k)
	if err != nil || !ok {
		return nil, false, err
	}
	m, err := decodeMessage(k, raw) // an older version has left it in there
	if err != nil {
		return nil, false, err
	}
	_, inside := m.Detach()
	data, ok := inside[name]
	return data, ok, nil
}

// putPayloads makes the payloads that are stored those that a detached message
// has. before is what it had.
func (tx *Tx) putPayloads(m *chat.Message, payloads map[string][]byte, before []string) error {
	for name, data := range payloads {
		if err := tx.Put(payloadKey(m.ID, name), data); err != nil {
			return err
		}
	}
	if len(before) == 0 {
		return nil
	}
	now := m.Payloads()
	for _, name := range before {
		if slices.Contains(now, name) {
			continue
		}
		if err := tx.Delete(payloadKey(m.ID, name)); err != nil {
			return err
		}
	}
	return nil
}

// contentRecord is what a change of a message looks at in its record. To read the
// rest, keys above all, takes longer.
type contentRecord struct {
	Text        string            `json:"text"`
	Image       *chat.Image       `json:"image"`
	Audio       *chat.Audio       `json:"audio"`
	Bridge      *chat.Bridge      `json:"bridge"`
	Discord     *chat.Discord     `json:"discord"`
	Community   []byte            `json:"community"`
	Size        int               `json:"community_bytes"`
	Links       []chat.Link       `json:"links"`
	StatusLinks []chat.StatusLink `json:"status_links"`
}

// contentOf reads the content of a message's record.
func contentOf(k string, raw []byte) (*chat.Message, error) {
	var c contentRecord
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("%w: record %q: %w", ErrCorrupt, k, err)
	}
	return &chat.Message{
		Text: c.Text, Image: c.Image, Audio: c.Audio, Bridge: c.Bridge, Discord: c.Discord,
		Community: c.Community, CommunityBytes: c.Size, Links: c.Links, StatusLinks: c.StatusLinks,
	}, nil
}

// detachSlice moves payloads out of the records of an older version.
func (tx *Tx) detachSlice(done string, most int) (more bool, err error) {
	r := kv.Prefix(familyMessage)
	if done != "" {
		r.From = done + "\x00"
	}
	found := make(map[string]*chat.Message)
	seen, size := 0, 0
	err = tx.Range(r, func(k string, raw []byte) error {
		if seen == most || size >= workBytes {
			more = true
			return kv.Stop
		}
		seen++
		size += len(raw)
		done = k
		m, err := contentOf(k, raw)
		if err != nil {
			return err
		}
		if _, inside := m.Detach(); len(inside) == 0 {
			return nil
		}
		found[k], err = decodeMessage(k, raw)
		return err
	})
	if err != nil {
		return false, err
	}
	for k, m := range found {
		m, payloads := m.Detach()
		if err := tx.putPayloads(m, payloads, nil); err != nil {
			return false, err
		}
		if err := tx.putJSON(k, m); err != nil {
			return false, err
		}
	}
	return more, tx.Put(workDetach, []byte(done))
}
