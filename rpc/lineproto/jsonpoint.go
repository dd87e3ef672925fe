package lineproto

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
)

// EscapeField gives the name of a field in a JSON point: id, time and times
// are taken there, so that a field of such a name gets a $ in front (and so
// does one that already looks like that: $id is written $$id).
func EscapeField(name string) string {
	if reserved(strings.TrimLeft(name, "$")) {
		return "$" + name
	}
	return name
}

// unescapeField is the inverse of EscapeField.
func unescapeField(name string) string {
	if strings.HasPrefix(name, "$") && reserved(strings.TrimLeft(name, "$")) {
		return name[1:]
	}
	return name
}

func reserved(name string) bool { return name == "id" || name == "time" || name == "times" }

// jsonPoints reads points of one database and collection.
type jsonPoints struct {
	scanner
	series    storage.Series // Device is set where all points share it
	deviceKey string
	timeKey   string
	parseTime func(string) (int64, error)
	slab      []storage.Field
}

func newJSONPoints(database, collection string) *jsonPoints {
	return &jsonPoints{scanner: scanner{names: interner{}}, series: storage.Series{Database: database, Collection: collection},
		deviceKey: "id", timeKey: "time", parseTime: api.ParseTime}
}

// point reads one object: {"time": ..., "id": ..., "<field>": ...}.
func (j *jsonPoints) point() (storage.Point, error) {
	p := storage.Point{Series: j.series, Time: noTime}
	hasDevice, hasTime := false, false
	fields := j.room()
	if err := j.want('{'); err != nil {
		return p, fmt.Errorf(`a point is an object such as {"id":"dev-1","time":"2026-01-31T12:00:00Z","temperature":21.5}: %w`, err)
	}
	for first := true; !j.take('}'); first = false {
		if !first {
			if err := j.want(','); err != nil {
				return p, err
			}
		}
		raw, err := j.text()
		if err != nil {
			return p, err
		}
		key := j.names.of(raw)
		if err := j.want(':'); err != nil {
			return p, err
		}
		switch {
		case key == j.deviceKey && j.deviceKey != "":
			if hasDevice {
				return p, fmt.Errorf("%q is given twice", key)
			}
			hasDevice = true
			p.Device, err = j.device(key)
		case key == j.timeKey:
			if hasTime {
				return p, fmt.Errorf("%q is given twice", key)
			}
			hasTime = true
			p.Time, err = j.time(key)
		case reserved(key):
			return p, fmt.Errorf("a field called %q is written %q", key, "$"+key)
		default:
			fields, err = j.field(fields, unescapeField(key))
		}
		if err != nil {
			return p, err
		}
	}
	if p.Device == "" {
		return p, fmt.Errorf("the point has no %q", j.deviceKey)
	}
	p.Fields = j.keep(fields)
	return p, nil
}

// room gives memory for the fields of a point, keep takes what was used.
func (j *jsonPoints) room() []storage.Field {
	if cap(j.slab)-len(j.slab) < 16 {
		j.slab = make([]storage.Field, 0, fieldsPerSlab)
	}
	return j.slab[len(j.slab):len(j.slab):cap(j.slab)]
}

func (j *jsonPoints) keep(fields []storage.Field) []storage.Field {
	if len(fields) <= cap(j.slab)-len(j.slab) {
		j.slab = j.slab[:len(j.slab)+len(fields)]
	}
	return fields[:len(fields):len(fields)]
}

func (j *jsonPoints) device(key string) (string, error) {
	if c := j.peek(); c != '"' {
		return "", fmt.Errorf("%q must be a string", key)
	}
	b, err := j.text()
	if err == nil && len(b) == 0 {
		err = fmt.Errorf("%q is empty", key)
	}
	return j.names.of(b), err
}

