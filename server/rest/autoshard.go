package rest

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/parley-im/parley/waku/topic"
)

// ErrAutoshard is a content topic that autosharding has no shard for.
var ErrAutoshard = errors.New("autosharding error")

// Autoshard returns the shard of a content topic among shards
// (WAKU2-RELAY-SHARDING, Automatic Sharding): the last 8 bytes of the SHA-256
// of application and version, modulo their number. Only generation 0, which
// topics without a generation have too, is defined.
func Autoshard(contentTopic string, shards uint16) (uint16, error) {
	if shards == 0 {
		return 0, fmt.Errorf("%w: no shards", ErrAutoshard)
	}
	if !strings.HasPrefix(contentTopic, "/") {
		return 0, fmt.Errorf("%w: invalid format: content-topic '%s' must start with slash", ErrAutoshard, contentTopic)
	}
	t, err := topic.ParseContent(contentTopic)
	if err != nil {
		return 0, fmt.Errorf("%w: invalid format: %w", ErrAutoshard, err)
	}
	if t.Generation != 0 {
		return 0, fmt.Errorf("%w: Generation > 0 are not supported yet", ErrAutoshard)
	}
	sum := sha256.Sum256([]byte(t.Application + t.Version))
	return uint16(binary.BigEndian.Uint64(sum[sha256.Size-8:]) % uint64(shards)), nil
}

// errStatic is a content topic without its pubsub topic on a network that does
// not derive the one from the other.
var errStatic = errors.New("static sharding is used, relay subscriptions must specify a pubsub topic")

// pubsubOf is the pubsub topic of a content topic.
func (cfg *Config) pubsubOf(contentTopic string) (string, error) {
	if cfg.NumShards == 0 {
		return "", errStatic
	}
	shard, err := Autoshard(contentTopic, cfg.NumShards)
	if err != nil {
		return "", err
	}
	return topic.Pubsub(cfg.Cluster, shard), nil
}
