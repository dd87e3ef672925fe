package server

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// readers keeps the memory of decoded writes. A reader goes back when its
// write has ended: the gateway keeps no point.
var readers = sync.Pool{New: func() any { return new(storage.PointReader) }}

// pointsOf reads the points of a write. Those of a packed write come from the
// storage codec; the others are translated field by field.
func pointsOf(r *storage.PointReader, m *pb.WriteRequest, l storage.Limits) ([]storage.Point, error) {
	if len(m.GetPacked()) > 0 {
		if len(m.GetPoints()) > 0 || m.GetDatabase() != "" || m.GetCollection() != "" {
			return nil, api.E(api.InvalidArgument, "use one of the two", "a write has packed points beside points, database or collection")
		}
		return unpack(r, m.GetPacked(), l)
	}
	if len(m.GetPoints()) > l.BatchPoints {
		return nil, tooMany(len(m.GetPoints()), l)
	}
	total := 0
	for _, p := range m.GetPoints() {
		total += len(p.GetFields())
	}
	points := make([]storage.Point, len(m.GetPoints()))
	fields := make([]storage.Field, 0, total)
	for i, p := range m.GetPoints() {
		at := len(fields)
		for _, f := range p.GetFields() {
			v, ok := valueOf(f)
			if !ok {
				return nil, api.E(api.InvalidPoints, "set one of f64, i64, u64, bool, text", "point %d: field %q has no value", i, f.GetName())
			}
			fields = append(fields, storage.Field{Name: f.GetName(), Value: v})
		}
		points[i] = storage.Point{Series: storage.Series{Database: m.GetDatabase(), Collection: m.GetCollection(), Device: p.GetDevice()},
			Time: api.NoTime, Fields: fields[at:len(fields):len(fields)]}
		if p.Time != nil {
			points[i].Time = p.GetTime()
		}
	}
	return points, nil
}

func tooMany(n int, l storage.Limits) error {
	return api.E(api.TooLarge, fmt.Sprintf("at most %d; send several", l.BatchPoints), "batch has %d points", n)
}

func valueOf(f *pb.Field) (blocks.Value, bool) {
	switch v := f.GetValue().(type) {
	case *pb.Field_F64:
		return blocks.Value{Kind: blocks.Float64, Num: math.Float64bits(v.F64)}, true
	case *pb.Field_I64:
		return blocks.Int(v.I64), true
	case *pb.Field_U64:
		return blocks.Uint(v.U64), true
	case *pb.Field_Bool:
		return blocks.Boolean(v.Bool), true
	case *pb.Field_Text:
		return blocks.Text(v.Text), true
	}
	return blocks.Value{}, false
}

// unpack decodes the frames of the SDK with the reader's memory. Only puts are
// taken: no other command enters the log this way.
func unpack(r *storage.PointReader, packed []byte, l storage.Limits) (points []storage.Point, err error) {
	if err := storage.ValidateBatch(0, len(packed), l); err != nil {
		return nil, refused(api.TooLarge, err)
	}
	for c, err := range storage.DecodeCommands(packed) {
		if err != nil {
			return nil, unreadable(err)
		}
		if c.Kind != storage.KindPut {
			return nil, api.E(api.InvalidArgument, "pack puts only", "packed points hold a %s command", c.Kind)
		}
		if points, err = r.Read(c, l.BatchPoints, l.FieldsPerPoint); errors.Is(err, storage.ErrInvalid) {
			return nil, refused(api.TooLarge, err)
		} else if err != nil {
			return nil, unreadable(err)
		}
	}
	return points, nil
}

func unreadable(err error) error {
	return api.E(api.InvalidArgument, "use an SDK of the node's version", "packed points cannot be read").Because(err)
}

func refused(code api.Code, err error) error {
	if e, ok := errors.AsType[*storage.InvalidError](err); ok {
		return api.E(code, e.Hint, "%s %s", e.What, e.Reason)
	}
	return api.E(code, "", "%v", err)
}
