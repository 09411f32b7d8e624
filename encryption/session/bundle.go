package session

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/encryption/x3dh"
	"github.com/parley-im/parley/internal/kv"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
)

// Bundle returns our own bundle: the current signed pre key of this
// installation and of up to MaxTargets−1 paired ones, signed at now (or before,
// within BundleRefresh). There is a new signed pre key, with the next version,
// when there is none or the current one is older than RotationPeriod; earlier
// ones are kept for late messages, up to MaxPreKeys. Reads rand only for a new
// signed pre key: one key.
func (p *Protocol) Bundle(st kv.Store, now time.Time, rand io.Reader) (*encryptionpb.Bundle, error) {
	b := &batch{st: st}
	own, err := b.own()
	if err != nil {
		return nil, err
	}
	bundle, err := p.bundle(b, own, now, rand)
	if err != nil {
		return nil, err
	}
	return bundle, b.commit()
}

// bundle is Bundle inside a batch.
func (p *Protocol) bundle(b *batch, own *ownRecord, now time.Time, rand io.Reader) (*encryptionpb.Bundle, error) {
	next := *own
	fresh := own.preKey == compressedKey{} || time.Duration(now.UnixNano()-own.created) > RotationPeriod
	if fresh {
		spk, err := key.Generate(rand)
		if err != nil {
			return nil, err
		}
		next = ownRecord{preKey: spk.Public().Compressed(), version: own.version + 1, created: now.UnixNano()}
		if err := b.addPreKey(spk, next); err != nil {
			return nil, err
		}
	}
	spk, err := key.PublicFromBytes(next.preKey[:])
	if err != nil {
		return nil, fmt.Errorf("%w: own pre key: %w", ErrStore, err)
	}
	entries := []x3dh.Entry{{
		Installation: p.InstallationID, PreKey: x3dh.RemotePreKey{Public: spk},
		Version: next.version, ProtocolVersion: ProtocolVersion,
	}}
	self, err := b.peer(p.self())
	if err != nil {
		return nil, err
	}
	others := p.targets(p.self(), self)
	for _, i := range others[:min(len(others), MaxTargets-1)] {
		spk, err := key.PublicFromBytes(i.preKey[:])
		if err != nil {
			return nil, fmt.Errorf("%w: pre key: %w", ErrStore, err)
		}
		entries = append(entries, x3dh.Entry{
			Installation: i.id, PreKey: x3dh.RemotePreKey{Public: spk},
			Version: i.version, ProtocolVersion: i.protocol,
		})
	}
	if !fresh {
		if bundle, ok := p.signedBefore(own, entries, now); ok {
			return bundle, nil
		}
	}
	bundle, err := x3dh.Sign(p.Identity, entries, now.UnixNano())
	if err != nil {
		return nil, err
	}
	if p.BundleRefresh > 0 {
		if next.bundle, err = deterministic.Marshal(bundle); err != nil {
			return nil, err
		}
		next.signedAt = now.UnixNano()
	}
	if fresh || p.BundleRefresh > 0 {
		b.put(ownKey, next.encode())
	}
	return bundle, nil
}

// Resign makes the next bundle be signed anew, as it should be after a start: a
// peer takes what comes with a bundle that it knows for something repeated.
func (p *Protocol) Resign(st kv.Store) error {
	b := &batch{st: st}
	if err := b.resign(); err != nil {
		return err
	}
	return b.commit()
}

func (b *batch) resign() error {
	own, err := b.own()
	if err != nil || len(own.bundle) == 0 {
		return err
	}
	own.bundle, own.signedAt = nil, 0
	b.put(ownKey, own.encode())
	return nil
}

// signedBefore returns the stored bundle if it is young enough and still says
// the same.
func (p *Protocol) signedBefore(own *ownRecord, entries []x3dh.Entry, now time.Time) (*encryptionpb.Bundle, bool) {
	age := time.Duration(now.UnixNano() - own.signedAt)
	if p.BundleRefresh <= 0 || len(own.bundle) == 0 || age < 0 || age >= p.BundleRefresh {
		return nil, false
	}
	var bundle encryptionpb.Bundle
	if err := proto.Unmarshal(own.bundle, &bundle); err != nil || len(bundle.SignedPreKeys) != len(entries) {
		return nil, false
	}
	for _, e := range entries {
		spk, listed := bundle.SignedPreKeys[e.Installation]
		want := e.PreKey.Public.Compressed()
		if !listed || string(spk.SignedPreKey) != string(want[:]) ||
			spk.Version != e.Version || spk.ProtocolVersion != e.ProtocolVersion {
			return nil, false
		}
	}
	return &bundle, true
}

// ImportPreKey takes over a signed pre key of this installation that was made
// elsewhere, out of a backup or a recording. It becomes the current one unless
// the current one has a higher version.
func (p *Protocol) ImportPreKey(st kv.Store, spk key.Private, version uint32, created time.Time) error {
	b := &batch{st: st}
	own, err := b.own()
	if err != nil {
		return err
	}
	next := ownRecord{preKey: spk.Public().Compressed(), version: version, created: created.UnixNano()}
	if err := b.addPreKey(spk, next); err != nil {
		return err
	}
	if version >= own.version {
		b.put(ownKey, next.encode())
	}
	return b.commit()
}

