// Package ens looks up names of the Ethereum Name Service: which public key,
// or which address, a name leads to (ERC-137, ENS registry and resolvers;
// ERC-619, the pubkey record). It asks an Ethereum node by JSON-RPC and is the
// one place that does. What is claimed, when to look it up and what follows
// from it is app/ens.
//
// Only what is on the chain is read: names that a resolver answers from
// outside of it (ERC-3668) or for all subdomains (ENSIP-10) are not found.
package ens

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"

	"github.com/parley-im/parley/account/key"
)

const (
	// Mainnet is the chain whose names count.
	Mainnet = 1
	// Timeout bounds one lookup with all its calls.
	Timeout = 15 * time.Second
	// MaxName is the longest name looked up, in bytes.
	MaxName = 255
)

// Registry is the address of the ENS registry, on the main network and all
// test networks.
var Registry = common.HexToAddress("0x00000000000C2E074eC69A0dFb2997BA6C7d2e1e")

// Errors of lookups. ErrUnreachable, ErrChain and ErrRegistry say nothing
// about the name, the others do.
var (
	ErrName        = errors.New("not a name that can be looked up")
	ErrNoName      = errors.New("there is no such ENS name")
	ErrNoResolver  = errors.New("the ENS name has no resolver")
	ErrNoRecord    = errors.New("the ENS name has no such record")
	ErrKey         = errors.New("the ENS name has a public key that is none")
	ErrUnreachable = errors.New("the Ethereum node does not answer")
	ErrChain       = errors.New("the Ethereum node is on another chain")
	ErrRegistry    = errors.New("there is no ENS registry on the chain")
)

// Answered tells whether an error of a lookup is an answer about the name,
// which may be asked less often then, and not a failure to ask.
func Answered(err error) bool {
	for _, answer := range []error{ErrName, ErrNoName, ErrNoResolver, ErrNoRecord, ErrKey} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}

// Chain is the part of an Ethereum node that is needed. An error for a call
// that the contract refused wraps [ErrReverted]; every other error is one of
// reaching the node.
type Chain interface {
	ChainID(ctx context.Context) (*big.Int, error)
	ethereum.ContractCaller
}

// ErrReverted is that a contract refused a call.
var ErrReverted = errors.New("the contract refused the call")

// Resolver looks up names. It is safe for concurrent use.
type Resolver struct {
	chain    Chain
	id       uint64
	registry common.Address
	// checked: the node was seen to be on the right chain.
	checked atomic.Bool
}

// New returns a resolver of the names on a chain, usually those of [Registry]
// on [Mainnet].
func New(chain Chain, id uint64, registry common.Address) *Resolver {
	return &Resolver{chain: chain, id: id, registry: registry}
}

// Dial returns a resolver of the names of the main network by the JSON-RPC URL
// of an Ethereum node. Nothing is sent before the first lookup.
func Dial(url string) (*Resolver, error) {
	node, err := NewNode(url)
	if err != nil {
		return nil, err
	}
	return New(node, Mainnet, Registry), nil
}

// Verify tells whether a name, in its normal form, leads to a key: by its
// pubkey record, or, when it has none, by an address record that is the
// key's address. When it does not, err is nil or says why, see [Answered].
func (r *Resolver) Verify(ctx context.Context, name string, pub key.Public) (bool, error) {
	if pub.IsZero() {
		return false, fmt.Errorf("verifying an ENS name: %w", ErrKey)
	}
	found, err := r.PublicKey(ctx, name)
	if err == nil {
		return found == pub, nil
	}
	if !errors.Is(err, ErrNoRecord) {
		return false, err
	}
	address, err := r.Address(ctx, name)
	return err == nil && address == pub.Address(), err
}

// PublicKey returns the key in the pubkey record of a name.
func (r *Resolver) PublicKey(ctx context.Context, name string) (key.Public, error) {
	record, err := r.record(ctx, name, selectorPubkey, 2*word)
	if err != nil {
		return key.Public{}, err
	}
	pub, err := key.PublicFromBytes(append([]byte{4}, record...))
	if err != nil {
		return key.Public{}, fmt.Errorf("looking up an ENS name: %w", ErrKey)
	}
	return pub, nil
}

// Address returns the address record of a name.
func (r *Resolver) Address(ctx context.Context, name string) ([20]byte, error) {
	record, err := r.record(ctx, name, selectorAddr, word)
	if err != nil {
		return [20]byte{}, err
	}
	address, ok := addressOf(record)
	if !ok {
		return [20]byte{}, fmt.Errorf("looking up an ENS name: %w", ErrNoRecord)
	}
	return address, nil
}

