package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

var bucketStage = []byte("stage")

// putHead writes what a stage says of itself; format.go has the layout.
func (s *Stage) putHead(b recordSink, t totals) error {
	for _, r := range []struct {
		name  string
		value []byte
	}{
		{metaFormat, number(stageFormat)},
		{metaCluster, []byte(s.o.Identity.ClusterID)},
		{metaGroup, number(uint64(s.o.Identity.Group))},
		{metaWindow, number(uint64(s.o.Window))},
		{metaTotals, t.encode()},
	} {
		if err := putMeta(b, r.name, r.value); err != nil {
			return err
		}
	}
	return nil
}

// readHead checks whose the stage is, or the shard that it was sealed to.
func (s *Stage) readHead(tx *bolt.Tx) (t totals, sealed bool, err error) {
	b, format := s.file.bucket(tx, bucketStage), uint64(stageFormat)
	if b == nil {
		if b, format, sealed = s.file.bucket(tx, bucketMeta), fileFormat, true; b == nil {
			return t, false, s.file.damage(errors.New("neither stage nor shard"))
		}
	}
	found, err := numberMeta(b, metaFormat)
	if err != nil {
		return t, false, s.file.damage(err)
	}
	if found != format {
		return t, false, fmt.Errorf("%w: %s: layout version %d, this binary reads %d", ErrIdentity, s.o.Path, found, format)
	}
	for _, name := range [][]byte{bucketBlocks, bucketDigests, bucketSeries} {
		if tx.Bucket(name) == nil {
			return t, false, s.file.damage(fmt.Errorf("bucket %s is missing", name))
		}
	}
	id, window, err := getIdentity(b)
	if err == nil {
		t, err = getTotals(b)
	}
	if err == nil && sealed { // what sealing it again goes by
		_, _, err = getState(b)
	}
	if err != nil {
		return t, false, s.file.damage(err)
	}
	return t, sealed, s.belongs(id, window)
}

// belongs checks that a file has the cluster, group and window length of the stage. The lineage may differ.
func (s *Stage) belongs(id Identity, window time.Duration) error {
	want := s.o.Identity
	want.Lineage = ""
	if wrong := id.differs(want); wrong != "" {
		return fmt.Errorf("%w: %s", ErrIdentity, wrong)
	}
	if window != s.o.Window {
		return fmt.Errorf("%w: windows of %v, the stage has %v", ErrIdentity, window, s.o.Window)
	}
	return nil
}

func (t totals) encode() []byte {
	b := make([]byte, 0, 32)
	for _, v := range []uint64{t.rows, t.blockBytes, t.parts, t.series} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func getTotals(b records) (t totals, err error) {
	sums, err := fixedMeta(b, metaTotals, 32)
	if err != nil {
		return t, err
	}
	for i, v := range []*uint64{&t.rows, &t.blockBytes, &t.parts, &t.series} {
		*v = binary.LittleEndian.Uint64(sums[8*i:])
	}
	return t, nil
}
