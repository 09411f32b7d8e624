package session

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/encryption/x3dh"
	"github.com/parley-im/parley/internal/kv"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
)

// Healing. A double ratchet breaks when either side loses its state or goes
// back to an earlier one: a database restored from a backup or copied, a device
// set up again under the same installation id, a damaged record. Then nothing
// that one side says opens on the other, and neither is told.
//
// The side that cannot read finds out. It gives up its sessions with that
// installation (they still open what is late, and nothing is sent in them any
// more), makes a new signed pre key if the installation may have used the
// current one, and sends an empty message in DH form, which opens without a
// session, with its bundle (see [Protocol.Heal]). The other side sees an empty
// message that needs no session although there is one, gives up its own sessions
// with the installation, and answers in one that begins with the pre key of the
// bundle. With the first message in it both are well. Deployed clients read the
// message as they read any bundle with a new version: what they send next begins
// a new session, too.
//
// What counts as a sign of a broken session is signed by its sender (the Waku
// payload is), but neither when nor to whom is: whoever was sent a message can
// pass it on, and anybody can repeat an envelope. So a message counts only when
// the bundle in it is newer than all that was heard from the installation
// before in sessions, once, and Threshold of them without anything that opens are needed.
// What an outsider could reach in spite of that is one new session, which loses
// nothing, and then the back-off holds.

// Limits of healing.
const (
	// Threshold is how many messages that do not open make a session broken.
	Threshold = 3
	// SuspicionWindow is for how long they are counted.
	SuspicionWindow = 24 * time.Hour
	// HealRotation is the least age of a signed pre key that is replaced to heal
	// a session, so that nobody can make us use up those that are kept.
	HealRotation = time.Hour
	// AnswerCooldown is how often one installation is answered that has begun
	// anew.
	AnswerCooldown = time.Minute
	// ResumeCooldown is how often what was sent to an installation is sent again
	// because its session has changed.
	ResumeCooldown = 10 * time.Minute
	// CalmPeriod without a break makes the back-off begin again.
	CalmPeriod = 7 * 24 * time.Hour
	// MaxBreaks is how many breaks are kept, the healed ones among them.
	MaxBreaks = 256
	// BreakRetention is for how long a healed break is kept.
	BreakRetention = 30 * 24 * time.Hour
	// clockSkew is by how much the clock of a peer may be ahead of ours.
	clockSkew = 24 * time.Hour
	// maxDigests is how many messages are known again as counted.
	maxDigests = 8
)

// healPauses are the times between attempts with one installation; the last
// one repeats.
var healPauses = []time.Duration{0, 10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour}

// Finding is what a message that does not open means.
type Finding struct {
	// Break is what is known now; nil when the message does not count.
	Break *Break
	// Broken says that the session has become broken with this message.
	Broken bool
	// Heal says that an attempt to heal it is due: Protocol.Heal.
	Heal bool
}

// Undecryptable takes note of a message that Open has refused with an error that
// MeansBroken. It is for peers that we have to do with; those of strangers must
// not be counted.
func (p *Protocol) Undecryptable(st kv.Store, now time.Time, from key.Public, data []byte, refusal error) (Finding, error) {
	cause, ok := causeOf(refusal)
	if !ok {
		return Finding{}, nil
	}
	m, err := decodeMessage(data)
	if err != nil {
		return Finding{}, nil
	}
	installation := m.GetInstallationId()
	if x3dh.CheckInstallationID(installation) != nil || p.isSelf(from, installation) {
		return Finding{}, nil
	}
	b := &batch{st: st}
	peer, err := b.peer(from)
	if err != nil {
		return Finding{}, err
	}
	before, err := b.loadBreak(from, installation)
	if err != nil {
		return Finding{}, err
	}
	i := peer.find(installation)
	r := before
	if r == nil || r.State == Healed || r.State == Suspected && now.UnixNano()-r.Since > int64(SuspicionWindow) {
		if r, err = b.beginBreak(before, from, installation, cause, now); err != nil {
			return Finding{}, err
		}
		if i != nil {
			r.Floor = max(r.Floor, i.lastOpened)
		}
	}
	if r.Floor > now.Add(clockSkew).UnixNano() || r.LastAttempt > now.UnixNano() {
		r.Floor, r.LastAttempt = 0, 0 // the clock has been set back
	}
	at, digest := bundleTime(m, now), sha256.Sum256(data)
	short := digest[:8]
	if at <= max(r.Floor, r.LastAttempt) || slices.ContainsFunc(r.Digests, func(d []byte) bool { return bytes.Equal(d, short) }) {
		return Finding{}, nil
	}
	r.Newest = max(r.Newest, at)
	r.Digests = append(r.Digests, short)
	r.Digests = r.Digests[max(0, len(r.Digests)-maxDigests):]
	r.Messages++
	var f Finding
	if r.State == Suspected && r.Messages >= Threshold {
		r.State, f.Broken = Broken, true
	}
	pause := healPauses[min(r.Attempts, len(healPauses)-1)]
	f.Heal = r.State == Broken && now.UnixNano()-r.LastAttempt >= int64(pause)
	f.Break = r.public()
	if i != nil && !i.broken {
		i.broken, peer.dirty = true, true
	}
	b.savePeer(from, peer)
	if err := b.saveBreak(r); err != nil {
		return Finding{}, err
	}
	return f, b.commit()
}