// record asks the resolver of a name for a record of that many bytes. A record
// of zeros is none.
func (r *Resolver) record(ctx context.Context, name string, selector [4]byte, size int) (_ []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	defer func() {
		if err != nil {
			err = fmt.Errorf("looking up an ENS name: %w", err)
		}
	}()
	node, err := Namehash(name)
	if err != nil {
		return nil, err
	}
	if err := r.onChain(ctx); err != nil {
		return nil, err
	}
	resolver, err := r.resolver(ctx, node)
	if err != nil {
		return nil, err
	}
	answer, err := r.call(ctx, resolver, selector, node)
	switch {
	case errors.Is(err, ErrReverted), err == nil && (len(answer) < size || isZero(answer[:size])):
		return nil, ErrNoRecord
	case err != nil:
		return nil, err
	}
	return answer[:size], nil
}

// onChain checks once that the node is on the right chain: on another, anybody
// may own any name.
func (r *Resolver) onChain(ctx context.Context) error {
	if r.checked.Load() {
		return nil
	}
	id, err := r.chain.ChainID(ctx)
	if err != nil {
		return unreachable(err)
	}
	if !id.IsUint64() || id.Uint64() != r.id {
		return fmt.Errorf("%w: not on %d", ErrChain, r.id)
	}
	r.checked.Store(true)
	return nil
}

// resolver asks the registry who resolves a name.
func (r *Resolver) resolver(ctx context.Context, node [32]byte) (common.Address, error) {
	found, err := r.registered(ctx, selectorResolver, node)
	if err != nil || found != (common.Address{}) {
		return found, err
	}
	owner, err := r.registered(ctx, selectorOwner, node)
	switch {
	case err != nil:
		return common.Address{}, err
	case owner == (common.Address{}):
		return common.Address{}, ErrNoName
	}
	return common.Address{}, ErrNoResolver
}

// registered asks the registry for an address.
func (r *Resolver) registered(ctx context.Context, selector [4]byte, node [32]byte) (common.Address, error) {
	answer, err := r.call(ctx, r.registry, selector, node)
	switch {
	case errors.Is(err, ErrReverted):
		return common.Address{}, ErrRegistry
	case err != nil:
		return common.Address{}, err
	}
	if len(answer) < word {
		return common.Address{}, ErrRegistry
	}
	address, ok := addressOf(answer[:word])
	if !ok && !isZero(answer[:word]) {
		return common.Address{}, ErrRegistry
	}
	return address, nil
}

// call calls a function of one node hash.
func (r *Resolver) call(ctx context.Context, to common.Address, selector [4]byte, node [32]byte) ([]byte, error) {
	answer, err := r.chain.CallContract(ctx, ethereum.CallMsg{To: &to, Data: append(selector[:], node[:]...)}, nil)
	if err != nil && !errors.Is(err, ErrReverted) {
		return nil, unreachable(err)
	}
	return answer, err
}

// unreachable hides what a transport says, which may name the URL, and keeps
// that the caller gave up or the time was over.
func unreachable(err error) error {
	for _, known := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return fmt.Errorf("%w: %w", ErrUnreachable, known)
		}
	}
	var why *nodeError
	if errors.As(err, &why) {
		return fmt.Errorf("%w: %s", ErrUnreachable, why.what)
	}
	return ErrUnreachable
}

// Namehash returns the hash that stands for a name in its normal form
// (ERC-137).
func Namehash(name string) ([32]byte, error) {
	if name == "" || len(name) > MaxName {
		return [32]byte{}, fmt.Errorf("%w: %d bytes", ErrName, len(name))
	}
	var node [32]byte
	for name != "" {
		at := strings.LastIndexByte(name, '.')
		label := name[at+1:]
		if label == "" || at == 0 {
			return [32]byte{}, fmt.Errorf("%w: an empty label", ErrName)
		}
		hash := key.Keccak256([]byte(label))
		node = key.Keccak256(node[:], hash[:])
		name = name[:max(at, 0)]
	}
	return node, nil
}

// word is the size of a value of the contracts' ABI, in bytes.
const word = 32

// Selectors of the functions that are called, each of one bytes32.
var (
	selectorResolver = selector("resolver(bytes32)")
	selectorOwner    = selector("owner(bytes32)")
	selectorPubkey   = selector("pubkey(bytes32)")
	selectorAddr     = selector("addr(bytes32)")
)

func selector(signature string) [4]byte {
	hash := key.Keccak256([]byte(signature))
	return [4]byte(hash[:4])
}

// addressOf reads an address out of a word; the zero address is none.
func addressOf(b []byte) (a [20]byte, ok bool) {
	const padding = word - len(a)
	if !isZero(b[:padding]) {
		return a, false
	}
	copy(a[:], b[padding:])
	return a, a != [20]byte{}
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
