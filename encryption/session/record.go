package session

import (
	"encoding/binary"
	"fmt"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/encryption/ratchet"
)

// recordVersion is the first byte of every record.
const recordVersion = 1

type compressedKey = [key.CompressedSize]byte

// peerRecord is what is known of one identity. One read of it serves a send.
type peerRecord struct {
	secret    [32]byte
	hasSecret bool
	// digest is that of the bundle verified last: the same bundle again costs
	// no signature.
	digest        [32]byte
	installations []*installation
	// sessions are in the order in which they began.
	sessions []sessionRef
	// dirty says that the record differs from the stored one.
	dirty bool
}

// installation is a device of an identity.
type installation struct {
	id string
	// preKey is its newest signed pre key and version the number of that.
	preKey   compressedKey
	version  uint32
	protocol uint32
	// lastSeen is the timestamp of the newest bundle that lists it.
	lastSeen int64
	enabled  bool
	// heard: it has sent us a pairwise message, so it knows the negotiated
	// topic.
	heard bool
	// lastOpened is the timestamp of the newest bundle in a pairwise message of
	// it that has opened.
	lastOpened int64
	// broken: there is a breakRecord to look at when something opens.
	broken bool
}

// sessionRef names a session: the peer's installation, and the signed pre key
// it began with, which is the peer's when we began it and ours otherwise.
type sessionRef struct {
	installation string
	preKey       compressedKey
	initiator    bool
	// givenUp: it only opens what is late. replaceable: the peer has begun anew
	// since, and may begin a session under the same name.
	givenUp, replaceable bool
}

func (r *peerRecord) find(id string) *installation {
	for _, i := range r.installations {
		if i.id == id {
			return i
		}
	}
	return nil
}

// named returns a session of the list, nil when it is not there.
func (r *peerRecord) named(ref sessionRef) *sessionRef {
	for n := range r.sessions {
		if s := &r.sessions[n]; s.installation == ref.installation && s.preKey == ref.preKey {
			return s
		}
	}
	return nil
}

// sessionRecord is one double ratchet.
type sessionRecord struct {
	// ephemeral is our X3DH key while the peer has not answered; it is then
	// repeated in each message. All zero otherwise.
	ephemeral compressedKey
	// stored counts the kept keys of missing messages; none is older than
	// oldest.
	stored uint32
	oldest uint64
	state  ratchet.State
}

// ownRecord is our current signed pre key and the bundle signed last.
type ownRecord struct {
	preKey   compressedKey
	version  uint32
	created  int64
	signedAt int64
	bundle   []byte
}

// preKeyRecord is the private half of a signed pre key of ours.
type preKeyRecord struct {
	private [key.PrivateSize]byte
	version uint32
	created int64
}

// peerVersion is the first byte of a peerRecord. Version 1 has no lastOpened.
const peerVersion = 2

func (r *peerRecord) encode() []byte {
	w := writer{peerVersion}
	w.flags(r.hasSecret)
	w.fixed(r.secret[:])
	w.fixed(r.digest[:])
	w.number(uint64(len(r.installations)))
	for _, i := range r.installations {
		w.text(i.id)
		w.fixed(i.preKey[:])
		w.number(uint64(i.version))
		w.number(uint64(i.protocol))
		w.number(uint64(i.lastSeen))
		w.flags(i.enabled, i.heard, i.broken)
		w.number(uint64(i.lastOpened))
	}
	w.number(uint64(len(r.sessions)))
	for _, s := range r.sessions {
		w.text(s.installation)
		w.fixed(s.preKey[:])
		w.flags(s.initiator, s.givenUp, s.replaceable)
	}
	return w
}

func decodePeer(b []byte) (*peerRecord, error) {
	version := byte(peerVersion)
	if len(b) > 0 && b[0] < peerVersion {
		version = recordVersion
	}
	rd := newReaderOf(b, version)
	r := &peerRecord{}
	rd.flags(&r.hasSecret)
	rd.fixed(r.secret[:])
	rd.fixed(r.digest[:])
	for n := rd.count(); n > 0 && !rd.bad; n-- {
		i := &installation{id: rd.text()}
		rd.fixed(i.preKey[:])
		i.version = uint32(rd.number())
		i.protocol = uint32(rd.number())
		i.lastSeen = int64(rd.number())
		rd.flags(&i.enabled, &i.heard, &i.broken)
		if i.lastOpened = i.lastSeen; version >= 2 {
			i.lastOpened = int64(rd.number())
		}
		r.installations = append(r.installations, i)
	}
	for n := rd.count(); n > 0 && !rd.bad; n-- {
		s := sessionRef{installation: rd.text()}
		rd.fixed(s.preKey[:])
		rd.flags(&s.initiator, &s.givenUp, &s.replaceable)
		r.sessions = append(r.sessions, s)
	}
	return r, rd.end("peer")
}