// bundleTime is the time of the bundle in a message, not too long after now; 0
// if there is none.
func bundleTime(m *encryptionpb.ProtocolMessage, now time.Time) int64 {
	if len(m.GetBundles()) == 0 {
		return 0
	}
	return min(m.GetBundles()[0].GetTimestamp(), now.Add(clockSkew).UnixNano())
}

// Heal makes the message that begins to heal a broken session with the sender of
// data, the message that Undecryptable has seen last: an empty one in DH form
// with our bundle. The sessions with the installation are given up. It returns
// nil without an error when a new signed pre key is needed and the last one is
// younger than HealRotation; a later message then brings the next attempt. Reads
// rand as Bundle, then as SealDH does. Errors: ErrBundle, for the bundle in data.
func (p *Protocol) Heal(st kv.Store, now time.Time, rand io.Reader, from key.Public, data []byte) (*Sealed, error) {
	m, err := decodeMessage(data)
	if err != nil {
		return nil, err
	}
	installation := m.GetInstallationId()
	b := &batch{st: st}
	peer, err := b.peer(from)
	if err != nil {
		return nil, err
	}
	if _, err := p.processBundles(b, peer, from, installation, now, m.GetBundles()); err != nil {
		return nil, err
	}
	own, err := b.own()
	if err != nil {
		return nil, err
	}
	if own.spent(peer, installation, m.EncryptedMessage[p.InstallationID].GetDrHeader().GetId()) {
		if done, err := b.renew(own, now, rand); err != nil || !done {
			return nil, err
		}
	}
	peer.giveUp(installation)
	if i := peer.find(installation); i != nil {
		i.broken = true
	}
	peer.dirty = true
	r, err := b.loadBreak(from, installation)
	if err != nil {
		return nil, err
	}
	if r == nil {
		if r, err = b.beginBreak(nil, from, installation, NoSession, now); err != nil {
			return nil, err
		}
	}
	r.State = Broken
	r.Attempts++
	r.LastAttempt = now.UnixNano()
	if err := b.saveBreak(r); err != nil {
		return nil, err
	}
	return p.advertise(b, now, rand, from, peer)
}

// spent reports whether our current signed pre key will not do for a new session
// with an installation: there may be one that began with it, or the installation
// seems to know a later one. used is what its message names.
func (r *ownRecord) spent(peer *peerRecord, installation string, used []byte) bool {
	if bytes.Equal(used, r.preKey[:]) {
		return true
	}
	// It is its own, or that of a session which is there, or one that we lost.
	i := peer.find(installation)
	lost := i == nil || !bytes.Equal(used, i.preKey[:])
	for _, s := range peer.sessions {
		if s.installation != installation {
			continue
		}
		if !s.initiator && s.preKey == r.preKey {
			return true
		}
		lost = lost && !bytes.Equal(used, s.preKey[:])
	}
	return lost
}

// versionEpoch is where versions of signed pre keys begin to be counted in
// hours when one is made to heal.
var versionEpoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// renew replaces our current signed pre key before its time, unless it has done
// so within HealRotation. The version is higher than that of any which we may
// have made and lost: they come once a day, and to heal once an hour at most.
func (b *batch) renew(own *ownRecord, now time.Time, rand io.Reader) (done bool, err error) {
	last, ok, err := b.get(renewedKey)
	if err != nil {
		return false, err
	}
	if ok && len(last) == 8 {
		age := now.UnixNano() - int64(binary.BigEndian.Uint64(last))
		if age >= 0 && age < int64(HealRotation) {
			return false, nil
		}
	}
	spk, err := key.Generate(rand)
	if err != nil {
		return false, err
	}
	hours := max(0, now.Sub(versionEpoch)/time.Hour)
	next := ownRecord{preKey: spk.Public().Compressed(), version: max(own.version+1, uint32(hours)), created: now.UnixNano()}
	if err := b.addPreKey(spk, next); err != nil {
		return false, err
	}
	b.put(ownKey, next.encode())
	b.put(renewedKey, encodeTime(now))
	return true, nil
}

// giveUp marks the sessions with an installation as not to be sent in.
func (r *peerRecord) giveUp(installation string) {
	for n := range r.sessions {
		if r.sessions[n].installation == installation {
			r.sessions[n].givenUp, r.dirty = true, true
		}
	}
}

