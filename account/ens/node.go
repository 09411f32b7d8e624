package ens

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// maxAnswer is the largest answer of a node that is read, in bytes. The largest
// that means anything has some 200.
const maxAnswer = 64 << 10

// ErrURL is a URL that is not one of a node.
var ErrURL = errors.New("not the http or https URL of an Ethereum node")

// Node is an Ethereum node by its JSON-RPC URL over HTTP. The URL is a secret,
// for providers put the key of an account into it: no error and no way of
// printing a Node shows any part of it, nor what the provider says in an
// error. It is safe for concurrent use.
//
// It stands in for go-ethereum's own client, whose errors carry the URL and
// which reads answers of any size.
type Node struct {
	url    *url.URL
	client *http.Client
}

// NewNode returns the node with that URL, http or https.
func NewNode(address string) (*Node, error) {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, ErrURL
	}
	client := &http.Client{
		// Whoever redirects would learn the key.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Node{url: u, client: client}, nil
}

// String says that there is a node and not which.
func (*Node) String() string { return "[Ethereum node]" }

// Format writes what String returns, whatever the verb.
func (n *Node) Format(f fmt.State, _ rune) { io.WriteString(f, n.String()) }

// MarshalText writes what String returns.
func (n *Node) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// nodeError is what went wrong with a request, in words of ours.
type nodeError struct{ what string }

func (e *nodeError) Error() string { return "Ethereum node: " + e.what }

// ChainID returns the number of the chain that the node is on.
func (n *Node) ChainID(ctx context.Context) (*big.Int, error) {
	var id hexutil.Big
	if err := n.request(ctx, "eth_chainId", []any{}, &id); err != nil {
		return nil, err
	}
	return id.ToInt(), nil
}

// CallContract calls a contract as of the given block, nil for the latest.
// Of the message only To and Data count.
func (n *Node) CallContract(ctx context.Context, msg ethereum.CallMsg, block *big.Int) ([]byte, error) {
	at := "latest"
	if block != nil {
		at = hexutil.EncodeBig(block)
	}
	type call struct {
		To   *common.Address `json:"to"`
		Data hexutil.Bytes   `json:"data"`
	}
	var answer hexutil.Bytes
	err := n.request(ctx, "eth_call", []any{call{msg.To, msg.Data}, at}, &answer)
	return answer, err
}

// request does one request and reads its result.
func (n *Node) request(ctx context.Context, method string, params []any, result any) error {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return &nodeError{"the request cannot be written"}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url.String(), bytes.NewReader(body))
	if err != nil {
		return &nodeError{"the request cannot be made"}
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := n.client.Do(request)
	if err != nil {
		return lost(ctx, "no connection")
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return lost(ctx, "the connection broke")
	case len(raw) > maxAnswer:
		return &nodeError{"the answer is too large"}
	}
	var answer struct {
		Result json.RawMessage
		Error  *struct {
			Code    int64
			Message string
		}
	}
	failed := json.Unmarshal(raw, &answer) != nil
	switch {
	case !failed && answer.Error != nil && reverted(answer.Error.Code, answer.Error.Message):
		return ErrReverted
	case !failed && answer.Error != nil:
		return &nodeError{fmt.Sprintf("error %d", answer.Error.Code)}
	case response.StatusCode != http.StatusOK:
		return &nodeError{fmt.Sprintf("HTTP status %d", response.StatusCode)}
	case failed || len(answer.Result) == 0 || json.Unmarshal(answer.Result, result) != nil:
		return &nodeError{"the answer is not that of an Ethereum node"}
	}
	return nil
}

// lost is a request without answer: the caller's reason, or what.
func lost(ctx context.Context, what string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return &nodeError{what}
}

// revertCode is the code of a call that the contract refused, in most nodes;
// others have a general code and say it in the text.
const revertCode = 3

// refusals are parts of what nodes say, in lower case, when the contract gave
// up and not the node.
var refusals = []string{"revert", "invalid opcode", "invalid jump", "out of gas", "stack underflow"}

func reverted(code int64, text string) bool {
	text = strings.ToLower(text)
	return code == revertCode || slices.ContainsFunc(refusals, func(r string) bool { return strings.Contains(text, r) })
}
