// Tests against @waku/sds, in a module of their own: the one above is built
// with what go-waku needs, and has nothing of Parley's packages.
module github.com/parley-im/parley/interop/sds

go 1.26.0

require github.com/parley-im/parley v0.0.0

require (
	github.com/tidwall/btree v1.8.2 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace github.com/parley-im/parley => ../..
