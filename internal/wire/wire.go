// Package wire reads and writes the frames of Waku's request and response
// protocols: a protobuf message behind its length as an unsigned varint.
package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"
)

// ErrTooLarge is a frame longer than its reader allows.
var ErrTooLarge = errors.New("frame too large")

// Read reads one frame of at most limit bytes into m. A clean end of the
// stream before the first byte is io.EOF.
func Read(r io.Reader, limit int, m proto.Message) error {
	br, ok := r.(*bufio.Reader)
	if !ok {
		br = bufio.NewReader(r)
	}
	size, err := binary.ReadUvarint(br)
	if err != nil {
		return err
	}
	if size > uint64(limit) {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, size, limit)
	}
	buf := make([]byte, size)
	if _, err := io.ReadFull(br, buf); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return proto.Unmarshal(buf, m)
}

// Write writes m as one frame, in one call to w.
func Write(w io.Writer, m proto.Message) error {
	buf := make([]byte, binary.MaxVarintLen64, binary.MaxVarintLen64+proto.Size(m))
	buf, err := proto.MarshalOptions{}.MarshalAppend(buf, m)
	if err != nil {
		return err
	}
	size := binary.AppendUvarint(nil, uint64(len(buf)-binary.MaxVarintLen64))
	start := binary.MaxVarintLen64 - len(size)
	copy(buf[start:], size)
	_, err = w.Write(buf[start:])
	return err
}
