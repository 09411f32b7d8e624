package stack

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
	storagepb "github.com/parley-im/parley/pb/storage"
	wakumessage "github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/payload"
)

// send takes what the party sent down the outbound road and compares it with
// the recording. As long as it comes out differently, more of what the
// recipient had sent before is handled first.
func (pl *player) send(t *testing.T, e *recordedEnvelope) {
	t.Helper()
	pl.until(e.sent())
	var causes error
	for {
		before := pl.progress.clone()
		err := pl.step(t, func(s *step) error { return pl.resend(t, s, e) })
		if err == nil {
			return
		}
		causes = errors.Join(causes, err)
		pl.rand.queue, pl.progress = nil, before
		if e.to == nil || !pl.handle(t, e.to) {
			t.Fatalf("%s: envelope %s does not come out as recorded, whatever was handled before: %v", pl.Name, e.envelope.Hash, causes)
		}
	}
}

// resend makes an envelope of the party again.
func (pl *player) resend(t *testing.T, s *step, e *recordedEnvelope) error {
	t.Helper()
	if err := pl.importPreKeys(t, s, e); err != nil {
		return fmt.Errorf("signed pre key: %w", err)
	}
	f := frame{data: e.message.PublicMessage}
	if (e.message.PublicMessage == nil) != (e.to != nil) {
		return errors.New("a pairwise message to everybody, or a public one to somebody")
	}
	if e.message.PublicMessage == nil {
		var err error
		if f.data, err = pl.plaintext(t, s, e); err != nil {
			return fmt.Errorf("encryption: %w", err)
		}
		f.to = e.to.key.Public()
	}
	said, err := pl.say(s, e, f.data)
	if err != nil {
		return err
	}
	f.rule, _ = message.RuleFor(apppb.ApplicationMetadataMessage_CONTACT_UPDATE, message.NoChat)
	for _, m := range said {
		// What is for a community goes to its admins as any message to a peer.
		rule, ok := message.RuleFor(m.Type, message.OneToOne)
		if ok && (rule.Encryption == message.Public || rule.Encryption == message.Pairwise) {
			f.rule = rule
			f.ephemeral = rule.IsEphemeral(m.Payload)
		}
	}
	encrypted, route, err := pl.encryptAgain(t, s, e, f)
	if err != nil || encrypted == nil || e.parts != 1 {
		return err
	}
	return pl.shipAgain(t, s, e, f, encrypted, route)
}

// encryptAgain is the encryption layer's part. It returns nothing for what
// hands out group keys, which are put into the header by a layer we have not.
func (pl *player) encryptAgain(t *testing.T, s *step, e *recordedEnvelope, f frame) ([]byte, route, error) {
	t.Helper()
	if len(e.message.Bundles) != 1 {
		return nil, route{}, fmt.Errorf("encryption: %d bundles, want 1", len(e.message.Bundles))
	}
	s.now = time.Unix(0, e.message.Bundles[0].Timestamp)
	used := maps.Clone(pl.used)
	if err := pl.queueKeys(t, s, e); err != nil {
		return nil, route{}, err
	}
	var encrypted []byte
	var r route
	var err error
	if e.hasGroupKeys() {
		sealed, err := pl.session.Seal(s.Core("session"), s.now, pl.rand, f.to, f.data)
		if err != nil {
			return nil, r, fmt.Errorf("encryption: %w", err)
		}
		encrypted = sealed.Bytes
	} else if encrypted, r, err = pl.encrypt(s, f); err != nil {
		return nil, r, fmt.Errorf("encryption: %w", err)
	}
	if err := pl.left(); err != nil {
		pl.used = used
		return nil, r, fmt.Errorf("encryption: %w", err)
	}
	got, want := new(encryptionpb.ProtocolMessage), proto.CloneOf(e.message)
	if err := proto.Unmarshal(encrypted, got); err != nil {
		return nil, r, err
	}
	for _, entry := range want.EncryptedMessage {
		entry.HrHeader = nil
	}
	if err := sameMessage("ProtocolMessage", got, want); err != nil {
		return nil, r, fmt.Errorf("encryption: %w", err)
	}
	if e.hasGroupKeys() {
		return nil, r, nil
	}
	// Maps with one entry have one encoding.
	if len(want.EncryptedMessage) <= 1 && len(want.Bundles) == 1 && len(want.Bundles[0].SignedPreKeys) == 1 && !bytes.Equal(encrypted, e.whole) {
		return nil, r, fmt.Errorf("encryption: encoded as\n%x, recorded\n%x", encrypted, e.whole)
	}
	return encrypted, r, nil
}

