package inspect

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/vectors"
)

func TestVectorsInspectWakuMessage(t *testing.T) {
	t.Parallel()
	for _, c := range vectors.Cases[struct {
		Name, ContentTopic, PubsubTopic          string
		Hash, Meta, Payload, WakuMessageProtobuf vectors.Hex
		Timestamp                                int64
	}](t, "waku_message_hash") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			m, err := ParseWakuMessage(c.WakuMessageProtobuf, c.PubsubTopic)
			if err != nil {
				t.Fatal(err)
			}
			p := printed(t, m)
			same(t, "payload", p["payload"], hexOf(c.Payload))
			same(t, "content_topic", p["content_topic"], c.ContentTopic)
			same(t, "version", p["version"], 1)
			same(t, "timestamp", p["timestamp"], c.Timestamp)
			same(t, "meta", p["meta"], hexOf(c.Meta))
			same(t, "ephemeral", p["ephemeral"], false)
			same(t, "hash", p["hash"], hexOf(c.Hash))

			m, err = ParseWakuMessage(c.WakuMessageProtobuf, "")
			if _, ok := printed(t, m)["hash"]; err != nil || ok {
				t.Errorf("without a pubsub topic: hash %v, error %v", ok, err)
			}

			l := Layers(c.WakuMessageProtobuf)
			same(t, "layers", l, "waku_message(encrypted)")
			same(t, "payload", printed(t, l.Inner[0].Fields)["payload"], hexOf(c.Payload))
			same(t, "content_topic", l.Fields.Get("content_topic"), c.ContentTopic)
		})
	}
}

func TestVectorsInspectPayload(t *testing.T) {
	t.Parallel()
	for _, c := range vectors.Cases[struct {
		Name, Kind                                    string
		Data, DecodedPadding, Encoded                 vectors.Hex
		SymKey, RecipientPrivateKey, AuthorPrivateKey vectors.Hex
	}](t, "waku_payload_v1") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			secret, err := Secret(hexOf(append(c.SymKey, c.RecipientPrivateKey...)) + "\n")
			if err != nil {
				t.Fatal(err)
			}
			open := OpenSymmetric
			if c.Kind == "Asymmetric" {
				open = OpenAsymmetric
			}
			o, err := open(c.Encoded, secret)
			if err != nil {
				t.Fatal(err)
			}
			p := printed(t, o)
			same(t, "payload", p["payload"], hexOf(c.Data))
			same(t, "padding", p["padding"], hexOf(c.DecodedPadding))
			if len(c.AuthorPrivateKey) == 0 {
				same(t, "signer", p["signer"], nil)
				same(t, "signer_key", p["signer_key"], nil)
				return
			}
			author, err := key.PrivateFromBytes(c.AuthorPrivateKey)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "signer", p["signer"], author.Public())
			same(t, "signer_key", p["signer_key"], author.Public().Hex())
		})
	}
}

