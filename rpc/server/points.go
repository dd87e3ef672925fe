package server

import (
	"fmt"
	"math"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// pointsOf reads the points of a write. Those of a packed write come from the
// storage codec; the others are translated field by field.
func pointsOf(m *pb.WriteRequest, l storage.Limits) ([]storage.Point, error) {
	if len(m.GetPacked()) > 0 {
		if len(m.GetPoints()) > 0 || m.GetDatabase() != "" || m.GetCollection() != "" {
			return nil, api.E(api.InvalidArgument, "use one of the two", "a write has packed points beside points, database or collection")
		}
		return unpack(m.GetPacked(), l)
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

// unpack decodes the frames of the SDK. Only puts are taken: no other command
// enters the log this way.
func unpack(packed []byte, l storage.Limits) ([]storage.Point, error) {
	var points []storage.Point
	for c, err := range storage.DecodeCommands(packed) {
		if err != nil {
			return nil, api.E(api.InvalidArgument, "use an SDK of the node's version", "packed points cannot be read").Because(err)
		}
		if c.Kind != storage.KindPut {
			return nil, api.E(api.InvalidArgument, "pack puts only", "packed points hold a %s command", c.Kind)
		}
		more, err := c.Points()
		if err != nil {
			return nil, api.E(api.InvalidArgument, "use an SDK of the node's version", "packed points cannot be read").Because(err)
		}
		if points == nil {
			points = more
		} else {
			points = append(points, more...)
		}
		if len(points) > l.BatchPoints {
			return nil, tooMany(len(points), l)
		}
	}
	return points, nil
}