// shipAgain is the road below the encryption layer.
func (pl *player) shipAgain(t *testing.T, s *step, e *recordedEnvelope, f frame, encrypted []byte, r route) error {
	t.Helper()
	s.now = e.sent()
	padding, sealed := e.opened.Padding, e.Payload
	exact := true
	if r.symmetric {
		const nonce = 12
		pl.rand.queue = slices.Concat(padding, sealed[len(sealed)-nonce:])
	} else {
		// Ephemeral key and IV stand before the ciphertext; the recording may
		// not have the private half.
		ephemeral, err := key.PublicFromBytes(sealed[:key.UncompressedSize])
		if err != nil {
			return err
		}
		public := ephemeral.Compressed()
		const iv = 16
		if exact = pl.has(public[:]); exact {
			pl.rand.queue = slices.Concat(padding, pl.generated(t, public[:]), sealed[key.UncompressedSize:][:iv])
		}
	}
	if err := pl.ship(s, f, encrypted, r); err != nil {
		return fmt.Errorf("shipping: %w", err)
	}
	if err := pl.left(); err != nil {
		return fmt.Errorf("shipping: %w", err)
	}
	var records []*storagepb.OutboxRecord
	err := s.Outbox(func(n uint64, r *storagepb.OutboxRecord) error {
		records = append(records, r)
		return nil
	})
	if err != nil {
		return err
	}
	for _, record := range records {
		m, err := wakumessage.Unmarshal(record.WakuMessage)
		if err != nil {
			return err
		}
		if !exact {
			o, err := payload.OpenAsymmetric(m.Payload, e.to.key)
			if err != nil || !bytes.Equal(o.Payload, e.opened.Payload) || o.Signer != e.opened.Signer || len(m.Payload) != len(e.Payload) {
				return fmt.Errorf("shipping: payload of %d bytes, recorded %d: %v", len(m.Payload), len(e.Payload), err)
			}
			m.Payload = e.Payload
		}
		if record.PubsubTopic == e.PubsubTopic {
			if err := sameMessage("WakuMessage", m, e.envelope.Message); err != nil {
				return fmt.Errorf("shipping: %w", err)
			}
			if h := wakumessage.HashOf(record.PubsubTopic, m); h != e.envelope.Hash {
				return fmt.Errorf("shipping: hash %s", h)
			}
			return pl.clearOutbox(s)
		}
	}
	return fmt.Errorf("shipping: nothing for %s in %d records", e.PubsubTopic, len(records))
}

func (pl *player) clearOutbox(s *step) error {
	var numbers []uint64
	err := s.Outbox(func(n uint64, _ *storagepb.OutboxRecord) error {
		numbers = append(numbers, n)
		return nil
	})
	for _, n := range numbers {
		err = errors.Join(err, s.DeleteOutbox(n))
	}
	return err
}

// plaintext finds out what a pairwise message of the party says: all forms of
// encryption are streams, so zeros of the same length, sealed in the same
// state, are the key stream. Whether state and keys were right shows when it is
// sealed again, by the authentication.
func (pl *player) plaintext(t *testing.T, s *step, e *recordedEnvelope) ([]byte, error) {
	t.Helper()
	const overhead, before = 48, 16 // of the ratchet: IV, code; of the IV
	const tail = 28                 // of the DH form: tag and nonce
	var found []byte
	used := maps.Clone(pl.used)
	defer func() { pl.used, pl.rand.queue = used, nil }()
	for id, recorded := range e.message.EncryptedMessage {
		pl.used = maps.Clone(used)
		pl.rand.queue = nil
		size, from := len(recorded.Payload)-overhead, before
		if recorded.DhHeader != nil {
			size, from = len(recorded.Payload)-tail, 0
		}
		if size < 0 {
			return nil, fmt.Errorf("ciphertext of %d bytes", len(recorded.Payload))
		}
		m := new(encryptionpb.ProtocolMessage)
		err := s.try(func(s *step) error {
			if err := pl.queueKeys(t, s, e); err != nil {
				return err
			}
			sealed, err := pl.session.Seal(s.Core("session"), s.now, pl.rand, e.to.key.Public(), make([]byte, size))
			if err == nil {
				err = errors.Join(proto.Unmarshal(sealed.Bytes, m), errScratch)
			}
			return err
		})
		if !errors.Is(err, errScratch) {
			return nil, err
		}
		ours := m.EncryptedMessage[id]
		if ours == nil {
			return nil, fmt.Errorf("is for %q, not for %s", slices.Collect(maps.Keys(m.EncryptedMessage)), id)
		}
		for _, same := range []error{
			sameMessage("DR header", ours.GetDrHeader(), recorded.GetDrHeader()),
			sameMessage("X3DH header", ours.GetX3DhHeader(), recorded.GetX3DhHeader()),
			sameMessage("DH header", ours.GetDhHeader(), recorded.GetDhHeader()),
		} {
			if same != nil {
				return nil, same
			}
		}
		found = make([]byte, size)
		subtle.XORBytes(found, ours.Payload[from:][:size], recorded.Payload[from:][:size])
	}
	return found, nil
}
