package storage

import (
	"fmt"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// PointReader decodes puts into points and reuses its memory: what Read returned is valid until the next Reset. It is
// for the edge, where a client's put is validated and split by group. It is not safe for concurrent use.
type PointReader struct {
	schemas schemaTable
	rows    putReader
	series  []Series
	points  []Point
	fields  []Field
}

// Reset forgets the points, their texts included.
func (r *PointReader) Reset() {
	clear(r.series)
	clear(r.points)
	clear(r.fields)
	r.series, r.points, r.fields = r.series[:0], r.points[:0], r.fields[:0]
}

// Read appends the points of a put to those read since Reset, and returns them all. A put with more than maxPoints in
// all, or a point with more than maxFields, is refused before memory is spent on it: a small put can name many.
func (r *PointReader) Read(c Command, maxPoints, maxFields int) ([]Point, error) {
	r.rows.schemas = &r.schemas
	r.rows.reset(c.Body)
	r.series = r.series[:0]
	for {
		ok, err := r.rows.next()
		switch {
		case err != nil || !ok:
			return r.points, err
		case len(r.points) == maxPoints:
			return r.points, &InvalidError{What: "batch", Reason: fmt.Sprintf("has more than %d points", maxPoints), Hint: "send several"}
		case len(r.rows.schema.fields) > maxFields:
			return r.points, &InvalidError{What: "point", Reason: fmt.Sprintf("has %d fields", len(r.rows.schema.fields)), Hint: fmt.Sprintf("at most %d", maxFields)}
		}
		if r.rows.named {
			s, err := cutNames(string(r.rows.key))
			if err != nil {
				return r.points, err
			}
			r.series = append(r.series, s)
		}
		r.points = append(r.points, Point{Series: r.series[r.rows.series], Time: r.rows.time, Fields: r.rowFields()})
	}
}

func (r *PointReader) rowFields() []Field {
	at := len(r.fields)
	for _, f := range r.rows.schema.fields {
		v := blocks.Value{Kind: f.kind}
		if f.kind == blocks.String {
			v.Str = string(r.rows.strings[f.slot])
		} else {
			v.Num = r.rows.numbers[f.slot]
		}
		r.fields = append(r.fields, Field{Name: f.name, Value: v})
	}
	return r.fields[at:len(r.fields):len(r.fields)]
}

// cutNames is ParseKey whose names share the key's memory.
func cutNames(key string) (Series, error) {
	var names [3]string
	for i := range names {
		// A length takes two bytes at most: no name is longer than MaxDeviceName.
		b := []byte(key[:min(len(key), 2)])
		n, w := uvarint(b)
		if w <= 0 || n > uint64(len(key)-w) {
			return Series{}, fmt.Errorf("%w: put: series key", ErrBadCommand)
		}
		names[i], key = key[w:w+int(n)], key[w+int(n):]
	}
	return Series{Database: names[0], Collection: names[1], Device: names[2]}, nil
}
