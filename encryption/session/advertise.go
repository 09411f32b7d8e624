package session

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
)

// The schedule of advertisements, as deployed clients have it.
const (
	// AdvertisementTick is how often to look whether the contact code is due.
	AdvertisementTick = 120 * time.Second
	// AdvertisementInterval is how often the contact code, our bundle on our
	// contact-code topic, is published, and once after each start.
	AdvertisementInterval = 6 * time.Hour
	// ReplyCooldown is how long a peer that does not know this installation is
	// not told of it again.
	ReplyCooldown = 2 * time.Hour
)

// NextAdvertisement returns when the contact code is to be published next: now
// if it never was (last is zero), if it is overdue, or if the clock has been set
// back behind last.
func NextAdvertisement(last, now time.Time) time.Time {
	next := last.Add(AdvertisementInterval)
	if last.IsZero() || last.After(now) || next.Before(now) {
		return now
	}
	return next
}

// ReplyDue reports whether a peer is to be told of this installation, when it
// was told last at last (zero: never).
func ReplyDue(last, now time.Time) bool {
	return last.IsZero() || last.After(now) || now.Sub(last) >= ReplyCooldown
}

// MaxAdvertisements is how many answers SealAdvertisement makes in an hour: peers
// cost nothing, so a limit for each of them is none.
const MaxAdvertisements = 120

// SealAdvertisement makes the answer to a message that was not for this
// installation (ErrNotForUs), or that a stranger sends in a session that is not
// there: an empty message that carries our bundle, as 54/WAKU2-X3DH-SESSIONS,
// Partitioned devices, demands. It returns nil without an error within
// ReplyCooldown of the last answer to the same peer, and when there have been
// MaxAdvertisements in the hour. Deployed clients have the condition the wrong
// way round and never answer. Reads rand as SealDH does.
func (p *Protocol) SealAdvertisement(st kv.Store, now time.Time, rand io.Reader, to key.Public) (*Sealed, error) {
	return p.sealAdvert(st, now, rand, to, false)
}

// SealLoss is SealAdvertisement for a stranger's message in a session that is not
// there (ErrNoSession, ErrUnknownPreKey): this installation may have lost what it
// knew. Deployed clients begin a new session only when the version of the pre key
// is higher than that of the one which they used, and a new state counts from the
// start again; so the first time there is a new pre key, as by Heal. Reads rand
// for it as Bundle does, then as SealDH does.
func (p *Protocol) SealLoss(st kv.Store, now time.Time, rand io.Reader, to key.Public) (*Sealed, error) {
	return p.sealAdvert(st, now, rand, to, true)
}

func (p *Protocol) sealAdvert(st kv.Store, now time.Time, rand io.Reader, to key.Public, loss bool) (*Sealed, error) {
	b := &batch{st: st}
	name := advertPrefix + hexKey(to.Compressed())
	value, ok, err := b.get(name)
	if err != nil {
		return nil, err
	}
	if ok {
		if len(value) != 8 {
			return nil, fmt.Errorf("%w: advertisement", ErrStore)
		}
		if !ReplyDue(time.Unix(0, int64(binary.BigEndian.Uint64(value))), now) {
			return nil, nil
		}
	}
	if ok, err := b.countAdvert(now); err != nil || !ok {
		return nil, err
	}
	peer, err := b.peer(to)
	if err != nil {
		return nil, err
	}
	b.put(name, encodeTime(now))
	if loss {
		if err := b.outgrow(now, rand); err != nil {
			return nil, err
		}
	}
	return p.advertise(b, now, rand, to, peer)
}

// outgrow makes the version of our signed pre key higher than that of any which an
// earlier state may have had, once for a state. What Heal may do stays the same.
func (b *batch) outgrow(now time.Time, rand io.Reader) error {
	for _, name := range []string{renewedKey, outgrownKey} {
		if _, done, err := b.get(name); err != nil || done {
			return err
		}
	}
	own, err := b.own()
	if err != nil {
		return err
	}
	if _, err := b.renew(own, now, rand); err != nil {
		return err
	}
	b.delete(renewedKey)
	b.put(outgrownKey, encodeTime(now))
	return nil
}

// countAdvert counts an advertisement, if there may be another one in the hour.
func (b *batch) countAdvert(now time.Time) (bool, error) {
	value, ok, err := b.get(advertsKey)
	if err != nil {
		return false, err
	}
	begun, count := now, uint32(0)
	if ok && len(value) == 12 {
		then := time.Unix(0, int64(binary.BigEndian.Uint64(value)))
		if age := now.Sub(then); age >= 0 && age < time.Hour {
			begun, count = then, binary.BigEndian.Uint32(value[8:])
		}
	}
	if count >= MaxAdvertisements {
		return false, nil
	}
	b.put(advertsKey, binary.BigEndian.AppendUint32(encodeTime(begun), count+1))
	return true, nil
}
