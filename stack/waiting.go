package stack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/storage"
)

// handle runs the handler of a message. What is about something that is not
// here yet waits for it, with its signature, and is handled again when that
// comes: an edit may overtake the message that it changes.
func (s *Stack) handle(t *step, in incoming, do handler) error {
	err := t.try(func(t *step) error { return do(t, in) })
	missing, ok := errors.AsType[*message.Missing](err)
	if !ok {
		return err
	}
	s.counters.add("waiting: " + message.Name(in.Type))
	_, err = t.Wait(missing.Target, encodeWaiting(in), t.now)
	return err
}

// arrived handles what has waited for a target that is here now. What fails is
// dropped alone.
func (s *Stack) arrived(t *step, target string) error {
	waiting, err := t.TakeWaiting(target, t.now)
	if err != nil {
		return err
	}
	for _, raw := range waiting {
		in, err := decodeWaiting(raw)
		if err == nil {
			err = s.again(t, in)
		}
		if err := s.dropped(err); err != nil {
			return err
		}
	}
	return nil
}

// dropped takes note of why something is dropped alone. An error of the
// database is none of the reasons, and returned.
func (s *Stack) dropped(err error) error {
	switch {
	case errors.Is(err, storage.ErrIO):
		return err
	case err != nil:
		s.counters.add("message: " + cause(err))
		s.log.Debug("message dropped", "cause", err)
	}
	return nil
}

// again handles what has waited, unless its author was blocked meanwhile.
func (s *Stack) again(t *step, in incoming) error {
	author, err := t.Contact(in.Author)
	switch {
	case err != nil:
		return err
	case author.Blocked:
		return errBlocked
	}
	if do := s.handler(in.Type); do != nil {
		return s.handle(t, in, do)
	}
	return nil
}

var errWaitingRecord = errors.New("not a message that waits")

// encodeWaiting writes a message that waits: Waku time in seconds, the key of
// its author, and the signed bytes.
func encodeWaiting(in incoming) []byte {
	raw := binary.BigEndian.AppendUint64(nil, uint64(max(in.at.Unix(), 0)))
	raw = append(raw, in.Author.Bytes()...)
	return append(raw, in.Raw...)
}

func decodeWaiting(raw []byte) (incoming, error) {
	const head = 8 + key.UncompressedSize
	if len(raw) < head {
		return incoming{}, fmt.Errorf("%w: %d bytes", errWaitingRecord, len(raw))
	}
	author, err := key.PublicFromBytes(raw[8:head])
	if err != nil {
		return incoming{}, fmt.Errorf("%w: %w", errWaitingRecord, err)
	}
	m, err := message.Open(raw[head:], author)
	if err != nil {
		return incoming{}, fmt.Errorf("%w: %w", errWaitingRecord, err)
	}
	return incoming{Message: m, at: time.Unix(int64(binary.BigEndian.Uint64(raw)), 0)}, nil
}
