package chat

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// MaxThreadName is the length of a thread's name, in characters. Nobody has said
// how long one may be; this is longer than any title that is read.
const MaxThreadName = 128

// Errors of the names of threads.
var (
	ErrThreadName    = errors.New("not a name for a thread")
	ErrThreadCreator = errors.New("a thread named by somebody else than who signs")
)

// Thread is the name of the thread that hangs on a message. Deployed clients
// have threads since 2026; there is no specification.
type Thread struct {
	Name string `json:"name"`
	// By is who gave it, Clock when.
	By    key.Public `json:"by"`
	Clock uint64     `json:"clock"`
}

// compare orders names: of several the newest counts, and of those of the same
// clock that of the greatest key, so that everybody shows the same.
func (t Thread) compare(o Thread) int {
	return cmp.Or(cmp.Compare(t.Clock, o.Clock), bytes.Compare(t.By.Bytes(), o.By.Bytes()), strings.Compare(t.Name, o.Name))
}

// ValidateThread says why the naming of a thread is to be dropped, and which
// message the thread hangs on if it is not.
func ValidateThread(m *apppb.ThreadMetadata, author key.Public, in contact.Incoming) (message.ID, error) {
	if err := message.CheckClock(m.GetClock(), in.WakuTime); err != nil {
		return message.ID{}, err
	}
	if _, err := CheckAddress(m); err != nil {
		return message.ID{}, err
	}
	if m.GetCreatorId() != author.Hex() {
		return message.ID{}, ErrThreadCreator
	}
	name := m.GetName()
	if n := utf8.RuneCountInString(name); n > MaxThreadName || strings.TrimSpace(name) == "" {
		return message.ID{}, fmt.Errorf("%w: %d characters, 1 to %d are allowed", ErrThreadName, n, MaxThreadName)
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return message.ID{}, fmt.Errorf("%w: it cannot be shown", ErrThreadName)
	}
	id, err := message.ParseID(m.GetThreadId())
	if err != nil {
		return message.ID{}, fmt.Errorf("%w: %w", ErrTarget, err)
	}
	return id, nil
}

// NameThread gives the thread that hangs on the message a name and returns the
// message as it is then, which is m itself if nothing changes.
func (m *Message) NameThread(t *apppb.ThreadMetadata, by Change) (*Message, error) {
	if by.Chat != m.Chat {
		return m, ErrOtherChat
	}
	named := Thread{Name: strings.TrimSpace(t.GetName()), By: by.Author, Clock: t.GetClock()}
	if m.Deleted != nil || m.Threaded != nil && m.Threaded.compare(named) >= 0 {
		return m, nil
	}
	after := *m
	after.Threaded = &named
	return &after, nil
}
