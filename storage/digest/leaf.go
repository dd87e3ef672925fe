package digest

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
)

// Slots is the number of slots a window has.
const Slots = 16

// Leaf names the points of one window whose series fall into one slot.
type Leaf struct {
	Window int64 // floor(time / window length), signed
	Slot   uint8 // 0..Slots-1
}

// Compare is leaf order: by window, then slot.
func (l Leaf) Compare(m Leaf) int {
	if c := cmp.Compare(l.Window, m.Window); c != 0 {
		return c
	}
	return cmp.Compare(l.Slot, m.Slot)
}

// String is "window/slot".
func (l Leaf) String() string { return fmt.Sprintf("%d/%d", l.Window, l.Slot) }

// ID is a SHA-256: the content id of a leaf, or a root.
type ID [32]byte

// ErrID: the text is not 64 hex digits.
var ErrID = errors.New("not a content id")

// String is lower-case hex.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText is String as bytes, for JSON.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err == nil {
		*id = parsed
	}
	return err
}

// ParseID reads 64 lower-case hex digits.
func ParseID(text string) (ID, error) {
	var id ID
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(id) || hex.EncodeToString(raw) != text {
		return ID{}, fmt.Errorf("%w: %q (64 lower-case hex digits)", ErrID, text)
	}
	copy(id[:], raw)
	return id, nil
}

// LeafDigest is what a leaf contains, in short.
type LeafDigest struct {
	ID     ID
	Points uint64 // rows of all blocks
	Bytes  uint64 // length of the leaf bytes
}

// Entry is one line of a manifest.
type Entry struct {
	Leaf
	LeafDigest
}