func TestVectorsInspectProtocolMessage(t *testing.T) {
	t.Parallel()
	type encryptedEntry struct {
		DHHeader struct{ Key vectors.Hex }
		Payload  vectors.Hex
	}
	for _, c := range vectors.Cases[struct {
		Name    string
		Decoded struct {
			Bundles        int
			InstallationID string
			PublicMessage  vectors.Hex
			Encrypted      map[string]encryptedEntry
		}
		Party struct {
			IdentityPublicKey vectors.Hex
			InstallationID    string
			SignedPreKey      vectors.Hex
		}
		ProtocolMessage vectors.Hex
	}](t, "protocol_message_misc") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			l := Layers(c.ProtocolMessage)
			p := printed(t, l)
			same(t, "layer", p["layer"], LayerProtocolMessage)
			fields := p["fields"].(map[string]any)
			same(t, "installation_id", fields["installation_id"], c.Decoded.InstallationID)
			bundles := fields["bundles"].([]any)
			same(t, "bundles", len(bundles), c.Decoded.Bundles)
			for _, b := range bundles {
				b := b.(map[string]any)
				same(t, "valid", b["valid"], true)
				same(t, "identity_key", b["identity_key"], hexOf(c.Party.IdentityPublicKey))
				entry := b["installations"].([]any)[0].(map[string]any)
				same(t, "installation_id", entry["installation_id"], c.Party.InstallationID)
				same(t, "signed_pre_key", entry["signed_pre_key"], hexOf(c.Party.SignedPreKey))
			}
			inner := l.Inner
			if len(c.Decoded.PublicMessage) > 0 {
				same(t, "public_message", fields["public_message"], hexOf(c.Decoded.PublicMessage))
				same(t, "what is inside", inner[0].Bytes, hexOf(c.Decoded.PublicMessage))
				inner = inner[1:]
			}
			same(t, "encrypted entries", len(inner), len(c.Decoded.Encrypted))
			for _, l := range inner {
				same(t, "layer", l.Name, LayerEncrypted)
				want, ok := c.Decoded.Encrypted[l.Fields.Get("for_installation").(string)]
				if !ok {
					t.Fatalf("an entry for %v", l.Fields.Get("for_installation"))
				}
				same(t, "form", l.Fields.Get("form"), "dh")
				same(t, "dh_header key", l.Fields.Get("dh_header").(Fields).Get("key"), hexOf(want.DHHeader.Key))
				same(t, "payload", l.Fields.Get("payload"), hexOf(want.Payload))
			}
		})
	}
}

func TestVectorsInspectMVDS(t *testing.T) {
	t.Parallel()
	read := 0
	for i, c := range vectors.Cases[struct {
		Name                   string
		IsValid                *bool
		PayloadProtobuf        vectors.Hex
		Acks, Offers, Requests []vectors.Hex
		Messages               []struct {
			Body, GroupID, MessageID vectors.Hex
			Timestamp                int64
		}
		GroupOffers []struct {
			GroupID    vectors.Hex
			MessageIDs []vectors.Hex
		}
	}](t, "mvds") {
		if c.IsValid == nil {
			continue // a group id alone
		}
		read++
		t.Run(fmt.Sprint(i, " ", c.Name), func(t *testing.T) {
			t.Parallel()
			l := Layers(c.PayloadProtobuf)
			if !*c.IsValid {
				same(t, "layer", l.Name, LayerUnknown)
				return
			}
			same(t, "layer", l.Name, LayerMVDS)
			fields := printed(t, l.Fields)
			list := func(what string, got any, want []vectors.Hex) {
				words := []string{}
				for _, id := range want {
					words = append(words, hexOf(id))
				}
				same(t, what, got, words)
			}
			list("acks", fields["acks"], c.Acks)
			list("offers", fields["offers"], c.Offers)
			list("requests", fields["requests"], c.Requests)
			messages := fields["messages"].([]any)
			same(t, "messages", len(messages), len(c.Messages))
			same(t, "inner layers", len(l.Inner), len(c.Messages))
			for i, want := range c.Messages {
				m := messages[i].(map[string]any)
				same(t, "message_id", m["message_id"], hexOf(want.MessageID))
				same(t, "group_id", m["group_id"], hexOf(want.GroupID))
				same(t, "timestamp", m["timestamp"], want.Timestamp)
				same(t, "body", m["body"], hexOf(want.Body))
				same(t, "inner layer", l.Inner[i].Bytes, hexOf(want.Body))
			}
			offers := fields["group_offers"].([]any)
			same(t, "group_offers", len(offers), len(c.GroupOffers))
			for i, want := range c.GroupOffers {
				o := offers[i].(map[string]any)
				same(t, "group_id", o["group_id"], hexOf(want.GroupID))
				list("message_ids", o["message_ids"], want.MessageIDs)
			}
		})
	}
	if read == 0 {
		t.Error("no payloads")
	}
}