func (r *sessionRecord) encode() []byte {
	w := make(writer, 0, 1+len(r.ephemeral)+4+8+ratchet.StateSize)
	w = append(w, recordVersion)
	w.fixed(r.ephemeral[:])
	w = binary.BigEndian.AppendUint32(w, r.stored)
	w = binary.BigEndian.AppendUint64(w, r.oldest)
	return r.state.Append(w)
}

func decodeSession(b []byte) (*sessionRecord, error) {
	rd := newReader(b)
	r := &sessionRecord{}
	var numbers [12]byte
	rd.fixed(r.ephemeral[:])
	rd.fixed(numbers[:])
	r.stored = binary.BigEndian.Uint32(numbers[:])
	r.oldest = binary.BigEndian.Uint64(numbers[4:])
	state, err := ratchet.DecodeState(rd.take(ratchet.StateSize))
	if err != nil {
		return nil, fmt.Errorf("%w: session: %w", ErrStore, err)
	}
	r.state = state
	return r, rd.end("session")
}

func (r *ownRecord) encode() []byte {
	w := writer{recordVersion}
	w.fixed(r.preKey[:])
	w.number(uint64(r.version))
	w.number(uint64(r.created))
	w.number(uint64(r.signedAt))
	w.text(string(r.bundle))
	return w
}

func decodeOwn(b []byte) (*ownRecord, error) {
	rd := newReader(b)
	r := &ownRecord{}
	rd.fixed(r.preKey[:])
	r.version = uint32(rd.number())
	r.created = int64(rd.number())
	r.signedAt = int64(rd.number())
	r.bundle = rd.bytes()
	return r, rd.end("own bundle")
}

func (r *preKeyRecord) encode() []byte {
	w := writer{recordVersion}
	w.fixed(r.private[:])
	w.number(uint64(r.version))
	w.number(uint64(r.created))
	return w
}

func decodePreKey(b []byte) (*preKeyRecord, error) {
	rd := newReader(b)
	r := &preKeyRecord{}
	rd.fixed(r.private[:])
	r.version = uint32(rd.number())
	r.created = int64(rd.number())
	return r, rd.end("pre key")
}

// writer builds a record.
type writer []byte

func (w *writer) fixed(b []byte)  { *w = append(*w, b...) }
func (w *writer) number(n uint64) { *w = binary.AppendUvarint(*w, n) }
func (w *writer) text(s string) {
	w.number(uint64(len(s)))
	*w = append(*w, s...)
}
func (w *writer) flags(flags ...bool) {
	var b byte
	for i, f := range flags {
		if f {
			b |= 1 << i
		}
	}
	*w = append(*w, b)
}

// reader takes a record apart; after the first mistake it is bad and yields
// zeros.
type reader struct {
	b   []byte
	bad bool
}

func newReader(b []byte) *reader { return newReaderOf(b, recordVersion) }

func newReaderOf(b []byte, version byte) *reader {
	r := &reader{b: b}
	if v := r.take(1); r.bad || v[0] != version {
		r.bad = true
	}
	return r
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) fixed(dst []byte) { copy(dst, r.take(len(dst))) }

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad = true
		return 0
	}
	r.take(size)
	return n
}

// count reads how many items follow; each has at least one byte.
func (r *reader) count() uint64 {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return n
}

func (r *reader) bytes() []byte {
	n := r.count()
	return r.take(int(n))
}

func (r *reader) text() string { return string(r.bytes()) }

func (r *reader) flags(flags ...*bool) {
	b := r.take(1)
	for i, f := range flags {
		*f = !r.bad && b[0]&(1<<i) != 0
	}
}

func (r *reader) end(what string) error {
	if r.bad || len(r.b) != 0 {
		return fmt.Errorf("%w: %s", ErrStore, what)
	}
	return nil
}
