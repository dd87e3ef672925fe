package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/hashicorp/memberlist"
)

// MaxMetaBytes is what memberlist carries for each node.
const MaxMetaBytes = memberlist.MetaMaxSize

// metaVersion 1:
//
//	version (1) | cluster id (16, zero: none) | expect (uvarint) | promise (16, zero: none)
//	| zone | rpc address | http address | release, each as uvarint length | bytes
const metaVersion byte = 1

// ErrMeta: the metadata of a node is malformed, newer than this binary or too
// long. The node is refused.
var ErrMeta = errors.New("node metadata")

// Meta is what a node spreads about itself. Its name and incarnation travel as
// memberlist's node name, its gossip address as memberlist's own.
type Meta struct {
	ClusterID string // UUID; "" as long as the node belongs to no cluster
	Expect    uint32 // --bootstrap-expect of a node without a cluster, else 0
	Promise   Digest // of the set that it has promised, if any
	Zone      string
	RPCAddr   string
	HTTPAddr  string
	Version   string
}

func (m Meta) encode() ([]byte, error) {
	b := []byte{metaVersion}
	id := uuid.Nil
	if m.ClusterID != "" {
		parsed, err := uuid.Parse(m.ClusterID)
		if err != nil {
			return nil, fmt.Errorf("%w: cluster id %q is no UUID", ErrMeta, m.ClusterID)
		}
		id = parsed
	}
	b = append(b, id[:]...)
	b = binary.AppendUvarint(b, uint64(m.Expect))
	b = append(b, m.Promise[:]...)
	for _, s := range []string{m.Zone, m.RPCAddr, m.HTTPAddr, m.Version} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	if len(b) > MaxMetaBytes {
		return nil, fmt.Errorf("%w: %d bytes of zone, addresses and version are too many: at most %d", ErrMeta, len(b), MaxMetaBytes)
	}
	return b, nil
}

func decodeMeta(b []byte) (Meta, error) {
	var m Meta
	if len(b) == 0 || len(b) > MaxMetaBytes {
		return m, fmt.Errorf("%w of %d bytes", ErrMeta, len(b))
	}
	if b[0] != metaVersion {
		return m, fmt.Errorf("%w of format %d: this binary reads %d", ErrMeta, b[0], metaVersion)
	}
	b = b[1:]
	if len(b) < 16 {
		return m, fmt.Errorf("%w is cut short", ErrMeta)
	}
	if id := uuid.UUID(b[:16]); id != uuid.Nil {
		m.ClusterID = id.String()
	}
	b = b[16:]
	expect, n := binary.Uvarint(b)
	if n <= 0 || expect > 1<<16 || len(b) < n+len(m.Promise) {
		return m, fmt.Errorf("%w is cut short", ErrMeta)
	}
	m.Expect = uint32(expect)
	copy(m.Promise[:], b[n:])
	b = b[n+len(m.Promise):]
	for _, s := range []*string{&m.Zone, &m.RPCAddr, &m.HTTPAddr, &m.Version} {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return m, fmt.Errorf("%w is cut short", ErrMeta)
		}
		*s = string(b[n : n+int(size)])
		b = b[n+int(size):]
	}
	return m, nil // what follows is of a later release with the same version
}