// lose marks the sessions with an installation that has lost them: it may
// replace them. One that we have begun since, and that it has not answered, it
// does not know yet. It reports whether there was any to be given up.
func (b *batch) lose(from key.Public, r *peerRecord, i *installation) (lost bool, err error) {
	for n := range r.sessions {
		s := &r.sessions[n]
		if s.installation != i.id {
			continue
		}
		if s.initiator && !s.givenUp && s.preKey == i.preKey {
			record, err := load(b, sessionPrefix+sessionName(from.Compressed(), *s), decodeSession)
			if err != nil && !errors.Is(err, ErrStore) {
				return lost, err
			}
			if record != nil && record.ephemeral != (compressedKey{}) {
				continue
			}
		}
		lost = lost || !s.givenUp
		s.givenUp, s.replaceable, r.dirty = true, true, true
	}
	return lost, nil
}

// beganAnew takes note that an installation has lost its sessions with us, or
// given them up. It returns the break if that is news.
func (p *Protocol) beganAnew(b *batch, peer *peerRecord, from key.Public, i *installation, now time.Time) (*breakRecord, error) {
	if lost, err := b.lose(from, peer, i); err != nil || !lost {
		return nil, err
	}
	r, err := b.loadBreak(from, i.id)
	if err != nil {
		return nil, err
	}
	if r == nil || r.State != Broken {
		if r, err = b.beginBreak(r, from, i.id, BegunAnew, now); err != nil {
			return nil, err
		}
		r.State = Broken
	}
	i.broken, peer.dirty = true, true
	return r, b.saveBreak(r)
}

// isDamaged takes note that the record of a session that was to be sent in
// cannot be read.
func (b *batch) isDamaged(peer key.Public, i *installation, now time.Time) error {
	r, err := b.loadBreak(peer, i.id)
	if err != nil || r != nil && r.State == Broken {
		return err
	}
	if r, err = b.beginBreak(r, peer, i.id, Damaged, now); err != nil {
		return err
	}
	r.State, i.broken = Broken, true
	return b.saveBreak(r)
}

// goesOn takes note of a message that has opened in a session with an
// installation where something was wrong; isNew says that it has begun the
// session. If that has healed a break, it says so.
func (b *batch) goesOn(peer *peerRecord, from key.Public, i *installation, isNew bool, at int64, now time.Time, out *Opened) error {
	r, err := b.loadBreak(from, i.id)
	if err != nil {
		return err
	}
	if r != nil && r.State == Suspected && !isNew {
		if at < r.Newest {
			return nil // it may be from before
		}
		b.delete(breakKey(from, i.id))
		r = nil
	}
	i.broken, peer.dirty = false, true
	if r == nil || r.State == Healed {
		return nil
	}
	if r.State == Suspected { // a new session proves it
		r.State = Broken
		out.Began = r.public()
	}
	r.State, r.Healed = Healed, now.UnixNano()
	out.Healed, out.Resume = r.public(), due(&r.LastResumed, ResumeCooldown, now)
	return b.saveBreak(r)
}

// due reports whether so much time has passed since something was done last, and
// takes note that it is done now.
func due(last *int64, pause time.Duration, now time.Time) bool {
	if since := now.UnixNano() - *last; since >= 0 && since < int64(pause) {
		return false
	}
	*last = now.UnixNano()
	return true
}

// answerDue reports whether an installation that has begun anew is to be
// answered now, and takes note of it.
func (b *batch) answerDue(from key.Public, installation string, now time.Time) (bool, error) {
	r, err := b.loadBreak(from, installation)
	if err != nil || r == nil || r.State != Broken {
		return false, err
	}
	if !due(&r.LastAnswer, AnswerCooldown, now) {
		return false, nil
	}
	return true, b.saveBreak(r)
}

// advertise seals an empty message in DH form, with our bundle, signed now. The
// answer may come on the negotiated topic, so there is a secret from now on.
func (p *Protocol) advertise(b *batch, now time.Time, rand io.Reader, to key.Public, peer *peerRecord) (*Sealed, error) {
	entry, err := sealDH(to, nil, rand)
	if err != nil {
		return nil, err
	}
	out := new(Sealed)
	if out.SecretNew, err = p.ensureSecret(to, peer); err != nil {
		return nil, err
	}
	out.Secret = peer.secret
	b.savePeer(to, peer)
	if err := b.resign(); err != nil {
		return nil, err
	}
	if out.Bytes, err = p.finish(b, now, rand, pairwise(x3dh.ReservedID, entry)); err != nil {
		return nil, err
	}
	return out, b.commit()
}

// preKeyIn is the signed pre key of the sending installation in a message's
// bundle.
func preKeyIn(m *encryptionpb.ProtocolMessage) []byte {
	if len(m.GetBundles()) == 0 {
		return nil
	}
	return m.GetBundles()[0].GetSignedPreKeys()[m.GetInstallationId()].GetSignedPreKey()
}
