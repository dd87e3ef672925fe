package storage

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/flotilla-db/flotilla/storage/digest"
)

var (
	bucketBlocks  = []byte("blocks")
	bucketDigests = []byte("digests")
	bucketSeries  = []byte("series")
	bucketMeta    = []byte("meta")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errChecksum = errors.New("checksum of a record does not match")
var errKey = errors.New("malformed key")

// seal appends the CRC of key and value to the value.
func seal(key, value []byte) []byte { return appendSum(value, key, value) }

// appendSum appends the CRC of key and value to dst.
func appendSum(dst, key, value []byte) []byte {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
	return binary.LittleEndian.AppendUint32(dst, sum)
}

// unseal checks the CRC and returns the value without it.
func unseal(key, sealed []byte) ([]byte, error) {
	n := len(sealed) - crcBytes
	if n < 0 {
		return nil, errChecksum
	}
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, sealed[:n])
	if sum != binary.LittleEndian.Uint32(sealed[n:]) {
		return nil, errChecksum
	}
	return sealed[:n:n], nil
}

// appendWindow appends a window so that byte order is time order, before 1970 too.
func appendWindow(dst []byte, window int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(window)^1<<63)
}

func appendLeaf(dst []byte, l digest.Leaf) []byte { return append(appendWindow(dst, l.Window), l.Slot) }

// leafOf reads the leaf that a key of blocks or digests begins with.
func leafOf(key []byte) (digest.Leaf, error) {
	if len(key) < leafKeyBytes || key[windowBytes] >= Slots {
		return digest.Leaf{}, errKey
	}
	return digest.Leaf{Window: int64(binary.BigEndian.Uint64(key) ^ 1<<63), Slot: key[windowBytes]}, nil
}

// splitPart splits a key of the blocks bucket.
func splitPart(key []byte) (leaf digest.Leaf, series []byte, part uint32, err error) {
	if len(key) < leafKeyBytes+3+partBytes {
		return digest.Leaf{}, nil, 0, errKey
	}
	leaf, err = leafOf(key)
	n := len(key) - partBytes
	return leaf, key[leafKeyBytes:n:n], binary.BigEndian.Uint32(key[n:]), err
}

// successor is the first key behind all keys that begin with the prefix; nil when there is none. It is a new slice.
func successor(prefix []byte) []byte {
	for n := len(prefix); n > 0; n-- {
		if prefix[n-1] != 0xff {
			next := append([]byte(nil), prefix[:n]...)
			next[n-1]++
			return next
		}
	}
	return nil
}
