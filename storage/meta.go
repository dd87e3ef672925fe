package storage

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// fileFormat is the version of the file's layout (format.go).
const fileFormat = 1

// Names of the meta bucket. Values: numbers as 8 bytes, names as bytes, others as their encode says.
const (
	metaFormat        = "format"
	metaCluster       = "cluster"
	metaGroup         = "group"
	metaLineage       = "lineage"
	metaWindow        = "window"        // ns
	metaApplied       = "applied"       // index (8) | term (8)
	metaConfiguration = "configuration" // index (8) | as the entry carried it
	metaLeases        = "leases"        // (lp id | lp purpose | ttl (8) | index (8) | flags (1) [from (8)])*; flags below
	metaBlockFormat   = "block-format"  // version in force
	metaTotals        = "totals"        // rows (8) | block bytes (8) | parts (8) | series (8)
)

// Flags of a lease in the meta bucket.
const (
	leaseLog  = 1 // keeps the log
	leaseView = 2 // was made by a cut
	leaseFrom = 4 // from (8) follows
)

// state is what the file holds beside points: everything that applying the log sets.
type state struct {
	applied            Position
	configuration      []byte // never changed in place
	configurationIndex uint64
	leases             []Record
	blockFormat        uint8
}

// totals count what is in the file.
type totals struct{ rows, blockBytes, parts, series uint64 }

// identityRecords are written once, when the file is made.
func putIdentity(b recordSink, id Identity, window time.Duration) error {
	for _, r := range []struct {
		name  string
		value []byte
	}{
		{metaFormat, number(fileFormat)},
		{metaCluster, []byte(id.ClusterID)},
		{metaGroup, number(uint64(id.Group))},
		{metaLineage, []byte(id.Lineage)},
		{metaWindow, number(uint64(window))},
	} {
		if err := putMeta(b, r.name, r.value); err != nil {
			return err
		}
	}
	return nil
}

func number(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

func putMeta(b recordSink, name string, value []byte) error {
	return b.Put([]byte(name), seal([]byte(name), slices.Clip(value)))
}

// records is what a bucket of names is read from: bbolt, or a recordMap.
type records interface{ Get(name []byte) []byte }

// recordSink is what a bucket of names is written to: bbolt, or a recordMap.
type recordSink interface {
	Put(name, value []byte) error
}

// recordMap is a bucket that was read whole, or is to be written.
type recordMap map[string][]byte

// Get is the value of a name; nil when absent.
func (m recordMap) Get(name []byte) []byte { return m[string(name)] }

// Put implements recordSink.
func (m recordMap) Put(k, v []byte) error {
	m[string(k)] = slices.Clone(v)
	return nil
}

// each yields the records in the order of their names.
func (m recordMap) each(put func(name, value []byte) error) error {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if err := put([]byte(name), m[name]); err != nil {
			return err
		}
	}
	return nil
}

// getMeta is a value of the meta bucket; nil when absent.
func getMeta(b records, name string) ([]byte, error) {
	sealed := b.Get([]byte(name))
	if sealed == nil {
		return nil, nil
	}
	value, err := unseal([]byte(name), sealed)
	if err != nil {
		return nil, fmt.Errorf("meta %s: %w", name, err)
	}
	return value, nil
}

// fixedMeta is a value of a known length.
func fixedMeta(b records, name string, length int) ([]byte, error) {
	value, err := getMeta(b, name)
	if err != nil {
		return nil, err
	}
	if len(value) != length {
		return nil, fmt.Errorf("meta %s: %d bytes instead of %d", name, len(value), length)
	}
	return value, nil
}

