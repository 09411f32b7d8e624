package session

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
)

// Keys of the store. An identity and a signed pre key are written as the 66
// hexadecimal digits of the compressed key; a session by sessionName.
const (
	peerPrefix    = "p/"           // p/<identity>: peerRecord
	sessionPrefix = "s/"           // s/<session>: sessionRecord
	skippedPrefix = "k/"           // k/<session>/<seq>: key of a missing message
	chainPrefix   = "c/"           // c/<session>/<ratchet key>: its numbers in k/
	preKeyPrefix  = "o/pre/"       // o/pre/<signed pre key>: preKeyRecord
	ownKey        = "o/bundle"     // ownRecord
	renewedKey    = "o/renewed"    // when a pre key was last replaced to heal a session
	outgrownKey   = "o/outgrown"   // when the versions of what may be lost were passed
	advertPrefix  = "a/"           // a/<identity>: when we last answered with our bundle
	advertsKey    = "adverts"      // how many were answered in the hour that began when
	breakPrefix   = "h/"           // h/<identity>/<installation>: breakRecord
	nameSize      = 2 * nameDigest // length of a session's name
	nameDigest    = 16
)

func hexKey(k compressedKey) string { return hex.EncodeToString(k[:]) }

func peerKey(id key.Public) string { return peerPrefix + hexKey(id.Compressed()) }

func peerFromKey(name string) (key.Public, error) {
	b, err := hex.DecodeString(name[len(peerPrefix):])
	if err != nil {
		return key.Public{}, fmt.Errorf("%w: peer key", ErrStore)
	}
	id, err := key.PublicFromBytes(b)
	if err != nil {
		return key.Public{}, fmt.Errorf("%w: peer key: %w", ErrStore, err)
	}
	return id, nil
}

// sessionName names a session by the peer's identity, the signed pre key that
// it began with, and the peer's installation. Deployed clients leave the
// identity out, so that one peer can get in the way of another's session.
func sessionName(peer compressedKey, ref sessionRef) string {
	b := make([]byte, 0, 2*key.CompressedSize+len(ref.installation))
	b = append(b, peer[:]...)
	b = append(b, ref.preKey[:]...)
	b = append(b, ref.installation...)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:nameDigest])
}

// batch holds writes back until a call has succeeded. Reads see them, scans do
// not.
type batch struct {
	st     kv.Store
	writes []write
}

type write struct {
	key    string
	value  []byte
	delete bool
}

func (b *batch) get(key string) ([]byte, bool, error) {
	for _, w := range slices.Backward(b.writes) {
		if w.key == key {
			return w.value, !w.delete, nil
		}
	}
	return b.st.Get(key)
}

func (b *batch) put(key string, value []byte) {
	b.writes = append(b.writes, write{key: key, value: value})
}

func (b *batch) delete(key string) {
	b.writes = append(b.writes, write{key: key, delete: true})
}

func (b *batch) commit() error {
	for _, w := range b.writes {
		var err error
		if w.delete {
			err = b.st.Delete(w.key)
		} else {
			err = b.st.Put(w.key, w.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// load reads a record; absent is nil without an error.
func load[T any](b *batch, key string, decode func([]byte) (*T, error)) (*T, error) {
	value, ok, err := b.get(key)
	if err != nil || !ok {
		return nil, err
	}
	return decode(value)
}

// peer reads what is known of an identity, nothing if it is new or the record
// is damaged.
func (b *batch) peer(id key.Public) (*peerRecord, error) {
	r, err := load(b, peerKey(id), decodePeer)
	switch {
	case errors.Is(err, ErrStore):
		// What it said is in the peer's next bundle, too.
		return &peerRecord{dirty: true}, nil
	case r == nil && err == nil:
		r = &peerRecord{}
	}
	return r, err
}

func (b *batch) savePeer(id key.Public, r *peerRecord) {
	if r.dirty {
		b.put(peerKey(id), r.encode())
		r.dirty = false
	}
}

// own reads our current pre key; none, or a damaged record, is a zero key.
func (b *batch) own() (*ownRecord, error) {
	r, err := load(b, ownKey, decodeOwn)
	switch {
	case errors.Is(err, ErrStore):
		return &ownRecord{}, nil
	case r == nil && err == nil:
		r = &ownRecord{}
	}
	return r, err
}

// live reports whether messages may be sent in a session: only while the
// signed pre key that it began with is its owner's current one
// (54/WAKU2-X3DH-SESSIONS, Re-keying) and it is not given up.
func (s sessionRef) live(peer *peerRecord, own *ownRecord) bool {
	if s.givenUp {
		return false
	}
	if !s.initiator {
		return s.preKey == own.preKey
	}
	i := peer.find(s.installation)
	return i != nil && i.preKey == s.preKey
}

// choose finds the session for sending to an installation: of the live ones
// that we began, else one that the peer began. Deployed clients come to the
// same; 54/WAKU2-X3DH-SESSIONS, Concurrent sessions, would compare the
// symmetric keys. Either side opens messages of both.
func (r *peerRecord) choose(installation string, own *ownRecord) (sessionRef, bool) {
	var found sessionRef
	ok := false
	for _, s := range r.sessions {
		if s.installation == installation && s.live(r, own) && (!ok || s.initiator) {
			found, ok = s, true
		}
	}
	return found, ok
}

// addSession notes a new session and drops what is too much: the oldest that
// is not live, or else the oldest.
func (b *batch) addSession(peer compressedKey, r *peerRecord, own *ownRecord, ref sessionRef) error {
	r.sessions = append(r.sessions, ref)
	r.dirty = true
	sameDevice := func(s sessionRef) bool { return s.installation == ref.installation }
	if err := b.dropSessions(peer, r, own, MaxSessions, sameDevice); err != nil {
		return err
	}
	return b.dropSessions(peer, r, own, MaxPeerSessions, func(sessionRef) bool { return true })
}

// dropSessions removes sessions that match until at most keep are left.
func (b *batch) dropSessions(peer compressedKey, r *peerRecord, own *ownRecord, keep int, match func(sessionRef) bool) error {
	for {
		n, oldest, victim := 0, -1, -1
		for i, s := range r.sessions {
			if !match(s) {
				continue
			}
			n++
			if oldest < 0 {
				oldest = i
			}
			if victim < 0 && !s.live(r, own) {
				victim = i
			}
		}
		if n <= keep {
			return nil
		}
		if victim < 0 || victim == len(r.sessions)-1 {
			victim = oldest
		}
		if err := b.clear(sessionName(peer, r.sessions[victim])); err != nil {
			return err
		}
		r.sessions = slices.Delete(r.sessions, victim, victim+1)
		r.dirty = true
	}
}

// clear deletes a session's record and its keys of missing messages.
func (b *batch) clear(name string) error {
	b.delete(sessionPrefix + name)
	for _, prefix := range []string{skippedPrefix, chainPrefix} {
		err := b.st.Scan(prefix+name+"/", func(key string, _ []byte) error {
			b.delete(key)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