func TestVectorsInspectSegments(t *testing.T) {
	t.Parallel()
	for _, c := range vectors.Cases[struct {
		Name         string
		DataSegments int
		Messages     []struct {
			Message, EntireMessageHash                     vectors.Hex
			Index, SegmentsCount, ParityIndex, ParityCount uint32
		}
	}](t, "segments") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			for _, m := range c.Messages {
				l := Layers(m.Message)
				if c.DataSegments == 0 {
					if l.Name == LayerSegment {
						t.Error("an unsegmented payload was taken for a segment")
					}
					continue
				}
				same(t, "layer", l.Name, LayerSegment)
				if l.Error != "" {
					t.Error(l.Error)
				}
				kind := "data"
				if m.SegmentsCount == 0 {
					kind = "parity"
				}
				p := printed(t, l.Fields)
				same(t, "kind", p["kind"], kind)
				same(t, "entire_message_hash", p["entire_message_hash"], hexOf(m.EntireMessageHash))
				same(t, "index", p["index"], m.Index)
				same(t, "segments_count", p["segments_count"], m.SegmentsCount)
				same(t, "parity_segment_index", p["parity_segment_index"], m.ParityIndex)
				same(t, "parity_segments_count", p["parity_segments_count"], m.ParityCount)
				payload, _ := l.Fields.Get("payload").(Hex)
				if len(payload) == 0 || !bytes.Contains(m.Message, payload) {
					t.Errorf("payload is %s", payload)
				}
			}
		})
	}
}

func TestVectorsInspectBundle(t *testing.T) {
	t.Parallel()
	read := 0
	for i, c := range vectors.Cases[struct {
		Fn                                  string
		BundleProtobuf, Identity, Signature vectors.Hex
		Timestamp                           int64
		SignedPreKeys                       map[string]struct {
			SignedPreKey             vectors.Hex
			Version, ProtocolVersion uint32
		}
	}](t, "x3dh") {
		if c.Fn != "bundle" {
			continue
		}
		read++
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			b, err := ParseBundle(c.BundleProtobuf)
			if err != nil {
				t.Fatal(err)
			}
			p := printed(t, b)
			same(t, "valid", p["valid"], true)
			same(t, "identity", compressedOf(t, p["identity"]), hexOf(c.Identity))
			same(t, "identity_key", compressedOf(t, p["identity_key"]), hexOf(c.Identity))
			same(t, "timestamp", p["timestamp"], c.Timestamp)
			same(t, "signature", p["signature"], hexOf(c.Signature))
			same(t, "installations", len(b.Installations), len(c.SignedPreKeys))
			if !slices.IsSortedFunc(b.Installations, func(a, b BundleEntry) int { return strings.Compare(a.InstallationID, b.InstallationID) }) {
				t.Error("the installations are not sorted")
			}
			for _, e := range p["installations"].([]any) {
				e := e.(map[string]any)
				want, ok := c.SignedPreKeys[e["installation_id"].(string)]
				if !ok {
					t.Fatalf("installation %v", e["installation_id"])
				}
				same(t, "signed_pre_key", e["signed_pre_key"], hexOf(want.SignedPreKey))
				same(t, "version", e["version"], want.Version)
				same(t, "protocol_version", e["protocol_version"], want.ProtocolVersion)
			}

			// One bit of the signature, and it is shown as it is, and not valid.
			at := bytes.Index(c.BundleProtobuf, c.Signature)
			forged := slices.Clone([]byte(c.BundleProtobuf))
			forged[at+5] ^= 1
			b, err = ParseBundle(forged)
			if err == nil || b.Valid || b.Error == "" || b.Timestamp != c.Timestamp || len(b.Installations) != len(c.SignedPreKeys) {
				t.Errorf("forged: %+v, %v", b, err)
			}
		})
	}
	if read == 0 {
		t.Error("no bundles")
	}
}
