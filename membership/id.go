package membership

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	// MaxNameLen bounds the name of a node, in bytes.
	MaxNameLen = 64
	// IncarnationLen is the length of an incarnation: 4 random bytes in hex.
	IncarnationLen = 8
)

// ErrInvalidID is wrapped by every error of the parsers and validators of
// this file. The text is not an id of ours: refuse it, do not retry.
var ErrInvalidID = errors.New("invalid id")

// NodeID names one data directory: the name that the operator chose and the
// incarnation that was made with the directory. It is comparable.
type NodeID struct {
	Name        string // [A-Za-z0-9_-]{1,64}: no dot
	Incarnation string // 8 lower-case hex digits
}

// String gives "n1.0a1b2c3d", and "" for the zero value.
func (id NodeID) String() string {
	if id == (NodeID{}) {
		return ""
	}
	return id.Name + "." + id.Incarnation
}

// IsZero reports whether the id names no node.
func (id NodeID) IsZero() bool { return id == NodeID{} }

// Validate says what is wrong with the id, nil if nothing is.
func (id NodeID) Validate() error {
	if err := ValidateName(id.Name); err != nil {
		return err
	}
	if !isIncarnation(id.Incarnation) {
		return fmt.Errorf("incarnation %q: %w: it has %d lower-case hex digits", id.Incarnation, ErrInvalidID, IncarnationLen)
	}
	return nil
}

// Compare orders node ids by their text.
func (id NodeID) Compare(other NodeID) int {
	if c := strings.Compare(id.Name, other.Name); c != 0 {
		return c
	}
	return strings.Compare(id.Incarnation, other.Incarnation)
}

// Server gives the id of this node's replica of a group.
func (id NodeID) Server(generation uint32) ServerID {
	return ServerID{NodeID: id, Generation: generation}
}

// ServerID is a replica's identity in Raft. The generation is counted per
// group, from 0: it rises when this node lost the vote record or an acked
// entry of that group, so that a voter that forgot never returns under its
// old id. It is comparable.
type ServerID struct {
	NodeID
	Generation uint32
}

// String gives "n1.0a1b2c3d.0", and "" for the zero value. It is the Raft
// server id and, as it is, the Raft server address.
func (id ServerID) String() string {
	if id == (ServerID{}) {
		return ""
	}
	return id.NodeID.String() + "." + strconv.FormatUint(uint64(id.Generation), 10)
}

// IsZero reports whether the id names no replica.
func (id ServerID) IsZero() bool { return id == ServerID{} }

// Compare orders server ids by name, incarnation and generation (as a number).
func (id ServerID) Compare(other ServerID) int {
	if c := id.NodeID.Compare(other.NodeID); c != 0 {
		return c
	}
	switch {
	case id.Generation < other.Generation:
		return -1
	case id.Generation > other.Generation:
		return 1
	}
	return 0
}

// ParseNodeID reads what NodeID.String writes.
func ParseNodeID(s string) (NodeID, error) {
	name, incarnation, ok := strings.Cut(s, ".")
	if !ok {
		return NodeID{}, fmt.Errorf("node id %q: %w: want name.incarnation", s, ErrInvalidID)
	}
	id := NodeID{Name: name, Incarnation: incarnation}
	if err := id.Validate(); err != nil {
		return NodeID{}, fmt.Errorf("node id %q: %w", s, err)
	}
	return id, nil
}

// ParseServerID reads what ServerID.String writes, and nothing else: there
// is one spelling of each id.
func ParseServerID(s string) (ServerID, error) {
	dot := strings.LastIndexByte(s, '.')
	if dot < 0 {
		return ServerID{}, fmt.Errorf("server id %q: %w: want name.incarnation.generation", s, ErrInvalidID)
	}
	node, err := ParseNodeID(s[:dot])
	if err != nil {
		return ServerID{}, fmt.Errorf("server id %q: %w", s, err)
	}
	text := s[dot+1:]
	generation, err := strconv.ParseUint(text, 10, 32)
	if err != nil || strconv.FormatUint(generation, 10) != text {
		return ServerID{}, fmt.Errorf("server id %q: %w: the generation is a number", s, ErrInvalidID)
	}
	return ServerID{NodeID: node, Generation: uint32(generation)}, nil
}

// ValidateName checks the name of a node.
func ValidateName(name string) error {
	if len(name) == 0 || len(name) > MaxNameLen {
		return fmt.Errorf("node name %q: %w: it has 1 to %d characters", name, ErrInvalidID, MaxNameLen)
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return fmt.Errorf("node name %q: %w: only A-Z, a-z, 0-9, _ and - are allowed", name, ErrInvalidID)
		}
	}
	return nil
}

// NewIncarnation draws the incarnation of a new data directory.
func NewIncarnation() string {
	var b [IncarnationLen / 2]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b[:])
}

func isIncarnation(s string) bool {
	if len(s) != IncarnationLen {
		return false
	}
	for i := 0; i < len(s); i++ {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'a' || s[i] > 'f') {
			return false
		}
	}
	return true
}
