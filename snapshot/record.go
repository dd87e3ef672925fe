package snapshot

import (
	"encoding/json"
	"fmt"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/raft"
)

// DecodeConfiguration reads Raft's encoding of a configuration.
// raft.DecodeConfiguration panics on bad bytes, and these come from a file.
func DecodeConfiguration(b []byte) (raft.Configuration, error) {
	var c raft.Configuration
	if err := codec.NewDecoderBytes(b, &codec.MsgpackHandle{}).Decode(&c); err != nil {
		return raft.Configuration{}, fmt.Errorf("decode raft configuration of %d bytes: %w", len(b), err)
	}
	return c, nil
}

// meta turns a record into what Raft lists. Its id says what it is of.
func meta(d storage.Durable) (*raft.SnapshotMeta, []byte, error) {
	configuration, err := DecodeConfiguration(d.Configuration)
	if err != nil {
		return nil, nil, fmt.Errorf("snapshot record at index %d: %w", d.Index, err)
	}
	body, err := json.Marshal(struct {
		Index              uint64 `json:"index"`
		Term               uint64 `json:"term"`
		ConfigurationIndex uint64 `json:"configuration_index"`
	}{d.Index, d.Term, d.ConfigurationIndex})
	if err != nil {
		return nil, nil, fmt.Errorf("encode snapshot record: %w", err)
	}
	return &raft.SnapshotMeta{
		Version:            raft.SnapshotVersionMax,
		ID:                 recordID(d.Index, d.Term),
		Index:              d.Index,
		Term:               d.Term,
		Configuration:      configuration,
		ConfigurationIndex: d.ConfigurationIndex,
		Size:               int64(len(body)), // Raft compares it with the bytes read
	}, body, nil
}

func recordID(index, term uint64) string { return fmt.Sprintf("shard-%d-%d", term, index) }
