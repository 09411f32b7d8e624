package parley

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// ChatQuery asks for a page of chats.
type ChatQuery struct {
	// All asks for those, too, that do not belong into a list.
	All bool
	// Next is that of the page before.
	Next string
	// Limit is how many at most; 0 for 50, never more than 500.
	Limit int
}

// ChatPage is a page of chats: pinned ones first, then those with the newest
// activity.
type ChatPage struct {
	Chats []Chat `json:"chats"`
	// Next asks for the page that follows, empty when there is none.
	Next string `json:"next,omitempty"`
}

// ChatPage returns a page of the list of chats. Going on from page to page
// visits every chat once that stays where it is; one in which something is said
// meanwhile moves to the front, and events tell of that.
func (c *Client) ChatPage(_ context.Context, q ChatQuery) (ChatPage, error) {
	limit, err := pageLimit(q.Limit)
	if err != nil {
		return ChatPage{}, err
	}
	after, err := parseChatPlace(q.Next)
	if err != nil {
		return ChatPage{}, err
	}
	listed, err := c.stack.ChatList()
	if err != nil {
		return ChatPage{}, err
	}
	listed = slices.DeleteFunc(listed, func(l storage.ListedChat) bool {
		return !l.Active && !q.All || q.Next != "" && placeOfChat(&l).compare(after) <= 0
	})
	page := ChatPage{}
	if len(listed) > limit {
		listed = listed[:limit]
		page.Next = placeOfChat(&listed[limit-1]).String()
	}
	page.Chats, err = c.newChats(listed)
	return page, err
}

// pageLimit is how many entries a page has at most.
func pageLimit(limit int) (int, error) {
	switch {
	case limit < 0:
		return 0, fault.New(fault.Usage, "the limit is below zero")
	case limit == 0:
		return storage.DefaultPage, nil
	}
	return min(limit, storage.MaxPage), nil
}

// chatPlace is where a chat stands in the list of chats.
type chatPlace struct {
	pinned   bool
	activity uint64
	id       string
}

func placeOfChat(l *storage.ListedChat) chatPlace { return chatPlace{l.Pinned, l.Activity(), l.ID} }

// compare is the order of the list.
func (p chatPlace) compare(q chatPlace) int {
	if p.pinned != q.pinned {
		if p.pinned {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(q.activity, p.activity), strings.Compare(p.id, q.id))
}

// String returns a text for others to hand back.
func (p chatPlace) String() string {
	raw := []byte{0}
	if p.pinned {
		raw[0] = 1
	}
	raw = binary.BigEndian.AppendUint64(raw, p.activity)
	return base64.RawURLEncoding.EncodeToString(append(raw, p.id...))
}

var errPlace = errors.New("not a place in the list")

func parsePlace(s string) ([]byte, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "next", errPlace)
	}
	return raw, nil
}

func parseChatPlace(s string) (p chatPlace, err error) {
	if s == "" {
		return p, nil
	}
	raw, err := parsePlace(s)
	if err != nil {
		return p, err
	}
	if len(raw) < 10 || raw[0] > 1 {
		return p, fault.Wrap(fault.Usage, "next", errPlace)
	}
	return chatPlace{raw[0] == 1, binary.BigEndian.Uint64(raw[1:]), string(raw[9:])}, nil
}

// newChats shows chats with their names and drafts.
func (c *Client) newChats(listed []storage.ListedChat) ([]Chat, error) {
	drafts := make(map[string]string)
	known := make(map[key.Public]contact.Contact)
	if err := c.db.View(func(tx *storage.Tx) error {
		records, err := storage.Records[storage.Draft](tx, storage.Drafts, "")
		if err != nil {
			return err
		}
		for _, r := range records {
			drafts[r.ID] = r.Value.Text
		}
		contacts, err := tx.Contacts()
		for _, k := range contacts {
			known[k.Key] = k
		}
		return err
	}); err != nil {
		return nil, err
	}
	now, communities := time.Now(), make(map[string]string)
	chats := make([]Chat, 0, len(listed))
	for _, l := range listed {
		name := l.Name
		if !l.Peer.IsZero() {
			k, ok := known[l.Peer]
			if !ok {
				k.Key = l.Peer
			}
			name = view.Name(k)
		}
		shown := view.NewChat(l, name, drafts[l.ID], now)
		if err := c.nameCommunity(&shown, communities); err != nil {
			return nil, err
		}
		chats = append(chats, shown)
	}
	return chats, nil
}

// ContactQuery asks for a page of contacts.
type ContactQuery struct {
	// Next is that of the page before.
	Next string
	// Limit is how many at most; 0 for 50, never more than 500.
	Limit int
}

// ContactPage is a page of contacts, by name.
type ContactPage struct {
	Contacts []Contact `json:"contacts"`
	// Next asks for the page that follows, empty when there is none.
	Next string `json:"next,omitempty"`
}

// ContactPage returns a page of those whom the account knows. Going on from
// page to page visits everybody once whose name stays the same.
func (c *Client) ContactPage(ctx context.Context, q ContactQuery) (ContactPage, error) {
	limit, err := pageLimit(q.Limit)
	if err != nil {
		return ContactPage{}, err
	}
	after, err := parsePlace(q.Next)
	if err != nil {
		return ContactPage{}, err
	}
	all, err := c.Contacts(ctx)
	if err != nil {
		return ContactPage{}, err
	}
	if q.Next != "" {
		all = slices.DeleteFunc(all, func(k Contact) bool { return placeOfContact(k) <= string(after) })
	}
	if len(all) <= limit {
		return ContactPage{Contacts: all}, nil
	}
	next := base64.RawURLEncoding.EncodeToString([]byte(placeOfContact(all[limit-1])))
	return ContactPage{all[:limit], next}, nil
}

// placeOfContact sorts as a list of contacts does: by name, and those of the
// same name by key.
func placeOfContact(c Contact) string { return strings.ToLower(c.Name) + "\x00" + c.PublicKey }
