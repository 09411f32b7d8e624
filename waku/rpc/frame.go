package rpc

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/wire"
)

const (
	// firstPart is what is made room for on a peer's word alone, in bytes.
	// From there the room doubles as the request comes in: many streams that
	// promise much and send nothing cost little.
	firstPart = 4 << 10
	// maxKept is the largest buffer kept for the next request, in bytes.
	maxKept = 64 << 10
)

// Readers and buffers of requests. A stream that waits for its request holds
// neither.
var (
	readers = sync.Pool{New: func() any { return bufio.NewReader(nil) }}
	buffers = sync.Pool{New: func() any { return new([]byte) }}
)

// read reads a request of at most limit bytes and tells one that is malformed
// from a stream that fails.
func read(r *bufio.Reader, limit int, req proto.Message) error {
	size, err := binary.ReadUvarint(r)
	if err != nil {
		return err
	}
	if size > uint64(limit) {
		return fmt.Errorf("%w: %w: %d bytes, at most %d", ErrMalformed, wire.ErrTooLarge, size, limit)
	}
	buf := buffers.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= maxKept {
			buffers.Put(buf)
		}
	}()
	if *buf, err = fill((*buf)[:0], r, int(size)); err != nil {
		return err
	}
	if err := proto.Unmarshal(*buf, req); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// fill appends size bytes of r to b.
func fill(b []byte, r io.Reader, size int) ([]byte, error) {
	for len(b) < size {
		part := min(size-len(b), max(firstPart, len(b)))
		b = slices.Grow(b, part)
		n, err := io.ReadFull(r, b[len(b):len(b)+part])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return b, err
		}
	}
	return b, nil
}
