// Package simulated tests account/ens against a simulated Ethereum chain: a
// go-ethereum node that mines, with a registry and a resolver as contracts in
// its machine code, asked over JSON-RPC like any node. Run it in this folder:
//
//	go test ./...
package simulated

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/core/vm/program"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/ethclient/simulated"
	"github.com/ethereum/go-ethereum/node"

	"github.com/parley-im/parley/account/ens"
	"github.com/parley-im/parley/account/key"
)

// chainID is that of the simulated chain.
const chainID = 1337

func selector(signature string) []byte { return crypto.Keccak256([]byte(signature))[:4] }

// function is a function of a contract: it loads or stores so many words, the
// first in the slot of its first argument plus offset.
type function struct {
	signature     string
	offset, words int
	store         bool
}

// contract assembles a contract of such functions, which refuses all others.
func contract(functions ...function) []byte {
	// Every function is reached by a jump, so that their places have to be
	// known: the code is made twice.
	places := make([]uint64, len(functions))
	var p *program.Program
	for range 2 {
		p = program.New()
		p.Push(0).Op(vm.CALLDATALOAD).Push(0xe0).Op(vm.SHR)
		for i, f := range functions {
			p.Op(vm.DUP1).Push(selector(f.signature)).Op(vm.EQ)
			p.Append([]byte{byte(vm.PUSH2), byte(places[i] >> 8), byte(places[i])}).Op(vm.JUMPI)
		}
		p.Push(0).Push(0).Op(vm.REVERT)
		for i, f := range functions {
			_, places[i] = p.Jumpdest()
			for word := range f.words {
				if f.store {
					p.Push(36 + 32*word).Op(vm.CALLDATALOAD)
				}
				p.Push(4).Op(vm.CALLDATALOAD).Push(f.offset + word).Op(vm.ADD)
				if f.store {
					p.Op(vm.SSTORE)
					continue
				}
				p.Op(vm.SLOAD).Push(32 * word).Op(vm.MSTORE)
			}
			if f.store {
				p.Op(vm.STOP)
				continue
			}
			p.Return(0, 32*f.words)
		}
	}
	return p.Bytes()
}

var (
	registryCode = contract(
		function{signature: "resolver(bytes32)", offset: 0, words: 1},
		function{signature: "owner(bytes32)", offset: 1, words: 1},
		function{signature: "setResolver(bytes32,address)", offset: 0, words: 1, store: true},
		function{signature: "setOwner(bytes32,address)", offset: 1, words: 1, store: true},
	)
	resolverCode = contract(
		function{signature: "pubkey(bytes32)", offset: 0, words: 2},
		function{signature: "addr(bytes32)", offset: 2, words: 1},
		function{signature: "setPubkey(bytes32,bytes32,bytes32)", offset: 0, words: 2, store: true},
		function{signature: "setAddr(bytes32,address)", offset: 2, words: 1, store: true},
	)
	// oldResolverCode knows no keys.
	oldResolverCode = contract(function{signature: "addr(bytes32)", offset: 2, words: 1})
)

// world is the chain and somebody with money on it.
type world struct {
	*testing.T
	backend *simulated.Backend
	owner   *ecdsa.PrivateKey
	url     string
}

func newWorld(t *testing.T) *world {
	owner, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	// A port that was free a moment ago.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	wealth, _ := new(big.Int).SetString("1000000000000000000000", 10)
	backend := simulated.NewBackend(types.GenesisAlloc{
		crypto.PubkeyToAddress(owner.PublicKey): {Balance: wealth},
		ens.Registry:                            {Code: registryCode},
	}, func(c *node.Config, _ *ethconfig.Config) {
		c.HTTPHost, c.HTTPPort, c.HTTPModules = "127.0.0.1", port, []string{"eth"}
	})
	t.Cleanup(func() { backend.Close() })
	return &world{T: t, backend: backend, owner: owner, url: fmt.Sprintf("http://127.0.0.1:%d", port)}
}

// send has a transaction mined and returns its receipt.
func (w *world) send(to *common.Address, data []byte) *types.Receipt {
	w.Helper()
	client := w.backend.Client()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	from := crypto.PubkeyToAddress(w.owner.PublicKey)
	nonce, err := client.PendingNonceAt(ctx, from)
	if err != nil {
		w.Fatal(err)
	}
	gas, err := client.EstimateGas(ctx, ethereum.CallMsg{From: from, To: to, Data: data})
	if err != nil {
		w.Fatal(err)
	}
	tx, err := types.SignNewTx(w.owner, types.LatestSignerForChainID(big.NewInt(chainID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(chainID), Nonce: nonce, Gas: gas, To: to, Data: data,
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e11),
	})
	if err != nil {
		w.Fatal(err)
	}
	if err := client.SendTransaction(ctx, tx); err != nil {
		w.Fatal(err)
	}
	w.backend.Commit()
	receipt, err := client.TransactionReceipt(ctx, tx.Hash())
	if err != nil || receipt.Status != types.ReceiptStatusSuccessful {
		w.Fatalf("%+v, %v", receipt, err)
	}
	return receipt
}

