package session

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
)

// Installation is a device of an identity, known from its bundles.
type Installation struct {
	Identity key.Public
	// ID is the installation id, a UUID in text form.
	ID string
	// ProtocolVersion is what the device's bundle says of it.
	ProtocolVersion uint32
	// Enabled says that messages to the identity are encrypted for it.
	Enabled bool
	// LastSeen is the time of the newest bundle that lists it.
	LastSeen time.Time
}

func (i *installation) public(identity key.Public) Installation {
	return Installation{identity, i.id, i.protocol, i.enabled, time.Unix(0, i.lastSeen)}
}

// Installations lists the known installations of an identity, the one seen
// last first. Of our own identity it lists the other ones.
func (p *Protocol) Installations(st kv.Store, identity key.Public) ([]Installation, error) {
	peer, err := (&batch{st: st}).peer(identity)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(peer.installations, byLastSeen)
	out := make([]Installation, 0, len(peer.installations))
	for _, i := range peer.installations {
		out = append(out, i.public(identity))
	}
	return out, nil
}

// SetEnabled says whether messages are encrypted for an installation: pairing
// and unpairing for those of our own identity. It returns ErrInstallation for
// one that is not known.
func (p *Protocol) SetEnabled(st kv.Store, identity key.Public, id string, enabled bool) error {
	b := &batch{st: st}
	peer, err := b.peer(identity)
	if err != nil {
		return err
	}
	i := peer.find(id)
	if i == nil {
		return fmt.Errorf("%w: %q", ErrInstallation, id)
	}
	peer.dirty = i.enabled != enabled
	i.enabled = enabled
	b.savePeer(identity, peer)
	return b.commit()
}

// targets is for whom a message to an identity is encrypted: the MaxTargets
// enabled installations seen last, never this one.
func (p *Protocol) targets(identity key.Public, peer *peerRecord) []*installation {
	var out []*installation
	for _, i := range peer.installations {
		if i.enabled && !p.isSelf(identity, i.id) {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, byLastSeen)
	return out[:min(len(out), MaxTargets)]
}

func byLastSeen(a, b *installation) int {
	return cmp.Or(cmp.Compare(b.lastSeen, a.lastSeen), cmp.Compare(a.id, b.id))
}

// evict forgets installations beyond MaxInstallations, disabled ones and those
// not seen for longest first, with their sessions. It returns their ids.
func (b *batch) evict(peer compressedKey, r *peerRecord, own *ownRecord) ([]string, error) {
	var gone []string
	for len(r.installations) > MaxInstallations {
		victim := slices.MinFunc(r.installations, func(a, b *installation) int {
			if a.enabled != b.enabled {
				if b.enabled {
					return -1
				}
				return 1
			}
			return byLastSeen(b, a)
		})
		r.installations = slices.DeleteFunc(r.installations, func(i *installation) bool { return i == victim })
		r.dirty = true
		err := b.dropSessions(peer, r, own, 0, func(s sessionRef) bool { return s.installation == victim.id })
		if err != nil {
			return nil, err
		}
		gone = append(gone, victim.id)
	}
	return gone, nil
}

func without(all []Installation, ids []string) []Installation {
	return slices.DeleteFunc(all, func(i Installation) bool { return slices.Contains(ids, i.ID) })
}
