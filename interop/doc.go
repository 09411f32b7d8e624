// Package interop holds tests of Parley against other people's
// implementations of the Waku protocols: go-waku here, the JavaScript SDK in
// js. Parley itself is a process in them, the binary `parley` as it is shipped,
// seen through the wire protocols and its REST API.
//
// The tests need the build tag gowaku_no_rln, without which go-waku links
// native libraries for rate limiting proofs.
package interop
