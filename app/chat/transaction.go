package chat

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// Errors of messages about payments.
var (
	ErrTransactionType = errors.New("not a message about a payment")
	ErrTransaction     = errors.New("message about a payment does not say enough")
	ErrAmount          = errors.New("amount of a payment is not a number")
)

// Transaction is the content of the messages by which clients of the past
// agreed on payments in a 1:1 chat. They are shown, never answered and never
// sent.
type Transaction struct {
	// Command is request_address, accept_address, decline_address, request,
	// decline or send.
	Command string `json:"command"`
	// Request is the id of the message it answers, as it was received.
	Request string `json:"request,omitempty"`
	// Value is a decimal amount of the token whose contract is Contract.
	Value    string `json:"value,omitempty"`
	Contract string `json:"contract,omitempty"`
	// Address is who is to be paid, Hash that of the transaction, both as 0x….
	Address string `json:"address,omitempty"`
	Hash    string `json:"hash,omitempty"`
	// Signature is over the transaction, by the address that sent it; it is not
	// checked.
	Signature []byte `json:"signature,omitempty"`
}

// command is a decoded message about a payment.
type command struct {
	Transaction
	clock  uint64
	chatID string
}

// GetChatId implements Addressed.
func (c command) GetChatId() string { return c.chatID }

// GetMessageType implements Addressed: they were only ever in 1:1 chats.
func (c command) GetMessageType() apppb.MessageType { return apppb.MessageType_ONE_TO_ONE }

// IsTransaction tells whether messages of a type are about payments.
func IsTransaction(t message.Type) bool {
	return t >= apppb.ApplicationMetadataMessage_REQUEST_ADDRESS_FOR_TRANSACTION &&
		t <= apppb.ApplicationMetadataMessage_DECLINE_REQUEST_TRANSACTION
}

// NewTransaction makes the timeline's message, of content type transaction, out
// of a received message about a payment, or says why that is to be dropped.
func NewTransaction(m *message.Message, self key.Public, in contact.Incoming) (*Message, Place, error) {
	c, err := decodeCommand(m.Type, m.Payload)
	if err != nil && !errors.Is(err, ErrTransactionType) {
		err = fmt.Errorf("%w: %w", message.ErrMalformed, err)
	}
	if err == nil {
		err = message.CheckClock(c.clock, in.WakuTime)
	}
	if err == nil {
		err = c.check()
	}
	var place Place
	if err == nil {
		place, err = Match(c, m.Author, self)
	}
	if err != nil {
		return nil, Place{}, fmt.Errorf("%s: %w", message.Name(m.Type), err)
	}
	return &Message{
		ID: m.ID, Chat: place.ID, From: m.Author, ContentType: ContentType(apppb.ChatMessage_TRANSACTION_COMMAND),
		Clock: c.clock, Timestamp: c.clock, State: Received, Transaction: &c.Transaction,
	}, place, nil
}

func decodeCommand(t message.Type, payload []byte) (command, error) {
	switch t {
	case apppb.ApplicationMetadataMessage_REQUEST_ADDRESS_FOR_TRANSACTION:
		m := new(apppb.RequestAddressForTransaction)
		err := proto.Unmarshal(payload, m)
		return command{Transaction{Command: "request_address", Value: m.Value, Contract: m.Contract}, m.Clock, m.ChatId}, err
	case apppb.ApplicationMetadataMessage_ACCEPT_REQUEST_ADDRESS_FOR_TRANSACTION:
		m := new(apppb.AcceptRequestAddressForTransaction)
		err := proto.Unmarshal(payload, m)
		return command{Transaction{Command: "accept_address", Request: m.Id, Address: m.Address}, m.Clock, m.ChatId}, err
	case apppb.ApplicationMetadataMessage_DECLINE_REQUEST_ADDRESS_FOR_TRANSACTION:
		m := new(apppb.DeclineRequestAddressForTransaction)
		err := proto.Unmarshal(payload, m)
		return command{Transaction{Command: "decline_address", Request: m.Id}, m.Clock, m.ChatId}, err
	case apppb.ApplicationMetadataMessage_REQUEST_TRANSACTION:
		m := new(apppb.RequestTransaction)
		err := proto.Unmarshal(payload, m)
		return command{Transaction{Command: "request", Value: m.Value, Contract: m.Contract, Address: m.Address}, m.Clock, m.ChatId}, err
	case apppb.ApplicationMetadataMessage_SEND_TRANSACTION:
		m := new(apppb.SendTransaction)
		err := proto.Unmarshal(payload, m)
		return command{Transaction{Command: "send", Request: m.Id, Hash: m.TransactionHash, Signature: m.Signature}, m.Clock, m.ChatId}, err
	case apppb.ApplicationMetadataMessage_DECLINE_REQUEST_TRANSACTION:
		m := new(apppb.DeclineRequestTransaction)
		err := proto.Unmarshal(payload, m)
		return command{Transaction{Command: "decline", Request: m.Id}, m.Clock, m.ChatId}, err
	}
	return command{}, ErrTransactionType
}

// check checks that a message says what one of its command has to.
func (c command) check() error {
	need := func(what, text string) error {
		if strings.TrimSpace(text) == "" {
			return fmt.Errorf("%w: no %s", ErrTransaction, what)
		}
		return nil
	}
	switch c.Command {
	case "request_address":
		return checkAmount(c.Value)
	case "accept_address":
		return errors.Join(need("id", c.Request), need("address", c.Address))
	case "request":
		if err := need("address", c.Address); err != nil {
			return err
		}
		return checkAmount(c.Value)
	case "send":
		if len(c.Signature) == 0 {
			return fmt.Errorf("%w: no signature", ErrTransaction)
		}
		return need("hash", c.Hash)
	}
	return need("id", c.Request) // both ways to decline
}

// checkAmount checks that an amount is a number that can be shown.
func checkAmount(text string) error {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
		return ErrAmount
	}
	return nil
}