// addPreKey keeps the private half of a signed pre key and drops the oldest
// when there are too many.
func (b *batch) addPreKey(spk key.Private, own ownRecord) error {
	name := preKeyPrefix + hexKey(own.preKey)
	r := preKeyRecord{private: [key.PrivateSize]byte(spk.Bytes()), version: own.version, created: own.created}
	b.put(name, r.encode())
	held := map[string]int64{}
	err := b.st.Scan(preKeyPrefix, func(k string, value []byte) error {
		r, err := decodePreKey(value)
		if err != nil {
			return err
		}
		if k != name {
			held[k] = r.created
		}
		return nil
	})
	if err != nil {
		return err
	}
	for len(held)+1 > MaxPreKeys {
		oldest := ""
		for k := range maps.Keys(held) {
			if oldest == "" || held[k] < held[oldest] || held[k] == held[oldest] && k < oldest {
				oldest = k
			}
		}
		b.delete(oldest)
		delete(held, oldest)
	}
	return nil
}

// ProcessBundle verifies a bundle received from an identity and then stores
// what it says: installations of others are enabled at once, own ones disabled
// until they are paired. It returns the installations that are new. A bundle
// that equals the one verified last is not verified again. Errors: ErrBundle.
func (p *Protocol) ProcessBundle(st kv.Store, now time.Time, from key.Public, bundle *encryptionpb.Bundle) ([]Installation, error) {
	b := &batch{st: st}
	peer, err := b.peer(from)
	if err != nil {
		return nil, err
	}
	added, err := p.processBundles(b, peer, from, "", now, []*encryptionpb.Bundle{bundle})
	if err != nil {
		return nil, err
	}
	b.savePeer(from, peer)
	return added, b.commit()
}

// processBundles verifies all bundles before it changes anything. The sending
// installation is empty when it is not known.
func (p *Protocol) processBundles(b *batch, peer *peerRecord, from key.Public, sender string, now time.Time, bundles []*encryptionpb.Bundle) ([]Installation, error) {
	if len(bundles) > MaxBundles {
		return nil, fmt.Errorf("%w: %d bundles, at most %d", ErrBundle, len(bundles), MaxBundles)
	}
	type verified struct {
		bundle x3dh.Bundle
		digest [32]byte
	}
	var news []verified
	for _, bundle := range bundles {
		data, err := deterministic.Marshal(bundle)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBundle, err)
		}
		digest := sha256.Sum256(data)
		if digest == peer.digest {
			continue
		}
		v, err := x3dh.Verify(bundle)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBundle, err)
		}
		if v.Identity() != from {
			return nil, fmt.Errorf("%w: of another identity than the sender", ErrBundle)
		}
		news = append(news, verified{v, digest})
	}
	var added []Installation
	for _, v := range news {
		peer.digest, peer.dirty = v.digest, true
		for _, e := range v.bundle.Entries() {
			if p.isSelf(from, e.Installation) {
				continue
			}
			i, outcome := peer.see(e, v.bundle.Timestamp(), from != p.self(), e.Installation == sender)
			switch outcome {
			case seenNew:
				added = append(added, i.public(from))
			case seenReset:
				if _, err := p.beganAnew(b, peer, from, i, now); err != nil {
					return nil, err
				}
			}
		}
		own, err := b.own()
		if err != nil {
			return nil, err
		}
		gone, err := b.evict(from.Compressed(), peer, own)
		if err != nil {
			return nil, err
		}
		added = without(added, gone)
	}
	return added, nil
}

// seen is what an entry of a bundle says of an installation.
type seen int

const (
	seenKnown seen = iota
	// seenNew: it was not known.
	seenNew
	// seenReset: it counts its pre keys from the start again, so it has lost
	// what it knew.
	seenReset
)

// see takes in one entry of a verified bundle. Timestamps only move forward, and
// so do versions; the same version with another key counts if the bundle is
// newer. What an installation says of itself in a newer bundle counts in any
// case: it may have been set up again, or gone back to an earlier state.
func (r *peerRecord) see(e x3dh.Entry, timestamp int64, enable, itself bool) (*installation, seen) {
	preKey := e.PreKey.Public.Compressed()
	i := r.find(e.Installation)
	if i == nil {
		i = &installation{
			id: e.Installation, preKey: preKey, version: e.Version, protocol: e.ProtocolVersion,
			lastSeen: timestamp, enabled: enable,
		}
		r.installations = append(r.installations, i)
		return i, seenNew
	}
	outcome := seenKnown
	newer := timestamp > i.lastSeen
	if newer && itself && preKey != i.preKey && e.Version <= i.version {
		// It may not listen where a secret was negotiated, until it is heard
		// from again.
		outcome, i.heard = seenReset, false
	}
	if e.Version > i.version || newer && (e.Version == i.version || itself) {
		i.preKey, i.version = preKey, e.Version
	}
	if newer {
		i.lastSeen = timestamp
		i.protocol = max(i.protocol, e.ProtocolVersion)
	}
	return i, outcome
}
