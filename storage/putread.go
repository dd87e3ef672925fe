package storage

import (
	"encoding/binary"
	"fmt"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// putReader walks the rows of a put. It is reused from put to put and makes no garbage in the steady state.
type putReader struct {
	schemas *schemaTable
	rest    []byte

	series  int       // number of the row's series
	named   bool      // the row names a series for the first time: key is its storage key
	key     []byte    // valid while named
	prefix  int       // bytes of key that name database and collection
	count   int       // series numbered so far
	known   []*schema // by number
	schema  *schema   // of the row
	time    int64
	numbers []uint64 // of the row
	strings [][]byte // of the row; alias the log entry
}

func (r *putReader) reset(body []byte) {
	r.rest = body
	r.series, r.count, r.prefix, r.time = -1, 0, 0, 0
	r.known = r.known[:0]
	r.schema = nil
}

// next reads the next row; false at the end.
func (r *putReader) next() (bool, error) {
	if len(r.rest) == 0 {
		return false, nil
	}
	tag := r.rest[0]
	r.rest = r.rest[1:]
	if tag&^tagMask != 0 {
		return false, r.bad("tag")
	}
	if err := r.readSeries(tag & 3); err != nil {
		return false, err
	}
	if err := r.readSchema(tag & (3 << 2)); err != nil {
		return false, err
	}
	d, w := uvarint(r.rest)
	if w <= 0 {
		return false, r.bad("time")
	}
	r.rest = r.rest[w:]
	r.time += unzigzag(d)
	if r.time > MaxTime {
		return false, r.bad("time")
	}
	return true, r.readValues()
}

func (r *putReader) readSeries(tag byte) error {
	r.named = false
	switch tag {
	case seriesSame:
		if r.series < 0 {
			return r.bad("series")
		}
		return nil
	case seriesRef:
		n, w := uvarint(r.rest)
		if w <= 0 || n >= uint64(r.count) {
			return r.bad("series")
		}
		r.rest = r.rest[w:]
		r.series = int(n)
		return nil
	case seriesFull:
		r.key = r.key[:0]
		for _, max := range [...]int{MaxDatabaseName, MaxCollectionName} {
			if err := r.readName(max); err != nil {
				return err
			}
		}
		r.prefix = len(r.key)
	case seriesDevice:
		if r.prefix == 0 {
			return r.bad("series")
		}
		r.key = r.key[:r.prefix]
	}
	if err := r.readName(MaxDeviceName); err != nil {
		return err
	}
	r.named = true
	r.series = r.count
	r.count++
	return nil
}

// readName appends a name with its length to the key.
func (r *putReader) readName(max int) error {
	name, rest, err := cutString(r.rest)
	if err != nil || len(name) == 0 || len(name) > max {
		return r.bad("name")
	}
	r.key = binary.AppendUvarint(r.key, uint64(len(name)))
	r.key = append(r.key, name...)
	r.rest = rest
	return nil
}

func (r *putReader) readSchema(tag byte) error {
	switch tag {
	case schemaSame:
		if r.schema == nil {
			return r.bad("schema")
		}
	case schemaRef:
		n, w := uvarint(r.rest)
		if w <= 0 || n >= uint64(len(r.known)) {
			return r.bad("schema")
		}
		r.rest = r.rest[w:]
		r.schema = r.known[n]
	case schemaNew:
		raw, rest, err := cutString(r.rest)
		if err != nil {
			return r.bad("schema")
		}
		if r.schema, err = r.schemas.intern(raw); err != nil {
			return err
		}
		r.known = append(r.known, r.schema)
		r.rest = rest
	default:
		return r.bad("schema")
	}
	return nil
}

func (r *putReader) readValues() error {
	r.numbers = r.numbers[:0]
	r.strings = r.strings[:0]
	if r.schema.floats {
		n := 8 * len(r.schema.fields)
		if len(r.rest) < n {
			return r.bad("value")
		}
		for b := r.rest[:n]; len(b) >= 8; b = b[8:] {
			r.numbers = append(r.numbers, binary.LittleEndian.Uint64(b))
		}
		r.rest = r.rest[n:]
		return nil
	}
	for i := range r.schema.fields {
		if err := r.readValue(r.schema.fields[i].kind); err != nil {
			return err
		}
	}
	return nil
}

func (r *putReader) readValue(kind blocks.Kind) error {
	switch kind {
	case blocks.Float64:
		if len(r.rest) < 8 {
			return r.bad("value")
		}
		r.numbers = append(r.numbers, binary.LittleEndian.Uint64(r.rest))
		r.rest = r.rest[8:]
	case blocks.Bool:
		if len(r.rest) < 1 || r.rest[0] > 1 {
			return r.bad("value")
		}
		r.numbers = append(r.numbers, uint64(r.rest[0]))
		r.rest = r.rest[1:]
	case blocks.String:
		s, rest, err := cutString(r.rest)
		if err != nil {
			return r.bad("value")
		}
		r.strings = append(r.strings, s)
		r.rest = rest
	default:
		v, w := uvarint(r.rest)
		if w <= 0 {
			return r.bad("value")
		}
		if kind == blocks.Int64 {
			v = uint64(unzigzag(v))
		}
		r.numbers = append(r.numbers, v)
		r.rest = r.rest[w:]
	}
	return nil
}

func (r *putReader) bad(what string) error {
	return fmt.Errorf("%w: put: bad %s, %d bytes before the end", ErrBadCommand, what, len(r.rest))
}

// Points decodes a put into points, for tools and tests; Shard.Apply does not make points.
func (c Command) Points() ([]Point, error) {
	r := putReader{schemas: &schemaTable{}}
	r.reset(c.Body)
	var points []Point
	var series []Series
	for {
		ok, err := r.next()
		if err != nil || !ok {
			return points, err
		}
		if r.named {
			s, err := ParseKey(r.key)
			if err != nil {
				return points, err
			}
			series = append(series, s)
		}
		p := Point{Series: series[r.series], Time: r.time, Fields: make([]Field, 0, len(r.schema.fields))}
		for _, f := range r.schema.fields {
			v := blocks.Value{Kind: f.kind}
			if f.kind == blocks.String {
				v.Str = string(r.strings[f.slot])
			} else {
				v.Num = r.numbers[f.slot]
			}
			p.Fields = append(p.Fields, Field{Name: f.name, Value: v})
		}
		points = append(points, p)
	}
}
