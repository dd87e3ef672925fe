package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/raft"
)

// What the owner of another file in the layout of raft-boltdb needs, the meta group's: entries as the boltdb engine stores
// them, the guard of a transaction, and how a file takes the place of another.

// EncodeEntry gives an entry as raft-boltdb stores it, with its CRC (see boltformat.go).
func EncodeEntry(log *raft.Log) ([]byte, error) {
	var b bytes.Buffer
	var h codec.MsgpackHandle
	h.TimeNotBuiltin = true
	err := codec.NewEncoder(&b, &h).Encode(sealBolt(log))
	return b.Bytes(), err
}

// errEntry: bytes that are no entry, or another one.
var errEntry = errors.New("entry is damaged")

// DecodeEntry gives entry i; sealed is whether its CRC was there, and right.
func DecodeEntry(i uint64, b []byte) (log *raft.Log, sealed bool, err error) {
	log = new(raft.Log)
	err = guard("decode entry", func() error { return codec.NewDecoderBytes(b, &codec.MsgpackHandle{}).Decode(log) })
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("entry %d: %w: %w", i, errEntry, err)
	case log.Index != i:
		return nil, false, fmt.Errorf("entry %d: %w: it says that it is %d", i, errEntry, log.Index)
	case len(log.Extensions) == 0:
		return log, false, nil
	case !unsealBolt(i, log):
		return nil, false, fmt.Errorf("entry %d: %w: %w", i, errEntry, errChecksum)
	}
	return log, true, nil
}

// Guarded runs a transaction of bbolt. ErrDamaged: the file is not to be touched through this handle any more, nor the
// handle closed.
func Guarded(object string, f func() error) error { return guard(object, f) }

// ReplaceFile gives a file that is whole and synced another name, durably.
func ReplaceFile(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}
