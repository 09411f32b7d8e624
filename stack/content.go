package stack

import (
	"errors"

	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/storage"
)

// ErrNoPayload means that a message has no such picture or recording.
var ErrNoPayload = errors.New("no payload")

// Payload returns a picture or a recording of a message, as it came, by the
// name that package chat has for it. Errors: ErrNoPayload.
func (s *Stack) Payload(id message.ID, name string) (data []byte, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		var ok bool
		if data, ok, err = tx.Payload(id, name); err != nil || ok {
			return err
		}
		if _, ok, err = tx.Message(id); err == nil && !ok {
			err = noMessage(id)
		} else if err == nil {
			err = ErrNoPayload
		}
		return err
	})
	return data, err
}

func noMessage(id message.ID) error { return fault.New(fault.NotFound, "there is no message %s", id) }
