package directory

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/flotilla-db/flotilla/membership"
)

// Byte layouts of the meta group: what stands in its log, in its snapshots
// and in the requests that nodes send each other.
//
//	raft.db   raft-boltdb's; entries with a CRC as storage/raftlog has them; the vote: voteformat.go
//	command   version (1) | kind (1) | fields of the kind, in the order of its struct
//	snapshot  "FLMT" | version (1) | index (8, big endian) | sections (see snapshot.go) | CRC32C of all before (4)
//	request   version (1) | op (1) | body of the op (see request.go)
//	reply     version (1) | code (1) | changed (1) | index | leader | text | body
//
//	uint      uvarint
//	string    uvarint length | bytes
//	time      zigzag varint of Unix ns, 0 for the zero time
//	uuid      16 bytes; the zero UUID stands for ""
//	node id   string name | string incarnation
//	server id node id | uint generation
//	list      uint count | items
//
// A version is raised when a layout changes; readers refuse what is newer.
const formatVersion byte = 1

// Bounds of what is decoded.
const (
	// MaxCommandBytes bounds one command.
	MaxCommandBytes = 1 << 20
	maxText         = 4096 // bytes of any string
	maxList         = 1 << 16
)

type writer struct{ b []byte }

func (w *writer) byte(v byte)              { w.b = append(w.b, v) }
func (w *writer) uint(v uint64)            { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) int(v int64)              { w.b = binary.AppendVarint(w.b, v) }
func (w *writer) count(n int)              { w.uint(uint64(n)) }
func (w *writer) text(s string)            { w.count(len(s)); w.b = append(w.b, s...) }
func (w *writer) node(n membership.NodeID) { w.text(n.Name); w.text(n.Incarnation) }

func (w *writer) bool(v bool) {
	if v {
		w.byte(1)
	} else {
		w.byte(0)
	}
}

func (w *writer) time(t time.Time) {
	if t.IsZero() {
		w.int(0)
		return
	}
	w.int(t.UnixNano())
}

// uuid writes text that is no UUID as the zero UUID: commands are checked
// before they are proposed.
func (w *writer) uuid(s string) {
	id, err := uuid.Parse(s)
	if err != nil {
		id = uuid.Nil
	}
	w.b = append(w.b, id[:]...)
}

func (w *writer) texts(list []string) {
	w.count(len(list))
	for _, s := range list {
		w.text(s)
	}
}

func (w *writer) server(s membership.ServerID) {
	w.node(s.NodeID)
	w.uint(uint64(s.Generation))
}

// reader reads what writer wrote. After the first error it gives zero values.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("read %s with %d bytes left: %w", what, len(r.b), ErrInvalid)
		r.b = nil
	}
}

func (r *reader) take(n int, what string) []byte {
	if n < 0 || n > len(r.b) {
		r.fail(what)
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1, "a byte"); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) bool() bool {
	switch r.byte() {
	case 0:
		return false
	case 1:
		return true
	}
	r.fail("a truth value")
	return false
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail("a number")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint32() uint32 {
	v := r.uint()
	if v > math.MaxUint32 {
		r.fail("a 32-bit number")
		return 0
	}
	return uint32(v)
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail("a number")
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads the length of a list: never more than one a byte left.
func (r *reader) count() int {
	v := r.uint()
	if v > maxList || v > uint64(len(r.b)) {
		r.fail("the length of a list")
		return 0
	}
	return int(v)
}

func (r *reader) text() string {
	n := r.uint()
	if n > maxText {
		r.fail("a text")
		return ""
	}
	return string(r.take(int(n), "a text"))
}

func (r *reader) time() time.Time {
	ns := r.int()
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

func (r *reader) uuid() string {
	b := r.take(16, "a UUID")
	if b == nil || uuid.UUID(b) == uuid.Nil {
		return ""
	}
	return uuid.UUID(b).String()
}

func (r *reader) texts() []string {
	n := r.count()
	if n == 0 {
		return nil
	}
	out := make([]string, 0, n)
	for range n {
		out = append(out, r.text())
	}
	return out
}

func (r *reader) node() membership.NodeID {
	return membership.NodeID{Name: r.text(), Incarnation: r.text()}
}

func (r *reader) server() membership.ServerID {
	return membership.ServerID{NodeID: r.node(), Generation: r.uint32()}
}

// end says whether everything was read, and nothing is left.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("the end")
	}
	return r.err
}
