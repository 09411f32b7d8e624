package mvds

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/parley-im/parley/pb/reliability"
)

// Limits of what Decode reads and Sync writes.
const (
	// MaxSize is the longest payload in bytes. Deployed clients put all that
	// is due to a peer into one payload, pictures included.
	MaxSize = 16 << 20
	// MaxIDs bounds each of acks, offers and requests, and the ids of all
	// group offers together.
	MaxIDs = 1 << 16
	// MaxMessages bounds the messages of one payload.
	MaxMessages = 1 << 14
	// MaxGroupOffers bounds the group offers of one payload.
	MaxGroupOffers = 1 << 10
	// MaxOfferGroup is the longest group name in a group offer, in bytes.
	MaxOfferGroup = 256
)

// Errors of Decode. A caller that falls through to the next layer does so on
// ErrNotPayload alone.
var (
	// ErrNotPayload says that the bytes are no protobuf, or that none of the
	// lists of a payload is in them: they belong to another layer.
	ErrNotPayload = errors.New("not a data synchronisation payload")
	// ErrLimit says that a payload exceeds one of the limits above.
	ErrLimit = errors.New("data synchronisation payload over the limit")
	// ErrLength says that an id in a payload has not the length of one.
	ErrLength = errors.New("identifier of wrong length")
)

// Field numbers of pb/reliability/mvds.proto.
const (
	fieldAcks        = 5001
	fieldOffers      = 5002
	fieldRequests    = 5003
	fieldMessages    = 5004
	fieldGroupOffers = 5005
	fieldGroup       = 6001
	fieldTimestamp   = 6002
	fieldBody        = 6003
	fieldOfferGroup  = 1
	fieldOfferIDs    = 2
)

// idSize is what an ack, offer or request adds to an encoded payload.
var idSize = protowire.SizeTag(fieldAcks) + protowire.SizeBytes(IDSize)

// Payload is one data synchronisation message, everything that goes to one
// peer in one epoch.
type Payload struct {
	Acks, Offers, Requests []MessageID
	Messages               []Message
	// GroupOffers are an addition of deployed clients for history among group
	// members.
	GroupOffers []GroupOffer
}

// GroupOffer names messages of a group that the sender could give.
type GroupOffer struct {
	Group []byte
	IDs   []MessageID
}

// Empty reports whether no list of the payload has an element.
func (p *Payload) Empty() bool {
	return len(p.Acks)+len(p.Offers)+len(p.Requests)+len(p.Messages)+len(p.GroupOffers) == 0
}

// Decode reads a payload. Unknown fields are skipped. The errors are
// ErrNotPayload, ErrLimit and ErrLength.
func Decode(data []byte) (*Payload, error) {
	if err := check(data); err != nil {
		return nil, err
	}
	var raw pb.Payload
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotPayload, err)
	}
	p := &Payload{
		Acks:     ids(raw.Acks),
		Offers:   ids(raw.Offers),
		Requests: ids(raw.Requests),
	}
	for _, m := range raw.Messages {
		if len(m.GetGroupId()) != IDSize {
			return nil, fmt.Errorf("%w: group id of %d bytes, want %d", ErrLength, len(m.GetGroupId()), IDSize)
		}
		p.Messages = append(p.Messages, Message{GroupID(m.GetGroupId()), m.GetTimestamp(), m.GetBody()})
	}
	for _, o := range raw.GroupOffers {
		p.GroupOffers = append(p.GroupOffers, GroupOffer{o.GetGroupId(), ids(o.GetMessageIds())})
	}
	return p, nil
}

// check enforces the limits before anything is allocated, so that memory stays
// in proportion to the bytes that came.
func check(data []byte) error {
	var counts [fieldGroupOffers - fieldAcks + 1]int
	set, offered := false, 0
	err := fields(data, func(number protowire.Number, value []byte) error {
		if number < fieldAcks || number > fieldGroupOffers {
			return nil
		}
		set = true
		count := &counts[number-fieldAcks]
		*count++
		switch number {
		case fieldMessages:
			return limit("messages", *count, MaxMessages)
		case fieldGroupOffers:
			if err := limit("group offers", *count, MaxGroupOffers); err != nil {
				return err
			}
			return checkOffer(value, &offered)
		}
		return checkID(value, *count)
	})
	if err != nil {
		return err
	}
	if !set {
		return fmt.Errorf("%w: none of its lists is set", ErrNotPayload)
	}
	return limit("bytes", len(data), MaxSize)
}

// checkOffer adds the ids of a group offer to those offered before.
func checkOffer(data []byte, offered *int) error {
	return fields(data, func(number protowire.Number, value []byte) error {
		switch number {
		case fieldOfferGroup:
			return limit("bytes of an offered group", len(value), MaxOfferGroup)
		case fieldOfferIDs:
			*offered++
			return checkID(value, *offered)
		}
		return nil
	})
}

// fields calls visit for every length-delimited field.
func fields(data []byte, visit func(number protowire.Number, value []byte) error) error {
	for len(data) > 0 {
		number, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrNotPayload, protowire.ParseError(n))
		}
		data = data[n:]
		size := protowire.ConsumeFieldValue(number, typ, data)
		if size < 0 {
			return fmt.Errorf("%w: %w", ErrNotPayload, protowire.ParseError(size))
		}
		if typ == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(data)
			if err := visit(number, value); err != nil {
				return err
			}
		}
		data = data[size:]
	}
	return nil
}

func checkID(value []byte, count int) error {
	if len(value) != IDSize {
		return fmt.Errorf("%w: message id of %d bytes, want %d", ErrLength, len(value), IDSize)
	}
	return limit("message ids", count, MaxIDs)
}

func limit(what string, n, most int) error {
	if n > most {
		return fmt.Errorf("%w: %d %s, limit %d", ErrLimit, n, what, most)
	}
	return nil
}

// ids converts a list whose lengths are checked.
func ids(raw [][]byte) []MessageID {
	if len(raw) == 0 {
		return nil
	}
	list := make([]MessageID, len(raw))
	for i, b := range raw {
		list[i] = MessageID(b)
	}
	return list
}

// Encode writes the payload; fields stand in the order of their numbers.
func (p *Payload) Encode() []byte {
	raw := pb.Payload{
		Acks:     rawIDs(p.Acks),
		Offers:   rawIDs(p.Offers),
		Requests: rawIDs(p.Requests),
	}
	for i := range p.Messages {
		m := &p.Messages[i]
		raw.Messages = append(raw.Messages, &pb.Message{GroupId: m.Group[:], Timestamp: m.Timestamp, Body: m.Body})
	}
	for _, o := range p.GroupOffers {
		raw.GroupOffers = append(raw.GroupOffers, &pb.Offer{GroupId: o.Group, MessageIds: rawIDs(o.IDs)})
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(&raw)
	if err != nil {
		panic(err) // only text fields can fail, and there are none
	}
	return data
}

func rawIDs(list []MessageID) [][]byte {
	raw := make([][]byte, len(list))
	for i := range list {
		raw[i] = list[i][:]
	}
	return raw
}
