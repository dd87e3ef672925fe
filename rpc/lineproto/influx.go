package lineproto

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// maxStringAhead bounds how far a string value that runs over the end of its
// line is followed: no legal value is longer, every byte escaped.
const maxStringAhead = 2*64<<10 + 4096

// influx reads line protocol. Each entry is decoded by itself, so that a bad
// line never takes a good one with it, and so that its line is known.
type influx struct {
	lines  *lines
	o      Options
	unit   time.Duration
	names  interner
	slab   []storage.Field
	tags   []tag
	tagMem []byte
	idMem  []byte
	entry  []byte // an entry of several lines
}

func newInflux(r io.Reader, o Options) (Reader, error) {
	unit, err := ParsePrecision(o.Precision)
	if err != nil {
		return nil, err
	}
	if len(o.DeviceTags) == 0 {
		o.DeviceTags = DefaultDeviceTags
	}
	return &influx{lines: newLines(r), o: o, unit: unit, names: interner{}}, nil
}

// Read gives the next point.
func (in *influx) Read() (Record, error) {
	for {
		line, err := in.lines.next()
		no := in.lines.no
		switch {
		case errors.Is(err, errTooLong):
			return refuse(no, "%w", err)
		case err != nil:
			return Record{}, err
		}
		text := bytes.TrimLeft(line, " \t")
		if len(text) == 0 || text[0] == '#' {
			continue
		}
		p, err := in.decode(text)
		if err != nil && stringOpen(text) {
			p, err = in.decodeLonger(text, err)
		}
		if err != nil {
			return Record{}, &LineError{no, err}
		}
		return checked(no, p, in.o.Limits)
	}
}

// decodeLonger tries the entry with the lines that follow, up to the one that
// closes its string. If that is no entry either, the lines are given back.
func (in *influx) decodeLonger(first []byte, why error) (storage.Point, error) {
	in.entry = append(in.entry[:0], first...)
	var ahead [][]byte
	for open := true; open && len(in.entry)-len(first) <= maxStringAhead; {
		line, err := in.lines.next()
		if err != nil {
			break // of a line that is too long too: it is lost, and so is this one
		}
		ahead = append(ahead, bytes.Clone(line))
		in.entry = append(append(in.entry, '\n'), line...)
		// Only a line with a quote can close the string.
		open = bytes.IndexByte(line, '"') < 0 || stringOpen(in.entry)
		if !open {
			if p, err := in.decode(in.entry); err == nil {
				return p, nil
			}
		}
	}
	in.lines.unread(ahead)
	return storage.Point{}, why
}

// stringOpen reports whether the entry ends inside a quoted value.
func stringOpen(entry []byte) bool {
	i := 0
	for i < len(entry) && entry[i] != ' ' { // measurement and tags: quotes mean nothing
		if entry[i] == '\\' {
			i++
		}
		i++
	}
	open := false
	for ; i < len(entry); i++ {
		switch entry[i] {
		case '\\':
			i++
		case '"':
			open = !open
		}
	}
	return open
}

func (in *influx) decode(entry []byte) (storage.Point, error) {
	d := lineprotocol.NewDecoderWithBytes(entry)
	if !d.Next() {
		return storage.Point{}, errors.New("no entry")
	}
	p := storage.Point{Series: storage.Series{Database: in.o.Database, Collection: in.o.Collection}}
	name, err := d.Measurement()
	if err != nil {
		return p, reason(err)
	}
	if p.Collection == "" {
		p.Collection = in.names.of(name)
	}
	if p.Device, err = in.device(d); err != nil {
		return p, err
	}
	if p.Fields, err = in.fields(d, entry); err != nil {
		return p, err
	}
	stamp, err := d.TimeBytes()
	switch {
	case err != nil:
		return p, reason(err)
	case len(stamp) == 0:
		p.Time = noTime
	default:
		if p.Time, err = scale(string(stamp), in.unit); err != nil {
			return p, err
		}
	}
	if d.Next() {
		return p, errors.New("more than one entry")
	}
	return p, nil
}

func (in *influx) device(d *lineprotocol.Decoder) (string, error) {
	in.tags, in.tagMem = in.tags[:0], in.tagMem[:0]
	for {
		key, value, err := d.NextTag()
		if err != nil {
			return "", reason(err)
		}
		if key == nil {
			break
		}
		if slices.ContainsFunc(in.tags, func(t tag) bool { return bytes.Equal(t.key, key) }) {
			return "", fmt.Errorf("tag %q is given twice", key)
		}
		in.tags = append(in.tags, tag{in.keep(key), in.keep(value)})
	}
	in.idMem = deviceID(in.idMem[:0], in.tags, in.o.DeviceTags)
	return in.names.of(in.idMem), nil
}

// keep copies bytes of the decoder that the next call would overwrite.
func (in *influx) keep(b []byte) []byte {
	at := len(in.tagMem)
	in.tagMem = append(in.tagMem, b...)
	return in.tagMem[at:len(in.tagMem):len(in.tagMem)]
}

func (in *influx) fields(d *lineprotocol.Decoder, entry []byte) ([]storage.Field, error) {
	if cap(in.slab)-len(in.slab) < 16 {
		in.slab = make([]storage.Field, 0, fieldsPerSlab)
	}
	fields := in.slab[len(in.slab):len(in.slab):cap(in.slab)]
	for {
		key, v, err := d.NextField()
		if err != nil {
			return nil, valueReason(err, entry)
		}
		if key == nil {
			break
		}
		name := in.names.of(key)
		if slices.ContainsFunc(fields, func(f storage.Field) bool { return f.Name == name }) {
			return nil, fmt.Errorf("field %q is given twice", name)
		}
		fields = append(fields, storage.Field{Name: name, Value: valueOf(v)})
	}
	if len(fields) <= cap(in.slab)-len(in.slab) {
		in.slab = in.slab[:len(in.slab)+len(fields)]
	}
	return fields[:len(fields):len(fields)], nil
}

func valueOf(v lineprotocol.Value) blocks.Value {
	switch v.Kind() {
	case lineprotocol.Int:
		return blocks.Int(v.IntV())
	case lineprotocol.Uint:
		return blocks.Uint(v.UintV())
	case lineprotocol.Float:
		return blocks.Float(v.FloatV())
	case lineprotocol.Bool:
		return blocks.Boolean(v.BoolV())
	}
	return blocks.Text(v.StringV())
}

// valueReason is reason for a field: what the decoder calls an unrecognized
// type is mostly a number that is none, or a text without quotes.
func valueReason(err error, entry []byte) error {
	d, ok := errors.AsType[*lineprotocol.DecodeError](err)
	if !ok || d.Column < 1 || int(d.Column) > len(entry) || !strings.Contains(d.Err.Error(), "unrecognized type") {
		return reason(err)
	}
	value, _, _ := strings.Cut(string(entry[d.Column-1:]), ",")
	value, _, _ = strings.Cut(value, " ")
	switch strings.ToLower(strings.TrimLeft(value, "+-")) {
	case "nan", "inf", "infinity":
		return fmt.Errorf("column %d: %s: NaN and Inf are refused", d.Column, value)
	}
	return fmt.Errorf(`column %d: %.40q is no value: want 1.5, 14i, 14u, true, false or "text"`, d.Column, value)
}

// reason strips the position that the decoder adds: the entry's line is ours
// to name, and its column counts from the entry's begin.
func reason(err error) error {
	if d, ok := errors.AsType[*lineprotocol.DecodeError](err); ok {
		return fmt.Errorf("column %d: %w", d.Column, d.Err)
	}
	return err
}