func (j *jsonPoints) time(key string) (int64, error) {
	switch c := j.peek(); {
	case c == '"':
		b, err := j.text()
		if err != nil {
			return 0, err
		}
		return j.parseTime(string(b))
	case c == '-' || c >= '0' && c <= '9':
		b, err := j.number()
		if err != nil {
			return 0, err
		}
		return j.parseTime(string(b))
	case j.word("null"):
		return noTime, nil
	}
	return 0, j.unexpected(fmt.Sprintf("%q is RFC 3339 in quotes or integer nanoseconds", key))
}

func (j *jsonPoints) field(fields []storage.Field, name string) ([]storage.Field, error) {
	if slices.ContainsFunc(fields, func(f storage.Field) bool { return f.Name == name }) {
		return fields, fmt.Errorf("field %q is given twice", name)
	}
	v, present, err := j.value()
	if err != nil {
		return fields, fmt.Errorf("field %q: %w", name, err)
	}
	if !present {
		return fields, nil
	}
	return append(fields, storage.Field{Name: name, Value: v}), nil
}

// end refuses what follows the text.
func (j *jsonPoints) end() error {
	if j.peek() != 0 || j.i < len(j.b) {
		return j.unexpected("nothing may follow")
	}
	return nil
}

// ParsePoint reads the body of a single write.
func ParsePoint(body []byte, database, collection string) (storage.Point, error) {
	j := newJSONPoints(database, collection)
	j.b = body
	p, err := j.point()
	if err == nil {
		err = j.end()
	}
	return p, err
}

// errTooMany: a batch has more points than its limit.
var errTooMany = errors.New("too many points")

// IsTooMany reports whether ParsePoints gave up because of its limit.
func IsTooMany(err error) bool { return errors.Is(err, errTooMany) }

// ParsePoints reads the body of a batch, {"points":[...]}, of at most limit
// points.
func ParsePoints(body []byte, database, collection string, limit int) ([]storage.Point, error) {
	j := newJSONPoints(database, collection)
	j.b = body
	if err := j.want('{'); err != nil {
		return nil, fmt.Errorf(`a batch is {"points":[...]}: %w`, err)
	}
	var points []storage.Point
	seen := false
	for first := true; !j.take('}'); first = false {
		if !first {
			if err := j.want(','); err != nil {
				return nil, err
			}
		}
		key, err := j.text()
		if err != nil {
			return nil, err
		}
		if string(key) != "points" || seen {
			return nil, fmt.Errorf(`a batch is {"points":[...]}: key %q is not known or given twice`, key)
		}
		seen = true
		if err := j.want(':'); err != nil {
			return nil, err
		}
		if points, err = j.array(limit); err != nil {
			return nil, err
		}
	}
	if !seen {
		return nil, errors.New(`a batch is {"points":[...]}: "points" is missing`)
	}
	return points, j.end()
}

func (j *jsonPoints) array(limit int) ([]storage.Point, error) {
	if err := j.want('['); err != nil {
		return nil, fmt.Errorf(`"points" is an array: %w`, err)
	}
	var points []storage.Point
	var bad PointsError
	for first := true; !j.take(']'); first = false {
		if !first {
			if err := j.want(','); err != nil {
				return nil, bad.or(err)
			}
		}
		if len(points) == limit {
			return nil, fmt.Errorf("%w: at most %d", errTooMany, limit)
		}
		begin := j.i
		p, err := j.point()
		if err != nil {
			bad.add(len(points), p.Device, err)
			if !j.pass(begin) {
				return nil, &bad
			}
		}
		points = append(points, p)
	}
	if len(bad.Points) > 0 {
		bad.check(points)
		return nil, &bad
	}
	return points, nil
}

// pass goes to the end of the object that begins at begin; false if it is not
// JSON, so that nothing behind it can be read.
func (j *jsonPoints) pass(begin int) bool {
	d := json.NewDecoder(bytes.NewReader(j.b[begin:]))
	var object json.RawMessage
	if d.Decode(&object) != nil {
		return false
	}
	j.i = begin + int(d.InputOffset())
	return true
}
