package storage

import "github.com/flotilla-db/flotilla/storage/digest"

// Dump is a shard file opened for reading only, by a tool, while no node has it open.
type Dump struct{}

// OpenReadOnly opens a shard file without changing it.
func OpenReadOnly(path string) (*Dump, error) { panic("soon") }

// DumpMeta is one record of the meta bucket, decoded to text.
type DumpMeta struct{ Name, Value string }

// DumpPart is one part of the blocks bucket.
type DumpPart struct {
	Leaf        digest.Leaf
	Series      Series
	Part        uint32
	Rows        int
	First, Last int64
	Version     uint8
	Bytes       int
	Err         error // damage, if any; the fields that could not be read are zero
}

// DumpDigest is one record of the digests bucket.
type DumpDigest struct {
	digest.Entry
	Index uint64
	Err   error
}

// Meta lists the meta bucket.
func (d *Dump) Meta() ([]DumpMeta, error) { panic("soon") }

// Parts yields the blocks bucket in key order.
func (d *Dump) Parts(yield func(DumpPart) error) error { panic("soon") }

// Digests yields the digests bucket in key order.
func (d *Dump) Digests(yield func(DumpDigest) error) error { panic("soon") }

// Close closes the file.
func (d *Dump) Close() error { panic("soon") }
