package rest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	wakupb "github.com/parley-im/parley/pb/waku"
)

// Errors of message JSON.
var (
	errObject    = errors.New("not a JSON object")
	errDuplicate = errors.New("the field is there more than once")
	errMissing   = errors.New("the field is missing or empty")
	errBase64    = errors.New("incorrect base64 string")
)

// Message is a Waku message as JSON. Bytes are in base64: read in its standard
// or its URL alphabet, padded or not, and written in the standard one, padded.
type Message struct {
	Payload      string `json:"payload" doc:"The payload in base64"`
	ContentTopic string `json:"contentTopic"`
	// Version is 0 when absent.
	Version *uint32 `json:"version,omitempty" doc:"Payload version; 0 when absent"`
	// Timestamp is in nanoseconds since 1970. In a message to publish, absent
	// or 0 is now.
	Timestamp *int64  `json:"timestamp,omitempty" doc:"Nanoseconds since 1970; now when a message to publish has none"`
	Meta      *string `json:"meta,omitempty" doc:"At most 64 bytes, in base64"`
	Ephemeral *bool   `json:"ephemeral,omitempty" doc:"Not to be stored"`
	Proof     *string `json:"proof,omitempty" doc:"Rate limiting proof, in base64"`
}

// UnmarshalJSON implements json.Unmarshaler. Payload and content topic must be
// there, no field twice; null is absence and unknown fields do not matter.
func (m *Message) UnmarshalJSON(data []byte) error {
	var out Message
	err := readObject(data, map[string]any{
		"payload": &out.Payload, "contentTopic": &out.ContentTopic, "version": &out.Version,
		"timestamp": &out.Timestamp, "meta": &out.Meta, "ephemeral": &out.Ephemeral, "proof": &out.Proof,
	})
	switch {
	case err != nil:
		return err
	case strings.TrimSpace(out.Payload) == "":
		return fmt.Errorf("payload: %w", errMissing)
	case strings.TrimSpace(out.ContentTopic) == "":
		return fmt.Errorf("contentTopic: %w", errMissing)
	}
	*m = out
	return nil
}

// waku returns the message to publish at now. What has its default value is
// left out of it, as deployed nodes do.
func (m *Message) waku(now time.Time) (*wakupb.WakuMessage, error) {
	out := &wakupb.WakuMessage{ContentTopic: m.ContentTopic}
	var err error
	if out.Payload, err = decodeBase64(m.Payload); err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	if m.Meta != nil && *m.Meta != "" {
		if out.Meta, err = decodeBase64(*m.Meta); err != nil {
			return nil, fmt.Errorf("meta: %w", err)
		}
	}
	if m.Proof != nil && *m.Proof != "" {
		if out.RateLimitProof, err = decodeBase64(*m.Proof); err != nil {
			return nil, fmt.Errorf("proof: %w", err)
		}
	}
	if m.Version != nil && *m.Version != 0 {
		out.Version = m.Version
	}
	if m.Ephemeral != nil && *m.Ephemeral {
		out.Ephemeral = m.Ephemeral
	}
	at := now.UnixNano()
	if m.Timestamp != nil && *m.Timestamp != 0 {
		at = *m.Timestamp
	}
	out.Timestamp = &at
	return out, nil
}

// filterMessage is a message as the filter calls show it.
func filterMessage(m *wakupb.WakuMessage) Message {
	version, timestamp, ephemeral := m.GetVersion(), m.GetTimestamp(), m.GetEphemeral()
	out := Message{
		Payload:      base64.StdEncoding.EncodeToString(m.GetPayload()),
		ContentTopic: m.GetContentTopic(),
		Version:      &version, Timestamp: &timestamp, Ephemeral: &ephemeral,
	}
	if len(m.GetMeta()) > 0 {
		meta := base64.StdEncoding.EncodeToString(m.GetMeta())
		out.Meta = &meta
	}
	return out
}

// relayMessage is a message as the relay calls show it: with a proof, be it
// empty.
func relayMessage(m *wakupb.WakuMessage) Message {
	out := filterMessage(m)
	proof := base64.StdEncoding.EncodeToString(m.GetRateLimitProof())
	out.Proof = &proof
	return out
}

// storeMessage is a message as the store calls show it.
func storeMessage(m *wakupb.WakuMessage) Message {
	if len(m.GetRateLimitProof()) == 0 {
		return filterMessage(m)
	}
	return relayMessage(m)
}

// decodeBase64 reads either alphabet, with or without padding.
func decodeBase64(s string) ([]byte, error) {
	enc := base64.StdEncoding
	if strings.ContainsAny(s, "-_") {
		enc = base64.URLEncoding
	}
	if len(s)%4 != 0 {
		enc = enc.WithPadding(base64.NoPadding)
	}
	b, err := enc.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBase64, err)
	}
	return b, nil
}

// readObject reads the fields of a JSON object that are known, by their exact
// names; others do not matter, but none may be there twice.
func readObject(data []byte, into map[string]any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return errObject
	}
	seen := make(map[string]bool)
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string) // keys of objects are strings
		if seen[name] {
			return fmt.Errorf("%q: %w", name, errDuplicate)
		}
		seen[name] = true
		field, ok := into[name]
		if !ok {
			field = new(json.RawMessage)
		}
		if err := dec.Decode(field); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	return nil
}

// Topics is a list of topics in a request's body.
type Topics []string

// PushRequest is the body of a lightpush call.
type PushRequest struct {
	PubsubTopic string  `json:"pubsubTopic,omitempty" doc:"Needed with static sharding"`
	Message     Message `json:"message"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *PushRequest) UnmarshalJSON(data []byte) error {
	var out PushRequest
	var m *Message
	if err := readObject(data, map[string]any{"pubsubTopic": &out.PubsubTopic, "message": &m}); err != nil {
		return err
	}
	if m == nil {
		return fmt.Errorf("message: %w", errMissing)
	}
	out.Message = *m
	*p = out
	return nil
}

// FilterRequest is the body of a call that subscribes or unsubscribes.
type FilterRequest struct {
	RequestID      string   `json:"requestId"`
	PubsubTopic    string   `json:"pubsubTopic,omitempty" doc:"Needed with static sharding"`
	ContentFilters []string `json:"contentFilters" minItems:"1" doc:"Content topics"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *FilterRequest) UnmarshalJSON(data []byte) error {
	var out FilterRequest
	var id *string
	err := readObject(data, map[string]any{
		"requestId": &id, "pubsubTopic": &out.PubsubTopic, "contentFilters": &out.ContentFilters,
	})
	switch {
	case err != nil:
		return err
	case id == nil:
		return fmt.Errorf("requestId: %w", errMissing)
	case len(out.ContentFilters) == 0:
		return fmt.Errorf("contentFilters: %w", errMissing)
	}
	for _, t := range out.ContentFilters {
		if t == "" {
			return fmt.Errorf("contentFilters: an empty content topic: %w", errMissing)
		}
	}
	out.RequestID = *id
	*f = out
	return nil
}

// FilterAllRequest is the body of the call that ends all subscriptions.
type FilterAllRequest struct {
	RequestID string `json:"requestId"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *FilterAllRequest) UnmarshalJSON(data []byte) error {
	var id *string
	if err := readObject(data, map[string]any{"requestId": &id}); err != nil {
		return err
	}
	if id == nil {
		return fmt.Errorf("requestId: %w", errMissing)
	}
	f.RequestID = *id
	return nil
}