// deploy puts a contract on the chain.
func (w *world) deploy(code []byte) common.Address {
	w.Helper()
	return w.send(nil, program.New().ReturnViaCodeCopy(code).Bytes()).ContractAddress
}

// set calls a setter for a name.
func (w *world) set(at common.Address, signature, name string, words ...[]byte) {
	w.Helper()
	hash, err := ens.Namehash(name)
	if err != nil {
		w.Fatal(err)
	}
	data := append(selector(signature), hash[:]...)
	for _, word := range words {
		data = append(data, common.LeftPadBytes(word, 32)...)
	}
	w.send(&at, data)
}

func newKey(t *testing.T, seed byte) key.Public {
	k, err := key.Generate(rand.NewChaCha8([32]byte{seed}))
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

// Names are registered, resolved, sold and given up on a chain, and looked up
// over HTTP by Parley's own client and through go-ethereum's.
func TestSimulatedChain(t *testing.T) {
	w := newWorld(t)
	alice, bob := newKey(t, 1), newKey(t, 2)
	owner := crypto.PubkeyToAddress(w.owner.PublicKey)
	resolver, old := w.deploy(resolverCode), w.deploy(oldResolverCode)
	register := func(name string, resolver common.Address) {
		w.Helper()
		w.set(ens.Registry, "setOwner(bytes32,address)", name, owner[:])
		if resolver != (common.Address{}) {
			w.set(ens.Registry, "setResolver(bytes32,address)", name, resolver[:])
		}
	}
	setKey := func(name string, pub key.Public) {
		w.Helper()
		b := pub.Bytes()
		w.set(resolver, "setPubkey(bytes32,bytes32,bytes32)", name, b[1:33], b[33:])
	}
	const name = "alice.stateofus.eth"
	register(name, resolver)
	setKey(name, alice)
	register("address.eth", resolver)
	address := bob.Address()
	w.set(resolver, "setAddr(bytes32,address)", "address.eth", address[:])
	register("empty.eth", resolver)
	register("old.eth", old)
	register("nobody.eth", common.HexToAddress("0xdead"))
	register("unresolved.eth", common.Address{})

	overHTTP, err := ens.NewNode(w.url)
	if err != nil {
		t.Fatal(err)
	}
	for client, chain := range map[string]ens.Chain{"over HTTP": overHTTP, "go-ethereum's client": goEthereum{w.backend.Client()}} {
		r := ens.New(chain, chainID, ens.Registry)
		verify := func(name string, pub key.Public, want bool, wantErr error) {
			t.Helper()
			got, err := r.Verify(t.Context(), name, pub)
			if got != want || !errors.Is(err, wantErr) || err != nil && !ens.Answered(err) {
				t.Errorf("%s, %s: %v, %v; want %v, %v", client, name, got, err, want, wantErr)
			}
		}
		verify(name, alice, true, nil)
		verify(name, bob, false, nil)
		verify("address.eth", bob, true, nil)
		verify("address.eth", alice, false, nil)
		verify("empty.eth", alice, false, ens.ErrNoRecord)
		verify("old.eth", alice, false, ens.ErrNoRecord)
		verify("nobody.eth", alice, false, ens.ErrNoRecord)
		verify("unresolved.eth", alice, false, ens.ErrNoResolver)
		verify("bob.stateofus.eth", bob, false, ens.ErrNoName)

		// Alice sells her name, and gets it back for the next client.
		setKey(name, bob)
		verify(name, alice, false, nil)
		verify(name, bob, true, nil)
		setKey(name, alice)

		// The simulated chain is not the main network.
		if ok, err := ens.New(chain, ens.Mainnet, ens.Registry).Verify(t.Context(), name, alice); !errors.Is(err, ens.ErrChain) || ok {
			t.Errorf("%s: %v, %v", client, ok, err)
		}
		// There is no registry elsewhere.
		if ok, err := ens.New(chain, chainID, common.HexToAddress("0xbeef")).Verify(t.Context(), name, alice); !errors.Is(err, ens.ErrRegistry) || ok {
			t.Errorf("%s: %v, %v", client, ok, err)
		}
	}
}

// goEthereum tells the refusal of a contract as account/ens wants it.
type goEthereum struct{ simulated.Client }

func (c goEthereum) CallContract(ctx context.Context, m ethereum.CallMsg, block *big.Int) ([]byte, error) {
	answer, err := c.Client.CallContract(ctx, m, block)
	if coded, ok := err.(interface{ ErrorCode() int }); ok && coded.ErrorCode() == 3 {
		return nil, ens.ErrReverted
	}
	if err != nil && err.Error() == "execution reverted" {
		return nil, ens.ErrReverted
	}
	return answer, err
}
