package group

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// Limits of one received event. Specifications give none; deployed clients
// stay far below them.
const (
	// MaxEventSize is in bytes, signature included, for events without image.
	MaxEventSize = 16 << 10
	// MaxEventMembers is how many targets an event may name.
	MaxEventMembers = 100
	// MaxNameSize is in bytes.
	MaxNameSize = 1024
	// MaxColorSize is in bytes.
	MaxColorSize = 64
	// MaxImageSize is in bytes.
	MaxImageSize = 512 << 10
)

// Errors of events that cannot be read, whoever they are by.
var (
	ErrMalformed = errors.New("not a membership event")
	ErrSignature = errors.New("bad signature on a membership event")
	ErrType      = errors.New("membership event of an unknown type")
	ErrTargets   = errors.New("membership event with wrong targets")
	ErrName      = errors.New("not a name for a group")
	ErrColor     = errors.New("not a colour")
	ErrImage     = errors.New("not an image for a group")
	ErrTooLarge  = errors.New("membership event too large")
)

// Type is what an event does; the numbers go over the wire.
type Type uint8

// The types of events (55/STATUS-1TO1-CHAT, Membership Update Flow).
const (
	ChatCreated Type = iota + 1
	NameChanged
	MembersAdded
	MemberJoined
	MemberRemoved
	AdminsAdded
	AdminRemoved
	ColorChanged
	ImageChanged
)

// String returns the type's name in the specification.
func (t Type) String() string {
	if name, ok := apppb.MembershipUpdateEvent_EventType_name[int32(t)]; ok {
		return name
	}
	return strconv.Itoa(int(t)) + "?"
}

// Event is something somebody did to a group, with their signature. Which
// fields count depends on Type. It is not to be changed once it is read.
type Event struct {
	// Raw is the signed event as it is passed on: 65 bytes of signature and
	// the encoded event.
	Raw []byte
	// Author is who signed.
	Author key.Public
	// Clock is a Lamport clock in milliseconds, never 0.
	Clock uint64
	Type  Type
	// Members are the targets, of the four types that have some.
	Members []key.Public
	// Name is of ChatCreated and NameChanged.
	Name string
	// Color is of ChatCreated and ColorChanged, as it was sent.
	Color string
	// Image is of ImageChanged.
	Image []byte
}

// digest is what an author signs.
func digest(chatID string, encoded []byte) [32]byte {
	return key.Keccak256([]byte(chatID), encoded)
}

// Sign encodes the fields of e, of which Raw and Author are not looked at, and
// signs them for a chat. The result passes [ParseEvent]; the same arguments
// give the same bytes.
func Sign(chatID string, e Event, author key.Private) (Event, error) {
	body := &apppb.MembershipUpdateEvent{
		Clock: e.Clock,
		Name:  e.Name,
		Type:  apppb.MembershipUpdateEvent_EventType(e.Type),
		Color: e.Color,
		Image: e.Image,
	}
	for _, k := range e.Members {
		body.Members = append(body.Members, k.Hex())
	}
	encoded, err := message.Encode(body)
	if err != nil {
		return Event{}, fmt.Errorf("signing %s: %w", e.Type, err)
	}
	signature, err := author.Sign(digest(chatID, encoded))
	if err != nil {
		return Event{}, fmt.Errorf("signing %s: %w", e.Type, err)
	}
	signed, err := decode(append(signature, encoded...), author.Public())
	if err != nil {
		return Event{}, fmt.Errorf("signing %s: %w", e.Type, err)
	}
	return signed, nil
}

// ParseEvent reads a signed event of a chat and finds its author. An event
// signed for another chat comes out as somebody else's, whom nobody knows.
// raw is kept.
func ParseEvent(chatID string, raw []byte) (Event, error) {
	if len(raw) <= key.SignatureSize {
		return Event{}, fmt.Errorf("%w: %d bytes, a signature has %d", ErrMalformed, len(raw), key.SignatureSize)
	}
	if err := checkSize(raw, MaxImageSize); err != nil {
		return Event{}, err
	}
	signature, encoded := raw[:key.SignatureSize], raw[key.SignatureSize:]
	if err := checkCanonical(signature); err != nil {
		return Event{}, err
	}
	author, err := key.Recover(digest(chatID, encoded), signature)
	if err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return decode(raw, author)
}

func checkSize(raw []byte, image int) error {
	if limit := MaxEventSize + image; len(raw) > limit {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(raw), limit)
	}
	return nil
}

// halfOrder is half the order of secp256k1, rounded down, big-endian.
var halfOrder = [32]byte{
	0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
}

// checkCanonical lets one spelling of a signature pass: v of 0 or 1 and the
// lower s, as every client writes them. Anybody can respell a signature, and
// deployed clients take the other spelling for another event: a second
// CHAT_CREATED would make them refuse the group.
func checkCanonical(signature []byte) error {
	if v := signature[key.SignatureSize-1]; v > 1 {
		return fmt.Errorf("%w: recovery id %d, want 0 or 1", ErrSignature, v)
	}
	if bytes.Compare(signature[32:64], halfOrder[:]) > 0 {
		return fmt.Errorf("%w: s is in the upper half", ErrSignature)
	}
	return nil
}

