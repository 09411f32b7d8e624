package ratchet

import (
	"encoding/binary"
	"fmt"
)

// stateVersion is the first byte of an encoded state; a change of the layout
// changes it.
const stateVersion = 1

// StateSize is the size of an encoded state in bytes: version, root, send,
// recv, own, own public, remote, the three numbers and the count.
const StateSize = 1 + 4*32 + 2*PublicSize + 3*4 + 8

// Append appends the state's encoding, StateSize bytes, to dst. It contains
// the session's secrets in the clear.
func (s State) Append(dst []byte) []byte {
	dst = append(dst, stateVersion)
	dst = append(dst, s.Root[:]...)
	dst = append(dst, s.Send[:]...)
	dst = append(dst, s.Recv[:]...)
	dst = append(dst, s.Own[:]...)
	dst = append(dst, s.OwnPublic[:]...)
	dst = append(dst, s.Remote[:]...)
	dst = binary.BigEndian.AppendUint32(dst, s.SendN)
	dst = binary.BigEndian.AppendUint32(dst, s.RecvN)
	dst = binary.BigEndian.AppendUint32(dst, s.PN)
	return binary.BigEndian.AppendUint64(dst, s.Derived)
}

// DecodeState reads what Append wrote, exactly StateSize bytes. It returns
// ErrState for anything else. That the ratchet keys are points of the curve is
// checked when they are used.
func DecodeState(b []byte) (State, error) {
	if len(b) != StateSize {
		return State{}, fmt.Errorf("%w: %d bytes, want %d", ErrState, len(b), StateSize)
	}
	if b[0] != stateVersion {
		return State{}, fmt.Errorf("%w: version %d, want %d", ErrState, b[0], stateVersion)
	}
	var s State
	b = b[1:]
	for _, field := range [][]byte{s.Root[:], s.Send[:], s.Recv[:], s.Own[:], s.OwnPublic[:], s.Remote[:]} {
		b = b[copy(field, b):]
	}
	s.SendN = binary.BigEndian.Uint32(b)
	s.RecvN = binary.BigEndian.Uint32(b[4:])
	s.PN = binary.BigEndian.Uint32(b[8:])
	s.Derived = binary.BigEndian.Uint64(b[12:])
	if p := s.OwnPublic[0]; p != 2 && p != 3 {
		return State{}, fmt.Errorf("%w: own ratchet key", ErrState)
	}
	if p := s.Remote[0]; p != 2 && p != 3 && s.Remote != ([PublicSize]byte{}) {
		return State{}, fmt.Errorf("%w: remote ratchet key", ErrState)
	}
	return s, nil
}
