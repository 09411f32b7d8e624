package sds

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"
)

// repairHash is the hash of SDS-R, which the specification leaves open: the
// first 8 bytes of SHA-256 over the concatenated texts, as deployed clients
// (@waku/sds) have it.
func repairHash(texts ...string) uint64 {
	h := sha256.New()
	for _, t := range texts {
		h.Write([]byte(t))
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// requestDelay is the back-off from noticing that a message is missing to
// T_req (section "Determine T_req"), in whole milliseconds.
func (c *Channel) requestDelay(id string) time.Duration {
	r := c.Config.Repair
	spread := uint64((r.TMax - r.TMin) / time.Millisecond)
	return time.Duration(repairHash(c.Self, id)%max(1, spread))*time.Millisecond + r.TMin
}

// answerDelay is the back-off from a repair request to T_resp (section
// "Determine T_resp"), in whole milliseconds: zero for the author. The product
// is that of whole numbers, without overflow.
func (c *Channel) answerDelay(sender, id string) time.Duration {
	high, low := bits.Mul64(repairHash(c.Self)^repairHash(sender), repairHash(id))
	spread := uint64(c.Config.Repair.TMax / time.Millisecond)
	return time.Duration(bits.Rem64(high, low, max(1, spread))) * time.Millisecond
}

// inGroup reports whether a participant is in the response group of a message
// (section "Determine response group").
func inGroup(participant, sender, id string, groups int) bool {
	return groups <= 1 || participant == sender ||
		repairHash(participant, id)%uint64(groups) == repairHash(sender, id)%uint64(groups)
}

// requests applies the repair requests of a message: who asks for the same is
// not joined, and what we hold is answered after a while.
func (e *step) requests(list []Entry) error {
	if e.Config.Repair.Off {
		return nil
	}
	for _, entry := range list {
		r := refOf(entry.ID)
		if err := e.yield(r); err != nil {
			return err
		}
		if err := e.planAnswer(entry.ID, r); err != nil {
			return err
		}
	}
	return nil
}

// planAnswer puts a message into the incoming repair buffer. The author is the
// one in our log, not the one in the request: with another one a single
// request could make everybody answer at once.
func (e *step) planAnswer(id string, r ref) error {
	if ok, err := e.has(r.key(keyCache)); err != nil || !ok {
		return err
	}
	if planned, err := e.has(r.key(keyAnswer)); err != nil || planned {
		return err
	}
	k, ok, err := e.known(r)
	if err != nil || !ok {
		return err
	}
	if k.aired != 0 && e.now-k.aired < int64(e.Config.Repair.TMin) {
		return nil // asked before the last answer could arrive
	}
	entry, err := e.logEntry(k.lamport, id)
	if err != nil {
		return err
	}
	if entry == nil {
		return fmt.Errorf("%w: known message is not in the log", ErrCorrupt)
	}
	if e.s.answers >= uint64(e.Config.Limits.Answers) {
		return nil // the request comes again
	}
	e.s.answers++
	return e.putAnswer(r, e.now+int64(e.answerDelay(entry.Sender, id)))
}

func (e *step) putAnswer(r ref, at int64) error {
	if err := e.st.Put(r.key(keyAnswer), []byte(number(uint64(at)))); err != nil {
		return err
	}
	return e.st.Put(timerKey(at, timerAnswer, r), nil)
}

// takeAnswer takes a message out of the incoming repair buffer, and reports
// whether it was there.
func (e *step) takeAnswer(r ref) (bool, error) {
	raw, ok, err := e.st.Get(r.key(keyAnswer))
	if err != nil || !ok {
		return false, err
	}
	if len(raw) != numberSize {
		return false, fmt.Errorf("%w: repair answer", ErrCorrupt)
	}
	at := int64(binary.BigEndian.Uint64(raw))
	return true, e.remove(r.key(keyAnswer), timerKey(at, timerAnswer, r))
}

// answered notes that somebody broadcast a message: our answer is not needed.
func (e *step) answered(r ref) error {
	ok, err := e.takeAnswer(r)
	if err != nil || !ok {
		return err
	}
	e.s.answers--
	return e.air(r)
}

// air notes that a message was rebroadcast now.
func (e *step) air(r ref) error {
	k, ok, err := e.known(r)
	if err != nil || !ok {
		return err
	}
	k.aired = e.now
	return e.putKnown(r, k)
}

// answer rebroadcasts a message whose T_resp has come, byte for byte, unless
// this minute had its share.
func (e *step) answer(r ref) error {
	if _, err := e.takeAnswer(r); err != nil {
		return err
	}
	raw, ok, err := e.st.Get(r.key(keyCache))
	if err != nil {
		return err
	}
	if !ok { // dropped in the meantime
		e.s.answers--
		return nil
	}
	minute := uint64(e.now) / uint64(time.Minute)
	if e.s.minute != minute {
		e.s.minute, e.s.answered, e.s.answeredBytes = minute, 0, 0
	}
	limits := e.Config.Limits
	if e.s.answered >= uint64(limits.AnswersPerMinute) ||
		e.s.answered > 0 && e.s.answeredBytes+uint64(len(raw)) > uint64(limits.AnswerBytesPerMinute) {
		return e.putAnswer(r, int64(minute+1)*int64(time.Minute))
	}
	m, _, err := Decode(raw)
	if err != nil {
		return fmt.Errorf("%w: message kept for repair: %w", ErrCorrupt, err)
	}
	e.s.answers--
	e.s.answered++
	e.s.answeredBytes += uint64(len(raw))
	e.out.Send = append(e.out.Send, Outgoing{ID: m.ID, Reason: Answer, Data: raw})
	return e.air(r)
}