// decode reads the fields of an event whose author is known and checks what
// does not depend on the group.
func decode(raw []byte, author key.Public) (Event, error) {
	var body apppb.MembershipUpdateEvent
	if err := proto.Unmarshal(raw[key.SignatureSize:], &body); err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if body.Type < apppb.MembershipUpdateEvent_EventType(ChatCreated) || body.Type > apppb.MembershipUpdateEvent_EventType(ImageChanged) {
		return Event{}, fmt.Errorf("%w: %d", ErrType, body.Type)
	}
	e := Event{Raw: raw, Author: author, Clock: body.Clock, Type: Type(body.Type)}
	if e.Clock == 0 {
		return Event{}, fmt.Errorf("%s: %w", e.Type, message.ErrClockZero)
	}
	if e.Type != ImageChanged {
		if err := checkSize(raw, 0); err != nil {
			return Event{}, fmt.Errorf("%s: %w", e.Type, err)
		}
	}
	if err := e.take(&body); err != nil {
		return Event{}, fmt.Errorf("%s: %w", e.Type, err)
	}
	return e, nil
}

// take copies the fields that count for the type.
func (e *Event) take(body *apppb.MembershipUpdateEvent) error {
	switch e.Type {
	case ChatCreated:
		// Deployed clients check neither field here.
		e.Name, e.Color = body.Name, body.Color
		return errors.Join(checkLength(ErrName, len(e.Name), 0, MaxNameSize), checkLength(ErrColor, len(e.Color), 0, MaxColorSize))
	case NameChanged:
		e.Name = body.Name
		return checkLength(ErrName, len(e.Name), 1, MaxNameSize)
	case ColorChanged:
		e.Color = body.Color
		return checkLength(ErrColor, len(e.Color), 1, MaxColorSize)
	case ImageChanged:
		e.Image = body.Image
		return checkLength(ErrImage, len(e.Image), 1, MaxImageSize)
	case MembersAdded:
		return e.takeMembers(body.Members, 0, MaxEventMembers)
	case AdminsAdded:
		return e.takeMembers(body.Members, 1, MaxEventMembers)
	case MemberRemoved, AdminRemoved:
		return e.takeMembers(body.Members, 1, 1)
	}
	return nil // MemberJoined has no fields
}

func (e *Event) takeMembers(members []string, least, most int) error {
	if err := checkLength(ErrTargets, len(members), least, most); err != nil {
		return err
	}
	for _, m := range members {
		k, err := parseMember(m)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrTargets, err)
		}
		e.Members = append(e.Members, k)
	}
	return nil
}

func checkLength(kind error, n, least, most int) error {
	if n < least || n > most {
		return fmt.Errorf("%w: length %d, want %d to %d", kind, n, least, most)
	}
	return nil
}

// encoded returns the signed part of the event.
func (e Event) encoded() []byte { return e.Raw[key.SignatureSize:] }

// storedEvent is an Event in JSON: what cannot be read out of Raw alone. The
// author is written as 0x04…, the form that is fastest to read.
type storedEvent struct {
	Raw    []byte `json:"raw"`
	Author string `json:"author"`
}

// MarshalJSON writes the signed bytes and the author.
func (e Event) MarshalJSON() ([]byte, error) {
	return json.Marshal(storedEvent{Raw: e.Raw, Author: e.Author.Hex()})
}

// UnmarshalJSON reads what MarshalJSON wrote; the signature is not checked
// again. Anything else is [ErrStored].
func (e *Event) UnmarshalJSON(raw []byte) error {
	var s storedEvent
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("%w: %w", ErrStored, err)
	}
	author, err := parseMember(s.Author)
	if err != nil || len(s.Raw) <= key.SignatureSize {
		return fmt.Errorf("%w: event of %d bytes", ErrStored, len(s.Raw))
	}
	decoded, err := decode(s.Raw, author)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStored, err)
	}
	*e = decoded
	return nil
}

// MaxSentNameRunes is the longest name that is sent, in characters.
const MaxSentNameRunes = 100

// CheckName tells whether a name may be sent: not blank, no control
// characters, at most [MaxSentNameRunes] long.
func CheckName(name string) error {
	blank := true
	for _, r := range name {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return fmt.Errorf("%w: control character", ErrName)
		}
		blank = blank && r == ' '
	}
	if blank {
		return fmt.Errorf("%w: blank", ErrName)
	}
	if n := utf8.RuneCountInString(name); n > MaxSentNameRunes {
		return fmt.Errorf("%w: %d characters, at most %d", ErrName, n, MaxSentNameRunes)
	}
	return nil
}

// CheckColor tells whether a colour is #rrggbb, in either case.
func CheckColor(color string) error {
	if len(color) != 7 || color[0] != '#' {
		return fmt.Errorf("%w: want #rrggbb", ErrColor)
	}
	if _, err := strconv.ParseUint(color[1:], 16, 32); err != nil {
		return fmt.Errorf("%w: want #rrggbb", ErrColor)
	}
	return nil
}
