package ens

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"

	"github.com/parley-im/parley/account/key"
)

// contracts is the interface of the contracts that are asked, read by
// go-ethereum's own encoder.
var contracts = func() abi.ABI {
	parsed, err := abi.JSON(strings.NewReader(`[
		{"type":"function","name":"resolver","inputs":[{"name":"node","type":"bytes32"}],"outputs":[{"type":"address"}]},
		{"type":"function","name":"owner","inputs":[{"name":"node","type":"bytes32"}],"outputs":[{"type":"address"}]},
		{"type":"function","name":"pubkey","inputs":[{"name":"node","type":"bytes32"}],"outputs":[{"name":"x","type":"bytes32"},{"name":"y","type":"bytes32"}]},
		{"type":"function","name":"addr","inputs":[{"name":"node","type":"bytes32"}],"outputs":[{"type":"address"}]}
	]`))
	if err != nil {
		panic(err)
	}
	return parsed
}()

var resolverContract = common.HexToAddress("0x00000000000000000000000000000000000000aa")

// answer is what a function gives for a name: values of go-ethereum's encoder,
// raw bytes, or an error to be sent.
type answer any

type rpcError struct {
	Code    int64  `json:"code"`
	Message string `json:"message"`
}

// chain is an Ethereum node as far as the resolver can tell.
type chain struct {
	t  testing.TB
	id int64
	// answers by contract, function and name.
	answers map[common.Address]map[string]map[[32]byte]answer
	asked   atomic.Int64
}

func newChain(t testing.TB) *chain {
	return &chain{t: t, id: Mainnet, answers: map[common.Address]map[string]map[[32]byte]answer{}}
}

// set makes a function of a contract answer for a name.
func (c *chain) set(at common.Address, function, name string, a answer) *chain {
	node, err := Namehash(name)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.answers[at] == nil {
		c.answers[at] = map[string]map[[32]byte]answer{}
	}
	if c.answers[at][function] == nil {
		c.answers[at][function] = map[[32]byte]answer{}
	}
	c.answers[at][function][node] = a
	return c
}

// name registers a name with the resolver contract.
func (c *chain) name(name string) *chain {
	return c.set(Registry, "resolver", name, resolverContract).set(Registry, "owner", name, common.Address{1})
}

// call runs a call: nothing for an address without contract, zeros for a name
// it does not know.
func (c *chain) call(to common.Address, data []byte) ([]byte, *rpcError) {
	contract, ok := c.answers[to]
	if !ok {
		return nil, nil
	}
	method, err := contracts.MethodById(data)
	if err != nil {
		return nil, &rpcError{3, "execution reverted"}
	}
	inputs, err := method.Inputs.Unpack(data[4:])
	if err != nil {
		c.t.Errorf("%s: %v", method.Name, err)
		return nil, &rpcError{-32602, err.Error()}
	}
	switch a := contract[method.Name][inputs[0].([32]byte)].(type) {
	case nil:
		return make([]byte, 32*len(method.Outputs)), nil
	case []byte:
		return a, nil
	case *rpcError:
		return nil, a
	case key.Public:
		b := a.Bytes()
		return c.pack(method, [32]byte(b[1:33]), [32]byte(b[33:]))
	default:
		return c.pack(method, a)
	}
}

func (c *chain) pack(method *abi.Method, values ...any) ([]byte, *rpcError) {
	raw, err := method.Outputs.Pack(values...)
	if err != nil {
		c.t.Errorf("%s: %v", method.Name, err)
	}
	return raw, nil
}

// ServeHTTP answers JSON-RPC.
func (c *chain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.asked.Add(1)
	var request struct {
		Version string `json:"jsonrpc"`
		ID      json.RawMessage
		Method  string
		Params  []json.RawMessage
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || request.Version != "2.0" || r.Header.Get("Content-Type") != "application/json" {
		c.t.Errorf("%+v, %v", request, err)
		return
	}
	reply := map[string]any{"jsonrpc": "2.0", "id": request.ID}
	switch request.Method {
	case "eth_chainId":
		reply["result"] = "0x" + big.NewInt(c.id).Text(16)
	case "eth_call":
		var call struct{ To, Data string }
		if err := json.Unmarshal(request.Params[0], &call); err != nil || len(request.Params) != 2 || string(request.Params[1]) != `"latest"` {
			c.t.Errorf("%s: %v", request.Params, err)
		}
		data, err := hex.DecodeString(strings.TrimPrefix(call.Data, "0x"))
		if err != nil {
			c.t.Errorf("%s: %v", call.Data, err)
		}
		if raw, failed := c.call(common.HexToAddress(call.To), data); failed != nil {
			reply["error"] = failed
		} else {
			reply["result"] = "0x" + hex.EncodeToString(raw)
		}
	default:
		reply["error"] = rpcError{-32601, "no such method"}
	}
	if err := json.NewEncoder(w).Encode(reply); err != nil {
		c.t.Error(err)
	}
}

// secret is part of every URL in the tests and must be part of nothing that
// comes out.
const secret = "s3cr3t-key"

// serve starts the node and returns a resolver that knows its URL.
func serve(t testing.TB, h http.Handler) *Resolver {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	r, err := Dial(server.URL + "/v3/" + secret)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newKey(t testing.TB, seed byte) key.Public {
	t.Helper()
	k, err := key.Generate(rand.NewChaCha8([32]byte{seed}))
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

// The selectors are those of go-ethereum's encoder.
func TestSelectors(t *testing.T) {
	t.Parallel()
	for name, got := range map[string][4]byte{"resolver": selectorResolver, "owner": selectorOwner, "pubkey": selectorPubkey, "addr": selectorAddr} {
		if want := contracts.Methods[name].ID; !bytes.Equal(got[:], want) {
			t.Errorf("%s is %x, want %x", name, got, want)
		}
	}
}
