package storage

import (
	"encoding/binary"
	"fmt"
	"io"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// Evidence copies the records of a leaf as they lie in the file, bad ones too, in the layout "Evidence" of format.go. n is
// how many bytes were written to w. A leaf without records gives a head without records.
func (v *View) Evidence(leaf digest.Leaf, w io.Writer) (n int64, err error) {
	err = v.read("evidence", func(r *reader) error {
		n, err = r.evidence(leaf, v.pin.tx, w)
		return err
	})
	return n, err
}

// Evidence is View.Evidence of a file that no node has open.
func (d *Dump) Evidence(leaf digest.Leaf, w io.Writer) (n int64, err error) {
	err = d.file.view("evidence", func(tx *bolt.Tx) error {
		n, err = newReader(d.file, tx).evidence(leaf, tx, w)
		return err
	})
	return n, err
}

func (r *reader) evidence(leaf digest.Leaf, tx *bolt.Tx, w io.Writer) (n int64, err error) {
	write := func(b []byte) error {
		wrote, err := w.Write(b)
		n += int64(wrote)
		if err != nil {
			return fmt.Errorf("write evidence: %w", err)
		}
		return nil
	}
	key := appendLeaf(nil, leaf)
	head := append([]byte(evidenceMagic), evidenceFormat)
	head = appendString(append(head, key...), string(r.file.bucket(tx, bucketDigests).Get(key)))
	if err := write(head); err != nil {
		return n, err
	}
	var lengths []byte
	err = r.records(leaf, func(k, v []byte) error {
		lengths = binary.AppendUvarint(lengths[:0], uint64(len(k)))
		lengths = binary.AppendUvarint(lengths, uint64(len(v)))
		for _, b := range [][]byte{lengths, k, v} {
			if err := write(b); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}
