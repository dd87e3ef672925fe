package storage

import (
	"encoding/binary"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// Tags of a row: see format.go.
const (
	seriesSame   = 0
	seriesRef    = 1
	seriesDevice = 2
	seriesFull   = 3
	schemaSame   = 0 << 2
	schemaRef    = 1 << 2
	schemaNew    = 2 << 2
	tagMask      = 0x0f
)

// How many earlier series and schemas AppendPut looks at for a reference. Missing one costs bytes, nothing else.
const (
	seriesMemory = 64
	schemaMemory = 8
)

// AppendPut appends a frame with points, which must be valid (ValidatePoint) and should share a group. Names are
// written once: order points by device, or by time, as they come.
func AppendPut(dst []byte, points []Point) []byte {
	if len(points) == 0 {
		return dst
	}
	start := len(dst)
	dst = append(dst, 0, byte(KindPut))
	w := putWriter{points: points, prev: -1, named: -1}
	for i := range points {
		dst = w.row(dst, i)
	}
	return closeFrame(dst, start)
}

// PutBytes is an upper bound of what a point adds to a put, for callers that split batches.
func PutBytes(p *Point) int {
	n := 32 + len(p.Database) + len(p.Collection) + len(p.Device)
	for i := range p.Fields {
		n += 4 + len(p.Fields[i].Name) + 10 + len(p.Fields[i].Value.Str)
	}
	return n
}

type putWriter struct {
	points  []Point
	prev    int // index of the row before, -1 at first
	named   int // index of the row whose database and collection were named last, -1 at first
	series  int // numbers given so far
	schemas int

	seenSeries [seriesMemory]seen // by hash of the device
	seenSchema [schemaMemory]seen // round robin
}

// seen remembers a number and the row that got it; number counts from 1 so that the zero value is free.
type seen struct{ number, row int32 }

func (w *putWriter) row(dst []byte, i int) []byte {
	p := &w.points[i]
	at := len(dst)
	dst = append(dst, 0)
	dst, tag := w.putSeries(dst, i)
	dst[at] = tag
	dst, tag = w.putSchema(dst, i)
	dst[at] |= tag
	before := int64(0)
	if w.prev >= 0 {
		before = w.points[w.prev].Time
	}
	w.prev = i
	dst = binary.AppendUvarint(dst, zigzag(p.Time-before))
	for f := range p.Fields {
		v := &p.Fields[f].Value
		switch v.Kind {
		case blocks.Float64:
			dst = binary.LittleEndian.AppendUint64(dst, v.Num)
		case blocks.Int64:
			dst = binary.AppendUvarint(dst, zigzag(int64(v.Num)))
		case blocks.Uint64:
			dst = binary.AppendUvarint(dst, v.Num)
		case blocks.Bool:
			dst = append(dst, byte(v.Num))
		case blocks.String:
			dst = appendString(dst, v.Str)
		}
	}
	return dst
}

func (w *putWriter) putSeries(dst []byte, i int) ([]byte, byte) {
	p := &w.points[i]
	if w.prev >= 0 && p.Series == w.points[w.prev].Series {
		return dst, seriesSame
	}
	s := &w.seenSeries[deviceHash(p.Device)]
	if s.number > 0 && p.Series == w.points[s.row].Series {
		return binary.AppendUvarint(dst, uint64(s.number-1)), seriesRef
	}
	w.series++
	*s = seen{int32(w.series), int32(i)}
	if w.named >= 0 {
		if n := &w.points[w.named]; n.Database == p.Database && n.Collection == p.Collection {
			return appendString(dst, p.Device), seriesDevice
		}
	}
	w.named = i
	return p.AppendKey(dst), seriesFull
}

// deviceHash spreads devices that differ in their last characters, as numbered ones do.
func deviceHash(s string) uint32 {
	h := uint32(len(s))
	for i := max(0, len(s)-6); i < len(s); i++ {
		h = h*31 + uint32(s[i])
	}
	return h % seriesMemory
}

func (w *putWriter) putSchema(dst []byte, i int) ([]byte, byte) {
	fields := w.points[i].Fields
	if w.prev >= 0 && sameSchema(fields, w.points[w.prev].Fields) {
		return dst, schemaSame
	}
	for _, s := range w.seenSchema[:min(w.schemas, schemaMemory)] {
		if sameSchema(fields, w.points[s.row].Fields) {
			return binary.AppendUvarint(dst, uint64(s.number-1)), schemaRef
		}
	}
	w.seenSchema[w.schemas%schemaMemory] = seen{int32(w.schemas + 1), int32(i)}
	w.schemas++
	start := len(dst)
	dst = append(dst, 0)
	for f := range fields {
		dst = append(dst, byte(fields[f].Value.Kind))
		dst = appendString(dst, fields[f].Name)
	}
	return closeFrame(dst, start), schemaNew
}

func sameSchema(a, b []Field) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Value.Kind != b[i].Value.Kind || a[i].Name != b[i].Name {
			return false
		}
	}
	return true
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }
