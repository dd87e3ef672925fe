package storage

import (
	"encoding/binary"
	"fmt"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// Series names all points of one device in one collection.
type Series struct{ Database, Collection, Device string }

// String joins the three names for people. It is ambiguous ((a, b, c:d) and (a, b:c, d) print alike): use Key to tell
// series apart.
func (s Series) String() string { return s.Database + ":" + s.Collection + ":" + s.Device }

// Point is what a device reported at one time.
type Point struct {
	Series
	Time   int64 // ns since 1970
	Fields []Field
}

// Field is one named value of a point.
type Field = blocks.Field

// Key is the series' storage key: each name behind its length, so that no two series share a key and no key is a
// prefix of another.
func (s Series) Key() []byte { return s.AppendKey(nil) }

// AppendKey appends the storage key to dst.
func (s Series) AppendKey(dst []byte) []byte {
	dst = appendString(dst, s.Database)
	dst = appendString(dst, s.Collection)
	return appendString(dst, s.Device)
}

// collectionPrefix is the common prefix of the keys of a collection's series; of a database's, when collection is
// empty (no collection has an empty name).
func collectionPrefix(database, collection string) []byte {
	dst := appendString(nil, database)
	if collection != "" {
		dst = appendString(dst, collection)
	}
	return dst
}

// ParseKey is the inverse of Series.Key. It refuses trailing bytes.
func ParseKey(key []byte) (Series, error) {
	s, rest, err := cutKey(key)
	if err == nil && len(rest) != 0 {
		err = fmt.Errorf("parse series key %x: %d bytes too many", key, len(rest))
	}
	return s, err
}

func cutKey(key []byte) (s Series, rest []byte, err error) {
	rest = key
	for _, name := range []*string{&s.Database, &s.Collection, &s.Device} {
		var b []byte
		if b, rest, err = cutString(rest); err != nil {
			return Series{}, nil, fmt.Errorf("parse series key %x: %w", key, err)
		}
		*name = string(b)
	}
	return s, rest, nil
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// cutString splits a length-prefixed string off b, without copying.
func cutString(b []byte) (s, rest []byte, err error) {
	n, w := uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, errShort
	}
	return b[w : w+int(n)], b[w+int(n):], nil
}

// uvarint is binary.Uvarint with the one-byte case inlined: nearly every length here is below 128.
func uvarint(b []byte) (uint64, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return binary.Uvarint(b)
}