func numberMeta(b records, name string) (uint64, error) {
	value, err := fixedMeta(b, name, 8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(value), nil
}

func getIdentity(b records) (id Identity, window time.Duration, err error) {
	cluster, err := getMeta(b, metaCluster)
	if err != nil {
		return id, 0, err
	}
	lineage, err := getMeta(b, metaLineage)
	if err != nil {
		return id, 0, err
	}
	group, err := numberMeta(b, metaGroup)
	if err != nil {
		return id, 0, err
	}
	ns, err := numberMeta(b, metaWindow)
	return Identity{ClusterID: string(cluster), Group: uint32(group), Lineage: string(lineage)}, time.Duration(ns), err
}

func putState(b recordSink, s *state, t totals) error {
	applied := binary.LittleEndian.AppendUint64(number(s.applied.Index), s.applied.Term)
	for _, r := range []struct {
		name  string
		value []byte
	}{
		{metaApplied, applied},
		{metaConfiguration, append(number(s.configurationIndex), s.configuration...)},
		{metaLeases, appendLeases(nil, s.leases)},
		{metaBlockFormat, []byte{s.blockFormat}},
		{metaTotals, t.encode()},
	} {
		if err := putMeta(b, r.name, r.value); err != nil {
			return err
		}
	}
	return nil
}

func getState(b records) (s state, t totals, err error) {
	applied, err := fixedMeta(b, metaApplied, 16)
	if err != nil {
		return s, t, err
	}
	s.applied = Position{binary.LittleEndian.Uint64(applied), binary.LittleEndian.Uint64(applied[8:])}
	configuration, err := getMeta(b, metaConfiguration)
	if err != nil {
		return s, t, err
	}
	if len(configuration) < 8 {
		return s, t, fmt.Errorf("meta %s: %w", metaConfiguration, errShort)
	}
	s.configurationIndex = binary.LittleEndian.Uint64(configuration)
	if s.configurationIndex > 0 {
		s.configuration = slices.Clone(configuration[8:])
	}
	leases, err := getMeta(b, metaLeases)
	if err != nil {
		return s, t, err
	}
	if s.leases, err = parseLeases(leases); err != nil {
		return s, t, fmt.Errorf("meta %s: %w", metaLeases, err)
	}
	format, err := fixedMeta(b, metaBlockFormat, 1)
	if err != nil {
		return s, t, err
	}
	s.blockFormat = format[0]
	t, err = getTotals(b)
	return s, t, err
}

func appendLeases(dst []byte, leases []Record) []byte {
	for _, l := range leases {
		dst = appendLease(dst, l.ID, l.Purpose, l.TTL)
		dst = binary.LittleEndian.AppendUint64(dst, l.Index)
		flags := byte(0)
		if l.Log {
			flags |= leaseLog
		}
		if l.View {
			flags |= leaseView
		}
		if l.From > 0 {
			flags |= leaseFrom
		}
		dst = append(dst, flags)
		if l.From > 0 {
			dst = binary.LittleEndian.AppendUint64(dst, l.From)
		}
	}
	return dst
}

func parseLeases(b []byte) (leases []Record, err error) {
	for len(b) > 0 {
		l, rest, err := cutLease(b)
		if err != nil {
			return nil, err
		}
		if len(rest) < 9 {
			return nil, errShort
		}
		flags := rest[8]
		r := Record{ID: l.ID, Purpose: l.Purpose, TTL: l.TTL,
			Index: binary.LittleEndian.Uint64(rest), Log: flags&leaseLog != 0, View: flags&leaseView != 0}
		b = rest[9:]
		if flags&leaseFrom != 0 {
			if len(b) < 8 {
				return nil, errShort
			}
			r.From, b = binary.LittleEndian.Uint64(b), b[8:]
		}
		if flags&^(leaseLog|leaseView|leaseFrom) != 0 {
			return nil, fmt.Errorf("lease %q has flags %#x", r.ID, flags)
		}
		leases = append(leases, r)
	}
	return leases, nil
}

// differs says how an identity is not the wanted one; "" when it is.
func (id Identity) differs(want Identity) string {
	var wrong []string
	if want.ClusterID != "" && id.ClusterID != want.ClusterID {
		wrong = append(wrong, fmt.Sprintf("cluster %s instead of %s", id.ClusterID, want.ClusterID))
	}
	if id.Group != want.Group {
		wrong = append(wrong, fmt.Sprintf("group %d instead of %d", id.Group, want.Group))
	}
	if want.Lineage != "" && id.Lineage != want.Lineage {
		wrong = append(wrong, fmt.Sprintf("lineage %s instead of %s", id.Lineage, want.Lineage))
	}
	return strings.Join(wrong, ", ")
}
