package directory

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

// A snapshot holds, behind its head (format.go), these sections:
//
//	configuration index (uint) | cluster id (uuid) | total groups (uint)
//	nodes        list of rows, by name
//	retired      list of (name, list of incarnations), by name
//	databases    list of (name, retention, created at, collections), by name
//	settings     list of (key, value), by key
//	births       list of (group, lineage, list of server ids), by group
//	assignments  list of rows, by group
//
// Equal tables give equal bytes.
const (
	snapshotMagic    = "FLMT"
	maxSnapshotBytes = 64 << 20
	snapshotHead     = len(snapshotMagic) + 1 + 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeTable(t *Table) []byte {
	w := &writer{b: make([]byte, 0, 4096)}
	w.b = append(w.b, snapshotMagic...)
	w.byte(formatVersion)
	w.b = binary.BigEndian.AppendUint64(w.b, t.Index)
	w.uint(t.configIndex)
	w.uuid(t.ClusterID)
	w.uint(uint64(t.TotalGroups))
	w.count(len(t.Nodes))
	for _, n := range t.SortedNodes() {
		writeNode(w, n)
	}
	w.count(len(t.retired))
	for _, name := range slices.Sorted(maps.Keys(t.retired)) {
		w.text(name)
		w.texts(t.retired[name])
	}
	w.count(len(t.Databases))
	for _, name := range slices.Sorted(maps.Keys(t.Databases)) {
		db := t.Databases[name]
		w.text(db.Name)
		w.int(int64(db.Retention))
		w.time(db.CreatedAt)
		w.texts(db.Collections)
	}
	w.count(len(t.Settings))
	for _, key := range slices.Sorted(maps.Keys(t.Settings)) {
		w.text(key)
		w.text(t.Settings[key])
	}
	w.count(len(t.Births))
	for _, g := range t.Groups() {
		b := t.Births[g]
		w.uint(uint64(g))
		w.uuid(b.Lineage)
		w.uint(b.Epoch)
		w.count(len(b.Voters))
		for _, v := range b.Voters {
			w.server(v)
		}
	}
	w.count(len(t.Assignments))
	for _, a := range t.SortedAssignments() {
		writeAssignment(w, a)
	}
	return binary.BigEndian.AppendUint32(w.b, crc32.Checksum(w.b, castagnoli))
}

func decodeTable(b []byte) (*Table, error) {
	if len(b) < snapshotHead+4 || len(b) > maxSnapshotBytes || string(b[:len(snapshotMagic)]) != snapshotMagic {
		return nil, fmt.Errorf("%d bytes are no table: %w", len(b), ErrInvalid)
	}
	if v := b[len(snapshotMagic)]; v != formatVersion {
		return nil, fmt.Errorf("table of format %d: %w: this binary reads %d", v, ErrInvalid, formatVersion)
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, fmt.Errorf("table has a wrong checksum: %w", ErrInvalid)
	}
	t := newTable()
	t.Index = binary.BigEndian.Uint64(b[len(snapshotMagic)+1:])
	r := &reader{b: body[snapshotHead:]}
	t.configIndex, t.ClusterID, t.TotalGroups = r.uint(), r.uuid(), r.uint32()
	for range r.count() {
		n := readNode(r)
		t.Nodes[n.Name] = n
	}
	for range r.count() {
		name := r.text()
		t.retired[name] = r.texts()
	}
	for range r.count() {
		db := membership.Database{Name: r.text(), Retention: time.Duration(r.int()), CreatedAt: r.time(), Collections: r.texts()}
		t.Databases[db.Name] = db
	}
	for range r.count() {
		key := r.text()
		t.Settings[key] = r.text()
	}
	readGroups(r, t)
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	return t, nil
}

func readGroups(r *reader, t *Table) {
	for range r.count() {
		b := membership.Birth{Group: r.uint32(), Lineage: r.uuid(), Epoch: r.uint()}
		for range r.count() {
			b.Voters = append(b.Voters, r.server())
		}
		t.Births[b.Group] = b
	}
	for range r.count() {
		a := readAssignment(r)
		t.Assignments[a.Group] = a
	}
}
